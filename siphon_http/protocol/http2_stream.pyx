"""Streams of one HTTP/2 connection, and what they share: windows, turns, output (RFC 9113, sections 5 and 6.9).

    Http2Flow      stream table, turns; base of the classes that add the input
    Http2Stream    the Exchange of one request

Streams take turns of one frame each. What answers keep until the client takes it is counted (`owed`), for the connection
and for its loop; while that is much, requests are held back: their handlers do not run, and make no further content.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from h2.exceptions import ProtocolError

from siphon_http.errors import LocalProtocolError, RemoteProtocolError

from siphon_http._core.body cimport BodyAccumulator
from siphon_http._core.message cimport Request, Response, plain_response
from siphon_http.protocol.http2_head cimport answer_content, answer_fields
from siphon_http.protocol.http2_judge cimport (
    DATA, FLAG_END_STREAM, FRAME_BYTES, FRAME_HEAD, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, RST_STREAM,
)
from siphon_http.protocol.http2_link cimport CLOSED_BY_END, CLOSED_BY_RESET, CLOSED_BY_US, Http2Link, write_frame_head
from siphon_http.protocol.http2_output cimport Http2Output

__all__ = ["Http2Flow", "Http2State", "Http2Stream"]

# Allowed transitions: bit n of TRANSITIONS[state] allows state n.
cdef unsigned char[4] TRANSITIONS = [0b1010, 0b1100, 0b1000, 0b1000]

cdef Py_ssize_t QUEUE_BYTES = 32768     # of a streamed answer: more has to wait for the client
cdef Py_ssize_t USEFUL_BYTES = 1024     # a frame of this size was worth the WINDOW_UPDATE frames that allowed it


cdef class Http2Flow(Http2Link):
    """What the streams of one connection share. Belongs to one thread."""

    cdef int _go(self, Http2State state) except -1:
        if not TRANSITIONS[<int> self.state] >> <int> state & 1 and state != self.state:
            raise LocalProtocolError(f"no way from {self.state} to {state}")
        self.state = state
        return 0

    # ---- output

    cdef int _settle(self) except -1:
        """Send what a call from outside has made ready, unless whoever is at it already will do so."""
        if self.pumping or self.state == Http2State.CLOSED:
            return 0
        self.pumping = True
        try:
            self._send()
            if self.waiting:
                self._release()
        finally:
            self.pumping = False
        self._flush(False)
        return self._after()

    cdef int _owe(self, Py_ssize_t size) except -1:
        """Answers keep `size` bytes more, or less."""
        self.owed += size
        self.out.owed += size
        return 0

    cdef int _send(self) except -1:
        """Give every stream with content its turns, one frame each, while windows and the transport allow it."""
        cdef Http2Stream stream
        cdef Py_ssize_t window
        while self.ready and not self.full and self.state != Http2State.CLOSED:
            if self.send_window <= 0:
                return 0
            stream = <Http2Stream> self.ready.popleft()
            stream.is_ready = False
            window = min(<Py_ssize_t> self.send_window, self._window(stream))
            if window > 0:      # else its next WINDOW_UPDATE puts it here again
                self._send_some(stream, window)
                if self._is_much():
                    self._flush(False)
        return 0

    cdef Py_ssize_t _window(self, Http2Stream stream) except? -1:
        """Return how much of `stream` the peer takes now, bytes."""
        if stream.is_hot:
            return <Py_ssize_t> stream.send_window
        return self.connection.streams[stream.id].outbound_flow_control_window

    cdef int _send_some(self, Http2Stream stream, Py_ssize_t window) except -1:
        """Send one frame of `stream`'s content."""
        cdef Py_ssize_t size = min(window, FRAME_BYTES, stream.pending)
        cdef bint last = stream.ends and stream.pending == size
        cdef char* p
        cdef bytes data
        if stream.is_hot:
            self._own()
            p = self.out.room(FRAME_HEAD + size)
            self._owe(-stream._take(write_frame_head(p, size, DATA, FLAG_END_STREAM if last else 0, stream.id), size))
            self.out.size += FRAME_HEAD + size
            stream.send_window -= size
            self.send_window -= size
        else:
            data = PyBytes_FromStringAndSize(NULL, size)
            self._owe(-stream._take(PyBytes_AS_STRING(data), size))
            self._lend()
            self.connection.send_data(stream.id, data, last)
            self._take_back()
            self._collect()
        self.sent_bytes += size
        if size >= USEFUL_BYTES:
            self.meter.frames += 1
        stream.moved = True
        if last:
            return self._sent(stream)
        if stream.pending:
            self._enqueue(stream)
        if stream.pending < QUEUE_BYTES:
            stream._wake()
        return 0

    cdef int _enqueue(self, Http2Stream stream) except -1:
        """Put a stream behind the others that have content to send."""
        if not stream.is_ready and stream.pending:
            stream.is_ready = True
            self.ready.append(stream)
        return 0

    cdef int _write_head(self, Http2Stream stream, Response response, Py_ssize_t length, bint ends) except -1:
        """Send the head of an answer. length: bytes of content, -1: none is told; ends: no content follows."""
        if stream.is_hot:
            return self._put_head(stream.id, response._status, stream.request.answered(response), length, ends)
        self.connection.send_headers(stream.id, answer_fields(
            response._status, stream.request.answered(response), length, PyBytes_FromStringAndSize(self._date(), 29)), ends)
        self.owes_table_size = False
        return self._collect()

    cdef int _ask(self, Http2Stream stream) except -1:
        """Ask for the content (RFC 9110, 15.2.1)."""
        if stream.is_hot:
            return self._put_head(stream.id, 100, None, -1, False)
        self.connection.send_headers(stream.id, [(b":status", b"100")])
        self.owes_table_size = False
        return self._collect()

    cdef int _end(self, Http2Stream stream) except -1:
        """End an answer whose content is sent already."""
        if stream.is_hot:
            return self._put_data(stream.id, b"", 0, True)
        self.connection.end_stream(stream.id)
        return self._collect()

    # ---- streams

    cdef int _sent(self, Http2Stream stream) except -1:
        """END_STREAM is sent: what the client still has to send is not wanted (RFC 9113, 8.1)."""
        stream.finished = True
        self.meter.answers += 1
        if not stream.complete:
            self._reset(stream, NO_ERROR)
        return self._drop(stream)

    # ---- what keeps both directions bounded: see http2_bounds

    cdef int _acknowledge(self, Http2Stream stream, Py_ssize_t size) except -1:
        """Give the peer new window for content that was taken."""
        return 0

    cdef int _grant(self, Http2Stream stream) except -1:
        """Give new window for what is buffered for `stream`."""
        return 0

    cdef int _relieve(self) except -1:
        """Less is buffered, or another is the oldest."""
        return 0

    cdef int _blame(self) except -1:
        """The peer made us reset a stream: see http2_hot."""
        return 0

    cdef int _admit(self, Http2Stream stream) except -1:
        """Let the handler of a request run, or let it wait."""
        return 0

    cdef int _release(self) except -1:
        """Let requests through that were held back."""
        return 0

    cdef int _reset(self, Http2Stream stream, int code) except -1:
        """Send RST_STREAM, unless the stream is closed already."""
        if stream.is_hot:
            if not stream.was_reset and not (stream.finished and stream.complete):
                stream.was_reset = stream.was_refused = True
                self._put_number(RST_STREAM, stream.id, code)
            return 0
        try:
            self.connection.reset_stream(stream.id, code)
        except ProtocolError:
            return 0
        stream.was_refused = True
        return self._collect()

    cdef int _drop(self, Http2Stream stream) except -1:
        """Take a stream out of the table; its handler counts until it has come to an end."""
        if stream.held:
            self._owe(-stream._forget())
        stream.due = 0
        if stream.is_ready:
            stream.is_ready = False
            self.ready.remove(stream)
        if stream.is_gone:
            return 0
        stream.is_gone = True
        del self.streams[stream.id]
        if stream.is_hot or stream.was_refused:
            self._note_closed(stream.id, CLOSED_BY_US if stream.was_refused else CLOSED_BY_RESET if stream.was_reset
                              else CLOSED_BY_END)
        if stream.unacknowledged:
            self._acknowledge(stream, stream.unacknowledged)
        if stream.runs:
            stream.abandoned = True
            self.abandoned += 1
        return 0

    cdef int _after(self) except -1:
        """Everything that could be sent is: close when that was the last."""
        return 0


@cython.final
cdef class Http2Stream(Http2Output):
    """One request and its answer (RFC 9113, section 5.1). Made by its connection."""

    def __cinit__(self, Http2Flow flow not None, int id):
        self.flow = flow
        self.id = id
        self.expected = -1

    def __del__(self):
        self._handler_ended()   # a handler that never answers lets go of its exchange, at least

    cdef int _handler_ended(self) except -1:
        """Nobody will answer through this stream any more."""
        self.runs = False
        if self.abandoned:
            self.abandoned = False
            self.flow.abandoned -= 1
            if self.flow.waiting:
                self.flow._settle()
        return 0

    # ---- content of the request

    cdef int _receive(self, bytes data, Py_ssize_t flow_size) except -1:
        """Take a DATA frame's content; flow_size: with its padding."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        self.owes_continue = False
        self.moved = True
        self.received += size
        self.unacknowledged += flow_size
        if self.expected >= 0 and self.received > self.expected:
            return self._break(PROTOCOL_ERROR)
        if self.request is None:
            return 0            # nobody wants it, and the peer gets no window for more
        self.flow._acknowledge(self, flow_size - size)
        if self.received > self.cap:
            return self._refuse(413, b"content too large")
        if self.queue is not None:
            if size:
                self.queue.append(data)
                self._wake()
        elif self.body is not None:
            self.body.feed(data)
            self.kept += size
            self.flow.buffered += size
            self.flow._grant(self)
        return 0

    cdef int _end_content(self) except -1:
        """The peer has ended its side."""
        cdef Request request = self.request
        if self.complete:
            return 0
        self.complete = True
        if self.expected >= 0 and self.received != self.expected:
            return self._break(PROTOCOL_ERROR)
        if request is None:
            return 0
        request.is_complete = True
        if self.queue is not None:
            return self._wake()
        if self.body is not None:
            request.content = self.body.take()
            self.body = None
            self.flow._relieve()
        return self._deliver()

    cdef int _deliver(self) except -1:
        """The request is complete, or streams: let its handler run, now or once there is room for its answer."""
        return self.flow._admit(self)

    cdef int _is_known(self) except -1:
        """The answer has begun, or will not come: nothing more is foreseen."""
        if self.is_foreseen:
            self.is_foreseen = False
            self.flow.foreseen -= self.weight
            if self.tried is not None:
                self.tried.trials -= 1
                self.flow.trials -= 1
                self.tried = None
        return 0

    cdef int _ask(self) except -1:
        """Ask for the content, once."""
        self.owes_continue = False
        return self.flow._ask(self)

    cdef object read_content(self, Request request):
        """Return content that has arrived (see Exchange)."""
        cdef bytes content
        if request is not self.request or request is None:
            if request is not None and request.is_complete:
                return b""
            raise RemoteProtocolError("the client left before its content was complete")
        if self.queue:
            content = (<bytes> self.queue[0]) if len(self.queue) == 1 else b"".join(self.queue)
            self.queue.clear()
            self.flow._acknowledge(self, PyBytes_GET_SIZE(content))
            self.flow._settle()
            return content
        if request.is_complete:
            content = request.content or b""
            request.content = None
            return content
        if self.owes_continue and not self.answered:
            self._ask()
            self.flow._settle()
        return None

    # ---- answer

    cdef int respond(self, Request request, Response response) except -1:
        """Send a whole answer (see Exchange). 1 = sent, 0 = too late."""
        self._handler_ended()
        if request is None or request is not self.request or self.answered:
            return 0
        if request.counts is not None:
            request.counts.weigh(PyBytes_GET_SIZE(<bytes> response.content)
                                 if response._status < 300 and response.content is not None else -1)
        return self._answer(response)

    cdef int _answer(self, Response response) except -1:
        """Send a whole answer, ours or the handler's, and end the exchange."""
        cdef Py_ssize_t length = 0
        cdef bytes content = answer_content(response, self.request.is_head, &length)
        self.request.sent = 0 if content is None else length
        self.flow._write_head(self, response, length, content is None)
        self.answered = True
        self.due = 0
        self.ends = True
        if content is not None and self._sends_at_once(content, length):
            content = None
        if content is not None:
            self._append(content)
        self._over(False)
        if content is None:
            self.flow._sent(self)
        elif length <= FRAME_BYTES and len(self.flow.ready) == 1:
            self.flow._send()       # at once: it holds up nobody, and what comes next in this read may be the end
        self.flow._settle()
        return 1

    cdef bint _sends_at_once(self, bytes content, Py_ssize_t length) except -1:
        """Send the whole content of a hot stream in one frame, when nothing has to wait. 0: it must."""
        cdef Http2Flow flow = self.flow
        if not self.is_hot or flow.full or length > FRAME_BYTES or length > self.send_window \
                or length > flow.send_window or len(flow.ready):
            return False
        flow._put_data(self.id, PyBytes_AS_STRING(content), length, True)
        flow.send_window -= length
        flow.sent_bytes += length
        if length >= USEFUL_BYTES:
            flow.meter.frames += 1
        return True

    cdef int start(self, Request request, Response response, Py_ssize_t length) except -1:
        """Send the head of a streamed answer (see Exchange). 1 = sent, 0 = too late."""
        cdef int status = response._status
        if request is None or request is not self.request or self.answered:
            return 0
        self.is_empty = request.is_head or status == 204 or status == 304 or status == 205
        length = 0 if status == 205 else -1 if status == 204 or status == 304 else length
        self.flow._write_head(self, response, length, self.is_empty)
        self._is_known()
        if request.counts is not None:
            request.counts.weigh(-1)
        self.answered = True
        self.due = 0
        self.finished = self.is_empty
        self.flow._settle()
        return 1

    cdef int chunk(self, Request request, bytes data) except -1:
        """Send a piece of a streamed answer (see Exchange). 1 = taken, 0 = too late."""
        if request is None or request is not self.request:
            return 0
        if not self.is_empty and PyBytes_GET_SIZE(data):
            request.sent += PyBytes_GET_SIZE(data)
            self._append(data)
            self.flow._settle()
        return 1

    cdef int end(self, Request request) except -1:
        """End a streamed answer (see Exchange). 1 = done, 0 = too late."""
        self._handler_ended()
        if request is None or request is not self.request:
            return 0
        self.ends = True
        self._over(False)
        if self.pending == 0:
            if not self.finished:
                self.flow._end(self)
            self.flow._sent(self)
        self.flow._settle()
        return 1

    cdef int fail(self, Request request) except -1:
        """Break a streamed answer off (see Exchange). 1 = done, 0 = too late."""
        self._handler_ended()
        if request is None or request is not self.request:
            return 0
        self._break(INTERNAL_ERROR)
        self.flow._settle()
        return 1

    cdef bint is_open(self, Request request):
        """Tell whether an answer to `request` can still be sent (see Exchange)."""
        return request is not None and request is self.request

    cdef bint is_writable(self, Request request):
        """Tell whether the client takes more (see Exchange)."""
        return self.pending < QUEUE_BYTES or request is not self.request

    cdef int wait(self, Request request, object waker) except -1:
        """Call `waker()` at the next change (see Exchange)."""
        if request is None or request is not self.request:
            waker()
        else:
            if self.wakers is None:
                self.wakers = []
            self.wakers.append(waker)
        return 0

    cdef int _append(self, bytes data) except -1:
        """Keep a piece of the answer until there is a window for it."""
        self._keep(data)
        self.flow._owe(PyBytes_GET_SIZE(data))
        return self.flow._enqueue(self)

    # ---- ends

    cdef int _refuse(self, int status, const char* reason) except -1:
        """Answer what the peer did wrong, in place of the handler; an answer that has begun is broken off."""
        if self.answered:
            return self._break(INTERNAL_ERROR)
        self.flow.sink.refused(status, self.request if self.known else None)
        self._answer(plain_response(status, reason))
        return 0

    cdef int _break(self, int code) except -1:
        """Reset the stream: nothing more is sent or taken."""
        self.flow._reset(self, code)
        self._lose(code != INTERNAL_ERROR)
        return self.flow._blame() if code == PROTOCOL_ERROR else 0

    cdef int _lose(self, bint abandoned) except -1:
        """The stream is closed without its answer, whoever did it; abandoned: not we."""
        self.complete = True
        self._over(abandoned)
        return self.flow._drop(self)

    cdef int _over(self, bint abandoned) except -1:
        """The exchange has ended: tell the owner, and whoever waits. abandoned: by the client."""
        cdef Request request = self.request
        self.request = self.body = self.queue = None
        self._is_known()
        if self.flow.waiting:
            self.flow.waiting.pop(self.id, None)
        if self.kept:
            self.flow.buffered -= self.kept
            self.kept = 0
            self.flow._relieve()
        if request is not None and self.known:
            request.received = self.received
            if abandoned:
                self.flow.sink.request_abandoned(request)
            else:
                self.flow.sink.request_ended(request)
        return self._wake()
