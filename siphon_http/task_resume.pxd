"""What drives a coroutine after its first step; see task_resume.pyx."""

cimport cython
from cpython.ref cimport PyObject


cdef extern from "Python.h":
    int PyIter_Send(object coroutine, object value, PyObject** result) except -1
    Py_ssize_t Py_REFCNT(object thing) noexcept


cdef enum:          # PySendResult
    RETURNED = 0
    YIELDED = 1


cdef enum:
    SPARE           # between two coroutines
    FIRST           # the first step runs
    HANDING         # the first step yielded; the task's first own step hands that out
    ENDED           # the first step ended, but somebody kept the task: its own step reports the outcome
    FORWARDING      # the task drives the coroutine


@cython.final
cdef class Resume:
    cdef readonly object coroutine    # the script's coroutine; None while its task is spare
    cdef object loop                  # the runner's loop
    cdef object slow                  # Runner.slow
    cdef object context               # contextvars.Context of all steps; None while spare
    cdef object numbers               # iterator of the runner: numbers for names that somebody asks for
    cdef object name                  # str, or None until asked for
    cdef object pending               # HANDING: what the first step yielded; else None
    cdef object value                 # ENDED: what the first step returned
    cdef object error                 # ENDED: what the first step raised, or None
    cdef int state                    # SPARE, FIRST, HANDING, ENDED or FORWARDING
    cdef bint is_initialised          # Task.__init__ has run on the task
    cdef bint is_touched              # the task is no longer as new: never use it again
    cdef bint is_future               # HANDING: `pending` is a future, yielded by its __await__
    cdef bint is_cancel_passed        # HANDING: `pending` took a cancel(), the next throw is its echo

    cdef int initialise(self, object task) except -1
    cdef int pass_cancel(self, object task, object message) except -1
    cdef int suspend(self, object task, object yielded) except -1
    cdef object end(self, object task, object value, object error)
    cdef object report(self)
    cdef int step(self, object value, PyObject** result) except -1
    cdef object hand_out(self)


cdef extern from *:
    """
    #define siphon_set_am_send(type, take) (((PyTypeObject *)(type))->tp_as_async->am_send = (sendfunc)(take))
    """
    void set_am_send "siphon_set_am_send" (object type_, int (*take)(Resume, object, PyObject**) except -1) noexcept
