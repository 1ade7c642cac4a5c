"""What keeps the memory of one HTTP/2 connection bounded, whatever its peer does."""

from siphon_http.protocol.http2_stream cimport Http2Flow, Http2Stream


cdef class Http2Bounds(Http2Flow):
    # It has no fields of its own: streams have to see them.
    cdef int _acknowledge_hot(self, Http2Stream stream, Py_ssize_t size) except -1
    cdef int _hand_over(self, Http2Stream stream) except -1
    cdef bint _owes_much(self)
    cdef Py_ssize_t _weigh(self, Http2Stream stream) noexcept
    cdef bint _is_premature(self, Http2Stream stream) noexcept
    cdef bint _has_room(self, Http2Stream stream) except -1
    cdef Http2Stream _next(self)
    cdef int _hurry(self, double now) except -1
