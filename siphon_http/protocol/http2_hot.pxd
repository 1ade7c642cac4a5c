"""Hot streams: those that begin with one plain HEADERS frame, read here and answered without h2."""

from siphon_http._core.message cimport Request
from siphon_http.protocol.http2_bounds cimport Http2Bounds
from siphon_http.protocol.http2_head cimport FieldDecoder
from siphon_http.protocol.http2_stream cimport Http2Stream


cdef class Http2Hot(Http2Bounds):
    cdef readonly bint through_h2         # nothing is hot: h2 sees every frame
    cdef readonly FieldDecoder decoder    # the one HPACK decoder; h2 uses it too
    cdef Py_ssize_t max_header_bytes      # limit of a field section, as RFC 9113, 6.5.2 counts; beyond it 431
    cdef int max_streams                  # limit of streams at once

    # Handle one frame of a hot stream, or one that opens it: 1. Or 0: h2 has to see it, and knows all that it needs.
    cdef bint _read_hot(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef int _open(self, unsigned int id, bint ended, const char* data, Py_ssize_t size) except -1
    cdef bint _data(self, Http2Stream stream, int flags, const char* data, Py_ssize_t size) except -1
    cdef bint _pass_over(self, int flags, const char* data, Py_ssize_t size) except -1
    cdef bint _window_update(self, Http2Stream stream, unsigned int id, unsigned int more) except -1
    cdef int _adopt(self, Http2Stream stream) except -1
    cdef int _settings(self) except -1
    cdef int _request(self, int id, bint ended, bint hot) except -1
    cdef int _begin(self, Http2Stream stream, Request request, bint ended) except -1
    cdef int _reject(self, int id, int code, bint hot) except -1
    cdef int _terminate(self, int code, bint told) except -1
