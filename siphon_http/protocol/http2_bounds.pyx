"""What keeps the memory of one HTTP/2 connection bounded, whatever its peer does (RFC 9113, sections 5.2 and 10.5).

Content that comes is bounded by the windows that we give: they follow what handlers take. Content that goes is bounded
by the handlers that run: one that has answered holds its whole answer until the client takes it, so while much is held
(`owed`), or will be (`foreseen`), requests wait before their handlers run (`waiting`), as heads.
"""

from siphon_http._core.traffic cimport RouteCounts
from siphon_http.protocol.http2_judge cimport WINDOW_UPDATE
from siphon_http.protocol.http2_stream cimport Http2Flow, Http2State, Http2Stream

__all__ = ["Http2Bounds"]

cdef Py_ssize_t NARROW_BYTES = 16384    # a client that opens streams with less window gets its handlers one by one
cdef Py_ssize_t LIGHT_BYTES = 16384     # answers of a route that has smaller ones are not foreseen
cdef Py_ssize_t BUFFER_BYTES = 4194304  # content buffered for all requests; beyond it the oldest goes on alone
# Of what answers keep; from here on requests are held back:
cdef Py_ssize_t OWED_BYTES = 524288     # of one connection: as much as its client takes in a few round trips
cdef Py_ssize_t LOOP_BYTES = 8388608    # of all connections of a loop: from then on each may owe one answer
cdef Py_ssize_t EARNED_BYTES = 16777216     # ... and at most, for a client that has taken as much already
cdef Py_ssize_t TAKEN_BYTES = 65536     # taking so much, an eighth of what is owed and what it weighs lets one through
# Handlers of a route that has never answered, which may answer with anything:
cdef int TRIALS = 4                     # so many of all connections begin at once, and one of each connection ...
cdef double TRIAL_SECONDS = 0.125       # ... and twice as many each time that this has passed: it may be a long poll
cdef int MOST_STEPS = 20


cdef class Http2Bounds(Http2Flow):
    """A connection that keeps a bounded amount of content, both ways. Belongs to one thread."""

    # ---- content that comes: windows that the peer is given

    cdef int _acknowledge(self, Http2Stream stream, Py_ssize_t size) except -1:
        """Give the peer new window for content that was taken."""
        stream.unacknowledged -= size
        if size and self.state != Http2State.CLOSED:
            if stream.is_hot:
                return self._acknowledge_hot(stream, size)
            self.connection.acknowledge_received_data(size, stream.id)
            return self._collect()
        return 0

    cdef int _acknowledge_hot(self, Http2Stream stream, Py_ssize_t size) except -1:
        """Do for a hot stream as h2 does: new window is given once half of it, or all, is used."""
        cdef Py_ssize_t limit = self.receive_limit
        increment = self.receive_manager.process_bytes(size)
        if increment:
            self._put_number(WINDOW_UPDATE, 0, increment)
        stream.processed += size
        if stream.complete or stream.is_gone or stream.was_reset:
            return 0
        if stream.processed >= limit // 2 or stream.receive_window == 0 and stream.processed > min(1024, limit // 4):
            size = min(stream.processed, limit - stream.receive_window)
            stream.processed = 0
            stream.receive_window += size
            if size:
                self._put_number(WINDOW_UPDATE, stream.id, <unsigned int> size)
        return 0

    cdef int _grant(self, Http2Stream stream) except -1:
        """Give new window for what is buffered for `stream`.

        Not when much is buffered: then only to the oldest that is not complete, so that one at least gets on.
        """
        cdef Http2Stream other = None
        if self.buffered > BUFFER_BYTES:
            for other in self.streams.values():
                if other.body is not None:
                    break
            if other is not stream:
                self.withheld = True
                return 0
        return self._acknowledge(stream, stream.unacknowledged)

    cdef int _relieve(self) except -1:
        """Less is buffered, or another is the oldest: give the window that was withheld."""
        cdef Http2Stream stream
        if self.withheld:
            self.withheld = False
            for stream in list(self.streams.values()):
                if stream.body is not None:
                    self._grant(stream)
        return 0

    # ---- content that goes: handlers that may run

    cdef int _admit(self, Http2Stream stream) except -1:
        """Let the handler of a request run, or note that it has to wait."""
        cdef bint is_narrow = self.initial_window < NARROW_BYTES
        if (self.owed or is_narrow or self._weigh(stream) and self.foreseen or self._is_premature(stream)) \
                and (self.waiting and (is_narrow or stream.weight) or not self._has_room(stream)):
            if not self.waiting:
                self.let_at = self.sent_bytes
            stream.held_at = self.now
            self.waiting[stream.id] = stream
            return 0
        return self._hand_over(stream)

    cdef int _hand_over(self, Http2Stream stream) except -1:
        """Let the handler run."""
        cdef RouteCounts counts = stream.request.counts
        stream.runs = stream.is_foreseen = True
        self.foreseen += stream.weight
        if counts is not None and counts.content < 0:
            stream.tried = counts
            self.trials += 1
            counts.begin_trial(self.now)
        return self.sink.request_received(stream, stream.request)

    cdef bint _owes_much(self):
        """Tell whether the client has to take something first, whatever comes next."""
        return self.owed and self.owed >= (OWED_BYTES if self.out.owed < LOOP_BYTES else 1)

    cdef Py_ssize_t _weigh(self, Http2Stream stream) noexcept:
        """Note what the answer of a request that waits will probably have, and return that."""
        cdef RouteCounts counts = stream.request.counts
        if counts is not None and counts.content >= LIGHT_BYTES:
            stream.weight = counts.content
        return stream.weight

    cdef bint _is_premature(self, Http2Stream stream) noexcept:
        """Tell whether its route has never answered, and enough of its handlers are under way to learn what it will."""
        cdef RouteCounts counts = stream.request.counts
        cdef int steps
        if counts is None or counts.content >= 0 or counts.trials < TRIALS or self.trials == 0:
            return False
        steps = min(MOST_STEPS, max(0, <int> ((self.now - counts.tried_at) / TRIAL_SECONDS)))
        return counts.trials >= TRIALS << steps

    cdef bint _has_room(self, Http2Stream stream) except -1:
        """Tell whether the handler of `stream` may run, and make content that the client may not take.

        How large an answer will be is known only once it is there, and handlers that suspend can all be under way before
        the first has answered. So what a route has answered with lately is foreseen for those that run, within what the
        client has shown that it takes; few of a route that has never answered run until it has; and where the client
        shows from the start that it will take little, they run one by one.
        """
        cdef Http2Stream other
        if self._owes_much() or self._is_premature(stream):
            return False
        if self._weigh(stream) and self.foreseen \
                and self.owed + self.foreseen >= max(OWED_BYTES, min(self.sent_bytes, EARNED_BYTES)):
            return False
        if self.initial_window < NARROW_BYTES:
            if self.abandoned:
                return False
            for other in self.streams.values():
                if other.runs and not other.answered:
                    return False
        return True

    cdef Http2Stream _next(self):
        """Return the oldest request held back that may go on, or None."""
        cdef Http2Stream stream
        if not self._owes_much():
            for stream in self.waiting.values():
                if self._has_room(stream):
                    return stream
                if self.initial_window < NARROW_BYTES and not self._is_premature(stream):
                    break
        return None

    cdef int _release(self) except -1:
        """Let requests through that were held back, the oldest first.

        A client that takes content, if slowly, gets on in any case: otherwise one large answer would hold up all others.
        """
        cdef Http2Stream stream
        while self.waiting and not self.full and self.state != Http2State.CLOSED:
            stream = self._next()
            if stream is None:
                stream = <Http2Stream> next(iter(self.waiting.values()))
                if self.sent_bytes - self.let_at < max(TAKEN_BYTES, self.owed // 8, stream.weight):
                    return 0
            self.let_at = self.sent_bytes
            del self.waiting[stream.id]
            self._hand_over(stream)
            self._send()
        return 0

    cdef int _hurry(self, double now) except -1:
        """Let those through that wait only for what is foreseen, and have done so for an eighth of their time.

        Handlers as slow as that would make them late, one after the other; the client may well take what it asked for.
        """
        cdef Http2Stream stream
        if self.initial_window >= NARROW_BYTES:
            for stream in list(self.waiting.values()):
                if stream.weight and stream.id in self.waiting and not self._owes_much() \
                        and now - stream.held_at >= (stream.due - stream.held_at) / 8:
                    del self.waiting[stream.id]
                    self._hand_over(stream)
        return 0
