"""asyncio.Protocol adapter between a transport and protocol/http2_server.

    uvloop transport -> Http2Connection.data_received -> Http2ServerConnection.receive_data
        -> Http2Connection.request_received -> Handler.dispatch -> ... -> Http2Connection.write -> transport.write

Time: requests have their own time-outs, which the protocol keeps and is asked for (`expire`). The connection's phase is
NEW until the client's preface is whole, REQUEST while there are streams, HEAD while part of a frame is here, else IDLE.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

import logging

from siphon_http._core.clock cimport monotonic
from siphon_http._core.exchange cimport Exchange
from siphon_http._core.message cimport Request
from siphon_http.protocol.http2_server cimport Http2ServerConnection
from siphon_http.protocol.http2_stream cimport Http2State
from siphon_http.server.endpoint cimport (
    PHASE_CLOSING, PHASE_GONE, PHASE_HEAD, PHASE_IDLE, PHASE_LINGER, PHASE_NEW, PHASE_REQUEST, REFUSALS_AT_ONCE,
    AcceptedConnection, Endpoint,
)

__all__ = ["Http2Connection"]

log = logging.getLogger("siphon_http.server")

cdef int WINDOW = 65535                 # content that a request may send ahead, bytes
cdef double DRAIN_GRACE_SECONDS = 1.0   # how long a client may take to note that the end is near
cdef double TRY_AGAIN_SECONDS = 0.125   # how often requests are looked at that wait for room before their handlers run
cdef double PARTING_SECONDS = 2.0       # how long it may then take to read the rest
cdef double PONG_SECONDS = 10.0         # how long it may take to answer a PING, unless the interval is shorter
cdef double FIRST_GRACE_SECONDS = 0.25  # how long one that was silent so far may still bring its first request


@cython.final
cdef class Http2Connection(AcceptedConnection):
    """One accepted connection that speaks HTTP/2."""

    # ---- asyncio.Protocol

    def connection_made(self, transport):
        """Begin, unless the listener has as many connections as it may."""
        cdef Endpoint endpoint = self.endpoint
        endpoint.accepted += 1
        endpoint.traffic.opened[0] += 1
        if len(endpoint.connections) + len(endpoint.handshakes) >= endpoint.max_connections + REFUSALS_AT_ONCE:
            endpoint.refused_count += 1
            endpoint.traffic.refuse(0)
            transport.abort()
            return
        self._begin(transport, monotonic() + endpoint.header_timeout)

    def take_over(self, transport, double due):
        """Begin on the transport of a connection that was accepted before it was known what it speaks.

        due: when the time for the first head is over.
        """
        self._begin(transport, due)

    def data_received(self, bytes data not None):
        """Pass what the client sent to the protocol, and see to the time that it has for the rest."""
        cdef double now
        if self.phase >= PHASE_CLOSING:
            return
        now = monotonic()
        self.heard_at = now
        self.traffic.received[0] += PyBytes_GET_SIZE(data)
        try:
            self.protocol.receive_data(data, now)
            self._go_on(now)
        except Exception:
            self._broken()

    def eof_received(self):
        """The client has sent its last byte; on plain TCP it may still wait for its answers."""
        if self.phase < PHASE_CLOSING:
            self.protocol.receive_eof()
            return not self.tls and self.phase < PHASE_CLOSING
        if self.phase == PHASE_LINGER and self.transport is not None:
            self.transport.close()
        return self.phase == PHASE_CLOSING and not self.tls

    def connection_lost(self, exc):
        """Cut every reference cycle, and tell the handlers whose client has gone."""
        cdef Request request
        if self.phase == PHASE_GONE:
            return
        self.phase = PHASE_GONE
        requests = self.protocol.detach()
        self._leave()
        for request in requests:
            self.endpoint._over(request)
            self.endpoint.handler.cancel(request, True)

    def pause_writing(self):
        """The transport holds more than its high-water mark: send nothing, and watch that it shrinks."""
        if self.phase == PHASE_GONE:
            return
        self.protocol.pause()
        self._watch_write(monotonic())

    def resume_writing(self):
        """The transport has sent most of what it held."""
        if self.phase >= PHASE_CLOSING:
            return      # the little that is left must leave in its time, too
        self.write_due = 0
        try:
            self.protocol.resume()
            self._go_on(monotonic())
        except Exception:
            self._broken()

    # ---- Sink

    cdef Py_ssize_t head_received(self, Request request) except -1:
        """Say whose request it is, find its route, and give it its time (see Sink)."""
        cdef Endpoint endpoint = self.endpoint
        cdef Py_ssize_t cap
        cdef double due
        request.peer = self.peer
        if endpoint.forwarded is not None:
            request.forwarded_client = endpoint.forwarded(request, self.peer.client)
        cap = endpoint.handler.accept(request, endpoint.max_body_bytes)
        endpoint._begun(request)
        self.phase = PHASE_REQUEST
        self.phase_due = 0
        self.active_at = monotonic()
        due = self.active_at + (request.timeout_ms * 0.001 if request.timeout_ms else endpoint.request_timeout)
        self.protocol._arm(request, due)
        if self.look_due == 0 or due < self.look_due:
            self.look_due = due
            self._set_due()
        return cap

    cdef int request_received(self, Exchange exchange, Request request) except -1:
        """Hand the request over (see Sink)."""
        return self.endpoint.handler.dispatch(exchange, request)

    cdef int request_ended(self, Request request) except -1:
        """The exchange is over; a handler that still runs has nobody to answer (see Sink)."""
        self.endpoint._over(request)
        if request.running is not None:
            self.endpoint.handler.cancel(request, False)
        return 0

    cdef int request_abandoned(self, Request request) except -1:
        """The client has left this request, if not the connection (see Sink)."""
        self.endpoint._over(request)
        if request.running is not None:
            self.endpoint.handler.cancel(request, True)
        return 0

    cdef int write(self, bytes data) except -1:
        """Send (see Sink)."""
        self.traffic.sent[0] += PyBytes_GET_SIZE(data)
        if self.phase == PHASE_REQUEST:
            self.active_at = monotonic()
        if self.transport_write is not None:
            self.transport_write(data)
        return 0

    # ---- time

    cdef int drain(self) except -1:
        """Let the streams in flight be the last: announce the end, and make it true a moment later (RFC 9113, 6.8)."""
        if self.phase >= PHASE_CLOSING:
            return 0
        if self.protocol.state == Http2State.PREFACE:
            self.phase_due = min(self.phase_due, monotonic() + FIRST_GRACE_SECONDS)
            return self._set_due()
        if not self.told:
            self.told = True
            self.grace_due = monotonic() + DRAIN_GRACE_SECONDS
            if self.look_due > 0:
                self.look_due = min(self.look_due, monotonic() + self._look_every())
            self.protocol.drain()
            self._set_due()
        return 0

    cdef int _begin(self, object transport, double due) except -1:
        cdef Endpoint endpoint = self.endpoint
        self._open(transport)
        self.protocol = Http2ServerConnection(
            self, endpoint.state.out, endpoint.max_header_bytes, endpoint.max_headers, endpoint.max_concurrent_streams,
            WINDOW, endpoint.write_timeout, endpoint.http2_through_h2, endpoint.idle_timeout)
        if endpoint.http2_ping_interval > 0:
            self.heard_at = monotonic()
            self.ping_due = self.heard_at + endpoint.http2_ping_interval
        self.phase = PHASE_NEW
        self.phase_due = due
        if endpoint.draining:
            self.drain()
        return self._set_due()

    def _next_turn(self):
        """Handle the frames that the last turn has left."""
        self.has_turn = False
        self.data_received(b"")

    cdef int _go_on(self, double now) except -1:
        """Something has arrived or left: see what is waited for now."""
        if self.phase >= PHASE_CLOSING:
            return 0
        if self.protocol.has_more and not self.has_turn:
            self.has_turn = True
            self.endpoint.state.loop.call_soon(self._next_turn)
        if self.endpoint.draining and not self.told:
            self.drain()
        if self.phase >= PHASE_CLOSING:
            return 0
        if self.protocol.streams:
            if self.phase != PHASE_REQUEST:
                self.phase = PHASE_REQUEST
                self.phase_due = 0
            if self.look_due == 0 or self.look_due > now + self._look_every():
                self.look_due = now + self._look_every()
            if not self.protocol.is_stuck():
                self.head_due = 0
            elif self.head_due == 0 or self.head_seen != self.protocol.progress:
                self.head_seen = self.protocol.progress
                self.head_due = now + self.endpoint.header_timeout
        elif self.protocol.greeted:
            if self.phase == PHASE_NEW:
                self.active_at = now
            return self._wait(now)
        return self._set_due()

    cdef double _look_every(self):
        """Return how often streams are looked at: answers that nobody takes have no other way to be seen."""
        cdef double seconds = min(self.endpoint.write_timeout, self.endpoint.idle_timeout) / 4
        if self.protocol.waiting:
            seconds = min(seconds, self.endpoint.request_timeout / 8, TRY_AGAIN_SECONDS)
        return seconds if not self.told else min(seconds, PARTING_SECONDS / 4)

    cdef int _wait(self, double now) except -1:
        """No stream is open: wait for the rest of a frame, or for the next request."""
        if self.protocol.parting:
            if not self.parts:
                self.parts = True
                self.phase = PHASE_IDLE
                self.phase_due = now + PARTING_SECONDS
        elif self.protocol.is_reading_head():
            if self.phase != PHASE_HEAD:
                self.phase = PHASE_HEAD
                self.phase_due = self.head_due or now + self.endpoint.header_timeout
        elif self.phase != PHASE_IDLE:
            # From the last request on: frames of other kinds, whole or in parts, buy no time.
            self.phase_due = self.active_at + self.endpoint.idle_timeout
            self.phase = PHASE_IDLE
        self.head_due = 0
        return self._set_due()

    cdef int _check_peer(self, double now) except -1:
        """Ask a client that has been silent for long; one that was asked and is silent still has gone (RFC 9113, 6.7)."""
        cdef double interval = self.endpoint.http2_ping_interval
        cdef double waits = min(interval, PONG_SECONDS)
        if self.reading_paused:
            self.heard_at = now     # it is we who do not listen
        if self.pinged_at > 0 and self.heard_at < self.pinged_at:
            log.info("%s answered no PING for %g s: connection reset", self.peer.client, waits)
            return self.abort()
        self.pinged_at = 0
        if now - self.heard_at >= interval * 0.99:
            self.pinged_at = now
            self.ping_due = now + waits
            return self.protocol.ping()
        self.ping_due = self.heard_at + interval
        return 0

    cdef int _set_due(self) except -1:
        """Let the connection's deadline be the first of ours."""
        cdef double due = self.phase_due
        if self.phase >= PHASE_CLOSING:
            return 0        # what is due then is set by who closes
        if self.look_due > 0 and (due == 0 or self.look_due < due):
            due = self.look_due
        if self.grace_due > 0 and (due == 0 or self.grace_due < due):
            due = self.grace_due
        if self.head_due > 0 and (due == 0 or self.head_due < due):
            due = self.head_due
        if self.ping_due > 0 and (due == 0 or self.ping_due < due):
            due = self.ping_due
        self.due = due
        return self._arm()

    cdef int _time_over(self, double now) except -1:
        """Something of ours is due (see AcceptedConnection)."""
        cdef double first
        if self.grace_due > 0 and now >= self.grace_due:
            self.grace_due = 0
            self.protocol.drain()
        if self.phase < PHASE_CLOSING and self.look_due > 0 and now >= self.look_due:
            self.look_due = 0
            first = self.protocol.expire(now)
            if self.phase < PHASE_CLOSING and self.protocol.streams:
                self.look_due = now + self._look_every()
                if 0 < first < self.look_due:
                    self.look_due = first
            elif self.phase == PHASE_REQUEST:
                self._wait(now)
        if self.phase < PHASE_CLOSING and (
                self.phase_due > 0 and now >= self.phase_due or self.head_due > 0 and now >= self.head_due):
            self.phase_due = self.head_due = 0
            self.protocol.time_out()
        if self.phase < PHASE_CLOSING and self.ping_due > 0 and now >= self.ping_due:
            self._check_peer(now)
        return self._set_due()
