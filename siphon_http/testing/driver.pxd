"""Doors for tests to what only Cython can call."""

cimport cython

from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.exchange cimport Exchange, Handler
from siphon_http._core.headers cimport OutBuffer


@cython.final
cdef class BufferDriver:
    cdef readonly OutBuffer buffer         # what is driven


@cython.final
cdef class ExchangeDriver:
    cdef readonly Exchange exchange         # what is driven


@cython.final
cdef class RecordingHandler(Handler):
    cdef object target      # Python object with accept, dispatch and cancel


@cython.final
cdef class CallbackDeadline(Deadline):
    cdef object callback    # callable(deadline, now)


@cython.final
cdef class DeadlinesDriver:
    cdef readonly Deadlines deadlines       # what is driven
