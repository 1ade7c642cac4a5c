"""asyncio.Protocol adapter between a transport and protocol/http1_server.

    uvloop transport -> Connection.data_received -> Http1ServerConnection.receive_data
        -> Connection.request_received -> Handler.dispatch -> ... -> Connection.write -> transport.write

A connection in cleartext whose first bytes are the preface of HTTP/2 is handed on to an Http2Connection; with TLS, ALPN
has chosen before either of them is made.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from siphon_http._core.clock cimport monotonic
from siphon_http._core.exchange cimport Exchange, Handler
from siphon_http._core.message cimport Request
from siphon_http.protocol.http1_server cimport Http1ServerConnection, Http1State
from siphon_http.server.endpoint cimport (
    PHASE_CLOSING, PHASE_DISCARD, PHASE_GONE, PHASE_HEAD, PHASE_IDLE, PHASE_LINGER, PHASE_NEW, PHASE_REQUEST,
    REFUSALS_AT_ONCE, AcceptedConnection, Endpoint,
)

__all__ = ["Connection"]

cdef bytes HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4
cdef double DRAIN_GRACE_SECONDS = 0.25  # how long a silent connection may still bring a request


@cython.final
cdef class Connection(AcceptedConnection):
    """One accepted connection that speaks HTTP/1.1, or may turn out to speak HTTP/2."""

    # ---- asyncio.Protocol

    def connection_made(self, transport):
        """Begin, or answer 503 when the listener has as many connections as it may (RFC 9110, 15.6.4)."""
        cdef Endpoint endpoint = self.endpoint
        cdef Py_ssize_t open_already = len(endpoint.connections) + len(endpoint.handshakes)
        endpoint.accepted += 1
        endpoint.traffic.opened[0] += 1
        if open_already >= endpoint.max_connections + REFUSALS_AT_ONCE:
            endpoint.refused_count += 1
            endpoint.traffic.refuse(0)
            transport.abort()
            return
        self._open(transport)
        self.undecided = not endpoint.http1 or endpoint.http2 and not self.tls
        self.protocol = Http1ServerConnection(
            self, endpoint.state.out, endpoint.max_header_bytes, endpoint.max_headers)
        self._enter(PHASE_NEW, monotonic() + endpoint.header_timeout)
        if open_already >= endpoint.max_connections:
            self.protocol._refuse(503, b"too many connections")
        elif endpoint.draining:
            self.drain()

    def data_received(self, bytes data not None):
        """Pass what the client sent to the protocol, and see to the time that it has for the rest."""
        if self.phase >= PHASE_CLOSING:
            return
        self.reads += 1
        self.traffic.received[0] += PyBytes_GET_SIZE(data)
        try:
            if self.undecided:
                data = self._decide(data)
                if data is None:
                    return
            self.reading = True
            try:
                self.protocol.receive_data(data)
            finally:
                self.reading = False
                if self.batching:
                    self.batching = False
                    self.endpoint.handler.batch_ended()
            self._look_behind()
        except Exception:
            self._broken()

    def eof_received(self):
        """The client has sent its last byte; on plain TCP it may still wait for its answer."""
        if self.early is not None:
            self._give_up_http2()
        if self.phase < PHASE_CLOSING:
            self.protocol.receive_eof()
            return not self.tls and self.phase < PHASE_CLOSING
        if self.phase == PHASE_LINGER and self.transport is not None:
            self.transport.close()
        return self.phase == PHASE_CLOSING and not self.tls

    def connection_lost(self, exc):
        """Cut every reference cycle, and tell the handler whose client has gone."""
        cdef Request request
        if self.phase == PHASE_GONE:
            return
        self.phase = PHASE_GONE
        request = self.protocol.detach()
        self._leave()
        if request is not None:
            self.endpoint._over(request)
            self.endpoint.handler.cancel(request, True)

    def pause_writing(self):
        """The transport holds more than its high-water mark: begin nothing, and watch that it shrinks."""
        if self.phase == PHASE_GONE:
            return
        self.protocol.pause()
        self._watch_write(monotonic())

    def resume_writing(self):
        """The transport has sent most of what it held."""
        if self.phase >= PHASE_CLOSING:
            return      # the little that is left must leave in its time, too
        self.write_due = 0
        self.protocol.resume()
        if self.phase < PHASE_GONE:
            self._look_behind()
            self._arm()

    cdef int _look_behind(self) except -1:
        """After a read: find the phase that it has left us in."""
        cdef Http1State state = self.protocol.state
        if self.phase == PHASE_REQUEST and self.protocol.current is None \
                or self.phase == PHASE_DISCARD and state != Http1State.READING_BODY:
            self._rest()
        if self.phase == PHASE_IDLE and state == Http1State.READING_HEAD:
            self._enter(PHASE_HEAD, monotonic() + self.endpoint.header_timeout)
        return 0

    # ---- which of the two it speaks

    cdef bytes _decide(self, bytes data):
        """Compare the first bytes with the preface of HTTP/2. Returns what is HTTP/1's, None when nothing is (yet)."""
        cdef Py_ssize_t whole = PyBytes_GET_SIZE(HTTP2_PREFACE)
        if self.early is not None:
            data = self.early + data
            self.early = None
        if self.tls or memcmp(PyBytes_AS_STRING(data), PyBytes_AS_STRING(HTTP2_PREFACE),
                              min(PyBytes_GET_SIZE(data), whole)) != 0:
            self.undecided = False
            if self.endpoint.http1:
                return data
            if b" HTTP/1." in data:
                self.protocol.data = data
                self.protocol._refuse(505, b"this listener speaks HTTP/2 only")
            else:
                self.protocol._shut(True)
        elif PyBytes_GET_SIZE(data) < whole:
            self.early = data
        else:
            self._become_http2(data)
        return None

    cdef int _give_up_http2(self) except -1:
        """No more bytes will come, so those that are here are HTTP/1's."""
        data, self.early = self.early, None
        self.undecided = False
        return self.protocol.receive_data(data) if self.endpoint.http1 else self.close(False)

    cdef int _become_http2(self, bytes data) except -1:
        """Hand the transport on to a connection that speaks HTTP/2."""
        other = self.endpoint.http2_connection()
        other.told_client = self.told_client
        self.transport.set_protocol(other)
        other.take_over(self.transport, self.due)   # before we leave: the listener shall not look empty in between
        self.protocol.detach()
        self._leave()
        other.data_received(data)
        return 0

    # ---- Sink

    cdef Py_ssize_t head_received(self, Request request) except -1:
        """Say whose request it is, find its route, and give it its time (see Sink)."""
        cdef Endpoint endpoint = self.endpoint
        cdef Py_ssize_t cap
        request.peer = self.peer
        if endpoint.forwarded is not None:
            request.forwarded_client = endpoint.forwarded(request, self.peer.client)
        cap = endpoint.handler.accept(request, endpoint.max_body_bytes)
        endpoint._begun(request)
        self._enter(PHASE_REQUEST, self._now() + (
            request.timeout_ms * 0.001 if request.timeout_ms else endpoint.request_timeout))
        return cap

    cdef int request_received(self, Exchange exchange, Request request) except -1:
        """Hand the request over (see Sink)."""
        cdef Handler handler = self.endpoint.handler
        if self.reading and not self.batching and self.protocol.has_more():
            self.batching = True
            handler.batch_began(monotonic())
        return handler.dispatch(exchange, request)

    cdef int request_ended(self, Request request) except -1:
        """The exchange is over; a handler that still runs has nobody to answer (see Sink)."""
        self.endpoint._over(request)
        if request.running is not None:
            self.endpoint.handler.cancel(request, False)
        # During a read the next request may be here already: the phase between them would last no time.
        if self.reading or self.phase >= PHASE_CLOSING:
            return 0
        if self.protocol.has_more() and not self.protocol.full and self.protocol.state != Http1State.READING_BODY:
            # What came meanwhile is looked at next, and may be but a part of a head.
            return self._enter(PHASE_HEAD, monotonic() + self.endpoint.header_timeout)
        return self._rest()

    cdef int request_abandoned(self, Request request) except -1:
        """The client sends no more before its content was whole: it has left this request (see Sink)."""
        self.endpoint._over(request)
        if request.running is not None:
            self.endpoint.handler.cancel(request, True)
        return 0

    # ---- time

    cdef int drain(self) except -1:
        """Let the exchange under way be the last.

        A client between two requests may have sent the next one just now, and was told that it is welcome: it gets a
        moment, and its answer says that the connection ends.
        """
        if self.phase <= PHASE_IDLE and self.protocol.state == Http1State.IDLE and self.protocol.current is None:
            self.protocol.draining = True
            self._enter(PHASE_IDLE, min(self.due, monotonic() + DRAIN_GRACE_SECONDS))
        elif self.phase < PHASE_CLOSING:
            self.protocol.drain()
        return 0

    cdef double _now(self) noexcept:
        """Return the time; that of the last look at the clock as long as nothing of a script has run since."""
        cdef Handler handler = self.endpoint.handler
        return handler.now if handler.now > 0 else monotonic()

    cdef int _rest(self) except -1:
        """An exchange is over: wait for the rest of its content, or for the next request."""
        if self.protocol.state == Http1State.READING_BODY:
            return self._enter(PHASE_DISCARD, monotonic() + self.endpoint.header_timeout)
        return self._enter_idle()

    cdef int _enter_idle(self) except -1:
        """Wait for the next request; when draining only for one that is here already."""
        return self._enter(
            PHASE_IDLE, monotonic() + (self.endpoint.idle_timeout if not self.endpoint.draining else 0.001))

    cdef int _time_over(self, double now) except -1:
        """The time of the phase is over (see AcceptedConnection)."""
        cdef Request request = self.protocol.current
        if self.early is not None:
            self._give_up_http2()
        if self.protocol.state == Http1State.READING_HEAD:
            self.protocol._refuse(408, b"request timeout")
        else:
            self.protocol.time_out()
            self._check_upload(request, now)
        if request is None and self.phase < PHASE_CLOSING:
            self.close(False)
        return 0

    cdef int _check_upload(self, Request request, double now) except -1:
        """A streamed answer has begun while content still arrives: the client must not stop sending it."""
        if self.phase != PHASE_REQUEST or request is None or request is not self.protocol.current \
                or self.protocol.state != Http1State.READING_BODY:
            return 0
        if self.reads == self.reads_seen and not self.protocol.held:
            return self.protocol.fail(request)
        self.reads_seen = self.reads
        self.due = now + self.endpoint.idle_timeout
        return 0
