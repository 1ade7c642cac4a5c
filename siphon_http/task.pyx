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
import contextvars
import functools
import itertools
import sys
import weakref

from siphon_http import task_probe
from siphon_http.task_resume import ScriptExit

cimport cython
from cpython.ref cimport Py_DECREF, PyObject

from siphon_http.task_resume cimport ENDED, FIRST, FORWARDING, HANDING, RETURNED, SPARE, YIELDED, Resume

cdef extern from "Python.h":
    int PyIter_TrySend "PyIter_Send"(object coroutine, object value, PyObject** result) noexcept  # -1: an exception is set
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    Py_ssize_t Py_REFCNT(object thing) noexcept

__all__ = ["AVAILABLE_MODES", "HandlerTask", "Runner", "ScriptExit"]

cdef object Task = asyncio.Task
cdef object task_new = Task.__new__
cdef object task_init = Task.__init__
cdef object task_cancel = Task.cancel
cdef object task_done = Task.done
cdef object task_result = Task.result
# The first version on which an uninitialised Task has not been tried by this file's tests.
cdef tuple FIRST_UNTRIED = (3, 15)


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

    cpdef int begin_batch(self) except -1:
        """Stay in the task between two coroutines until `end_batch`: they are started one right after the other."""
        self.is_batching = True

    cpdef int end_batch(self) except -1:
        """No more of them: make the loop's current task what it was before."""
        self.is_batching = False
        self.leave()

    cdef int leave(self) except -1:
        if self._is_inside:
            outer, self._outer, self._is_inside = self._outer, None, False
            self._become(outer)

    cdef object _run_lazy(self, object coroutine, object context, bint* suspended):
        cdef Resume step = self._spare_step
        cdef PyObject* out = NULL
        cdef int status = -1
        cdef bint batching = self.is_batching
        cdef bint inside = self._is_inside
        task, outer, error, result = self._spare, self._outer, None, None
        if task is None:
            step = Resume.__new__(Resume)
            step.loop, step.numbers, step.slow = self.loop, self._numbers, self.slow
            task = _bare_task(step)
        # A first step that starts another coroutine must not find this one's task, nor stay in that one's.
        self._spare = self._spare_step = self._outer = None
        self.is_batching = self._is_inside = False
        PyContext_Enter(context)
        step.coroutine, step.context, step.state = coroutine, context, FIRST
        try:
            if not inside:
                outer = self._become(task)
            status = PyIter_TrySend(coroutine, None, &out)
            if status < 0:
                error = _raised()   # put aside: leaving the task and its context must not see it
            # The owners of the task are asyncio's table and we, those of the step the task and we.
            inside = batching and status == RETURNED and _is_as_new(task, step, 2)
            if not inside:
                self._become(outer)
        finally:
            self.is_batching = batching
            PyContext_Exit(context)
        if out != NULL:
            result = <object>out
            Py_DECREF(result)
        suspended[0] = status == YIELDED
        if status == YIELDED:
            step.suspend(task, result)
            return task
        if inside or _is_as_new(task, step, 1):
            step.coroutine = step.context = step.name = None
            step.state = SPARE
            self._spare, self._spare_step = task, step
            if inside:
                self._is_inside, self._outer = True, outer
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
            step.slow = None    # the first step is timed by who starts it, as in the lazy way
            task_init(task, step, loop=self.loop, context=context, eager_start=True)
            step.slow = self.slow
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


cdef int _raise_again() except? -1:
    return -1       # an exception is set already


cdef object _raised():
    """Return the exception that is set, and clear it."""
    try:
        _raise_again()
    except BaseException as exc:
        return exc


cdef inline bint _is_as_new(object task, Resume step, Py_ssize_t owners) noexcept:
    return not step.is_touched and is_unshared(task, owners) and Py_REFCNT(step) == 2


cdef bint _tells_new_objects():
    """Is `is_unshared` right about the first reference, weak references and second references?"""
    task = _bare_task(Resume.__new__(Resume))
    new, weak = is_unshared(task, 1), weakref.ref(task)
    watched, weak = is_unshared(task, 1), None
    again, other = is_unshared(task, 1), task
    return new and weak is None and not watched and again and other is task and is_unshared(task, 2)


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
