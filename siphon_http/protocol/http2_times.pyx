"""What the streams of one HTTP/2 connection have time for. Time is an argument.

A request has its own, to its answer (or the head of a streamed one); then the client has some for each step: to take
content (`write_timeout`), or to go on sending its own (`upload_timeout`).
"""

cimport cython

from siphon_http._core.message cimport Request, plain_response
from siphon_http.protocol.http2_hot cimport Http2Hot
from siphon_http.protocol.http2_judge cimport CANCEL
from siphon_http.protocol.http2_stream cimport WATCH_NOTHING, WATCH_OUTPUT, WATCH_UPLOAD, Http2Stream, Watch

__all__ = ["Http2Times"]


cdef class Http2Times(Http2Hot):
    """A connection whose streams have deadlines. Belongs to one thread."""

    cpdef int arm(self, Request request, double due) except -1:
        """Let the time of `request` be over at `due`; 0: never. Does nothing when its exchange has ended."""
        return self._arm(request, due)

    cdef int _arm(self, Request request, double due) except -1:
        cdef Http2Stream stream = self._stream_of(request)
        if stream is not None:
            stream.due = due
        return 0

    cpdef double expire(self, double now) except? -1:
        """End what is over by `now`: requests that were armed, answers that the client does not take, uploads that stop.

        Returns the time to call again, 0 when there is none.
        """
        cdef Http2Stream stream
        cdef double first = 0
        self.now = now
        for stream in list(self.streams.values()):
            if 0 < stream.due <= now or stream.due == 0 and (stream.pending or stream.answered and not stream.complete):
                self._expired(stream, now)
        if self.waiting:
            self._hurry(now)
            self._settle()
        for stream in self.streams.values():
            if stream.due > 0 and (first == 0 or stream.due < first):
                first = stream.due
        return first

    cdef int _expired(self, Http2Stream stream, double now) except -1:
        """The time of one stream is over: of its request, or of what the client has to do once the answer has begun."""
        cdef Watch watched = stream.watch
        stream.due = 0
        stream.watch = WATCH_NOTHING
        if not stream.answered:
            return self._time_out(stream.request) if stream.request is not None else 0
        if stream.pending:
            if watched == WATCH_OUTPUT and not stream.moved:
                return self._give_up(stream)
            stream.watch = WATCH_OUTPUT
            stream.due = now + self.write_timeout
        elif not stream.complete and stream.request is not None:
            # A handler that does not read what is here is no fault of the client.
            if watched == WATCH_UPLOAD and not stream.moved and not stream.queue:
                return self._give_up(stream)
            stream.watch = WATCH_UPLOAD
            stream.due = now + self.upload_timeout
        stream.moved = False
        return 0

    cdef int _give_up(self, Http2Stream stream) except -1:
        """The client does nothing for a stream: reset it."""
        stream._break(CANCEL)
        return self._settle()

    cdef int _time_out(self, Request request) except -1:
        """The time of `request` is over: 408 while it still arrives, 504 after."""
        cdef Http2Stream stream = self._stream_of(request)
        if stream is None or stream.answered:
            return 0
        if not stream.complete:
            return stream._refuse(408, b"request timeout")
        return stream._answer(plain_response(504, b"gateway timeout"))

    cdef Http2Stream _stream_of(self, Request request):
        """Return the stream whose exchange `request` is the token of, or None."""
        cdef Http2Stream stream
        for stream in reversed(self.streams.values()):
            if stream.request is request:
                return stream
        return None
