"""What drives a coroutine whose first step `task` has taken: the Resume that its asyncio.Task runs in its place."""

from __future__ import annotations

import asyncio
import collections.abc

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from siphon_http._core.clock cimport monotonic

__all__ = ["Resume", "ScriptExit"]

cdef double SLOW_SECONDS = 0.1   # a step that holds the loop longer is reported to Runner.slow

cdef object task_init = asyncio.Task.__init__
cdef object task_cancel = asyncio.Task.cancel
cdef object task_add_done_callback = asyncio.Task.add_done_callback


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
