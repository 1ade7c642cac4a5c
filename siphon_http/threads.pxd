"""Threads for handlers that block; see threads.pyx."""

cimport cython


cdef class Job:
    cdef object function         # what to call, with `argument`
    cdef object argument         # the one argument of `function`
    cdef object context          # contextvars.Context to call it in
    cdef object callback         # callable(Job), on the loop, once it has ended
    cdef readonly object value   # what it returned
    cdef readonly object error   # what it raised, or None
    cdef bint cancelled          # nobody waits for it: skipped when it has not begun


@cython.final
cdef class ThreadPool:
    cdef readonly object loop         # the loop whose thread submits and drains
    cdef readonly int most            # threads at most
    cdef readonly int queue_max       # jobs that may wait; more are refused
    cdef readonly int threads         # started and not ended
    cdef readonly Py_ssize_t waiting  # jobs submitted and not yet drained
    cdef object jobs                  # queue.SimpleQueue of Job; None ends one thread
    cdef object done                  # collections.deque of ended jobs
    cdef bint waking                  # the loop was told to drain; written by threads, see _work
    cdef bint closed                  # nothing more is taken
    cdef Py_ssize_t drained           # jobs drained since the last look
    cdef object look                  # handle of the timer that starts more threads, or None

    cdef object idle_waiter           # callable, called when the last job has ended, or None

    cpdef Job submit(self, object function, object argument, object context, object callback)
    cpdef bint is_full(self)
    cdef Job _submit(self, object function, object argument, object context, object callback)
    cdef bint _start(self) except -1
