"""Starts a coroutine at once, inside a real asyncio.Task.

Three ways, fastest first, all with the same outcome for the script (the first two also for the caller):

    lazy   the first step runs inside a task that is allocated but not initialised. Most coroutines end in that step, and
           then nothing of asyncio's bookkeeping (registering, scheduling, waking) has been paid for, and the object is
           used again. One that suspends gets its task initialised late, around a `Resume`:

           run(coroutine) --first step--> ended: value or exception ----> the task is spare again
                                     '--> yielded F: Task.__init__(task, Resume) --loop--> Resume hands out F
                                                                                  --loop--> Resume forwards to coroutine
    eager  asyncio.Task(..., eager_start=True), Python 3.12 and later
    task   an ordinary task; its first step runs in the next turn of the loop

What reads or writes the bare object of the lazy way is listed in `HandlerTask`: it answers from the Resume, or has the
task initialised early. These are internals of CPython, so `lazy` is used where this file's tests have run and a probe
at import finds it right; elsewhere `eager` or `task` takes its place.
"""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import functools
import itertools
import sys
import weakref

from siphon_http import task_probe

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from siphon_http._core.clock cimport monotonic

cdef extern from "Python.h":
    int PyIter_Send(object coroutine, object value, PyObject** result) except -1
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    Py_ssize_t Py_REFCNT(object thing) noexcept

cdef double SLOW_SECONDS = 0.1   # a step that holds the loop longer is reported to Runner.slow

__all__ = ["AVAILABLE_MODES", "HandlerTask", "Resume", "Runner", "ScriptExit"]

cdef enum:          # PySendResult
    RETURNED = 0
    YIELDED = 1

cdef enum:
    SPARE           # between two coroutines
    FIRST           # the first step runs
    HANDING         # the first step yielded; the task's first own step hands that out
    ENDED           # the first step ended, but somebody kept the task: its own step reports the outcome
    FORWARDING      # the task drives the coroutine

cdef object Task = asyncio.Task
cdef object task_new = Task.__new__
cdef object task_init = Task.__init__
cdef object task_cancel = Task.cancel
cdef object task_done = Task.done
cdef object task_result = Task.result
cdef object task_add_done_callback = Task.add_done_callback
# The first version on which an uninitialised Task has not been tried by this file's tests.
cdef tuple FIRST_UNTRIED = (3, 14)


class ScriptExit(Exception):
    """Stands for a SystemExit or KeyboardInterrupt (`__cause__`) that ended a task after its first step.

    asyncio stops the loop when a task raises one of those; as this exception it is the task's result like any other.
    The first step has a caller: `Runner.run` raises the original to it.
    """


@cython.final
cdef class Resume:
    """What the task of a suspended coroutine runs: hands out what was already yielded, then forwards.

    Registered as collections.abc.Coroutine. What it does not know itself (`cr_frame`, `cr_await`, `__name__`, ...) is
    read from the coroutine.
    """

    def __iter__(self):
        """Return itself."""
        return self

    def __await__(self):
        """Return itself."""
        return self

    def __next__(self):
        """Take one step."""
        return self.send(None)

    def send(self, value):
        """Take one step with `value`. asyncio's task has a shorter way: `take_step`."""
        cdef PyObject* out = NULL
        status = self.step(value, &out)
        result = <object>out
        Py_DECREF(result)
        if status == YIELDED:
            return result
        raise StopIteration(result)

    def throw(self, *exception):
        """Raise `exception` in the coroutine where it waits."""
        if self.state == HANDING:
            if self.is_cancel_passed:
                # What is awaited has been cancelled in the place of the task, and will wake it.
                return self.hand_out()
            self.state = FORWARDING
            self.pending = None
        elif self.state != FORWARDING:
            raise StopIteration(self.report())
        try:
            return self.coroutine.throw(*exception)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise ScriptExit(repr(exc)) from exc

    def close(self):
        """Close the coroutine."""
        self.coroutine.close()

    def __getattr__(self, name):
        """Read what is not here from the coroutine."""
        return getattr(self.coroutine, name)

    cdef int step(self, object value, PyObject** result) except -1:
        """Take one step as PyIter_Send does: set `result`, a new reference, and tell whether it was yielded or returned."""
        result[0] = NULL
        if self.state == HANDING and self.pending is not None:
            pending = self.hand_out()
            Py_INCREF(pending)
            result[0] = <PyObject*>pending
            return YIELDED
        if self.state != FORWARDING and self.state != HANDING:
            outcome = self.report()
            Py_INCREF(outcome)
            result[0] = <PyObject*>outcome
            return RETURNED
        # A bare yield asked for one turn of the loop, which is over: it needs no handing out.
        self.state = FORWARDING
        begun = monotonic()
        try:
            return PyIter_Send(self.coroutine, value, result)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise ScriptExit(repr(exc)) from exc
        finally:
            if self.slow is not None and monotonic() - begun > SLOW_SECONDS:
                self.slow(self.coroutine, monotonic() - begun)

    cdef object hand_out(self):
        """Return what the first step yielded, for the task to wait for."""
        pending = self.pending
        self.state = FORWARDING
        self.pending = None
        if self.is_future:
            pending._asyncio_future_blocking = True
        return pending

    cdef object report(self):
        """Return or raise what the first step did."""
        if self.state != ENDED:
            raise RuntimeError("coroutine is already executing")
        value, error, self.value, self.error, self.state = self.value, self.error, None, None, FORWARDING
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise ScriptExit(repr(error)) from error
        if error is not None:
            raise error
        return value

    cdef int initialise(self, object task) except -1:
        """Make `task` a full one: known to asyncio and scheduled. Cancellations that it took before stay."""
        requests, must_cancel, message = 0, False, None
        if self.is_touched:
            requests, must_cancel, message = task.cancelling(), task._must_cancel, task._cancel_message
        self.is_touched = self.is_initialised = True
        task_init(task, self, loop=self.loop, name=self.name, context=self.context)
        if must_cancel:
            for _ in range(max(requests, 1)):
                task_cancel(task, message)
            if requests == 0:  # up to 3.12, uncancel() takes back the request and not the exception
                task.uncancel()
        return 0

    cdef int pass_cancel(self, object task, object message) except -1:
        """Cancel what the coroutine waits for, as a task that has taken its first step does."""
        if self.is_future and self.pending is not task and self.pending.cancel(msg=message):
            self.is_cancel_passed = True
        return 0

    cdef int suspend(self, object task, object yielded) except -1:
        """The first step yielded: from here on `task` drives."""
        self.pending = yielded
        self.state = HANDING
        if yielded is not None and getattr(yielded, "_asyncio_future_blocking", None) is True:
            # The mark says "yielded just now", and nobody else can await a future that has it.
            self.is_future = True
            yielded._asyncio_future_blocking = False
        must_cancel = self.is_touched and task._must_cancel
        if not self.is_initialised:
            self.initialise(task)
        if must_cancel:
            self.pass_cancel(task, task._cancel_message)
        return 0

    cdef object end(self, object task, object value, object error):
        """The first step ended and `task` is not as new; return what to raise, or None.

        A task that somebody holds becomes done, with the same outcome, in the next turn of the loop. `task` is the
        caller's only reference; one with weak references and no other owner just goes.
        """
        if error is None and task._must_cancel:
            message = task._cancel_message
            error = asyncio.CancelledError(*(() if message is None else (message,)))
        if self.is_initialised or Py_REFCNT(task) > 1:
            self.value = value
            self.error = error
            self.state = ENDED
            if not self.is_initialised:
                self.initialise(task)
            task_add_done_callback(task, _retrieve)
        return error


collections.abc.Coroutine.register(Resume)


cdef int take_step(Resume self, object value, PyObject** result) except -1:
    return self.step(value, result)

# Cython has no special method for this slot. Without it each task would end by way of a StopIteration with a traceback.
set_am_send(Resume, take_step)


def _retrieve(task):
    """Mark the exception of `task` as seen: the runner's caller has got it already."""
    if not task.cancelled():
        task.exception()


cdef int _initialise_early(object task) except -1:
    """Before `task` is asked what only a full task can answer."""
    cdef Resume step = task._resume
    if step.state == FIRST and not step.is_initialised:
        step.initialise(task)
    return 0


def _asked_early(method):
    """Return `method` of asyncio.Task for a task that may have to be initialised before it can answer."""

    @functools.wraps(method)
    def ask(task, *args, **kwargs):
        _initialise_early(task)
        return method(task, *args, **kwargs)

    return ask


class HandlerTask(asyncio.Task):
    """The asyncio.Task that a coroutine of a Runner sees as its own, with `_resume` as its coroutine.

    What is not here is safe and right on a Task whose `__init__` has not run: `cancelling`, `uncancel`, `done`,
    `cancelled`, `set_result`, `set_exception`, and those read-only attributes that have nothing to tell before a
    task's first step. `asyncio.all_tasks()` shows it once it is initialised.
    """

    __slots__ = ("_resume",)

    __repr__ = _asked_early(Task.__repr__)
    __await__ = _asked_early(Task.__await__)
    __iter__ = _asked_early(Task.__iter__)
    add_done_callback = _asked_early(Task.add_done_callback)
    remove_done_callback = _asked_early(Task.remove_done_callback)
    result = _asked_early(Task.result)
    exception = _asked_early(Task.exception)
    get_stack = _asked_early(Task.get_stack)
    print_stack = _asked_early(Task.print_stack)
    _make_cancelled_error = _asked_early(Task._make_cancelled_error)
    _callbacks = property(_asked_early(Task._callbacks.__get__))
    _exception = property(_asked_early(Task._exception.__get__))
    _result = property(_asked_early(Task._result.__get__))
    _coro = property(lambda self: (<Resume?>self._resume).coroutine)
    _loop = property(lambda self: (<Resume?>self._resume).loop)

    def __setattr__(self, name, value):
        (<Resume?>self._resume).is_touched = True
        object.__setattr__(self, name, value)

    def cancel(self, msg=None):
        """As asyncio.Task.cancel."""
        cdef Resume step = self._resume
        if step.state == ENDED:
            return False
        step.is_touched = True
        if step.state == HANDING:
            step.pass_cancel(self, msg)
        return task_cancel(self, msg)

    def get_coro(self):
        """Return the script's coroutine."""
        return self._coro

    def get_context(self):
        """Return the context that the coroutine runs in."""
        return (<Resume?>self._resume).context

    def get_loop(self):
        """Return the runner's loop."""
        return self._loop

    def get_name(self):
        """Return the task's name. logging asks for it with each record, so the task is not initialised for it."""
        cdef Resume step = self._resume
        if step.is_initialised:
            return Task.get_name(self)
        if step.name is None:
            step.name = f"siphon-{next(step.numbers)}"
        return step.name

    def set_name(self, value, /):
        """As asyncio.Task.set_name."""
        cdef Resume step = self._resume
        step.name = str(value)
        if step.is_initialised:
            Task.set_name(self, value)


cdef object resume_slot = HandlerTask._resume.__set__

@cython.final
cdef class Runner:
    """Starts coroutines on one loop.

    `mode` is "lazy", "eager" or "task", one of AVAILABLE_MODES; None takes the first of them. Belongs to the thread of
    `loop`.

    Raises:
        ValueError: `mode` is not available on this interpreter.
    """

    def __init__(self, loop, mode=None):
        if mode is None:
            mode = AVAILABLE_MODES[0]
        if mode not in AVAILABLE_MODES:
            raise ValueError(f"mode {mode!r} is not one of {', '.join(AVAILABLE_MODES)}")
        self._prepare(loop, mode)

    def _prepare(self, loop, mode):
        self.loop = loop
        self.mode = mode
        self._is_lazy, self._is_eager = mode == "lazy", mode == "eager"
        self._numbers = itertools.count(1)
        self._swap = getattr(asyncio.tasks, "_swap_current_task", None)
        self._current = asyncio.tasks._current_tasks if self._swap is None else None
        self._loop_hash = hash(loop)

    def start(self, coroutine, context=None):
        """Run the first step of `coroutine` now; return (True, its task) when it suspended, else (False, its value).

        `context` is a contextvars.Context that nobody has entered; None takes a copy of the current one. Raises what
        the first step raised; in mode "task" nothing runs yet.
        """
        cdef bint suspended = False
        if context is None:
            context = contextvars.copy_context()
        value = self.run(coroutine, context, &suspended)
        return suspended, value

    cdef object run(self, object coroutine, object context, bint* suspended):
        if self._is_lazy:
            return self._run_lazy(coroutine, context, suspended)
        return self._run_task(coroutine, context, suspended)

    cdef object _run_lazy(self, object coroutine, object context, bint* suspended):
        cdef Resume step = self._spare_step
        cdef PyObject* out = NULL
        cdef int status = -1
        task, error, result = self._spare, None, None
        if task is None:
            step = Resume.__new__(Resume)
            step.loop, step.numbers, step.slow = self.loop, self._numbers, self.slow
            task = _bare_task(step)
        else:
            # A first step that starts another coroutine must not find this one's task.
            self._spare = self._spare_step = None
        PyContext_Enter(context)
        step.coroutine, step.context, step.state = coroutine, context, FIRST
        try:
            outer = self._become(task)
            try:
                status = PyIter_Send(coroutine, None, &out)
            except BaseException as exc:
                # Put aside: leaving the task and its context must not see it.
                error = exc
            self._become(outer)
        finally:
            PyContext_Exit(context)
        if out != NULL:
            result = <object>out
            Py_DECREF(result)
        suspended[0] = status == YIELDED
        if status == YIELDED:
            step.suspend(task, result)
            return task
        # Two references to the step: the task's and ours.
        if not step.is_touched and is_unshared(task) and Py_REFCNT(step) == 2:
            step.coroutine = step.context = step.name = None
            step.state = SPARE
            self._spare, self._spare_step = task, step
        else:
            error = step.end(task, result, error)
        if error is not None:
            raise error
        return result

    cdef object _run_task(self, object coroutine, object context, bint* suspended):
        cdef Resume step = Resume.__new__(Resume)
        step.coroutine, step.context, step.loop, step.slow = coroutine, context, self.loop, self.slow
        step.state, step.is_initialised = FORWARDING, True
        task = _bare_task(step)
        if self._is_eager:
            task_init(task, step, loop=self.loop, context=context, eager_start=True)
            if task_done(task):
                suspended[0] = False
                try:
                    return task_result(task)
                except ScriptExit as exc:
                    error = exc.__cause__
                raise error
        else:
            task_init(task, step, loop=self.loop, context=context)
        suspended[0] = True
        return task

    cdef object _become(self, object task):
        """Make `task` (or None) the loop's current one; return the one before, or None."""
        cdef PyObject* before
        if self._current is None:
            return self._swap(self.loop, task)
        before = table_get(self._current, self.loop, self._loop_hash)
        outer = None if before == NULL else <object>before
        if task is not None:
            table_set(self._current, self.loop, task, self._loop_hash)
        elif before != NULL:
            table_del(self._current, self.loop, self._loop_hash)
        return outer


cdef object _bare_task(Resume step):
    """Return a HandlerTask around `step` that is allocated and no more."""
    task = task_new(HandlerTask)
    resume_slot(task, step)
    return task


cdef bint _tells_new_objects():
    """Is `is_unshared` right about the first reference, weak references and second references?"""
    task = _bare_task(Resume.__new__(Resume))
    new = is_unshared(task)
    weak = weakref.ref(task)
    watched = is_unshared(task)
    weak = None
    again = is_unshared(task)
    other = task
    return new and weak is None and not watched and again and other is task and not is_unshared(task)


def _available():
    """Return the ways that are right on this interpreter, best first."""
    modes = []
    if not FREE_THREADED and sys.version_info[:2] < FIRST_UNTRIED and _tells_new_objects():
        loop = task_probe.ProbeLoop()
        runner = Runner.__new__(Runner)
        runner._prepare(loop, "lazy")
        if task_probe.is_right(loop, runner.start):
            modes.append("lazy")
    if sys.version_info >= (3, 12):
        modes.append("eager")
    return (*modes, "task")


AVAILABLE_MODES = _available()
