"""Capped body accumulator: pieces of content in, one bytes object out, never more than the limit."""

cimport cython

from siphon_http.errors import ContentTooLarge

__all__ = ["BodyAccumulator"]

cdef Py_ssize_t SMALL = 512     # pieces below this are joined as they come, bytes


@cython.final
cdef class BodyAccumulator:
    """Collects the content of one message.

    limit: largest content accepted, bytes. Belongs to one thread.
    """

    def __init__(self, Py_ssize_t limit):
        if limit < 0:
            raise ValueError(f"a limit is not negative: {limit}")
        self.limit = limit
        self.size = 0
        self._chunks = []

    cpdef Py_ssize_t feed(self, bytes chunk) except -1:
        """Add `chunk`; return the bytes still allowed.

        Raises:
            ContentTooLarge: `chunk` passes the limit; nothing is kept (RFC 9110, 15.5.14).
        """
        cdef Py_ssize_t size = len(chunk)
        if size > self.limit - self.size:
            self._chunks.clear()
            raise ContentTooLarge(f"more than {self.limit} bytes of content")
        if not size:
            return self.limit - self.size
        self.size += size
        if size < SMALL and self._chunks:
            # A body that trickles in, or in tiny chunks, must not cost an object for each piece.
            if type(self._chunks[-1]) is bytearray:
                (<bytearray> self._chunks[-1]).extend(chunk)
            else:
                self._chunks.append(bytearray(chunk))
        else:
            self._chunks.append(chunk)
        return self.limit - self.size

    cpdef bytes take(self):
        """Return all that was fed since the last take, as one bytes object, and forget it; `size` stays."""
        cdef bytes out
        if len(self._chunks) == 1:
            out = <bytes> self._chunks[0]       # the first is never a bytearray
        else:
            out = b"".join(self._chunks)
        self._chunks.clear()
        return out
