"""Server side of one HTTP/2 connection (RFC 9113), sans-IO: bytes in, calls on a sink out.

    PREFACE -> OPEN -> DRAINING -> CLOSED

h2 judges every frame. They are cut out of the stream here and handed to it one by one, so that what we do about a frame
is done before the next, and the events of a good frame do not depend on a bad one that came in the same read. Beside
h2's rules there are limits: on what is buffered, on streams, and on frames that cost us more than the peer.
What h2 is not shown, and why, stands in http2_judge; a RST_STREAM for an idle stream, which it lets pass, is caught here.

Nothing that the peer does is raised: it is answered, the stream or the connection is closed, and the sink is told.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memset

from collections import deque

from h2.events import (
    DataReceived, PingAckReceived, RemoteSettingsChanged, RequestReceived, StreamEnded, StreamReset, TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from siphon_http._core.header_block cimport BLOCK_DONE
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.hpack cimport Decoder
from siphon_http._core.message cimport Request
from siphon_http.protocol.http2_flood cimport FLOOD_STRAY, FloodMeter, flood_counts, flood_kind
from siphon_http.protocol.http2_head cimport FieldDecoder
from siphon_http.protocol.http2_judge cimport (
    CANCEL, CONTINUATION, DATA, ENHANCE_YOUR_CALM, FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM, FLAG_PADDED, FRAME_BYTES,
    FRAME_HEAD, FRAME_SIZE_ERROR, GOAWAY, HEADERS, LAST_STREAM, NO_ERROR, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame_number, goaway_frame, known_settings, new_judge,
)
from siphon_http.protocol.http2_stream cimport Http2State, Http2Stream
from siphon_http.protocol.http2_times cimport Http2Times
from siphon_http.protocol.sink cimport NoSink, Sink

__all__ = ["Http2ServerConnection"]

cdef bytes CLIENT_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
cdef Py_ssize_t QUEUE_BYTES = 65536     # raw bytes kept while the transport is full
cdef Py_ssize_t SMALL_BYTES = 64        # DATA with less content is worth counting
cdef int BLOCK_FRAMES = 60              # CONTINUATION frames of one field block; h2 has a limit just above
cdef int TURN_COST = 1024               # frames handled in one turn; other connections come in between
cdef int BLOCK_COST = 128               # bytes of a field block that cost as much as a frame
cdef int JUDGE_COST = 15                # frames that one costs which h2 has to see
cdef bytes DRAIN_PING = b"draining"
cdef bytes LAST_PING = b"good-bye"
cdef bytes ALIVE_PING = b"are you?"


@cython.final
cdef class Http2ServerConnection(Http2Times):
    """Server side of one HTTP/2 connection (RFC 9113).

    sink: the owner. out: the loop's output buffer. max_header_bytes, max_headers: of one request, as bytes that RFC
    9113, 6.5.2 counts and as field lines (431). max_streams: requests at once; more are refused. window: content that
    a request may send ahead, bytes. write_timeout: seconds that an answer may wait for the client's window without any
    progress; upload_timeout: seconds that content may stand still once its answer has begun. through_h2: let h2 see
    every frame, at many times the cost. Times are arguments, in seconds on the owner's clock. Belongs to one thread.
    """

    def __cinit__(self, Sink sink not None, OutBuffer out not None, Py_ssize_t max_header_bytes=65536,
                  int max_headers=128, int max_streams=128, int window=65535, double write_timeout=30.0,
                  bint through_h2=False, double upload_timeout=75.0):
        self.sink = sink
        self.out = out
        self.max_header_bytes = max_header_bytes
        self.max_streams = max_streams
        self.write_timeout = write_timeout
        self.upload_timeout = upload_timeout
        self.state = Http2State.PREFACE
        self.streams = {}
        self.waiting = {}
        self.ready = deque()
        self.outbox = []
        self.inbox = bytearray()
        self.through_h2 = through_h2
        self.decoder = FieldDecoder(Decoder(max_header_bytes))
        self.decoder.decoder.max_fields = max_headers
        self.connection = new_judge(max_streams, max_header_bytes, window, self.decoder)
        self.receive_manager = self.connection._inbound_flow_control_window_manager
        self.receive_limit = window
        self._take_back()
        self._note_settings()
        memset(&self.meter, 0, sizeof(FloodMeter))

    # ---- input

    cpdef int receive_data(self, bytes data, double now=0) except -1:
        """Parse `data`, any split. What the peer does wrong is answered, closed and reported; nothing is raised."""
        if self.state == Http2State.CLOSED:
            return 0
        self.now = now
        self.inbox += data
        return self._pump()

    cpdef int receive_eof(self) except -1:
        """The peer has sent its last byte; requests that are complete are still answered."""
        self.ended = True
        return self._pump()

    cpdef int pause(self) except -1:
        """The transport takes no more for now."""
        self.full = True
        return 0

    cpdef int resume(self) except -1:
        """The transport takes more again."""
        self.full = False
        return self._pump()

    cpdef bint is_quiet(self):
        """Tell whether nothing of a request has arrived and nothing is under way."""
        return not self.streams and not self.is_reading_head()

    cpdef bint is_reading_head(self):
        """Tell whether a frame or a field block has begun and not ended."""
        return self.in_block or PyByteArray_GET_SIZE(self.inbox) > self.at

    cpdef bint is_stuck(self):
        """Tell whether part of a frame or field block stops what follows; a client may send content as slowly as it likes."""
        cdef Py_ssize_t waiting = PyByteArray_GET_SIZE(self.inbox) - self.at
        if self.full or self.has_more:
            return False
        return self.in_block or waiting > 0 and (
            waiting < FRAME_HEAD or PyByteArray_AS_STRING(self.inbox)[self.at + 3] != DATA)

    cdef int _pump(self) except -1:
        """Handle the frames that have arrived, then send what is due."""
        cdef Http2Stream stream
        if self.pumping or self.state == Http2State.CLOSED:
            return 0
        self.pumping = True
        try:
            self.spent = 0
            while not self.full and self.state != Http2State.CLOSED and self.spent < TURN_COST and self._read_frame():
                if self._is_much():
                    self._flush(False)
            self.has_more = self.spent >= TURN_COST
            if self.spent and not self.in_block:
                self.progress += 1
            del self.inbox[:self.at]
            self.at = 0
            if self.ended and not self.full and not self.has_more:
                for stream in list(self.streams.values()):
                    if not stream.complete:
                        stream._break(CANCEL)
            if self.state != Http2State.CLOSED:
                self._send()
                if self.waiting:
                    self._release()
        finally:
            self.pumping = False
        if self.state == Http2State.CLOSED:
            return 0
        self._flush(False)
        self._hold()
        return self._after()

    cdef int _hold(self) except -1:
        """Stop reading while much waits here and cannot be handled, and go on when it can."""
        cdef bint stop = (self.full or self.has_more) and PyByteArray_GET_SIZE(self.inbox) >= QUEUE_BYTES
        if stop != self.held:
            self.held = stop
            self.sink.hold(stop)
        return 0

    cdef int _read_frame(self) except -1:
        """Handle the next frame. Returns 0 when more bytes are needed, or nothing more can be done."""
        cdef const char* data = PyByteArray_AS_STRING(self.inbox) + self.at
        cdef Py_ssize_t waiting = PyByteArray_GET_SIZE(self.inbox) - self.at
        cdef Py_ssize_t size
        if self.state == Http2State.PREFACE:
            return self._read_preface(data, waiting)
        if waiting < FRAME_HEAD:
            return 0
        size = frame_number(data) >> 8
        if size > FRAME_BYTES:
            self._terminate(FRAME_SIZE_ERROR, False)
            return 0
        size += FRAME_HEAD
        if waiting < size:
            return 0
        self.at += size
        self._frame(<unsigned char> data[3], <unsigned char> data[4], frame_number(data + 5) & LAST_STREAM,
                    data + FRAME_HEAD, size - FRAME_HEAD)
        return self.state != Http2State.CLOSED

    cdef int _read_preface(self, const char* data, Py_ssize_t size) except -1:
        """Check the client's preface as far as it is here (RFC 9113, 3.4). Returns 1 when it is whole."""
        cdef Py_ssize_t whole = PyBytes_GET_SIZE(CLIENT_PREFACE)
        if memcmp(data, PyBytes_AS_STRING(CLIENT_PREFACE), min(size, whole)) != 0:
            self._terminate(PROTOCOL_ERROR, False)
            return 0
        if size < whole:
            return 0
        self.at += whole
        self.connection.receive_data(CLIENT_PREFACE)
        self._go(Http2State.OPEN)
        return 1

    cdef int _frame(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Handle one whole frame; its payload is data[0:size], in the inbox."""
        cdef bytes frame
        cdef bint is_late
        if not self.greeted and (kind != SETTINGS or flags & FLAG_ACK):
            return self._terminate(PROTOCOL_ERROR, False)
        self.greeted = True
        self.spent += 1
        if kind == HEADERS or kind == CONTINUATION:
            self.spent += <int> size // BLOCK_COST
        if self._is_flood(kind, flags, id, data, size):
            return self._terminate(ENHANCE_YOUR_CALM, False)
        if not self.in_block and self._read_hot(kind, flags, id, data, size):
            return 0
        frame = PyBytes_FromStringAndSize(data - FRAME_HEAD, FRAME_HEAD + size)
        if kind == CONTINUATION and self.in_block:
            self.in_block = not flags & FLAG_END_HEADERS
        elif not self.in_block:
            if kind > CONTINUATION:
                return 0
            if kind == HEADERS:
                self.in_block = not flags & FLAG_END_HEADERS
                self.progress += 1
                self.continuations = 0
                self.block_bytes = size
            elif kind == GOAWAY:
                if id != 0 or size < 8:
                    return self._terminate(PROTOCOL_ERROR if id else FRAME_SIZE_ERROR, False)
                self.leaving = True
                return 0
            elif kind == CONTINUATION or kind == PUSH_PROMISE or kind == RST_STREAM and size == 4 and (
                    id > <unsigned int> self.highest_stream or id % 2 == 0):
                return self._terminate(PROTOCOL_ERROR, False)
            elif kind == SETTINGS and id == 0 and flags & FLAG_ACK and size:
                return self._terminate(FRAME_SIZE_ERROR, False)
            elif kind == SETTINGS and id == 0 and not flags & FLAG_ACK and size % 6 == 0:
                self._shrink_table(data, size)
                frame = known_settings(frame)
            elif kind == WINDOW_UPDATE and size == 4:
                # Its first bit is reserved: no matter what it is (RFC 9113, 6.9).
                frame = frame[:FRAME_HEAD] + bytes((frame[FRAME_HEAD] & 0x7f,)) + frame[FRAME_HEAD + 1:]
        self.spent += JUDGE_COST
        is_late = (kind == DATA or kind == HEADERS or kind == CONTINUATION) and self._was_refused(id)
        self._lend()
        try:
            events = self.connection.receive_data(frame)
        except ProtocolError:
            return self._terminate(PROTOCOL_ERROR, True)
        self._take_back()
        if is_late:
            return self._collect_quietly()
        self._collect()
        return self._events(events)

    cdef bint _is_flood(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size):
        """Count a frame; tell whether there were too many of its kind."""
        if kind == HEADERS:
            return id <= <unsigned int> self.highest_stream and id not in self.streams \
                and flood_counts(&self.meter, FLOOD_STRAY, self.now, 1)
        if kind == CONTINUATION:
            self.continuations += 1
            self.block_bytes += size
            if self.continuations > BLOCK_FRAMES or self.block_bytes > 2 * self.max_header_bytes + FRAME_BYTES:
                return True
        elif kind == DATA:
            if flags & FLAG_PADDED and size:
                size -= 1 + <unsigned char> data[0]
            if id not in self.streams:
                return flood_counts(&self.meter, FLOOD_STRAY, self.now, 1)
            if size >= SMALL_BYTES or flags & FLAG_END_STREAM:
                return False
        return flood_counts(&self.meter, flood_kind(kind), self.now, 1 + size // 96 if kind == SETTINGS else 1)

    cdef int _events(self, list events) except -1:
        """Act on what h2 made of a frame."""
        cdef Http2Stream stream
        for event in events:
            if self.state == Http2State.CLOSED:
                return 0
            kind = type(event)
            if kind is RequestReceived:
                self._request(event.stream_id, event.stream_ended is not None, False)
            elif kind is PingAckReceived:
                if self.warned and event.ping_data == DRAIN_PING and self.state == Http2State.OPEN:
                    self.noticed = True
                    self._drain_now()
                elif self.parting and event.ping_data == LAST_PING and not self.streams:
                    return self._close(False)
            elif kind is RemoteSettingsChanged:
                self._settings()
            else:
                stream = <Http2Stream> self.streams.get(getattr(event, "stream_id", 0))
                if kind is StreamReset and not event.remote_reset:
                    self._blame()
                    if stream is not None:
                        stream.was_refused = True
                if stream is None:
                    continue
                if kind is DataReceived:
                    stream._receive(event.data, event.flow_controlled_length)
                elif kind is StreamEnded:
                    stream._end_content()
                elif kind is WindowUpdated:
                    self._enqueue(stream)
                elif kind is StreamReset:
                    stream._lose(True)
                elif kind is TrailersReceived and self.decoder.block.result != BLOCK_DONE:
                    self._reject(stream.id, PROTOCOL_ERROR, False)
                    stream._lose(True)
        return 0

    cpdef int time_out(self, Request request=None) except -1:
        """The time of `request` is over: see http2_times. Without one: that of the connection."""
        if self.state == Http2State.CLOSED:
            return 0
        if request is not None:
            return self._time_out(request)
        return self._close(False) if self.parting else self._drain_now()

    # ---- ends

    cpdef int drain(self) except -1:
        """Finish what is in flight, then close (RFC 9113, 6.8).

        The peer is told first that the end is near, and takes no further stream for refused until it has answered; a
        second call does not wait for that any longer.
        """
        if self.state != Http2State.OPEN or self.warned:
            return self._drain_now()
        self.warned = True
        self._put(goaway_frame(LAST_STREAM, NO_ERROR))
        self.connection.ping(DRAIN_PING)
        self._collect()
        return self._settle()

    cdef int _drain_now(self) except -1:
        """Take no more streams, and close once those in flight have ended."""
        if self.state == Http2State.PREFACE:
            return self._close(not self.ended)
        if self.state == Http2State.OPEN:
            self._go(Http2State.DRAINING)
            self._put(goaway_frame(self.highest_stream, NO_ERROR))
        return self._settle()

    cdef int _after(self) except -1:
        """Close when nothing is in flight and nothing more can come."""
        if self.ended and self.streams and not self.full and not self.has_more:
            self._cut_off()
        if not self.streams and self.state != Http2State.CLOSED:
            if self.state == Http2State.DRAINING:
                return self._part()
            if self.leaving or self.ended and not self.full and not self.has_more:
                return self._drain_now()
        return 0

    cdef int _cut_off(self) except -1:
        """The client has ended its side: window for what still waits cannot come any more."""
        cdef Http2Stream stream
        cdef list stuck = [one for one in self.streams.values() if (<Http2Stream> one).pending]
        self.pumping = True
        try:
            while stuck and self.state != Http2State.CLOSED:
                for stream in stuck:
                    stream._break(CANCEL)
                self._send()
                self._release()     # and there may be room for the next
                stuck = [one for one in self.streams.values() if (<Http2Stream> one).pending]
        finally:
            self.pumping = False
        return self._flush(False)

    cdef int _part(self) except -1:
        """Everything is sent: close, and do not wait longer than needed for a peer that is still reading it.

        One that answers PING has read all that came before: nothing can be lost by closing then.
        """
        if self.ended or not self.noticed:
            return self._close(not self.ended)
        if not self.parting:
            self.parting = True
            self.connection.ping(LAST_PING)
            self._flush(False)
        return 0

    cdef int _close(self, bint linger) except -1:
        """Close once everything is sent. linger: what the peer still sends is passed over, lest it resets the connection."""
        self._go(Http2State.CLOSED)
        self._flush(True)
        self.sink.close(linger)
        return 0

    cpdef int ping(self) except -1:
        """Ask the peer whether it is there (RFC 9113, 6.7)."""
        if self.state == Http2State.OPEN or self.state == Http2State.DRAINING:
            self.connection.ping(ALIVE_PING)
            self._flush(False)
        return 0

    cdef int _lose_all(self) except -1:
        """Every exchange is over."""
        cdef Http2Stream stream
        for stream in list(self.streams.values()):
            stream._lose(True)
        return 0

    cdef int _terminate(self, int code, bint told) except -1:
        """The peer broke a rule or a limit: end the connection (RFC 9113, 5.4.1). told: h2 has said so already."""
        if self.state == Http2State.CLOSED:
            return 0
        if not told:
            self._lend()
            self.connection.close_connection(code)
        self._go(Http2State.CLOSED)
        self._lose_all()
        self._flush(True)
        self.sink.refused(400, None)
        self.sink.close(not self.ended)
        return 0

    cpdef list detach(self):
        """Forget the owner: the connection is gone. Returns the requests whose exchanges were cut off."""
        cdef list requests = [
            (<Http2Stream> one).request for one in self.streams.values()
            if (<Http2Stream> one).request is not None and (<Http2Stream> one).known]
        self.state = Http2State.CLOSED
        self.sink = NoSink.__new__(NoSink)
        self._lose_all()
        self.outbox.clear()
        if self.out.owner is self:
            self.out.take()
        self.inbox.clear()
        self.at = 0
        # h2 holds its own bound methods here; without this it would wait for the cyclic collector.
        self.connection._frame_dispatch_table.clear()
        return requests
