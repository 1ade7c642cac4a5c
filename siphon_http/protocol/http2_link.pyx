"""h2 beside the streams that it does not see, and the way out for both.

What both sides need has one owner, and is lent to h2 for each call into it: the highest stream id and the connection's
send window. The connection's receive window is h2's own object, called for hot streams too. How hot streams have ended
is remembered, and told to h2 when a frame for one of them comes that only it can judge.

Answers of hot streams use no dynamic table, so h2's encoder stays in step; the size updates that it owes are written
by whoever sends the next head.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy, memmove

from h2.connection import ConnectionInputs
from h2.stream import StreamClosedBy

from siphon_http._core.clock cimport wall_second
from siphon_http._core.digits cimport write_date
from siphon_http._core.hpack cimport response_bound, write_response, write_table_size
from siphon_http.protocol.http1_answers cimport Http1Answers
from siphon_http.protocol.http2_judge cimport CONTINUATION, DATA, FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_BYTES, \
    FRAME_HEAD, HEADERS, RST_STREAM, frame_number

__all__ = ["Http2Link"]

cdef Py_ssize_t FLUSH_BYTES = 65536     # output is written at the latest when it is this many bytes


cdef char* write_frame_head(char* p, Py_ssize_t size, int kind, int flags, unsigned int id) noexcept nogil:
    """Write the head of a frame; see the header file."""
    p[0] = <char> (size >> 16)
    p[1] = <char> (size >> 8)
    p[2] = <char> size
    p[3] = <char> kind
    p[4] = <char> flags
    _write_number(p + 5, id)
    return p + FRAME_HEAD


cdef inline void _write_number(char* p, unsigned int number) noexcept nogil:
    """Write four bytes in network order."""
    p[0] = <char> (number >> 24)
    p[1] = <char> (number >> 16)
    p[2] = <char> (number >> 8)
    p[3] = <char> number


cdef class Http2Link:
    """h2, what it shares with hot streams, and the output of one connection. Belongs to one thread."""

    # ---- what h2 is lent

    cdef int _lend(self) except -1:
        """Let h2 know what happened beside it, before it judges or sends."""
        self.connection.highest_inbound_stream_id = self.highest_stream
        self.connection.outbound_flow_control_window = self.send_window
        if self.highest_stream and not self.has_opened:
            self.has_opened = True
            self.connection.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        return 0

    cdef int _take_back(self) except -1:
        """Learn what h2 has made of a call."""
        cdef unsigned int highest = self.connection.highest_inbound_stream_id
        self.send_window = self.connection.outbound_flow_control_window
        if highest > <unsigned int> self.highest_stream:
            self.has_opened = True
            self._raise_highest(highest)
        return 0

    cdef int _raise_highest(self, unsigned int id) except -1:
        """A stream is opened; those below it that were never used are closed (RFC 9113, 5.1.1)."""
        cdef unsigned int place = <unsigned int> self.highest_stream // 2 + (self.highest_stream & 1)
        cdef unsigned int last = id // 2
        if last - place >= CLOSED_SEEN:
            place = last - (CLOSED_SEEN - 1)
        while place <= last:
            self.closed[place % CLOSED_SEEN] = CLOSED_UNKNOWN
            place += 1
        self.highest_stream = <int> id
        return 0

    cdef int _note_closed(self, unsigned int id, int how) except -1:
        """Remember how a stream has ended that h2 has not seen."""
        if (<unsigned int> self.highest_stream - id) // 2 < CLOSED_SEEN:
            self.closed[id // 2 % CLOSED_SEEN] = how
        return 0

    cdef int _show_closed(self, unsigned int id) except -1:
        """Tell h2 how a stream has ended, if it was one that it has not seen: a frame for it has come."""
        cdef unsigned int place = id // 2 % CLOSED_SEEN
        if id > <unsigned int> self.highest_stream or (<unsigned int> self.highest_stream - id) // 2 >= CLOSED_SEEN:
            return 0
        if id & 1 and self.closed[place] != CLOSED_UNKNOWN:
            self.connection._closed_streams[id] = (
                StreamClosedBy.SEND_END_STREAM if self.closed[place] == CLOSED_BY_END
                else StreamClosedBy.RECV_RST_STREAM)
            if self.closed[place] != CLOSED_BY_US:
                self.closed[place] = CLOSED_UNKNOWN
        return 0

    cdef bint _was_refused(self, unsigned int id) noexcept:
        """Tell whether we have reset a stream: the peer may not know yet what it sends for nothing (RFC 9113, 5.1)."""
        return id & 1 and id <= <unsigned int> self.highest_stream \
            and (<unsigned int> self.highest_stream - id) // 2 < CLOSED_SEEN \
            and self.closed[id // 2 % CLOSED_SEEN] == CLOSED_BY_US

    cdef int _note_settings(self) except -1:
        """Learn what the peer's SETTINGS mean for hot streams, but their windows."""
        encoder = self.connection.encoder
        cdef list sizes = encoder.table_size_changes
        self.initial_window = self.connection.remote_settings.initial_window_size
        if sizes:
            # The smallest and the last are to be told (RFC 7541, 4.2); h2 forgets them when the last changes nothing.
            encoder.table_size_changes = [min(sizes), sizes[-1]] if min(sizes) < sizes[-1] else [sizes[-1]]
            encoder.header_table.resized = True
            self.owes_table_size = True
        return 0

    cdef int _shrink_table(self, const char* data, Py_ssize_t size) except -1:
        """Bound our encoder's table by every value in a SETTINGS frame: h2 sees the last only (RFC 9113, 6.5.3)."""
        cdef Py_ssize_t i
        encoder = self.connection.encoder
        for i in range(0, size, 6):
            if data[i] == 0 and data[i + 1] == 1 and frame_number(data + i + 2) < <unsigned int> encoder.header_table_size:
                encoder.header_table_size = frame_number(data + i + 2)
        return 0

    # ---- output

    cdef int _own(self) except -1:
        """Make the shared buffer ours: what another connection left in it is sent first."""
        if self.out.owner is not self:
            if isinstance(self.out.owner, Http1Answers):
                (<Http1Answers> self.out.owner).flush()
            elif self.out.owner is not None:
                (<Http2Link> self.out.owner)._flush(False)
            self.out.owner = self
        return 0

    cdef bint _is_much(self):
        """Tell whether so much waits in the buffer that it had better be written."""
        return self.out.size >= FLUSH_BYTES and self.out.owner is self

    cdef int _collect(self) except -1:
        """Put what h2 has to send behind what is there."""
        return self._put(self.connection.data_to_send())

    cdef int _collect_quietly(self) except -1:
        """Collect after a frame for a stream that we have reset: h2 would reset it once more, and last of all."""
        cdef bytes data = self.connection.data_to_send()
        cdef Py_ssize_t rest = PyBytes_GET_SIZE(data) - FRAME_HEAD - 4
        if rest >= 0 and (<unsigned char*> PyBytes_AS_STRING(data))[rest + 3] == RST_STREAM:
            data = data[:rest]
        return self._put(data)

    cdef int _put(self, bytes frame) except -1:
        """Put whole frames behind what is there; what h2 has to send before them was collected."""
        if PyBytes_GET_SIZE(frame):
            self._own()
            self.out.add(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        return 0

    cdef int _put_number(self, int kind, unsigned int id, unsigned int number) except -1:
        """Put a frame of four bytes: RST_STREAM or WINDOW_UPDATE."""
        self._own()
        _write_number(write_frame_head(self.out.room(FRAME_HEAD + 4), 4, kind, 0, id), number)
        self.out.size += FRAME_HEAD + 4
        return 0

    cdef int _put_data(self, unsigned int id, const char* data, Py_ssize_t size, bint ends) except -1:
        """Put one DATA frame."""
        self._own()
        memcpy(write_frame_head(self.out.room(FRAME_HEAD + size), size, DATA, FLAG_END_STREAM if ends else 0, id),
               data, size)
        self.out.size += FRAME_HEAD + size
        return 0

    cdef int _put_head(self, unsigned int id, int status, list fields, Py_ssize_t length, bint ends) except -1:
        """Put the head of an answer (RFC 9113, 8.3.2): HEADERS, and CONTINUATION when it is large.

        length: content-length, -1: none is told. ends: no content follows.
        """
        cdef Py_ssize_t bound = response_bound(fields) + 12
        cdef Py_ssize_t begin, size, frame
        cdef const char* date = self._date() if status >= 200 else NULL
        cdef char* p
        self._own()
        begin = self.out.size
        # Room for a head of each frame, and no move of the memory while it is written.
        self.out.room(bound + FRAME_HEAD * (bound // FRAME_BYTES + 2))
        self.out.size += FRAME_HEAD
        try:
            if self.owes_table_size:
                self._put_table_size()
            p = self.out.data + self.out.size
            self.out.size += write_response(<unsigned char*> p, status, fields, length, date)
        except BaseException:
            self.out.size = begin       # what others have put there is whole
            raise
        size = self.out.size - begin - FRAME_HEAD
        frame = (size - 1) // FRAME_BYTES       # the last one; most have number 0 only
        self.out.size += frame * FRAME_HEAD
        p = self.out.data + begin
        while frame > 0:
            bound = min(size - frame * FRAME_BYTES, FRAME_BYTES)
            memmove(p + (FRAME_HEAD + FRAME_BYTES) * frame + FRAME_HEAD, p + FRAME_HEAD + FRAME_BYTES * frame, bound)
            write_frame_head(p + (FRAME_HEAD + FRAME_BYTES) * frame, bound, CONTINUATION,
                             FLAG_END_HEADERS if bound + frame * FRAME_BYTES == size else 0, id)
            frame -= 1
        write_frame_head(p, min(size, FRAME_BYTES), HEADERS, (FLAG_END_STREAM if ends else 0)
                         | (FLAG_END_HEADERS if size <= FRAME_BYTES else 0), id)
        return 0

    cdef int _put_table_size(self) except -1:
        """Write the size updates that h2's encoder owes, and take them off it."""
        encoder = self.connection.encoder
        for size in encoder.table_size_changes:
            self.out.size += write_table_size(<unsigned char*> self.out.data + self.out.size, size)
        encoder.table_size_changes = []
        encoder.header_table.resized = False
        self.owes_table_size = False
        return 0

    cdef int _flush(self, bint anyway) except -1:
        """Write what waits; not while the transport is full, but for the last words of a connection."""
        cdef bytes data
        self._collect()
        if self.out.owner is self and self.out.size:
            self.outbox.append(self.out.take())
        if self.outbox and (anyway or not self.full):
            data = <bytes> self.outbox[0] if len(self.outbox) == 1 else b"".join(self.outbox)
            self.outbox.clear()
            self.sink.write(data)
        return 0

    def flush(self):
        """Let go of the shared buffer: another connection wants it."""
        self._flush(False)

    cdef const char* _date(self):
        """Return the value of the Date field, from the line that the shared buffer keeps for the current second."""
        cdef long long now = wall_second()
        if now != self.out.date_second:
            write_date(now, self.out.date)
            self.out.date_second = now
        return self.out.date + 6
