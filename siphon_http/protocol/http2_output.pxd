"""What one stream has to send, and who waits for it."""

from siphon_http._core.exchange cimport Exchange


cdef class Http2Output(Exchange):
    cdef object pieces          # deque of bytes objects as the handler gave them, not copied; or None
    cdef Py_ssize_t offset      # bytes of the first piece that are sent
    cdef Py_ssize_t pending     # bytes that wait for window or room
    cdef Py_ssize_t held        # bytes of the objects in `pieces`, sent or not: what it costs to keep them
    cdef list wakers            # who waits for content or room, or None

    cdef int _keep(self, bytes data) except -1
    cdef Py_ssize_t _take(self, char* to, Py_ssize_t size) except -1
    cdef Py_ssize_t _forget(self) except -1
    cdef int _wake(self) except -1
