"""Hot streams: those that begin with one plain HEADERS frame, read here and answered without h2 (RFC 9113).

Hot is a stream whose HEADERS frame ends its field section, has neither padding nor priority, and an id above all others.
Its DATA, WINDOW_UPDATE and RST_STREAM frames are handled here as long as they are what its state allows. h2 has to see
any other frame: a stream that is open is then made over to it for the rest of its life, in the state and with the
windows that it has; of one that has ended it is told how. Frames of a wrong size go to h2 as they are, which ends the
connection.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize

from h2.connection import AllowedStreamIDs
from h2.exceptions import FlowControlError, ProtocolError
from h2.stream import StreamInputs

from siphon_http._core.body cimport BodyAccumulator
from siphon_http._core.header_block cimport BLOCK_BROKEN
from siphon_http._core.message cimport Request
from siphon_http.protocol.http2_bounds cimport Http2Bounds
from siphon_http.protocol.http2_flood cimport FLOOD_RESET, flood_counts
from siphon_http.protocol.http2_head cimport MALFORMED, FieldDecoder, Http2Head, build_request
from siphon_http.protocol.http2_judge cimport (
    COMPRESSION_ERROR, DATA, ENHANCE_YOUR_CALM, FLAG_END_HEADERS, FLAG_END_STREAM, FLAG_PADDED,
    FLAG_PRIORITY, FLOW_CONTROL_ERROR, HEADERS, LAST_STREAM, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, WINDOW_UPDATE,
    frame_number,
)
from siphon_http.protocol.http2_link cimport CLOSED_BY_US
from siphon_http.protocol.http2_stream cimport Http2State, Http2Stream

__all__ = ["Http2Hot"]


cdef class Http2Hot(Http2Bounds):
    """A connection whose plainly opened streams are read and answered beside h2. Belongs to one thread."""

    cdef bint _read_hot(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1:
        """Handle one frame outside of field blocks; see the header file."""
        cdef Http2Stream stream
        if kind == HEADERS:
            if (id & 1 and id > <unsigned int> self.highest_stream and not self.through_h2
                    and flags & (FLAG_END_HEADERS | FLAG_PADDED | FLAG_PRIORITY) == FLAG_END_HEADERS):
                self._open(id, flags & FLAG_END_STREAM, data, size)
                return True
            self.decoder.trailers = id <= <unsigned int> self.highest_stream
            self._show_closed(id)
        elif kind == WINDOW_UPDATE and size == 4 and id == 0 and not self.through_h2:
            return self._window_update(None, 0, frame_number(data) & LAST_STREAM)
        elif kind != DATA and kind != RST_STREAM and kind != WINDOW_UPDATE:
            return False
        stream = <Http2Stream> self.streams.get(id)
        if stream is None:
            if kind == DATA and not self.through_h2 and self._was_refused(id):
                return self._pass_over(flags, data, size)
            # One that is over, and nothing comes of it: h2 would pass over it too.
            return kind == WINDOW_UPDATE and size == 4 and id & 1 and id <= <unsigned int> self.highest_stream \
                and frame_number(data) & LAST_STREAM and not self.through_h2
        if not stream.is_hot:
            return False
        if kind == DATA and not stream.complete:
            return self._data(stream, flags, data, size)
        if kind == WINDOW_UPDATE and size == 4:
            return self._window_update(stream, id, frame_number(data) & LAST_STREAM)
        if kind == RST_STREAM and size == 4:
            stream.was_reset = True
            stream._lose(True)
            return True
        self._adopt(stream)
        return False

    cdef int _open(self, unsigned int id, bint ended, const char* data, Py_ssize_t size) except -1:
        """A stream is opened: its whole field section is data[0:size]."""
        if self.decoder.read(<const unsigned char*> data, size) == BLOCK_BROKEN:
            return self._terminate(COMPRESSION_ERROR, False)
        if self.decoder.is_bomb():
            return self._terminate(ENHANCE_YOUR_CALM, False)
        self._raise_highest(id)
        return self._request(<int> id, ended, True)

    cdef bint _data(self, Http2Stream stream, int flags, const char* data, Py_ssize_t size) except -1:
        """Take a DATA frame of an open hot stream. 0: it is for h2."""
        cdef Py_ssize_t whole = size
        if flags & FLAG_PADDED:
            if size == 0 or <unsigned char> data[0] >= size:
                return False
            size -= 1 + <unsigned char> data[0]
            data += 1
        try:
            self.receive_manager.window_consumed(whole)
        except FlowControlError:
            self._terminate(FLOW_CONTROL_ERROR, False)
            return True
        stream.receive_window -= whole
        if stream.receive_window < 0:
            self._terminate(FLOW_CONTROL_ERROR, False)
            return True
        stream._receive(PyBytes_FromStringAndSize(data, size), whole)
        if flags & FLAG_END_STREAM and not stream.is_gone and self.state != Http2State.CLOSED:
            stream._end_content()
        return True

    cdef bint _pass_over(self, int flags, const char* data, Py_ssize_t size) except -1:
        """Take DATA of a stream that we have reset, which only counts for the connection's window. 0: it is for h2."""
        if flags & FLAG_PADDED and (size == 0 or <unsigned char> data[0] >= size):
            return False
        try:
            self.receive_manager.window_consumed(size)
        except FlowControlError:
            self._terminate(FLOW_CONTROL_ERROR, False)
            return True
        increment = self.receive_manager.process_bytes(size)
        if increment:
            self._put_number(WINDOW_UPDATE, 0, increment)
        return True

    cdef bint _window_update(self, Http2Stream stream, unsigned int id, unsigned int more) except -1:
        """Give more window to a hot stream, or, with None, to the connection. 0: it is for h2."""
        if more == 0:
            return False
        if stream is None:
            if self.send_window + more > LAST_STREAM:
                return False
            self.send_window += more
        elif stream.send_window + more > LAST_STREAM:
            self._reset(stream, FLOW_CONTROL_ERROR)
            stream._lose(True)
            self._blame()
        else:
            stream.send_window += more
            self._enqueue(stream)
        return True

    cdef int _adopt(self, Http2Stream stream) except -1:
        """Make an open hot stream over to h2, which has never heard of it."""
        connection = self.connection
        self._lend()
        connection.highest_inbound_stream_id = stream.id - 1
        adopted = connection._begin_new_stream(stream.id, AllowedStreamIDs.ODD)
        connection.highest_inbound_stream_id = self.highest_stream
        machine = adopted.state_machine
        machine.process_input(StreamInputs.RECV_HEADERS)
        if stream.complete:
            machine.process_input(StreamInputs.RECV_END_STREAM)
        if stream.answered:
            machine.process_input(StreamInputs.SEND_HEADERS)
        if stream.finished:
            machine.process_input(StreamInputs.SEND_END_STREAM)
        adopted.outbound_flow_control_window = stream.send_window
        adopted._inbound_window_manager.current_window_size = stream.receive_window
        adopted._inbound_window_manager._bytes_processed = stream.processed
        stream.is_hot = False
        return 0

    cdef int _settings(self) except -1:
        """The peer's settings have changed: the windows of hot streams change with them (RFC 9113, 6.9.2)."""
        cdef Http2Stream stream
        cdef long long before = self.initial_window
        self._note_settings()
        for stream in self.streams.values():
            if stream.is_hot:
                stream.send_window += self.initial_window - before
                if stream.send_window > LAST_STREAM:
                    return self._terminate(FLOW_CONTROL_ERROR, False)
            self._enqueue(stream)   # its window may have grown
        return 0

    # ---- requests of both kinds

    cdef int _request(self, int id, bint ended, bint hot) except -1:
        """A request's fields are complete: they lie in the decoder's block."""
        cdef Http2Head head
        cdef Http2Stream stream
        cdef Request request
        if self.state != Http2State.OPEN or len(self.streams) + self.abandoned >= self.max_streams:
            return self._reject(id, REFUSED_STREAM, hot)
        request = build_request(self.decoder.block, ended, &head)
        if head.refusal == MALFORMED:
            self.sink.refused(400, None)
            return self._reject(id, PROTOCOL_ERROR, hot)
        stream = Http2Stream.__new__(Http2Stream, self, id)
        stream.is_hot = hot
        stream.send_window = self.initial_window
        stream.receive_window = self.receive_limit
        stream.request = request
        stream.expected = head.length
        stream.complete = ended
        self.streams[id] = stream
        if head.refusal:
            return stream._refuse(head.refusal, head.reason)
        return self._begin(stream, request, ended)

    cdef int _begin(self, Http2Stream stream, Request request, bint ended) except -1:
        """Tell the owner of a request; deliver it, or prepare for its content."""
        stream.known = True
        stream.cap = self.sink.head_received(request)
        if stream.request is None:
            return 0
        if stream.expected > stream.cap:
            return stream._refuse(413, b"content too large")
        stream.owes_continue = request.expects
        if ended:
            return stream._deliver()
        if request.streams:
            stream.queue = []
            return stream._deliver()
        stream.body = BodyAccumulator(stream.cap)
        return stream._ask() if stream.owes_continue else 0

    cdef int _reject(self, int id, int code, bint hot) except -1:
        """Reset a stream for what the peer did."""
        if hot:
            self._put_number(RST_STREAM, id, code)
            self._note_closed(id, CLOSED_BY_US)
        else:
            try:
                self.connection.reset_stream(id, code)
                self._note_closed(id, CLOSED_BY_US)
                self._collect()
            except ProtocolError:
                pass        # it is closed: the answer was complete, and so was the request
        return self._blame()

    cdef int _blame(self) except -1:
        """The peer made us reset a stream; one that makes us do so too often has to go (CVE-2025-8671)."""
        if flood_counts(&self.meter, FLOOD_RESET, self.now, 1):
            return self._terminate(ENHANCE_YOUR_CALM, False)
        return 0

    cdef int _terminate(self, int code, bint told) except -1:
        """End the connection; the server side says how."""
        return 0
