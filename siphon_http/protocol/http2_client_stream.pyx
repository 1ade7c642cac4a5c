"""Exchanges of one HTTP/2 connection as a client, and what they share (RFC 9113, sections 5 and 6.9).

    Http2ClientFlow     stream table, turns, windows, output; base of the class that adds the input
    ClientStream        one exchange

Content is never copied while it waits: a stream keeps the caller's bytes objects and cuts a frame from them when it has
a turn and a window. Streams take turns of one frame each; no frame is larger than what every peer takes, 16 384 bytes.

Content received gives the connection's window back at once, and the stream's window when the caller has taken it: so a
caller that takes nothing holds up its own stream alone, and one connection keeps at most a window for each stream.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, memmove

from collections import deque

from h2.exceptions import ProtocolError

from siphon_http.errors import LocalProtocolError

from siphon_http._core.hpack_encoder cimport request_bound
from siphon_http.protocol.answer cimport LENGTH_WHOLE, Answer, ClientProtocol, NoAnswer
from siphon_http.protocol.http2_client_head cimport request_fields
from siphon_http.protocol.http2_flood cimport FLOOD_STRAY
from siphon_http.protocol.http2_judge cimport (
    CANCEL, CONTINUATION, DATA, FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_BYTES, FRAME_HEAD, HEADERS, LAST_STREAM,
    NO_ERROR, RST_STREAM, WINDOW_UPDATE, goaway_frame,
)
from siphon_http.protocol.http2_link cimport write_frame_head

__all__ = ["ClientStream", "Http2ClientFlow"]

cdef Py_ssize_t QUEUE_BYTES = 65536     # of streamed content: more has to wait for the peer
cdef Py_ssize_t USEFUL_BYTES = 1024     # a frame of this size was worth the WINDOW_UPDATE frames that allowed it
cdef Py_ssize_t FLUSH_BYTES = 65536     # output is written at the latest when it is this many bytes


@cython.final
cdef class ClientStream:
    """One exchange (RFC 9113, section 5.1). Made by its connection."""

    cdef int _append(self, bytes data) except -1:
        """Keep a piece of the content until there is a window for it."""
        if self.piece is None:
            self.piece = data
            self.offset = 0
        else:
            if self.pieces is None:
                self.pieces = deque()
            self.pieces.append(data)
        self.pending += PyBytes_GET_SIZE(data)
        return 0

    cdef int _take(self, char* to, Py_ssize_t size) except -1:
        """Cut the next `size` bytes, at most `pending`, off the pieces."""
        cdef Py_ssize_t part
        self.pending -= size
        while size:
            part = min(size, PyBytes_GET_SIZE(self.piece) - self.offset)
            memcpy(to, PyBytes_AS_STRING(self.piece) + self.offset, part)
            to += part
            self.offset += part
            size -= part
            if self.offset == PyBytes_GET_SIZE(self.piece):
                self.piece = <bytes> self.pieces.popleft() if self.pieces else None
                self.offset = 0
        return 0


cdef class Http2ClientFlow(ClientProtocol):
    """What the exchanges of one connection share. Belongs to one thread."""

    # ---- what the owner asks

    cdef long begin(
        self, Answer answer, bytes method, bytes scheme, bytes authority, bytes target, bytes fields,
        bytes content, long long length
    ) except -1:
        """Send a request; return its stream's id (see ClientProtocol)."""
        cdef ClientStream stream
        cdef Py_ssize_t size = 0 if content is None else PyBytes_GET_SIZE(content)
        cdef bint ends = length == LENGTH_WHOLE and size == 0
        cdef long id = self.next_id
        if self.room() <= 0:
            raise LocalProtocolError("no more exchanges can begin on this connection now; ask room() first")
        self._put_request(id, method, scheme, authority, target, fields,
                          length if length >= 0 else size if content is not None else -1, ends)
        self.next_id += 2
        if self.next_id > LAST_STREAM:
            self.state = CLIENT_LEAVING     # no ids are left (RFC 9113, 5.1.1)
        stream = ClientStream.__new__(ClientStream)
        stream.id = id
        stream.answer = answer
        stream.method = method
        stream.heard = self.heard
        stream.send_window = self.initial_window
        stream.receive_window = self.receive_limit
        stream.declared = length if length >= 0 else -1
        stream.expected = -1
        stream.finished = ends
        stream.ends = length == LENGTH_WHOLE
        self.streams[id] = stream
        self.ended[id >> 1 & ENDED_SEEN - 1] = ENDED_NOT
        if size and not self._sends_at_once(stream, content):
            stream._append(content)
            self._enqueue(stream)
            if not self.pumping:
                return self._settle() + id
        if not self.pumping and not self.corked:
            self._flush(False)
        return id

    cdef int send(self, long exchange, bytes data, bint last) except -1:
        """Send a piece of streamed content (see ClientProtocol)."""
        cdef ClientStream stream = <ClientStream> self.streams.get(exchange)
        cdef Py_ssize_t size = 0 if data is None else PyBytes_GET_SIZE(data)
        if stream is None or stream.ends:
            return 1
        if stream.declared >= 0:
            stream.declared -= size
            if stream.declared < 0 or last and stream.declared > 0:
                self.leave(exchange)
                raise LocalProtocolError("the content of a request differs in size from the length that was declared")
        stream.ends = last
        if size:
            stream._append(data)
            self._enqueue(stream)
        elif last and stream.pending == 0:
            self._send_end(stream)
        self._settle()
        stream.waits = not stream.ends and not stream.is_gone and stream.pending >= QUEUE_BYTES
        return not stream.waits

    cdef int taken(self, long exchange, Py_ssize_t size) except -1:
        """Give the peer new window for content that the caller has taken (see ClientProtocol)."""
        cdef ClientStream stream = <ClientStream> self.streams.get(exchange)
        if stream is not None and size > 0:
            self._grant(stream, size)
            if not self.pumping and not self.corked:
                self._flush(False)
        return 0

    cdef int leave(self, long exchange) except -1:
        """Cancel an exchange (see ClientProtocol); what still comes for it is passed over."""
        cdef ClientStream stream = <ClientStream> self.streams.get(exchange)
        if stream is None:
            return 0
        stream.answer = NoAnswer.__new__(NoAnswer)
        self._reset(stream, CANCEL)
        self._drop(stream, ENDED_BY_US)
        if self.meter.level[<int> FLOOD_STRAY] >= 1:
            self.meter.level[<int> FLOOD_STRAY] -= 1      # its answer may be under way
        return self._settle()

    cdef int shut_down(self) except -1:
        """Begin nothing more, and close once the open exchanges have ended (see ClientProtocol)."""
        if self.state == CLIENT_OPEN:
            self.state = CLIENT_LEAVING
            self.room_moved = True
        return self._settle()

    cdef Py_ssize_t waiting(self, long exchange) except -1:
        """Return the bytes that wait for a window or a turn (see ClientProtocol)."""
        stream = self.streams.get(exchange)
        return 0 if stream is None else (<ClientStream> stream).pending

    cdef long long heard_of(self, long exchange) except -1:
        """Return how much has come for the exchange: interim answers and content (see ClientProtocol)."""
        stream = self.streams.get(exchange)
        return 0 if stream is None else (<ClientStream> stream).interim + (<ClientStream> stream).received

    cdef int room(self) noexcept:
        """How many exchanges may begin now (see ClientProtocol)."""
        cdef long long count
        if self.state != CLIENT_OPEN or self.next_id > LAST_STREAM:
            return 0
        count = min(self.peer_streams, self.max_streams) - len(self.streams)
        return <int> count if count > 0 else 0

    cdef bint is_idle(self) noexcept:
        """Whether no exchange is open (see ClientProtocol)."""
        return len(self.streams) == 0

    cdef int cork(self) except -1:
        """Write nothing until `uncork`: the owner is about to begin several exchanges."""
        self.corked = True
        return 0

    cdef int uncork(self) except -1:
        """Write what has gathered since `cork`."""
        self.corked = False
        return 0 if self.pumping else self._flush(False)

    cdef int pause(self) except -1:
        """The transport takes no more for now: content waits, and so does the input once much output has gathered."""
        self.full = True
        return 0

    cdef int resume(self) except -1:
        """The transport takes more again."""
        self.full = False
        return self._settle()

    cdef ClientStream _find(self, long id):
        """Return an open stream, or None."""
        if self.last is None or self.last.id != id:
            self.last = <ClientStream> self.streams.get(id)
        return self.last

    # ---- output

    cdef int _settle(self) except -1:
        """Send what a call has made ready, unless whoever is at it already will do so."""
        if self.pumping or self.state == CLIENT_CLOSED:
            return 0
        self.pumping = True
        try:
            self._send()
            while self.room_moved and self.state != CLIENT_CLOSED:
                self.room_moved = False
                self.link.room_changed()
                self._send()
        finally:
            self.pumping = False
        if not self.corked:
            self._flush(False)
        return self._after()

    cdef int _send(self) except -1:
        """Give every stream with content its turns, one frame each, while windows and the transport allow it."""
        cdef ClientStream stream
        cdef Py_ssize_t window
        while self.ready and not self.full and self.state != CLIENT_CLOSED and self.send_window > 0:
            stream = <ClientStream> self.ready.popleft()
            stream.is_ready = False
            window = <Py_ssize_t> stream.send_window
            if self.through_h2:
                window = self.connection.streams[stream.id].outbound_flow_control_window
            window = min(<Py_ssize_t> self.send_window, window)
            if window > 0:      # else its next WINDOW_UPDATE puts it here again
                self._send_some(stream, window)
                if self.out.size >= FLUSH_BYTES and not self.corked:
                    self._flush(False)
        return 0

    cdef int _send_some(self, ClientStream stream, Py_ssize_t window) except -1:
        """Send one frame of `stream`'s content."""
        cdef Py_ssize_t size = min(window, FRAME_BYTES, stream.pending)
        cdef bint last = stream.ends and stream.pending == size
        cdef char* p
        cdef bytes data
        if self.through_h2:
            data = PyBytes_FromStringAndSize(NULL, size)
            stream._take(PyBytes_AS_STRING(data), size)
            self.connection.outbound_flow_control_window = self.send_window
            self.connection.send_data(stream.id, data, last)
            self._collect()
        else:
            p = self.out.room(FRAME_HEAD + size)
            stream._take(write_frame_head(p, size, DATA, FLAG_END_STREAM if last else 0, stream.id), size)
            self.out.size += FRAME_HEAD + size
            stream.send_window -= size
        self.send_window -= size
        if size >= USEFUL_BYTES:
            self.meter.frames += 1
        if last:
            return self._sent_all(stream)
        if stream.pending:
            self._enqueue(stream)
        if stream.waits and stream.pending < QUEUE_BYTES // 2:
            stream.waits = False
            stream.answer.content_wanted()
        return 0

    cdef bint _sends_at_once(self, ClientStream stream, bytes content) except -1:
        """Send whole content in one frame when nothing has to wait. 0: it must."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(content)
        if size > FRAME_BYTES or size > stream.send_window or size > self.send_window or self.full \
                or self.through_h2 or not stream.ends or self.ready:
            return False
        memcpy(write_frame_head(self.out.room(FRAME_HEAD + size), size, DATA, FLAG_END_STREAM, stream.id),
               PyBytes_AS_STRING(content), size)
        self.out.size += FRAME_HEAD + size
        stream.send_window -= size
        self.send_window -= size
        stream.finished = True
        return True

    cdef int _send_end(self, ClientStream stream) except -1:
        """End a request whose content is sent already."""
        if self.through_h2:
            self.connection.end_stream(stream.id)
            self._collect()
        else:
            write_frame_head(self.out.room(FRAME_HEAD), 0, DATA, FLAG_END_STREAM, stream.id)
            self.out.size += FRAME_HEAD
        return self._sent_all(stream)

    cdef int _sent_all(self, ClientStream stream) except -1:
        """END_STREAM is sent."""
        stream.finished = True
        stream.waits = False
        return 0

    cdef int _enqueue(self, ClientStream stream) except -1:
        """Put a stream behind the others that have content to send."""
        if not stream.is_ready and stream.pending and not stream.is_gone:
            stream.is_ready = True
            self.ready.append(stream)
        return 0

    cdef int _flush(self, bint anyway) except -1:
        """Write what waits; not while the transport is full, but for the last words of a connection."""
        if self.out.size and (anyway or not self.full) and self.state != CLIENT_CLOSED:
            self.link.write(self.out.take())
        return 0

    cdef int _collect(self) except -1:
        """Put what h2 has to send behind what is there."""
        cdef bytes data = <bytes> self.connection.data_to_send()
        return self.out.add(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int _put_number(self, int kind, unsigned int id, unsigned int number) except -1:
        """Put a frame of four bytes: RST_STREAM or WINDOW_UPDATE."""
        cdef char* p = write_frame_head(self.out.room(FRAME_HEAD + 4), 4, kind, 0, id)
        p[0] = <char> (number >> 24)
        p[1] = <char> (number >> 16)
        p[2] = <char> (number >> 8)
        p[3] = <char> number
        self.out.size += FRAME_HEAD + 4
        return 0

    cdef int _put_request(
            self, long id, bytes method, bytes scheme, bytes authority, bytes target, bytes fields, long long length,
            bint ends) except -1:
        """Put the head of a request: HEADERS, and CONTINUATION when it is large."""
        cdef Py_ssize_t bound, size, frame, part
        cdef char* p
        if self.through_h2:
            self.connection.send_headers(
                id, request_fields(method, scheme, authority, target, fields, length), ends)
            return self._collect()
        bound = request_bound(method, scheme, authority, target, fields)
        # Room for a head of each frame, and no move of the memory while it is written.
        p = self.out.room(bound + FRAME_HEAD * (bound // FRAME_BYTES + 2))
        try:
            size = self.encoder.write_request(
                <unsigned char*> p + FRAME_HEAD, method, scheme, authority, target, fields, length)
        except BaseException:
            self.state = CLIENT_LEAVING     # no memory: the peer's dynamic table may be another than ours now
            raise
        frame = (size - 1) // FRAME_BYTES       # the last one; most have number 0 only
        self.out.size += size + (frame + 1) * FRAME_HEAD
        while frame > 0:
            part = min(size - frame * FRAME_BYTES, FRAME_BYTES)
            memmove(p + (FRAME_HEAD + FRAME_BYTES) * frame + FRAME_HEAD, p + FRAME_HEAD + FRAME_BYTES * frame, part)
            write_frame_head(p + (FRAME_HEAD + FRAME_BYTES) * frame, part, CONTINUATION,
                             FLAG_END_HEADERS if part + frame * FRAME_BYTES == size else 0, id)
            frame -= 1
        write_frame_head(p, min(size, FRAME_BYTES), HEADERS, (FLAG_END_STREAM if ends else 0)
                         | (FLAG_END_HEADERS if size <= FRAME_BYTES else 0), id)
        return 0

    # ---- windows that the peer is given

    cdef int _grant(self, ClientStream stream, Py_ssize_t size) except -1:
        """Give a stream's window back once half of it was taken."""
        stream.credit += size
        if stream.credit * 2 < self.receive_limit or self.state == CLIENT_CLOSED:
            return 0
        size = <Py_ssize_t> min(<long long> stream.credit, self.receive_limit - stream.receive_window)
        stream.credit = 0
        if size <= 0:
            return 0        # more was taken than came
        stream.receive_window += size
        if self.through_h2:
            self.connection.increment_flow_control_window(size, stream.id)
            return self._collect()
        return self._put_number(WINDOW_UPDATE, stream.id, <unsigned int> size)

    cdef int _grant_all(self, Py_ssize_t size) except -1:
        """Take `size` bytes off the connection's window, and give it back once half of it is used."""
        cdef long long used
        self.whole_window -= size
        used = self.whole_limit - self.whole_window
        if used * 2 < self.whole_limit:
            return 0
        self.whole_window = self.whole_limit
        if self.through_h2:
            self.connection.increment_flow_control_window(used)
            return self._collect()
        return self._put_number(WINDOW_UPDATE, 0, <unsigned int> used)

    # ---- ends

    cdef int _reset(self, ClientStream stream, int code) except -1:
        """Send RST_STREAM, unless both sides have ended."""
        if stream.finished and stream.complete:
            return 0
        if not self.through_h2:
            return self._put_number(RST_STREAM, stream.id, code)
        try:
            self.connection.reset_stream(stream.id, code)
        except ProtocolError:
            return 0        # it is closed on both sides
        return self._collect()

    cdef int _drop(self, ClientStream stream, int how) except -1:
        """Take a stream out of the table. how: Ended, unless both sides have ended it."""
        stream.is_gone = True
        stream.piece = None
        stream.pieces = None
        stream.pending = 0
        if stream.is_ready:
            stream.is_ready = False
            self.ready.remove(stream)
        self.last = None
        del self.streams[stream.id]
        self.room_moved = True
        if (self.next_id - stream.id) >> 1 <= ENDED_SEEN:
            self.ended[stream.id >> 1 & ENDED_SEEN - 1] = ENDED_WHOLE if stream.finished and stream.complete else how
        return 0

    cdef int _fail(self, ClientStream stream, int failure, bint unprocessed, str reason, int how) except -1:
        """End an exchange without its answer, and tell its caller."""
        if not stream.is_gone:
            self._drop(stream, how)
            stream.answer.answer_failed(failure, unprocessed, reason)
        return 0

    cdef int _close(self) except -1:
        """Say good-bye and close the link."""
        cdef bytes frame = goaway_frame(0, NO_ERROR)
        self.out.add(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        self._flush(True)
        self.state = CLIENT_CLOSED
        return self.link.close()

    cdef int _after(self) except -1:
        """Close when nothing is open and nothing more will be."""
        if self.state == CLIENT_LEAVING and not self.streams and not self.pumping:
            return self._close()
        return 0
