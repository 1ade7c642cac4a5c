"""Content of an answer, in pieces: what `stream=True` gives.

Reading drives the flow: what is not taken yet holds the connection's reading, or the stream's window, back. A reader
that is closed, or forgotten, before the end ends the exchange.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from siphon_http._core.response cimport Response
from siphon_http.client.call cimport Call

__all__ = ["ContentReader"]


@cython.final
cdef class ContentReader:
    """Async iterator over the content of an answer, for one task at a time.

    Raises (while iterating):
        ClientError: the rest will not come.
    """

    def __cinit__(self, Call call not None):
        self.call = call

    def __dealloc__(self):
        if self.call is not None and not self.is_closed:
            self.call.leave()

    def __aiter__(self):
        return self

    async def __anext__(self):
        cdef bytes piece
        while True:
            piece = self._next()
            if piece is not None:
                return piece
            if self.is_closed:
                raise StopAsyncIteration
            if self.is_waiting:
                raise RuntimeError("another task reads this answer already")
            self.call.reader_waiter = self.call.loop.create_future()
            self.is_waiting = True
            try:
                await self.call.reader_waiter
            finally:
                self.is_waiting = False

    def close(self):
        """Leave what has not been read."""
        if not self.is_closed:
            self.is_closed = True
            self.decoded = None
            self.call.leave()

    def _next(self):
        """Return a piece that is here; None when there is none, or all was read."""
        cdef Call call = self.call
        cdef bytes data
        while not self.is_closed:
            if self.decoded is not None:
                piece = self._decode()
                if piece is not None:
                    return piece
            data = call.take_pieces()
            if data is None:
                break
            if call.connection is not None:
                call.connection.protocol.taken(call.exchange, PyBytes_GET_SIZE(data))
            if call.decoder is None:
                return data
            self.decoded = call.decoder.pieces(data)
        if call.error is not None:
            error, call.error = call.error, None
            self.is_closed = True
            raise error
        if call.ended and not self.is_closed:
            self.is_closed = True
            if call.decoder is not None:
                call.decoder.end()
        return None

    def _decode(self):
        """Return the next decoded piece of what was taken, None at its end. What is damaged ends the exchange."""
        try:
            piece = next(self.decoded, None)
        except BaseException:
            self.close()
            raise
        if piece is None:
            self.decoded = None
        return piece
