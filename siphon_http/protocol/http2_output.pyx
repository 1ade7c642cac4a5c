"""What one stream has to send, and who waits for it (RFC 9113, section 6.9).

Nothing is copied while it waits: the handler's bytes objects are kept as they are, and a frame is cut from them when
there is a turn and a window for it. So an object costs its whole size until its last byte has been sent.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy

from collections import deque

from siphon_http._core.exchange cimport Exchange

__all__ = ["Http2Output"]


cdef class Http2Output(Exchange):
    """Content of one answer that is kept until it can be sent. Base of Http2Stream."""

    cdef int _keep(self, bytes data) except -1:
        """Put `data` behind what waits."""
        if self.pieces is None:
            self.pieces = deque()
        self.pieces.append(data)
        self.pending += PyBytes_GET_SIZE(data)
        self.held += PyBytes_GET_SIZE(data)
        return 0

    cdef Py_ssize_t _take(self, char* to, Py_ssize_t size) except -1:
        """Cut the next `size` bytes, at most `pending`, off. Returns the size of the objects that were let go of."""
        cdef bytes piece
        cdef Py_ssize_t part
        cdef Py_ssize_t before = self.held
        self.pending -= size
        while size:
            piece = <bytes> self.pieces[0]
            part = min(size, PyBytes_GET_SIZE(piece) - self.offset)
            memcpy(to, PyBytes_AS_STRING(piece) + self.offset, part)
            to += part
            self.offset += part
            size -= part
            if self.offset == PyBytes_GET_SIZE(piece):
                self.held -= self.offset
                self.pieces.popleft()
                self.offset = 0
        return before - self.held

    cdef Py_ssize_t _forget(self) except -1:
        """Let go of everything. Returns the size of the objects."""
        cdef Py_ssize_t held = self.held
        self.pieces = None
        self.held = self.pending = self.offset = 0
        return held

    cdef int _wake(self) except -1:
        """Call everyone who waits, once."""
        cdef list wakers = self.wakers
        if wakers is not None:
            self.wakers = None
            for waker in wakers:
                waker()
        return 0
