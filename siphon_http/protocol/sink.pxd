"""What a connection asks of its owner."""

cimport cython

from siphon_http._core.exchange cimport Exchange
from siphon_http._core.message cimport Request


cdef class Sink:
    cdef Py_ssize_t head_received(self, Request request) except -1
    cdef int request_received(self, Exchange exchange, Request request) except -1
    cdef int request_ended(self, Request request) except -1
    cdef int request_abandoned(self, Request request) except -1
    cdef int refused(self, int status, Request request) except -1
    cdef int write(self, bytes data) except -1
    cdef int hold(self, bint stop) except -1
    cdef int close(self, bint linger) except -1
    cdef int abort(self) except -1


@cython.final
cdef class NoSink(Sink):
    pass
