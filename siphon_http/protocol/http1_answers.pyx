"""Answers of one HTTP/1.1 connection (RFC 9112, sections 4, 6 and 7): the sending side of `http1_server`.

Framing is written from what is true of the content, the status, the method and the peer's version. What is due during
one read is collected in the loop's buffer and sent together.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdio cimport snprintf

from siphon_http.errors import LocalProtocolError

from siphon_http._core.exchange cimport Exchange
from siphon_http._core.headers cimport HEAD_CHUNKED, HEAD_CLOSE, HEAD_KEEP_ALIVE, HEAD_NO_LENGTH, OutBuffer
from siphon_http._core.message cimport Request, Response, plain_response

__all__ = ["Http1Answers", "Http1State"]

cdef Py_ssize_t JOIN_BYTES = 16384      # content up to this size is sent together with its head

cdef enum:
    FRAMED_BY_LENGTH = 0
    FRAMED_BY_CHUNKS = 1
    FRAMED_BY_CLOSE = 2
    FRAMED_EMPTY = 3        # HEAD, 204, 304: no content whatever the script sends


cdef class Http1Answers(Exchange):
    """The sending side of one HTTP/1.1 connection; the receiving side is its subclass."""

    cdef bint _keeps(self, Request request, Response response):
        """Tell whether the connection goes on after this answer."""
        raise NotImplementedError

    cdef int _finish(self, bint keep) except -1:
        """The exchange is over: go on with the next, or close."""
        raise NotImplementedError

    cdef int _forget(self) except -1:
        """Let go of what arrived."""
        raise NotImplementedError

    cdef int _own(self) except -1:
        """Make the shared buffer ours: what another connection left in it is sent first."""
        if self.out.owner is not self:
            if isinstance(self.out.owner, Http1Answers):
                (<Http1Answers> self.out.owner).flush()
            elif self.out.owner is not None:
                self.out.owner.flush()
            self.out.owner = self
        return 0

    cdef int flush(self) except -1:
        """Send what lies in the buffer."""
        cdef bytes data
        if self.out.owner is self and self.out.size:
            data = self.out.take()
            self.sink.write(data)
        return 0

    cdef int _write_head(self, Request request, Response response, Py_ssize_t length, int flags) except -1:
        self._own()
        if request.version == 10 and not flags & HEAD_CLOSE:
            flags |= HEAD_KEEP_ALIVE
        return self.out.head(response._status, request.answered(response), length, flags)

    cdef int _write_refusal(self, Request request, Response response, bytes begun) except -1:
        """Send a whole answer of our own; the connection closes.

        request: None when there is none yet; begun: then how its message begins, for HEAD gets no content even so.
        """
        cdef bytes content = <bytes> response.content
        self._own()
        self.out.head(response._status, response.fields if request is None else request.answered(response),
                      PyBytes_GET_SIZE(content), HEAD_CLOSE)
        if not (begun.startswith(b"HEAD ") if request is None else request.is_head):
            self.out.add(PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
        return 0

    cdef int respond(self, Request request, Response response) except -1:
        """Send a whole answer (see Exchange). 1 = sent, 0 = too late."""
        cdef bytes content
        cdef Py_ssize_t length = 0
        cdef bint keep
        cdef int flags
        if request is not self.current or self.answered or request is None:
            return 0
        keep = self._keeps(request, response)
        flags = 0 if keep else HEAD_CLOSE
        content = <bytes> response.content
        if content is not None:
            length = PyBytes_GET_SIZE(content)
        if response._status == 204 or response._status == 304:
            flags |= HEAD_NO_LENGTH
            content = None
        elif response._status == 205:
            content = None
            length = 0
        elif request.is_head:
            if length == 0 and response.declared > 0:
                length = response.declared
            content = None
        self._write_head(request, response, length, flags)
        self.answered = True
        if content is not None:
            request.sent = length
            if length <= JOIN_BYTES:
                self.out.add(PyBytes_AS_STRING(content), length)
            else:
                self.flush()
                self.sink.write(content)
        self._finish(keep)
        return 1

    cdef int start(self, Request request, Response response, Py_ssize_t length) except -1:
        """Send the head of a streamed answer (see Exchange). 1 = sent, 0 = too late."""
        cdef int flags
        if request is not self.current or self.answered or request is None:
            return 0
        self.keeps = self._keeps(request, response)
        flags = 0
        if response._status == 204 or response._status == 304 or response._status == 205:
            self.framing = FRAMED_EMPTY
            length = 0
            if response._status != 205:
                flags = HEAD_NO_LENGTH
        elif length >= 0:
            self.framing = FRAMED_BY_LENGTH
        elif request.version == 11:
            self.framing = FRAMED_BY_CHUNKS
            flags = HEAD_CHUNKED
        else:
            self.framing = FRAMED_BY_CLOSE
            flags = HEAD_NO_LENGTH
            self.keeps = False
        if request.is_head:
            self.framing = FRAMED_EMPTY
        if not self.keeps:
            flags |= HEAD_CLOSE
        self._write_head(request, response, length, flags)
        self.answered = True
        return 1 if self.pumping else 1 + self.flush()

    cdef int chunk(self, Request request, bytes data) except -1:
        """Send a piece of a streamed answer (see Exchange). 1 = taken, 0 = too late."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef char[24] line
        cdef int digits
        if request is not self.current or request is None:
            return 0
        if not self.answered:
            raise LocalProtocolError("content of an answer before its head")
        if size == 0 or self.framing == FRAMED_EMPTY:
            return 1
        request.sent += size
        self._own()
        if self.framing == FRAMED_BY_CHUNKS:
            digits = snprintf(line, 24, b"%zx\r\n", size)
            self.out.add(line, digits)
        if size <= JOIN_BYTES:
            self.out.add(PyBytes_AS_STRING(data), size)
        else:
            self.flush()
            self.sink.write(data)
            self._own()
        if self.framing == FRAMED_BY_CHUNKS:
            self.out.add(b"\r\n", 2)
        if not self.pumping or self.out.size >= FLUSH_BYTES:
            self.flush()
        return 1

    cdef int end(self, Request request) except -1:
        """End a streamed answer (see Exchange). 1 = done, 0 = too late."""
        if request is not self.current or request is None:
            return 0
        if not self.answered:
            raise LocalProtocolError("the end of an answer before its head")
        if self.framing == FRAMED_BY_CHUNKS:
            self._own()
            self.out.add(b"0\r\n\r\n", 5)
        # What arrived of the request since the head was sent may have made it end sooner or later than it said.
        self._finish(self.keeps)
        return 1

    cdef int fail(self, Request request) except -1:
        """Break a streamed answer off (see Exchange). 1 = done, 0 = too late."""
        if request is not self.current or request is None:
            return 0
        if not self.answered:
            return self.respond(request, plain_response(500, b"handler error"))
        self.current = None
        self.state = Http1State.CLOSED
        self.flush()
        self.sink.request_ended(request)
        return 1 + self._end(self.framing == FRAMED_BY_CLOSE, False)

    cdef bint is_open(self, Request request):
        """Tell whether an answer to `request` can still be sent (see Exchange)."""
        return request is not None and request is self.current and self.state != Http1State.CLOSED

    cdef bint is_writable(self, Request request):
        """Tell whether the transport takes more (see Exchange)."""
        return not self.full or request is not self.current

    cdef int wait(self, Request request, object waker) except -1:
        """Call `waker()` at the next change (see Exchange)."""
        if request is not self.current or self.state == Http1State.CLOSED:
            waker()
        elif self.wakers is None:
            self.wakers = [waker]
        else:
            self.wakers.append(waker)   # content is read and an answer is sent at the same time
        return 0

    cdef int _wake(self) except -1:
        cdef list wakers = self.wakers
        if wakers is not None:
            self.wakers = None
            for waker in wakers:
                waker()
        return 0

    cdef int _shut(self, bint linger) except -1:
        """Send what is left and close; linger when the peer may still be sending."""
        if self.state == Http1State.CLOSED:
            return 0
        self.state = Http1State.CLOSED      # first: a write may call back
        self.flush()
        return self._end(False, linger and not self.ended)

    cdef int _end(self, bint abort, bint linger) except -1:
        """Close or reset; what has arrived is forgotten."""
        self.state = Http1State.CLOSED
        self._forget()
        self._wake()
        return self.sink.abort() if abort else self.sink.close(linger)
