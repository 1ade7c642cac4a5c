"""Answers of one HTTP/2 connection as a client: what frames mean for exchanges, and how these end (RFC 9113, 8.1).

Frames come here whether they were read in C or by h2, so that both mean the same.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived, InformationalResponseReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset,
    TrailersReceived, WindowUpdated,
)
from h2.exceptions import ProtocolError

from siphon_http._core.header_block cimport BLOCK_MALFORMED, BLOCK_TOO_LARGE, HeaderBlock
from siphon_http.protocol.answer cimport FAILED_CLOSED, FAILED_LIMIT, FAILED_PROTOCOL, FAILED_REFUSED
from siphon_http.protocol.http2_client_head cimport is_idempotent
from siphon_http.protocol.http2_client_stream cimport (
    CLIENT_CLOSED, CLIENT_LEAVING, CLIENT_OPEN, ENDED_BY_PEER, ENDED_BY_US, ENDED_WHOLE, ClientStream, Http2ClientFlow,
)
from siphon_http.protocol.http2_judge cimport (
    CANCEL, FLOW_CONTROL_ERROR, LAST_STREAM, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, frame_number, goaway_frame,
)

__all__ = ["Http2ClientAnswers"]

cdef int INTERIM_HEADS = 32             # interim answers to one request
cdef Py_ssize_t SAID_BYTES = 60         # so much of what a GOAWAY says is told


cdef str _code_name(unsigned int code):
    """Return the name of an error code, or its number."""
    try:
        return str(ErrorCodes(code).name)
    except ValueError:
        return hex(code)


cdef class Http2ClientAnswers(Http2ClientFlow):
    """What frames mean for the exchanges of a connection. Belongs to one thread."""

    # ---- what h2 says

    cdef int _judge(self, bytes frame) except -1:
        """Show a frame to h2, and act on what it makes of it."""
        connection = self.connection
        connection.outbound_flow_control_window = self.send_window
        self.head = None
        try:
            events = connection.receive_data(frame)
        except ProtocolError as exc:
            return self._terminate(int(exc.error_code), f"the peer broke a rule of HTTP/2: {exc}", True)
        self.send_window = connection.outbound_flow_control_window
        self._collect()
        for event in events:
            if self.state != CLIENT_CLOSED:
                self._event(event)
        return 0

    cdef int _event(self, object event) except -1:
        """Act on one event of h2."""
        cdef ClientStream stream
        kind = type(event)
        if kind is RemoteSettingsChanged:
            return self._settings()
        if kind is DataReceived:
            self._grant_all(event.flow_controlled_length)
        stream = <ClientStream> self.streams.get(getattr(event, "stream_id", 0))
        if stream is None:
            return 0
        if kind is ResponseReceived or kind is InformationalResponseReceived or kind is TrailersReceived:
            return self._head(stream, getattr(event, "stream_ended", None) is not None)
        if kind is DataReceived:
            stream.receive_window -= event.flow_controlled_length
            return self._content(stream, event.data, event.flow_controlled_length)
        if kind is StreamEnded:
            return self._answered(stream)
        if kind is WindowUpdated:
            return self._enqueue(stream)
        if kind is StreamReset:
            if event.remote_reset:
                return self._was_reset(stream, event.error_code)
            self._fail(stream, FAILED_PROTOCOL, False, "the peer's window grew above 2**31 - 1", ENDED_BY_US)
        return 0

    cdef int _settings(self) except -1:
        """The peer's settings have changed (RFC 9113, 6.5.2)."""
        cdef ClientStream stream
        cdef long long before = self.initial_window
        settings = self.connection.remote_settings
        self.initial_window = settings.initial_window_size
        self.peer_streams = settings.max_concurrent_streams
        self.encoder.resize(settings.header_table_size)
        self.room_moved = True
        for stream in self.streams.values():
            if not self.through_h2:
                stream.send_window += self.initial_window - before
                if stream.send_window > LAST_STREAM:
                    return self._terminate(FLOW_CONTROL_ERROR, "the peer's settings make a window larger than 2**31 - 1")
            self._enqueue(stream)   # its window may have grown
        return 0

    # ---- answers

    cdef int _head(self, ClientStream stream, bint ends) except -1:
        """A field section of an open stream is complete: it lies in the decoder's block."""
        cdef HeaderBlock block = self.decoder.block
        stream.complete = ends
        if stream.headed and not ends:
            return self._terminate(PROTOCOL_ERROR, "the peer sent trailers that do not end the answer")
        if block.result == BLOCK_MALFORMED:
            return self._break(stream, PROTOCOL_ERROR, FAILED_PROTOCOL,
                               "the answer is malformed: " + (<bytes> block.reason).decode("ascii"))
        if block.result == BLOCK_TOO_LARGE:
            return self._break(stream, CANCEL, FAILED_LIMIT, (<bytes> block.reason).decode("ascii"))
        if stream.headed:
            return self._answered(stream)       # trailers: nobody asks for them
        if block.status < 200:
            if ends:
                return self._terminate(PROTOCOL_ERROR, "the peer ended a stream with an interim answer")
            stream.interim += 1
            if block.status == 101:
                return self._break(stream, PROTOCOL_ERROR, FAILED_PROTOCOL, "the peer switches protocols, which HTTP/2 cannot")
            if stream.interim > INTERIM_HEADS:
                return self._break(stream, CANCEL, FAILED_LIMIT, f"more than {INTERIM_HEADS} interim answers")
            return 0
        stream.headed = True
        stream.is_empty = block.status == 204 or block.status == 304 or stream.method == b"HEAD"
        if block.has_length and not stream.is_empty:
            stream.expected = <long long> block.content_length
        if self.head is None:
            self.head = block.head()
        stream.answer.head_received(block.status, self.head, block.fields, block.size, 20)
        if ends and not stream.is_gone and not self.through_h2:
            return self._answered(stream)
        return 0

    cdef int _content(self, ClientStream stream, bytes data, Py_ssize_t whole) except -1:
        """A DATA frame has come for an open stream; whole: its size with padding. The windows are counted."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if not self.through_h2:
            self._grant_all(whole)
        if whole > size:
            self._grant(stream, whole - size)       # nobody takes padding
        if not stream.headed:
            return self._terminate(PROTOCOL_ERROR, "the peer sent content before the head of its answer")
        if size == 0:
            return 0
        stream.received += size
        if stream.is_empty or stream.expected >= 0 and stream.received > stream.expected:
            return self._break(stream, PROTOCOL_ERROR, FAILED_PROTOCOL, "the answer has more content than its head tells")
        stream.answer.content_received(data)
        return 0

    cdef int _answered(self, ClientStream stream) except -1:
        """The peer has ended its side: the answer is whole. What is left of the request is not wanted (RFC 9113, 8.1)."""
        stream.complete = True
        if stream.expected > stream.received:
            return self._break(stream, PROTOCOL_ERROR, FAILED_PROTOCOL,
                               f"the answer ended after {stream.received} of {stream.expected} bytes")
        self._reset(stream, NO_ERROR)
        self._drop(stream, ENDED_BY_US)
        self.meter.answers += 1
        stream.answer.answer_ended()
        return 0

    # ---- ends

    cdef int _was_reset(self, ClientStream stream, unsigned int code) except -1:
        """The peer has sent RST_STREAM for an open stream."""
        cdef bint refused = code == REFUSED_STREAM and not stream.headed
        return self._fail(stream, FAILED_REFUSED if refused else FAILED_CLOSED, refused,
                          f"the peer reset the stream: {_code_name(code)}", ENDED_BY_PEER)

    cdef int _break(self, ClientStream stream, int code, int failure, str reason) except -1:
        """Reset a stream for what the peer did, and tell its caller."""
        self._reset(stream, code)
        return self._fail(stream, failure, False, reason, ENDED_BY_US)

    cdef int _go_away(self, const char* data, Py_ssize_t size) except -1:
        """The peer takes no more streams, and has not processed those above the last that it names (RFC 9113, 6.8)."""
        cdef ClientStream stream
        cdef long last = frame_number(data) & LAST_STREAM
        cdef unsigned int code = frame_number(data + 4)
        cdef str reason = f"the peer is going away: {_code_name(code)}"
        if code != NO_ERROR:
            self.farewell = f"GOAWAY {_code_name(code)}" + (f" {data[8:min(size, 8 + SAID_BYTES)]!r}" if size > 8 else "")
        if self.state == CLIENT_OPEN:
            self.state = CLIENT_LEAVING
            self.room_moved = True
        for stream in list(self.streams.values()):
            if stream.id > last:
                self._fail(stream, FAILED_CLOSED if stream.headed else FAILED_REFUSED, not stream.headed, reason,
                           ENDED_BY_PEER)
        return 0

    cdef int _terminate(self, int code, str reason, bint told=False) except -1:
        """The peer broke a rule or a limit: end the connection (RFC 9113, 5.4.1). told: h2 has said so already."""
        cdef bytes frame
        if self.state == CLIENT_CLOSED:
            return 0
        if told:
            self._collect()
        else:
            frame = goaway_frame(0, code)
            self.out.add(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        self._flush(True)
        self.state = CLIENT_CLOSED
        self._fail_all(FAILED_PROTOCOL, reason)
        self.link.room_changed()
        return self.link.close()

    cdef int _fail_all(self, int failure, str reason) except -1:
        """Every exchange is over. A request may be sent again if it may be repeated and nothing has come since it began."""
        cdef ClientStream stream
        cdef bint unprocessed
        self.ending = reason
        if failure == FAILED_CLOSED and self.farewell is not None:
            reason = f"{reason} (it had said {self.farewell})"
        for stream in list(self.streams.values()):
            unprocessed = failure == FAILED_CLOSED and stream.heard == self.heard and is_idempotent(stream.method)
            self._fail(stream, failure, unprocessed, reason, ENDED_BY_US)
        return 0
