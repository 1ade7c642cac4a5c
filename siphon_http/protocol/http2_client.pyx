"""Client side of one HTTP/2 connection (RFC 9113), sans-IO: bytes in, calls on a Link and on Answers out.

    OPEN -> LEAVING -> CLOSED

Frames are cut out of the stream here. Those of a stream (HEADERS, CONTINUATION, DATA, WINDOW_UPDATE, RST_STREAM) are
read and judged here, in C; h2 judges all others, and every frame that is misshapen, which ends the connection. With
`through_h2` h2 sees every frame: it is the oracle of the differential tests. Neither is shown a GOAWAY, after which h2
would send no more, or settings that are unknown.

Nothing that the peer does is raised: what it does wrong fails the exchange that it belongs to, or all of them after a
GOAWAY that says why. What costs us more than the peer is counted, and forgiven by answers and reads.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy, memset

from collections import deque

from siphon_http._core.header_block cimport BLOCK_BROKEN, BLOCK_DONE
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.hpack cimport Decoder
from siphon_http._core.hpack_encoder cimport Encoder
from siphon_http.protocol.answer cimport FAILED_CLOSED, FAILED_PROTOCOL, Link
from siphon_http.protocol.http2_client_answers cimport STREAM_CLOSED, Http2ClientAnswers
from siphon_http.protocol.http2_client_head cimport AnswerDecoder, is_idempotent, new_client_judge
from siphon_http.protocol.http2_client_stream cimport (
    CLIENT_CLOSED, CLIENT_LEAVING, CLIENT_OPEN, ENDED_BY_PEER, ENDED_BY_US, ENDED_SEEN, ENDED_WHOLE, ClientStream,
)
from siphon_http.protocol.http2_flood cimport FLOOD_STRAY, FloodMeter, flood_counts, flood_kind
from siphon_http.protocol.http2_judge cimport (
    CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, ENHANCE_YOUR_CALM, FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM,
    FLAG_PADDED, FLAG_PRIORITY, FLOW_CONTROL_ERROR, FRAME_BYTES, FRAME_HEAD, FRAME_SIZE_ERROR, GOAWAY, HEADERS,
    LAST_STREAM, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame_number,
    known_settings,
)

__all__ = ["Http2ClientConnection"]

cdef enum:
    BLOCK_FRAMES = 60               # CONTINUATION frames of one field block; h2 has a limit just above
    QUEUE_BYTES = 65536             # output that waits while the transport is full before reading stops
    FIRST_STREAMS = 100             # streams at once before the peer has said how many (RFC 9113, 6.5.2)
    ENABLE_PUSH = 2                 # a setting
cdef int SILENT_LOOKS = 10          # calls of `check_alive` after an unanswered PING until the last request is given up
cdef double READ_SECONDS = 0.02     # what one read counts for in the flood meter: it costs the peer a packet
cdef bytes PROBE = b"is alive"


@cython.final
cdef class Http2ClientConnection(Http2ClientAnswers):
    """Client side of one HTTP/2 connection (RFC 9113).

    Its first frames, the preface and SETTINGS, are written with the first request, or by `uncork`, which an owner calls
    that wants them sent earlier.

    link: the owner. max_header_bytes, max_headers: of one answer, as bytes that RFC 9113, 6.5.2 counts and as field
    lines. max_streams: exchanges at once, however many the peer allows. window: content of one answer that may be under
    way, or wait for the caller, bytes; at least 65 535. through_h2: let h2 see every frame, at many times the cost.
    Belongs to one thread.
    """

    def __cinit__(self, Link link not None, Py_ssize_t max_header_bytes=65536, int max_headers=128,
                  int max_streams=256, int window=1048576, bint through_h2=False):
        self.link = link
        self.through_h2 = through_h2
        self.max_header_bytes = max_header_bytes
        self.max_streams = max_streams
        self.peer_streams = FIRST_STREAMS
        self.receive_limit = window
        self.whole_limit = self.whole_window = min(max(max_streams * <long long> window, 65536), 0x3fffffff)
        self.next_id = 1
        self.streams = {}
        self.ready = deque()
        self.rest = b""
        self.known_size = -1
        self.out = OutBuffer()
        self.encoder = Encoder()
        self.decoder = AnswerDecoder(Decoder(max_header_bytes))
        self.decoder.decoder.max_fields = max_headers
        self.connection = new_client_judge(max_header_bytes, window, self.whole_limit, self.decoder)
        self.send_window = self.connection.outbound_flow_control_window
        self.initial_window = self.connection.remote_settings.initial_window_size
        memset(&self.meter, 0, sizeof(FloodMeter))
        self._collect()

    # ---- what the owner asks

    cdef int receive_data(self, bytes data) except -1:
        """Parse `data` (see ClientProtocol)."""
        cdef Py_ssize_t done
        if self.state == CLIENT_CLOSED:
            return 0
        if PyBytes_GET_SIZE(self.rest):
            data = self.rest + data
            self.rest = b""
        self.heard += 1
        self.reads += READ_SECONDS
        self.pumping = True
        try:
            done = self._parse(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        finally:
            self.pumping = False
        if self.state == CLIENT_CLOSED:
            return 0
        if done < PyBytes_GET_SIZE(data):
            self.rest = data[done:]
        self._settle()
        return self._hold()

    cdef int eof_received(self) except -1:
        """The peer sends no more: what is open fails (see ClientProtocol)."""
        if self.state != CLIENT_CLOSED:
            self.state = CLIENT_LEAVING
            self._fail_all(FAILED_CLOSED, "the peer closed the connection before the answer was complete")
            if self.state != CLIENT_CLOSED:
                self.link.room_changed()
                self._close()
        return 0

    cdef int lost(self, str reason) except -1:
        """The transport is gone (see ClientProtocol)."""
        self.state = CLIENT_CLOSED
        self._fail_all(FAILED_CLOSED, reason)
        self.rest = b""
        self.out.take()
        # h2 holds its own bound methods here; without this it would wait for the cyclic collector.
        self.connection._frame_dispatch_table.clear()
        return 0

    cdef bint check_alive(self) except -1:
        """Send a PING when nothing has come since the call before (see ClientProtocol).

        While a server takes its time, and answers nothing but that, it is asked less and less often. One that does not
        answer it gets nothing more, and requests that may be repeated go elsewhere; the others it may have acted on, and
        it may be busy only, so that they are given up much later.
        """
        cdef bint is_quiet = self.heard == self.looked_at and len(self.streams) > 0
        self.looked_at = self.heard
        if self.state == CLIENT_CLOSED:
            return False
        if is_quiet and self.probed:
            self.silent += 1
            if self.silent == 1:
                self._suspect()
            return len(self.streams) > 0 and self.silent <= SILENT_LOOKS
        self.silent = 0
        if not is_quiet:
            self.patience = min(2 * self.patience, 32) if self.probed and self.heard - self.probed_at == 1 else 1
            self.passes = self.patience if self.probed else 0
            self.probed = False
        elif self.passes:
            self.passes -= 1
        else:
            self.probed = True
            self.probed_at = self.heard
            self.connection.ping(PROBE)
            self._collect()
            self._flush(False)
        return True

    cdef int _suspect(self) except -1:
        """The peer has not answered a PING in time: begin nothing more, and let go of what may be repeated."""
        cdef ClientStream stream
        if self.state == CLIENT_OPEN:
            self.state = CLIENT_LEAVING
            self.room_moved = True
        self.pumping = True
        try:
            for stream in list(self.streams.values()):
                if stream.heard == self.heard and not stream.headed and is_idempotent(stream.method):
                    self._reset(stream, CANCEL)
                    self._fail(stream, FAILED_CLOSED, True, "the server gives no sign of life", ENDED_BY_US)
        finally:
            self.pumping = False
        return self._settle() if self.streams else 0    # else there is nothing to wait for, and the owner ends it

    # ---- input

    cdef int _hold(self) except -1:
        """Stop reading while the transport takes nothing and much waits here, and go on when it does."""
        cdef bint stop = self.full and self.out.size >= QUEUE_BYTES
        if stop != self.held and self.state != CLIENT_CLOSED:
            self.held = stop
            self.link.hold(stop)
        return 0

    cdef int resume(self) except -1:
        """The transport takes more again."""
        self.full = False
        self._settle()
        return self._hold()

    cdef Py_ssize_t _parse(self, const char* data, Py_ssize_t size) except -1:
        """Handle the whole frames of data[0:size]; return how many bytes they are."""
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t length
        while size - at >= FRAME_HEAD and self.state != CLIENT_CLOSED:
            length = frame_number(data + at) >> 8
            if length > FRAME_BYTES:
                if not self.greeted and memcmp(data + at, b"HTTP/", 5) == 0:
                    self._terminate(PROTOCOL_ERROR, "the peer speaks HTTP/1, not HTTP/2")
                else:
                    self._terminate(FRAME_SIZE_ERROR, f"the peer sent a frame of {length} bytes; {FRAME_BYTES} are allowed")
                break
            if size - at < FRAME_HEAD + length:
                break
            self._frame(<unsigned char> data[at + 3], <unsigned char> data[at + 4],
                        frame_number(data + at + 5) & LAST_STREAM, data + at + FRAME_HEAD, length)
            at += FRAME_HEAD + length
            if self.out.size >= QUEUE_BYTES and not self.corked:
                self._flush(False)
        return at

    cdef int _frame(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Handle one whole frame; its payload is data[0:size], behind its head."""
        cdef bytes frame
        cdef ClientStream stream
        if id and not self.block_id and not self.through_h2 and self.greeted:
            # Nearly all that comes; what is odd about it is looked at below.
            if kind == HEADERS:
                stream = self._find(id)
                if stream is not None and self._headers(stream, flags, id, data, size):
                    return 0
            elif kind == DATA and size and not flags & FLAG_PADDED or kind == DATA and flags & FLAG_END_STREAM:
                stream = self._find(id)
                if stream is not None and self._data(stream, flags, id, data, size):
                    return 0
        if self._is_refused(kind, flags, id, data, size):
            return 0
        if not self.through_h2 and self._read_hot(kind, flags, id, data, size) or kind > CONTINUATION:
            return 0
        if kind == GOAWAY and id == 0 and size >= 8:
            return self._go_away(data, size)
        frame = PyBytes_FromStringAndSize(data - FRAME_HEAD, FRAME_HEAD + size)
        if kind == SETTINGS and id == 0 and not flags & FLAG_ACK and size % 6 == 0:
            frame = known_settings(frame)
        elif kind == WINDOW_UPDATE and size == 4:
            # Its first bit is reserved: no matter what it is (RFC 9113, 6.9).
            frame = frame[:FRAME_HEAD] + bytes((frame[FRAME_HEAD] & 0x7f,)) + frame[FRAME_HEAD + 1:]
        elif kind == HEADERS:
            self.block_id = 0 if flags & FLAG_END_HEADERS else id
            self.continuations = 0
            self.block_bytes = size
            # Of a stream that is over: h2 takes no interim head there.
            self.decoder.trailers = id not in self.streams or (<ClientStream> self.streams[id]).headed
        elif kind == CONTINUATION and flags & FLAG_END_HEADERS:
            self.block_id = 0
        return self._judge(frame)

    cdef bint _is_refused(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Check what h2 does not, or not in this way. True: the connection has ended."""
        cdef Py_ssize_t at
        if not self.greeted and (kind != SETTINGS or flags & FLAG_ACK):
            self._terminate(PROTOCOL_ERROR, "the peer's first frame is not SETTINGS")
            return True
        self.greeted = True
        if self.block_id and (kind != CONTINUATION or id != self.block_id) or kind == CONTINUATION and not self.block_id:
            self._terminate(PROTOCOL_ERROR, "the peer interrupted a field block, or sent CONTINUATION without one")
            return True
        if kind == PUSH_PROMISE:
            self._terminate(PROTOCOL_ERROR, "the peer sent PUSH_PROMISE, which our settings forbid")
            return True
        if kind == SETTINGS and flags & FLAG_ACK and size and id == 0:
            self._terminate(FRAME_SIZE_ERROR, "the peer's acknowledgement of SETTINGS has a payload")
            return True
        if kind == SETTINGS and not flags & FLAG_ACK:
            for at in range(0, size - 5, 6):
                if frame_number(data + at) >> 16 == ENABLE_PUSH and frame_number(data + at + 2):
                    self._terminate(PROTOCOL_ERROR, "the peer's SETTINGS allow to push")
                    return True
        if id and (not id & 1 or id >= <unsigned int> self.next_id) and (
                kind == HEADERS or kind == DATA or kind == RST_STREAM or kind == WINDOW_UPDATE):
            self._terminate(PROTOCOL_ERROR, f"the peer sent a frame for stream {id}, which was never opened")
            return True
        if self._is_flood(kind, flags, id, data, size):
            self._terminate(ENHANCE_YOUR_CALM, "the peer sent too many frames that bring nothing")
            return True
        if (kind == DATA or kind == HEADERS) and id not in self.streams \
                and (self.next_id - <long> id) >> 1 <= ENDED_SEEN and self.ended[id >> 1 & ENDED_SEEN - 1] == ENDED_WHOLE:
            self._terminate(STREAM_CLOSED, f"the peer sent more on stream {id} after its end")
            return True
        return False

    cdef bint _is_flood(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size):
        """Count a frame; tell whether there were too many of its kind."""
        if kind == HEADERS or kind == RST_STREAM:
            return id not in self.streams and flood_counts(&self.meter, FLOOD_STRAY, self.reads, 1)
        if kind == CONTINUATION:
            self.continuations += 1
            self.block_bytes += size
            if self.continuations > BLOCK_FRAMES or self.block_bytes > 2 * self.max_header_bytes + FRAME_BYTES:
                return True
        elif kind == DATA:
            if flags & FLAG_PADDED and size:
                size -= 1 + <unsigned char> data[0]
            if size > 0 or flags & FLAG_END_STREAM:
                return False
        return flood_counts(&self.meter, flood_kind(kind), self.reads, 1 + size // 96 if kind == SETTINGS else 1)

    cdef bint _read_hot(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Handle one frame that is well-formed. 0: it is for h2."""
        cdef ClientStream stream
        if kind == DATA and id:
            return self._data(self._find(id), flags, id, data, size)
        if kind == HEADERS and id:
            return self._headers(self._find(id), flags, id, data, size)
        if kind == CONTINUATION:
            self._continuation(flags, data, size)
            return True
        if kind == WINDOW_UPDATE and size == 4:
            return self._window_update(id, frame_number(data) & LAST_STREAM)
        if kind == RST_STREAM and id and size == 4:
            stream = <ClientStream> self.streams.get(id)
            if stream is not None:
                self._was_reset(stream, frame_number(data))
            return True
        return kind == PRIORITY and id and size == 5

    cdef bint _headers(
            self, ClientStream stream, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Take a HEADERS frame of an open stream, or of one that is over (None). 0: it is misshapen."""
        cdef Py_ssize_t padding = 0
        if flags & FLAG_PADDED:
            if size == 0:
                return False
            padding = <unsigned char> data[0]
            data += 1
            size -= 1
        if flags & FLAG_PRIORITY:
            data += 5
            size -= 5
        if size < padding:
            return False
        size -= padding
        if flags & FLAG_END_HEADERS:
            self._field_block(stream, id, flags & FLAG_END_STREAM, data, size)
        else:
            self.block_id = id
            self.block_ends = flags & FLAG_END_STREAM
            self.block = bytearray(data[:size])
            self.block_bytes = size
            self.continuations = 0
        return True

    cdef int _continuation(self, int flags, const char* data, Py_ssize_t size) except -1:
        """Take a CONTINUATION frame of the block that has begun."""
        cdef unsigned int id = self.block_id
        cdef bytes block
        self.block += data[:size]
        if flags & FLAG_END_HEADERS:
            block = bytes(self.block)
            self.block_id = 0
            self.block = None
            self._field_block(self._find(id), id, self.block_ends, PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))
        return 0

    cdef int _decode(self, bint trailers, const char* data, Py_ssize_t size) except -1:
        """Decode a field section, unless its fields lie in the decoder's block already; return the BlockResult.

        Answers of one kind have the same bytes again and again: indices of fields, or the same literals.
        """
        cdef Decoder decoder = self.decoder.decoder
        cdef unsigned long changes = decoder.changes
        cdef int result
        if size == self.known_size and not trailers and (self.known_plain or changes == self.known_at) \
                and memcmp(self.known, data, size) == 0:
            if self.known_plain:
                decoder.repeat(self.decoder.block)
            return BLOCK_DONE
        self.head = None
        self.decoder.trailers = trailers
        result = self.decoder.read(<const unsigned char*> data, size)
        self.known_size = -1
        if result == BLOCK_DONE and not trailers and <size_t> size <= sizeof(self.known) \
                and (decoder.is_plain or changes == decoder.changes):
            memcpy(self.known, data, size)
            self.known_size = size
            self.known_plain = decoder.is_plain
            self.known_at = changes
        return result

    cdef int _field_block(
            self, ClientStream stream, unsigned int id, bint ends, const char* data, Py_ssize_t size) except -1:
        """A field section is complete: data[0:size]. It is decoded whatever becomes of it."""
        if self._decode(stream is not None and stream.headed, data, size) == BLOCK_BROKEN:
            return self._terminate(COMPRESSION_ERROR, (<bytes> self.decoder.block.reason).decode("ascii"))
        if self.decoder.is_bomb():
            return self._terminate(ENHANCE_YOUR_CALM, "the peer sent a field section far above the limit")
        if stream is None:
            return self._stray(id)
        return self._head(stream, ends)

    cdef bint _data(
            self, ClientStream stream, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Take a DATA frame of an open stream, or of one that is over (None). 0: it is misshapen."""
        cdef Py_ssize_t whole = size
        if flags & FLAG_PADDED:
            if size == 0 or <unsigned char> data[0] >= size:
                return False
            size -= 1 + <unsigned char> data[0]
            data += 1
        if whole > self.whole_window or stream is not None and whole > stream.receive_window:
            self._terminate(FLOW_CONTROL_ERROR, "the peer sent more content than the window allows")
            return True
        if stream is None:
            self._grant_all(whole)
            self._stray(id)
            return True
        stream.receive_window -= whole
        self._content(stream, PyBytes_FromStringAndSize(data, size) if size else b"", whole)
        if flags & FLAG_END_STREAM and not stream.is_gone:
            self._answered(stream)
        return True

    cdef bint _window_update(self, unsigned int id, unsigned int more) except -1:
        """Give more window to a stream, or to the connection. 0: it is misshapen."""
        cdef ClientStream stream
        if more == 0:
            return False
        if id == 0:
            if self.send_window + more > LAST_STREAM:
                self._terminate(FLOW_CONTROL_ERROR, "the peer's window grew above 2**31 - 1")
            else:
                self.send_window += more
            return True
        stream = <ClientStream> self.streams.get(id)
        if stream is None:
            return True
        if stream.send_window + more > LAST_STREAM:
            self._break(stream, FLOW_CONTROL_ERROR, FAILED_PROTOCOL, "the peer's window grew above 2**31 - 1")
        else:
            stream.send_window += more
            self._enqueue(stream)
        return True

    cdef int _stray(self, unsigned int id) except -1:
        """Content or fields have come for a stream that is over: one that we have left, or the peer has reset."""
        if (self.next_id - <long> id) >> 1 <= ENDED_SEEN and self.ended[id >> 1 & ENDED_SEEN - 1] == ENDED_BY_PEER:
            self._put_number(RST_STREAM, id, STREAM_CLOSED)
        return 0
