"""What the streams of one HTTP/2 connection have time for."""

cimport cython

from siphon_http._core.message cimport Request
from siphon_http.protocol.http2_hot cimport Http2Hot
from siphon_http.protocol.http2_stream cimport Http2Stream


cdef class Http2Times(Http2Hot):
    # It has no fields of its own: streams keep their deadlines.
    cpdef int arm(self, Request request, double due) except -1
    cpdef double expire(self, double now) except? -1
    @cython.final
    cdef int _arm(self, Request request, double due) except -1
    @cython.final
    cdef int _expired(self, Http2Stream stream, double now) except -1
    @cython.final
    cdef int _give_up(self, Http2Stream stream) except -1
    @cython.final
    cdef int _time_out(self, Request request) except -1
    @cython.final
    cdef Http2Stream _stream_of(self, Request request)
