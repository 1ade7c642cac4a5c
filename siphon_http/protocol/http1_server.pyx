"""Server side of one HTTP/1.1 connection (RFC 9112), sans-IO: bytes in, calls on a sink out.

    IDLE -> READING_HEAD -> READING_BODY -> RESPONDING -> IDLE | CLOSED

Each message is cut out of the stream first (http1_head, chunks) and then fed to httptools alone, which judges it; where
both disagree on what is complete, the answer is 400 and the connection closes. Heads without content that follow each
other in one read are fed together; when anything is wrong with them, that counts for nothing, and each is fed alone in
its turn, to a new parser. Requests of one connection are answered one at a time, in order; what follows the current one
stays raw bytes.

Nothing that the peer does is raised: it is answered, the connection is closed, and the sink is told.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memset

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from siphon_http.errors import LocalProtocolError, RemoteProtocolError

from siphon_http._core.body cimport BodyAccumulator
from siphon_http._core.headers cimport HEAD_CLOSE, OutBuffer
from siphon_http._core.message cimport Request, Response, plain_response
from siphon_http.protocol.chunks cimport CHUNKS_DONE, ChunkScan, scan_chunks
from siphon_http.protocol.http1_answers cimport FLUSH_BYTES, Http1Answers, Http1State
from siphon_http.protocol.http1_head cimport (
    HEAD_DONE, HEAD_MORE, LENGTH_CHUNKED, Ahead, Head, is_plain_head, message_for_parser, request_of, scan_ahead, scan_head,
)
from siphon_http.protocol.sink cimport NoSink, Sink

__all__ = ["Http1ServerConnection"]

# Allowed transitions: bit n of TRANSITIONS[state] allows state n. IDLE goes on to RESPONDING and READING_BODY when a
# head arrives in one piece; a body that nobody wants any more ends in IDLE.
cdef unsigned char[5] TRANSITIONS = [0b11110, 0b11100, 0b11001, 0b10001, 0b10000]

cdef Py_ssize_t QUEUE_BYTES = 65536     # raw bytes kept behind a request, and content kept for a stream
cdef Py_ssize_t DISCARD_BYTES = 65536   # content nobody wants is read up to this, to keep the connection
cdef Py_ssize_t PIN_BYTES = 4096        # content that may stay alive with the head before it
cdef Py_ssize_t SHARE_BYTES = 16384     # bytes of heads that are fed together, and that their requests may keep alive

cdef Sink GONE = NoSink()       # owner of a connection that has lost its own: a call on None would be a crash


@cython.final
cdef class Http1ServerConnection(Http1Answers):
    """Server side of one HTTP/1.1 connection (RFC 9112).

    sink: the owner. out: the loop's output buffer. max_header_bytes: limit of request line and header section together
    (414, 431). max_headers: limit of field lines (431). Belongs to one thread.
    """

    def __cinit__(self, Sink sink, OutBuffer out, Py_ssize_t max_header_bytes=65536, int max_headers=128):
        self.sink = sink
        self.out = out
        self.max_header_bytes = max_header_bytes
        self.max_headers = max_headers
        self.state = Http1State.IDLE
        self.data = b""
        self._new_parser()

    # ---- input

    cpdef int receive_data(self, bytes data) except -1:
        """Parse `data`, any split. What the peer does wrong is answered, closed and reported; nothing is raised."""
        cdef Py_ssize_t waiting = PyBytes_GET_SIZE(self.data) - self.at
        if self.state == Http1State.CLOSED:
            return 0
        if waiting == 0 and self.pending is None:
            self.data = data
            self.at = 0
        else:
            if self.pending is None:
                self.pending = bytearray()
            self.pending += data
            # A head is scanned again only when a line of it has ended, so that its cost is bounded by its lines.
            if self.state == Http1State.READING_HEAD and waiting + len(self.pending) <= self.max_header_bytes:
                if memchr(PyBytes_AS_STRING(data), c"\n", PyBytes_GET_SIZE(data)) == NULL:
                    return 0
        return self._pump()

    cpdef int receive_eof(self) except -1:
        """The peer has sent its last byte; a request that is complete is still answered."""
        self.ended = True
        return 0 if self.full or self.pumping else self._came_to_an_end()

    cpdef int pause(self) except -1:
        """The transport takes no more for now."""
        self.full = True
        return 0

    cpdef int resume(self) except -1:
        """The transport takes more again."""
        self.full = False
        self._wake()
        if self.state != Http1State.CLOSED and not self.pumping:
            self._pump()
        return 0

    cpdef int drain(self) except -1:
        """Let the exchange under way, or the next when a head has begun to arrive, be the last (RFC 9112, 9.6)."""
        self.draining = True
        if self.state == Http1State.IDLE and self.current is None and not self.full and not self.pumping:
            self._shut(False)
        return 0

    cpdef int time_out(self) except -1:
        """Time is over: 408 while the request still arrives, 504 after; silence when nothing of one has come."""
        if self.state == Http1State.CLOSED or self.answered:
            return 0    # the rest of an answer has its own time: that of writing
        if self.current is None and self.state != Http1State.READING_HEAD:
            return self._shut(False)
        if self.state <= Http1State.READING_BODY:
            return self._refuse(408, b"request timeout")
        self.respond(self.current, plain_response(504, b"gateway timeout"))
        return 0

    cpdef object detach(self):
        """Forget the owner: the connection is gone. Returns the request whose exchange was cut off, or None."""
        cdef Request request = self.current
        self.state = Http1State.CLOSED
        self.current = None
        self.sink = GONE
        self.parser = None      # it holds our callbacks
        self.feed = None
        self._forget()
        if self.out is not None and self.out.owner is self:
            self.out.take()
        self._wake()
        return request

    def on_body(self, bytes data):
        """Note content that httptools has found. Never raises: that would leave the parser dead."""
        if self.discards:
            return
        if self.queue is not None:
            self.queue.append(data)
            self.queued += len(data)
        elif self.body is not None:
            self.body.feed(data)
        elif self.piece is None:
            self.piece = data
        else:
            self.piece += data

    def on_message_complete(self):
        """Note that httptools has seen the end of a message."""
        self.completed += 1

    cdef int _new_parser(self) except -1:
        self.parser = HttpRequestParser(self)
        self.feed = self.parser.feed_data
        return 0

    cdef int _go(self, Http1State state) except -1:
        if not TRANSITIONS[<int> self.state] >> <int> state & 1 and state != self.state:
            raise LocalProtocolError(f"no way from {self.state} to {state}")
        self.state = state
        return 0

    cdef int _pump(self) except -1:
        """Parse and deliver what has arrived, as far as one request at a time allows; then send what is due."""
        cdef Ahead ahead
        if self.pumping:
            return 0
        self.pumping = True
        ahead.next = ahead.count = 0
        try:
            while not self.full and self.state <= Http1State.READING_BODY:
                if self.pending is not None:
                    self.data = self.data[self.at:] + bytes(self.pending)
                    self.at = 0
                    self.pending = None
                if self.state == Http1State.READING_BODY:
                    if not self._read_body():
                        break
                elif self.at == PyBytes_GET_SIZE(self.data) or not self._read_head(&ahead):
                    break
                if self.out.size >= FLUSH_BYTES:
                    self.flush()
        finally:
            self.pumping = False
        if self.out.size:
            self.flush()
        if self.state == Http1State.CLOSED:
            return 0
        if self.at == PyBytes_GET_SIZE(self.data):
            self.data = b""
            self.at = 0
        elif self.at > PIN_BYTES:
            self.data = self.data[self.at:]
            self.at = 0
        if not self.full:
            self._came_to_an_end()
        return self._flow()

    cdef int _came_to_an_end(self) except -1:
        """Close when nothing more will come, or nothing more is wanted; all that has arrived was looked at."""
        if self.ended and self.state == Http1State.READING_BODY and self.current is not None:
            return self._refuse(400, b"the content ended too early", True)
        if self.ended and self.state <= Http1State.READING_BODY or self.draining and self.state == Http1State.IDLE:
            return self._shut(False)
        return 0

    cdef int _flow(self) except -1:
        """Stop reading while too much waits here, and go on when it does not."""
        cdef Py_ssize_t waiting = PyBytes_GET_SIZE(self.data) - self.at
        cdef bint stop
        if self.state == Http1State.CLOSED:
            return 0
        if self.pending is not None:
            waiting += len(self.pending)
        stop = self.queued >= QUEUE_BYTES or (
            waiting >= QUEUE_BYTES and (self.state == Http1State.RESPONDING or self.full))
        if stop != self.held:
            self.held = stop
            self.sink.hold(stop)
        return 0

    cdef int _read_head(self, Ahead* ahead) except -1:
        """Parse one head at `at`. Returns 0 when more is needed, or nothing more can be done."""
        cdef Head head
        cdef const char* start
        cdef int result
        if ahead.next < ahead.count:
            ahead.next += 1
            self.at += ahead.heads[ahead.next - 1].skipped
            return self._begin(&ahead.heads[ahead.next - 1])
        start = PyBytes_AS_STRING(self.data) + self.at
        result = scan_head(
            start, PyBytes_GET_SIZE(self.data) - self.at, self.max_header_bytes, self.max_headers, &head)
        if result == HEAD_MORE:
            if start[head.skipped] != c"\r":    # else empty lines, which stay until it is known that they are few
                self.at += head.skipped
                self._go(Http1State.READING_HEAD)
            return 0
        self.at += head.skipped
        if result != HEAD_DONE:
            self._refuse(result, head.reason)
            return 0
        if self.judged == 0 and self.at + head.size < PyBytes_GET_SIZE(self.data) and is_plain_head(&head):
            self._look_ahead(&head, ahead)
        return self._begin(&head)

    cdef int _look_ahead(self, Head* first, Ahead* ahead) except -1:
        """Let httptools judge the plain heads that follow the plain `first`, together with it."""
        cdef Py_ssize_t total = PyBytes_GET_SIZE(self.data)
        cdef Py_ssize_t behind = self.at + first.size
        cdef Py_ssize_t size
        cdef bint taken = True
        size = first.size + scan_ahead(PyBytes_AS_STRING(self.data) + behind, min(total - behind, SHARE_BYTES),
                                       self.max_header_bytes, self.max_headers, ahead)
        if ahead.count == 0:
            return 0
        self.completed = 0
        try:
            self.feed(self._cut(size))
        except HttpParserCallbackError as error:
            raise LocalProtocolError("a parser callback failed") from (error.__context__ or error)
        except (HttpParserError, HttpParserUpgrade):
            taken = False
        self.judged = ahead.count + 1
        if not taken or self.completed != self.judged:
            self.judged = -self.judged
            self._new_parser()
        return 0

    cdef int _begin(self, Head* head) except -1:
        """Make the request of a scanned head, let httptools judge it, and deliver it or begin its content."""
        cdef Request request
        cdef bytes message = None
        cdef Py_ssize_t start = self.at
        cdef Py_ssize_t size = head.size
        cdef bint whole
        if 0 < head.length <= PyBytes_GET_SIZE(self.data) - start - size:
            size += head.length
        if self.judged > 0:
            request = request_of(self.data, start, head, SHARE_BYTES)
        else:
            message = self._cut(size)
            request = request_of(message, 0, head, head.size + PIN_BYTES)
        self.current = request
        self.answered = False
        self.delivered = False
        self.piece = None
        self.at = start + size
        self.cap = self.sink.head_received(request)
        if self.current is not request:
            return 0        # cut off meanwhile
        if head.length > self.cap:
            self._refuse(413, b"content too large")
            return 0
        if self.judged > 0:
            self.judged -= 1
        else:
            self.judged += self.judged < 0
            # The parser may be shown another method and version that it frames alike, and no Upgrade, after which it
            # would take content for another protocol. Offsets and length of what follows do not matter to it.
            if self._feed(message_for_parser(message, head) if head.rewrite or head.hide else message):
                return 0
            whole = size > head.size or not request.has_content
            if self.completed != whole:
                self._refuse(400, b"the end of the message is in doubt")
                return 0
            if not whole:
                return self._begin_content(head)
        request.content = self.piece
        self.piece = None
        request.is_complete = True
        self._go(Http1State.RESPONDING)
        self._deliver()
        return 1

    cdef bytes _cut(self, Py_ssize_t size):
        """Return `size` bytes from `at` on."""
        if size == PyBytes_GET_SIZE(self.data):
            return self.data
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.data) + self.at, size)

    cdef int _begin_content(self, Head* head) except -1:
        """Prepare for content that has not arrived whole."""
        cdef Request request = self.current
        self._go(Http1State.READING_BODY)
        self.discards = False
        self.chunked = head.length == LENGTH_CHUNKED
        self.left = head.length
        memset(&self.chunks, 0, sizeof(ChunkScan))
        self.owes_continue = request.expects and self.at == PyBytes_GET_SIZE(self.data) and self.pending is None
        if request.streams:
            self.queue = []
            self.queued = 0
            self._deliver()
            return self.state != Http1State.CLOSED
        self.body = BodyAccumulator(self.cap)
        if self.owes_continue:
            self._continue()
        return 1

    cdef int _continue(self) except -1:
        """Ask for the content (RFC 9110, 15.2.1)."""
        self.owes_continue = False
        self._own()
        self.out.add(b"HTTP/1.1 100 Continue\r\n\r\n", 25)
        return 0 if self.pumping else self.flush()

    cdef int _feed(self, bytes data) except -1:
        """Let httptools judge `data`. Returns 1 when it refuses; then the peer is answered."""
        self.completed = 0
        try:
            self.feed(data)
        except HttpParserCallbackError as error:
            raise LocalProtocolError("a parser callback failed") from (error.__context__ or error)
        except (HttpParserError, HttpParserUpgrade):
            self._refuse(400, b"bad request")
            return 1
        return 0

    cdef int _read_body(self) except -1:
        """Feed content that is here. Returns 0 when more is needed, or nothing more can be done."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.data) - self.at
        cdef Py_ssize_t used
        cdef bint ends
        cdef bytes part
        if size == 0:
            return 0
        self.owes_continue = False
        if self.chunked:
            used = scan_chunks(&self.chunks, PyBytes_AS_STRING(self.data) + self.at, size, self.cap,
                               <int> self.max_header_bytes, self.max_headers)
            if used < 0:
                self._refuse(<int> -used, self.chunks.reason)
                return 0
            ends = self.chunks.state == CHUNKS_DONE
        else:
            used = min(size, self.left)
            self.left -= used
            ends = self.left == 0
        part = self._cut(used)
        self.at += used
        if self._feed(part):
            return 0
        if self.completed != ends:
            self._refuse(400, b"the end of the content is in doubt")
            return 0
        if ends:
            return self._body_ended()
        if self.queue is not None:
            self._wake()
        return 1

    cdef int _body_ended(self) except -1:
        """The content is complete."""
        cdef Request request = self.current
        if request is None:
            self.discards = False
            self.queue = None
            self._go(Http1State.IDLE)
            return 1
        request.is_complete = True
        self._go(Http1State.RESPONDING)
        if self.queue is not None:
            self._wake()
            return 1
        request.content = self.body.take()
        self.body = None
        self._deliver()
        return 1

    cdef int _deliver(self) except -1:
        self.delivered = True
        return self.sink.request_received(self, self.current)

    cdef object read_content(self, Request request):
        """Return content that has arrived (see Exchange)."""
        cdef bytes content
        if request is not self.current or request is None:
            if request is not None and request.is_complete:
                return b""
            raise RemoteProtocolError("the client left before its content was complete")
        if self.queue:
            content = (<bytes> self.queue[0]) if len(self.queue) == 1 else b"".join(self.queue)
            request.received += PyBytes_GET_SIZE(content)
            self.queue.clear()
            self.queued = 0
            self._flow()
            return content
        if request.is_complete:
            content = request.content or b""
            request.content = None
            request.received += PyBytes_GET_SIZE(content)
            return content
        if self.owes_continue and not self.answered:
            self._continue()
        return None

    # ---- ends

    cdef int _finish(self, bint keep) except -1:
        """The exchange is over: go on with the next, or close."""
        cdef Request request = self.current
        if request is None:
            return 0    # cut off while it was written
        self.current = None
        self.answered = False
        self.body = self.queue = None
        self.queued = 0
        if not keep:
            self.sink.request_ended(request)
            # A client that counts on another answer may be sending: a plain close would reset what it has not read.
            counts = request.keep_alive and not self.draining or self.has_more()
            return self._shut(counts or self.state == Http1State.READING_BODY)
        if self.state == Http1State.READING_BODY:
            self.discards = True
        else:
            self._go(Http1State.IDLE)
        self.sink.request_ended(request)
        if self.wakers is not None:
            self._wake()
        if not self.pumping:
            self._pump()
        return 0

    cdef int _refuse(self, int status, const char* reason, bint left=False) except -1:
        """Answer what the peer did wrong, and close: the framing of what follows is in doubt. left: it sends no more."""
        cdef Request request = self.current
        if self.state == Http1State.CLOSED:
            return 0
        if self.answered and request is not None:
            return self.fail(request)
        if request is not None or not self.discards:
            begun = b"" if request is not None else self.data[self.at:self.at + 5] + bytes(self.pending or b"")[:5]
            self._write_refusal(request, plain_response(status, reason), begun)
        self.current = None
        self.sink.refused(status, request)
        if request is not None:
            if left:
                self.sink.request_abandoned(request)
            else:
                self.sink.request_ended(request)
        return self._shut(True)

    cdef bint _keeps(self, Request request, Response response):
        """Tell whether the connection goes on after this answer."""
        if not request.keep_alive or self.draining or response.closes:
            return False
        if self.state != Http1State.READING_BODY:
            return not self.ended or self.at < PyBytes_GET_SIZE(self.data) or self.pending is not None
        # Content that nobody reads any more is passed over when it is little and will surely come.
        return not self.chunked and not self.owes_continue and self.left <= DISCARD_BYTES and not request.expects

    cdef int _forget(self) except -1:
        """Let go of what arrived."""
        self.data = b""
        self.at = 0
        self.pending = None
        self.body = None
        self.queue = None
        return 0
