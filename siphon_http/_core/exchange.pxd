"""The seam between dispatch and protocol: two base classes, each implemented by the other side's opposite."""

from siphon_http._core.message cimport Request, Response


cdef class Exchange:
    # Every method takes the request as its token: nothing happens unless it is the current one of this exchange, so a
    # time-out, a disconnect, a late thread and a second answer need no flags. 1 = done, 0 = too late.
    cdef int respond(self, Request request, Response response) except -1
    cdef int start(self, Request request, Response response, Py_ssize_t length) except -1
    cdef int chunk(self, Request request, bytes data) except -1
    cdef int end(self, Request request) except -1
    cdef int fail(self, Request request) except -1
    cdef bint is_open(self, Request request)
    cdef bint is_writable(self, Request request)
    cdef object read_content(self, Request request)
    cdef int wait(self, Request request, object waker) except -1


cdef class Handler:
    # What a protocol's owner passes requests to. Implemented by dispatch.
    cdef double now     # inside a batch: when the clock was last looked at, seconds; 0 = look at it again
    cdef int batch_began(self, double now) except -1
    cdef int batch_ended(self) except -1
    cdef Py_ssize_t accept(self, Request request, Py_ssize_t limit) except -1
    cdef int dispatch(self, Exchange exchange, Request request) except -1
    cdef int cancel(self, Request request, bint gone) except -1
