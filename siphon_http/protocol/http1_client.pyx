"""Client side of one HTTP/1.1 connection (RFC 9112), sans-IO.

    IDLE -> WAITING -> READING -> IDLE | CLOSED

Each answer is cut out of the stream first (answer_head, chunks) and then fed to httptools alone, which judges it; where
both disagree on what is complete, the exchange fails and the connection closes. One exchange at a time; a byte that
comes while nothing is asked makes the connection unusable.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy, memset

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from siphon_http.errors import LocalProtocolError

from siphon_http._core.digits cimport write_decimal
from siphon_http.protocol.answer cimport (
    FAILED_CLOSED, FAILED_PROTOCOL, LENGTH_UNKNOWN, LENGTH_WHOLE, Answer, ClientProtocol, Link, NoAnswer,
)
from siphon_http.protocol.answer_head cimport (
    ANSWER_CHUNKED, ANSWER_DONE, ANSWER_MORE, ANSWER_NO_LENGTH, AnswerResult, scan_answer,
)
from siphon_http.protocol.chunks cimport CHUNKS_DONE, scan_chunks

__all__ = ["Http1ClientConnection", "Http1ClientState"]

cdef Py_ssize_t HOLD_BYTES = 131072     # content that the caller has not taken before reading stops
cdef Py_ssize_t PIN_BYTES = 4096        # a head is copied out of a read that is so much larger
cdef Py_ssize_t JOIN_BYTES = 65536      # content below this goes out in one piece with the head
cdef int MAX_INTERIM = 32               # interim answers to one request
cdef int MAX_TRAILER_BYTES = 65536
cdef int MAX_TRAILER_LINES = 128
cdef Py_ssize_t NO_CAP = 1 << 60

cdef Answer NOBODY = NoAnswer()


cdef inline char* _put(char* p, const char* data, Py_ssize_t size) noexcept nogil:
    memcpy(p, data, size)
    return p + size


cdef bint is_idempotent(bytes method) except -1:
    """GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110, 9.2.2)."""
    return method == b"GET" or method in (b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE")


@cython.final
cdef class Http1ClientConnection(ClientProtocol):
    """Client side of one HTTP/1.1 connection (RFC 9112). link: the owner. Belongs to one thread."""

    def __cinit__(self, Link link not None, Py_ssize_t max_header_bytes=65536, int max_headers=256):
        self.link = link
        self.answer = NOBODY
        self.state = Http1ClientState.IDLE
        self.max_header_bytes = max_header_bytes
        self.max_headers = max_headers
        self.keep_seconds = -1
        self.parser = HttpResponseParser(self)
        self.feed = self.parser.feed_data

    # ---- what is sent

    cdef long begin(
        self, Answer answer, bytes method, bytes scheme, bytes authority, bytes target, bytes fields,
        bytes content, long long length
    ) except -1:
        """Send a request; return the number of the exchange (see ClientProtocol)."""
        cdef Py_ssize_t content_size = 0 if content is None else PyBytes_GET_SIZE(content)
        cdef Py_ssize_t joined = content_size if content_size <= JOIN_BYTES else 0
        cdef char[64] tail
        cdef char* p = tail
        cdef Py_ssize_t tail_size
        cdef bytes out
        if self.state != Http1ClientState.IDLE or self.closing:
            raise LocalProtocolError("an exchange is begun on a connection that has no room")
        self.sending = length != LENGTH_WHOLE
        self.unsent = length if length >= 0 else -1
        if length == LENGTH_UNKNOWN:
            p = _put(p, b"transfer-encoding: chunked\r\n", 28)
        elif length >= 0 or content is not None or method == b"POST" or method == b"PUT" or method == b"PATCH":
            p = _put(p, b"content-length: ", 16)
            p += write_decimal(<Py_ssize_t> length if length >= 0 else content_size, p)
            p = _put(p, b"\r\n", 2)
        tail_size = _put(p, b"\r\n", 2) - tail
        out = PyBytes_FromStringAndSize(
            NULL, PyBytes_GET_SIZE(method) + PyBytes_GET_SIZE(target) + PyBytes_GET_SIZE(authority)
            + PyBytes_GET_SIZE(fields) + tail_size + joined + 20)
        p = PyBytes_AS_STRING(out)
        p = _put(p, PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method))
        p[0] = c" "
        p = _put(p + 1, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
        p = _put(p, b" HTTP/1.1\r\nhost: ", 17)
        p = _put(p, PyBytes_AS_STRING(authority), PyBytes_GET_SIZE(authority))
        p = _put(p, b"\r\n", 2)
        p = _put(p, PyBytes_AS_STRING(fields), PyBytes_GET_SIZE(fields))
        p = _put(p, tail, tail_size)
        if joined:
            _put(p, PyBytes_AS_STRING(content), joined)
        self.number += 1
        self.answer = answer
        self.state = Http1ClientState.WAITING
        self.is_head = method == b"HEAD"
        self.may_repeat = self.number > 1 and is_idempotent(method)
        self.heard = 0
        self.interim = 0
        self.untaken = 0
        self.link.write(out)
        if content_size > joined and self.state != Http1ClientState.CLOSED:
            self.link.write(content)
        return self.number

    cdef int send(self, long exchange, bytes data, bint last) except -1:
        """Send a piece of streamed content (see ClientProtocol). Raises LocalProtocolError beside the declared length."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if exchange != self.number or not self.sending or self.state == Http1ClientState.CLOSED:
            return 1
        if self.unsent >= 0:
            if size > self.unsent or last and size < self.unsent:
                raise LocalProtocolError(
                    f"the content has {'more' if size > self.unsent else 'fewer'} bytes than its content-length")
            self.unsent -= size
            if size:
                self.link.write(data)
        elif size:
            self.link.write(b"%x\r\n%b\r\n%b" % (size, data, b"0\r\n\r\n" if last else b""))
        elif last:
            self.link.write(b"0\r\n\r\n")
        if last:
            self.sending = False
        return 1

    cdef int taken(self, long exchange, Py_ssize_t size) except -1:
        """The caller has taken content: go on reading once most of it is."""
        if exchange == self.number:
            self.untaken -= size
            if self.held and self.untaken < HOLD_BYTES // 2:
                self.held = False
                self.link.hold(False)
        return 0

    cdef int leave(self, long exchange) except -1:
        """The caller wants no more: the connection ends, since the rest of the answer is in it."""
        if exchange == self.number and (
                self.state == Http1ClientState.WAITING or self.state == Http1ClientState.READING):
            self.answer = NOBODY
            self.state = Http1ClientState.CLOSED
            self.closing = True
            self._forget()
            self.link.abort()
            self.link.room_changed()
        return 0

    cdef int shut_down(self) except -1:
        """Let the exchange under way be the last."""
        self.closing = True
        if self.state == Http1ClientState.IDLE:
            self._close()
        return 0

    cdef long long heard_of(self, long exchange) except -1:
        """Return how many reads have come for the exchange (see ClientProtocol)."""
        return self.heard

    cdef int room(self) noexcept:
        """Return 1 when an exchange may begin."""
        return self.state == Http1ClientState.IDLE and not self.closing

    cdef bint is_idle(self) noexcept:
        """Tell whether no exchange is open."""
        return self.state == Http1ClientState.IDLE or self.state == Http1ClientState.CLOSED

    # ---- what is received

    cdef int receive_data(self, bytes data) except -1:
        """Parse `data`, any split. What the server does wrong fails the exchange; nothing of it is raised."""
        cdef Py_ssize_t used
        if self.state == Http1ClientState.CLOSED or PyBytes_GET_SIZE(data) == 0:
            return 0
        if self.state == Http1ClientState.IDLE:
            self.ending = "the server sent something before it was asked"
            return self._close()        # an answer to nothing (RFC 9112, 9.2: close, whatever it was)
        self.heard += 1
        if self.state == Http1ClientState.WAITING:
            return self._waiting(data)
        used = self._content(data, 0)
        return self._deliver(PyBytes_GET_SIZE(data) - used) if used >= 0 else 0

    cdef int _waiting(self, bytes data) except -1:
        """Read interim answers and the final one's head."""
        cdef AnswerResult result
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t used
        cdef bytes kept
        if self.pending is not None:
            kept = self.pending
            self.pending = kept + data
            # A head is scanned again only when a line of it has ended, so that its cost is bounded by its lines.
            if PyBytes_GET_SIZE(kept) >= 7 and PyBytes_GET_SIZE(self.pending) <= self.max_header_bytes \
                    and memchr(PyBytes_AS_STRING(data), c"\n", PyBytes_GET_SIZE(data)) == NULL:
                return 0
            data = self.pending
            self.pending = None
        while True:
            result = scan_answer(PyBytes_AS_STRING(data) + at, PyBytes_GET_SIZE(data) - at, self.max_header_bytes,
                                 self.max_headers, &self.head)
            if result == ANSWER_MORE:
                self.pending = data[at:]
                return 0
            if result != ANSWER_DONE:
                return self._fail(FAILED_PROTOCOL, (<bytes> self.head.reason).decode("ascii"))
            if self.head.status >= 200:
                break
            if not self._interim_answer(data, at):
                return 0
            at += self.head.size
            if at == PyBytes_GET_SIZE(data):
                return 0
        used = self._final(data, at)
        return self._deliver(PyBytes_GET_SIZE(data) - used) if used >= 0 else 0

    cdef int _interim_answer(self, bytes data, Py_ssize_t at) except -1:
        """Skip an interim answer (RFC 9110, 15.2). Returns 0 when it ends the exchange."""
        self.interim += 1
        if self.head.status == 101:
            return self._fail(FAILED_PROTOCOL, "101 (Switching Protocols), which was not asked for") + 0
        if self.interim > MAX_INTERIM:
            return self._fail(FAILED_PROTOCOL, f"more than {MAX_INTERIM} interim answers") + 0
        self.judging = True     # by a parser of its own: Connection in it says nothing of the final answer
        try:
            HttpResponseParser(self).feed_data(_without_content(data, at, self.head.size))
        except (HttpParserError, HttpParserUpgrade, HttpParserCallbackError):
            return self._fail(FAILED_PROTOCOL, "an interim answer is malformed") + 0
        finally:
            self.judging = False
        return 1

    cdef Py_ssize_t _final(self, bytes data, Py_ssize_t at) except -1:
        """Read the final head, and what follows it here. Returns what was used of `data`, -2 when the exchange failed."""
        cdef Py_ssize_t begin = at
        cdef Py_ssize_t end = at + self.head.size
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef int number = self.number
        cdef Answer answer = self.answer
        cdef bint empty = self.is_head or self.head.status == 204 or self.head.status == 304
        cdef bytes head
        self.to_end = False
        self.complete = False
        self.keeps = not self.closing and not self.head.close and (self.head.version == 11 or self.head.keep)
        if self.head.keep_seconds >= 0:
            self.keep_seconds = self.head.keep_seconds
        if empty:
            self.head.length = 0
        elif self.head.length == ANSWER_NO_LENGTH:
            self.to_end = True
            self.keeps = False
        self.left = self.head.length
        if self.head.length == ANSWER_CHUNKED:
            memset(&self.chunks, 0, sizeof(self.chunks))
        # A message that is all here is fed in one call.
        if 0 < self.head.length <= size - end:
            end += self.left
            self.left = 0
        if empty and (self.is_head or self.head.status == 204):
            head = _without_content(data, at, self.head.size)
        else:
            head = data if at == 0 and end == size else data[at:end]
        if not self._feed(head):
            return -2
        if self.head.length >= 0 and self.complete != (self.left == 0):
            self._fail(FAILED_PROTOCOL, "the framing of the answer is in doubt")
            return -2
        self.state = Http1ClientState.READING
        if size - self.head.size > PIN_BYTES:
            head = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + at, self.head.size)
            begin = 0
        else:
            head = data
        answer.head_received(self.head.status, head, begin + self.head.fields, begin + self.head.fields_end,
                             self.head.version)
        if self.state != Http1ClientState.READING or self.number != number:
            return -2
        if end < size and not self.complete:
            return self._content(data, end)
        return end

    cdef Py_ssize_t _content(self, bytes data, Py_ssize_t at) except -1:
        """Feed content, up to its end; returns where in `data` that is, -2 when the exchange failed."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - at
        cdef bint done = False
        if self.head.length == ANSWER_CHUNKED:
            size = scan_chunks(&self.chunks, PyBytes_AS_STRING(data) + at, size, NO_CAP, MAX_TRAILER_BYTES,
                               MAX_TRAILER_LINES)
            if size < 0:
                self._fail(FAILED_PROTOCOL, (<bytes> self.chunks.reason).decode("ascii"))
                return -2
            done = self.chunks.state == CHUNKS_DONE
        elif not self.to_end:
            size = <Py_ssize_t> min(<long long> size, self.left)
            self.left -= size
            done = self.left == 0
        if not self._feed(data if at == 0 and size == PyBytes_GET_SIZE(data) else data[at:at + size]):
            return -2
        if self.complete != done:
            self._fail(FAILED_PROTOCOL, "the framing of the answer is in doubt")
            return -2
        return at + size

    cdef bint _feed(self, bytes data) except -1:
        """Let httptools judge `data`. Returns False when the exchange has failed."""
        try:
            self.feed(data)
        except (HttpParserError, HttpParserUpgrade, HttpParserCallbackError) as error:
            self._fail(FAILED_PROTOCOL, f"the answer is malformed: {str(error)[:120]}")
            return False
        return True

    def on_body(self, bytes data):
        """Note content that httptools has found. Never raises: that would leave the parser dead."""
        if self.piece is None:
            self.piece = data
        elif self.pieces is None:
            self.pieces = [data]
        else:
            self.pieces.append(data)

    def on_message_complete(self):
        """Note that httptools has seen the end of the message."""
        if self.judging:
            return
        self.complete = True
        if self.head.odd and not self.parser.should_keep_alive():
            self.keeps = False

    cdef int _deliver(self, Py_ssize_t rest) except -1:
        """Give the caller what content has come, and the end. rest: bytes of the read behind the answer."""
        cdef Answer answer = self.answer
        cdef bytes piece = self.piece
        cdef long number = self.number
        if piece is not None:
            self.piece = None
            if self.pieces is not None:
                self.pieces.insert(0, piece)
                piece = b"".join(self.pieces)
                self.pieces = None
            if not self.complete:
                self.untaken += PyBytes_GET_SIZE(piece)
            answer.content_received(piece)
            if self.state != Http1ClientState.READING or self.number != number:
                return 0
        if self.complete:
            if rest:
                self.keeps = False      # what follows is an answer to nothing
            return self._end()
        if self.untaken > HOLD_BYTES and not self.held:
            self.held = True
            self.link.hold(True)
        return 0

    cdef int _end(self) except -1:
        """The answer is whole: tell its caller, and then the owner, who may begin the next exchange."""
        cdef Answer answer = self.answer
        self.answer = NOBODY
        self.untaken = 0
        if self.held:
            self.held = False
            self.link.hold(False)
        if self.sending or not self.keeps:
            self.closing = True     # what is left of the request's content would be taken for the next request
            self.state = Http1ClientState.CLOSED
            self._forget()
        else:
            self.state = Http1ClientState.IDLE
        answer.answer_ended()
        if self.closing:
            self.link.close()
        return self.link.room_changed()

    cdef int eof_received(self) except -1:
        """The server sends no more: the end of an answer that has no other, a failure before any other's."""
        if self.state == Http1ClientState.READING and self.to_end:
            return self._end()
        if self.state == Http1ClientState.IDLE:
            return self._close()
        if self.state == Http1ClientState.CLOSED:
            return 0
        return self.lost("the server closed the connection")

    cdef int lost(self, str reason) except -1:
        """The transport is gone: what is open fails. May be called twice."""
        if self.state == Http1ClientState.IDLE:
            return self._close()
        if self.state == Http1ClientState.CLOSED:
            return 0
        if self.state == Http1ClientState.READING:
            return self._fail(FAILED_CLOSED, f"{reason} before the end of the answer")
        return self._fail(FAILED_CLOSED, f"{reason} before it answered", self.heard == 0 and self.may_repeat)

    cdef int _fail(self, int failure, str reason, bint unprocessed=False) except -1:
        """End the exchange without its answer, and the connection. Returns 0."""
        cdef Answer answer = self.answer
        self.answer = NOBODY
        self.closing = True
        self.state = Http1ClientState.CLOSED
        self._forget()
        self.link.abort()
        answer.answer_failed(failure, unprocessed, reason)
        self.link.room_changed()
        return 0

    cdef int _close(self) except -1:
        """Nothing more is asked over this connection."""
        self.closing = True
        self.state = Http1ClientState.CLOSED
        self._forget()
        self.link.close()
        self.link.room_changed()
        return 0

    cdef int _forget(self) except -1:
        """Cut the reference cycle with the parser, which holds our callbacks."""
        self.parser = None
        self.feed = None
        self.pending = None
        self.piece = None
        self.pieces = None
        return 0


cdef bytes _without_content(bytes data, Py_ssize_t at, Py_ssize_t size):
    """Return a copy of a head for the parser alone, its status shown as 304: it cannot know what was asked (HEAD)."""
    cdef bytes out = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + at, size)
    memcpy(PyBytes_AS_STRING(out) + 9, b"304", 3)
    return out
