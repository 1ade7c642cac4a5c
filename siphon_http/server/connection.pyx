"""asyncio.Protocol adapter between a transport and protocol/, and what the connections of one listener share.

    uvloop transport -> Connection.data_received -> Http1ServerConnection.receive_data
        -> Connection.request_received -> Handler.dispatch -> ... -> Connection.write -> transport.write

Deadlines: each connection has one place in its loop's list. Which time-out it stands for is the connection's phase.
"""

cimport cython

import logging

from siphon_http._core.clock cimport monotonic
from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.exchange cimport Exchange, Handler
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.message cimport Peer, Request
from siphon_http.protocol.http1_server cimport Http1ServerConnection, Http1State
from siphon_http.protocol.sink cimport Sink

__all__ = ["Connection", "Endpoint", "LoopState"]

log = logging.getLogger("siphon_http.server")

cdef double LINGER_SECONDS = 2.0        # how long a closed connection may still send before it is reset
cdef double DRAIN_GRACE_SECONDS = 0.25  # how long a connection that was silent so far may still bring its first request
cdef int REFUSALS_AT_ONCE = 32          # connections over the limit that are answered 503; more are reset unheard


@cython.final
cdef class LoopState:
    """What all connections of one event loop share: the deadlines with their one timer, and the output buffer."""

    def __init__(self, loop):
        self.loop = loop
        self.deadlines = Deadlines(self._schedule)
        self.out = OutBuffer()

    def _schedule(self, double when):
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(max(when - monotonic(), 0.001), self._sweep)

    def _sweep(self):
        self.timer = None
        self.deadlines.sweep(monotonic())

    def close(self):
        """Stop the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@cython.final
cdef class Endpoint:
    """One listener on one loop: its handler, its limits, and the connections that it has accepted.

    Times in seconds, sizes in bytes. forwarded: callable(Request, peer address) -> client of a trusted proxy's request,
    or None when no proxy is trusted. describe_peer: callable(transport) -> Peer.
    """

    def __init__(self, Handler handler not None, LoopState state not None, *, describe_peer, double header_timeout=10.0,
                 double idle_timeout=75.0, double write_timeout=30.0, double request_timeout=30.0,
                 Py_ssize_t max_body_bytes=1048576, Py_ssize_t max_header_bytes=65536, int max_headers=128,
                 int max_connections=1000000, str scheme="http", forwarded=None):
        self.handler = handler
        self.state = state
        self.describe_peer = describe_peer
        self.header_timeout = header_timeout
        self.idle_timeout = idle_timeout
        self.write_timeout = write_timeout
        self.request_timeout = request_timeout
        self.max_body_bytes = max_body_bytes
        self.max_header_bytes = max_header_bytes
        self.max_headers = max_headers
        self.max_connections = max_connections
        self.scheme = scheme
        self.forwarded = forwarded
        self.connections = set()
        self.handshakes = set()

    def connection(self):
        """Return a protocol for one accepted connection: the factory of `loop.create_server`."""
        return Connection(self)

    def admit(self, transport):
        """Count a TLS handshake as a connection; False when there are as many as there may be, or we are draining."""
        if self.draining or len(self.connections) + len(self.handshakes) >= self.max_connections:
            self.refused_count += 1
            return False
        self.handshakes.add(transport)
        return True

    def drain(self):
        """Let every connection end after what it has under way; idle ones at once."""
        cdef Connection connection
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        for transport in list(self.handshakes):
            transport.abort()

    def abort(self):
        """Reset every connection that is left."""
        cdef Connection connection
        for connection in list(self.connections):
            connection.abort()
        for transport in list(self.handshakes):
            transport.abort()

    def when_empty(self, callback):
        """Call `callback()` once no connection is open: now, or when the last one ends."""
        if self.connections:
            self.idle_waiter = callback
        else:
            callback()

    cdef int _gone(self, Connection connection) except -1:
        self.connections.discard(connection)
        if not self.connections and self.idle_waiter is not None:
            waiter = self.idle_waiter
            self.idle_waiter = None
            waiter()
        return 0


@cython.final
cdef class ConnectionDeadline(Deadline):
    """The place of one connection in its loop's deadlines."""

    cdef int expired(self, double now) except -1:
        if self.owner is not None:
            self.owner._expired(now)
        return 0


@cython.final
cdef class Connection(Sink):
    """One accepted connection: asyncio.Protocol on one side, Sink of its HTTP/1.1 connection on the other."""

    def __cinit__(self, Endpoint endpoint not None):
        self.endpoint = endpoint
        self.phase = PHASE_GONE     # until connection_made has got through

    # ---- asyncio.Protocol

    def connection_made(self, transport):
        """Begin, or answer 503 when the listener has as many connections as it may (RFC 9110, 15.6.4)."""
        cdef Endpoint endpoint = self.endpoint
        cdef LoopState state = endpoint.state
        cdef Py_ssize_t open_already = len(endpoint.connections) + len(endpoint.handshakes)
        endpoint.accepted += 1
        if open_already >= endpoint.max_connections + REFUSALS_AT_ONCE:
            endpoint.refused_count += 1
            transport.abort()
            return
        self.transport = transport
        self.transport_write = transport.write
        self.peer = endpoint.describe_peer(transport)
        self.tls = endpoint.scheme == "https"
        self.deadline = ConnectionDeadline.__new__(ConnectionDeadline)
        self.deadline.owner = self
        state.deadlines.add(self.deadline)
        self.protocol = Http1ServerConnection(self, state.out, endpoint.max_header_bytes, endpoint.max_headers)
        endpoint.connections.add(self)
        self._enter(PHASE_NEW, monotonic() + endpoint.header_timeout)
        if open_already >= endpoint.max_connections:
            self.protocol._refuse(503, b"too many connections")
        elif endpoint.draining:
            self.drain()

    def data_received(self, bytes data not None):
        """Pass what the client sent to the protocol, and see to the time that it has for the rest."""
        cdef Http1ServerConnection protocol = self.protocol
        if self.phase >= PHASE_CLOSING:
            return
        self.reads += 1
        try:
            protocol.receive_data(data)
        except Exception:
            log.exception("internal error on the connection of %s", self.peer.client)
            self.abort()
            return
        if self.phase == PHASE_IDLE:
            if protocol.state == Http1State.READING_HEAD:
                self._enter(PHASE_HEAD, monotonic() + self.endpoint.header_timeout)
        elif self.phase == PHASE_DISCARD and protocol.state != Http1State.READING_BODY:
            if protocol.state == Http1State.READING_HEAD:
                self._enter(PHASE_HEAD, monotonic() + self.endpoint.header_timeout)
            else:
                self._enter_idle()

    def eof_received(self):
        """The client has sent its last byte; on plain TCP it may still wait for its answer."""
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
        self.endpoint.state.deadlines.discard(self.deadline)
        self.deadline.owner = None
        self.transport = None
        self.transport_write = None
        self.endpoint._gone(self)
        if request is not None:
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
            self._arm()

    # ---- Sink

    cdef Py_ssize_t head_received(self, Request request) except -1:
        """Say whose request it is, find its route, and give it its time (see Sink)."""
        cdef Endpoint endpoint = self.endpoint
        cdef Py_ssize_t cap
        request.peer = self.peer
        if endpoint.forwarded is not None:
            request.forwarded_client = endpoint.forwarded(request, self.peer.client)
        cap = endpoint.handler.accept(request, endpoint.max_body_bytes)
        endpoint.requests += 1
        self._enter(PHASE_REQUEST, monotonic() + (
            request.timeout_ms * 0.001 if request.timeout_ms else endpoint.request_timeout))
        return cap

    cdef int request_received(self, Exchange exchange, Request request) except -1:
        """Hand the request over (see Sink)."""
        return self.endpoint.handler.dispatch(exchange, request)

    cdef int request_ended(self, Request request) except -1:
        """The exchange is over; a handler that still runs has nobody to answer (see Sink)."""
        if request.running is not None:
            self.endpoint.handler.cancel(request, False)
        if self.phase < PHASE_CLOSING:
            if self.protocol.state == Http1State.READING_BODY:
                self._enter(PHASE_DISCARD, monotonic() + self.endpoint.header_timeout)
            else:
                self._enter_idle()
        return 0

    cdef int refused(self, int status) except -1:
        """Count what was refused (see Sink)."""
        self.endpoint.refused_count += 1
        return 0

    cdef int write(self, bytes data) except -1:
        """Send (see Sink)."""
        if self.transport_write is not None:
            self.transport_write(data)
        return 0

    cdef int hold(self, bint stop) except -1:
        """Stop reading, or go on (see Sink)."""
        if self.transport is not None and stop != self.reading_paused:
            self.reading_paused = stop
            if stop:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        return 0

    cdef int close(self, bint linger) except -1:
        """Close once what is written has left (see Sink).

        A peer that is still sending would answer a plain close with a reset, and might lose our answer to it: so its
        side is read to the end, for a while (RFC 9112, 9.6).
        """
        cdef double now = monotonic()
        if self.phase >= PHASE_CLOSING or self.transport is None:
            return 0
        if linger and self.transport.can_write_eof():
            self.hold(False)
            self._enter(PHASE_LINGER, now + LINGER_SECONDS)
            self.transport.write_eof()
        elif linger:
            self.hold(False)
            self._enter(PHASE_LINGER, now + LINGER_SECONDS / 4)
        else:
            self._enter(PHASE_CLOSING, 0)
            self._watch_write(now)
            self.transport.close()
        return 0

    cdef int abort(self) except -1:
        """Reset the connection (see Sink)."""
        if self.transport is not None:
            self.phase = PHASE_CLOSING
            self.transport.abort()
        return 0

    # ---- time

    cdef int drain(self) except -1:
        """Let the exchange under way be the last.

        A client that has sent nothing yet may be about to, and was told that it is welcome: it gets a moment.
        """
        if self.phase == PHASE_NEW and self.protocol.state == Http1State.IDLE:
            self.protocol.draining = True
            self._enter(PHASE_IDLE, min(self.due, monotonic() + DRAIN_GRACE_SECONDS))
        elif self.phase < PHASE_CLOSING:
            self.protocol.drain()
        return 0

    cdef int _enter(self, Phase phase, double due) except -1:
        self.phase = phase
        self.due = due
        return self._arm()

    cdef int _enter_idle(self) except -1:
        """Wait for the next request; when draining only for one that is here already."""
        return self._enter(
            PHASE_IDLE, monotonic() + (self.endpoint.idle_timeout if not self.endpoint.draining else 0.001))

    cdef int _arm(self) except -1:
        cdef double when = self.due
        if self.write_due > 0 and (when == 0 or self.write_due < when):
            when = self.write_due
        return self.endpoint.state.deadlines.arm(self.deadline, when)

    cdef int _expired(self, double now) except -1:
        """Something was due; find out what."""
        cdef Request request
        if self.phase == PHASE_GONE:
            return 0
        try:
            if self.write_due > 0 and now >= self.write_due:
                self._check_write(now)
            if self.phase < PHASE_GONE and self.due > 0 and now >= self.due:
                self.due = 0
                if self.phase == PHASE_LINGER:
                    # Everything is sent and the peer was given its time; unsent bytes have the write time-out.
                    if self.transport.get_write_buffer_size():
                        self._enter(PHASE_CLOSING, 0)
                        self._watch_write(now)
                        self.transport.close()
                    else:
                        self.transport.close() if self.tls else self.transport.abort()
                elif self.phase < PHASE_CLOSING:
                    request = self.protocol.current
                    if self.protocol.state == Http1State.READING_HEAD:
                        self.protocol._refuse(408, b"request timeout")
                    else:
                        self.protocol.time_out()
                        self._check_upload(request, now)
                    if request is None and self.phase < PHASE_CLOSING:
                        self.close(False)
            if self.phase < PHASE_GONE:
                self._arm()
        except Exception:
            log.exception("internal error on the connection of %s", self.peer.client)
            self.abort()
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

    cdef int _watch_write(self, double now) except -1:
        """Begin to watch that unsent bytes become fewer."""
        self.unsent = self.transport.get_write_buffer_size()
        self.progress_at = now
        self.write_due = now + self.endpoint.write_timeout / 4
        return self._arm()

    cdef int _check_write(self, double now) except -1:
        """Look whether the client has taken anything; reset it when it has not for the write time-out."""
        cdef Py_ssize_t unsent = self.transport.get_write_buffer_size()
        self.write_due = 0
        if unsent == 0 and self.phase != PHASE_CLOSING:
            return 0
        if unsent < self.unsent:
            self.progress_at = now
        elif now - self.progress_at >= self.endpoint.write_timeout * 0.99:
            log.info("%s took nothing for %g s: connection reset", self.peer.client, self.endpoint.write_timeout)
            self.abort()
            return 0
        self.unsent = unsent
        self.write_due = now + self.endpoint.write_timeout / 4
        return 0
