"""What the connections of one listener share, and what every connection is whatever it speaks.

Deadlines: each connection has one place in its loop's list. Which time-out it stands for is the connection's phase.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

import logging
import socket
import struct

from siphon_http._core.clock cimport monotonic, nanoseconds
from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.exchange cimport Handler
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.message cimport Peer, Request
from siphon_http._core.traffic cimport RouteCounts, Traffic
from siphon_http.protocol.sink cimport Sink
from siphon_http.server.access cimport AccessLog

__all__ = ["AcceptedConnection", "Endpoint", "LoopState"]

log = logging.getLogger("siphon_http.server")

cdef double SLOW_SAID_EVERY = 1.0
cdef double HANDSHAKE_GRACE_SECONDS = 1.0   # what a drain gives to who is about to become a connection
cdef double LINGER_SECONDS = 2.0        # how long a closed connection may still send before it is reset
cdef bytes NO_LINGER = struct.pack("ii", 1, 0)      # SO_LINGER: a close drops what is unsent and resets


@cython.final
cdef class LoopState:
    """What all connections of one event loop share: the deadlines with their one timer, and the output buffer."""

    def __init__(self, loop, Traffic traffic=None):
        self.loop = loop
        self.traffic = Traffic() if traffic is None else traffic
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
    or None when no proxy is trusted. describe_peer: callable(transport) -> Peer. http1, http2: what is spoken.
    access: gets a line for each exchange. request_ids: send ids back. slow_request_ms: slower ones are logged; 0: none.
    """

    def __cinit__(self):
        self.connections = set()
        self.handshakes = set()

    def __init__(self, Handler handler not None, LoopState state not None, *, describe_peer, double header_timeout=10.0,
                 double idle_timeout=75.0, double write_timeout=30.0, double request_timeout=30.0,
                 Py_ssize_t max_body_bytes=1048576, Py_ssize_t max_header_bytes=65536, int max_headers=128,
                 int max_connections=1000000, int max_concurrent_streams=128,
                 double http2_ping_interval=0.0, bint http2_through_h2=False, bint http1=True, bint http2=True,
                 str scheme="http", forwarded=None, AccessLog access=None, bint request_ids=False,
                 long long slow_request_ms=0):
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
        self.max_concurrent_streams = max_concurrent_streams
        self.http2_ping_interval = http2_ping_interval
        self.http2_through_h2 = http2_through_h2
        self.http1, self.http2 = http1, http2
        self.scheme = scheme
        self.forwarded = forwarded
        self.traffic = state.traffic
        if self.access is not None and access is not self.access:
            self.access.flush()
        self.access = access
        self.request_ids = request_ids
        self.slow_nanoseconds = slow_request_ms * 1000000
        from siphon_http.server.connection import Connection    # which is built on what is here

        self.make_connection = Connection

    def change(self, **settings):
        """Take other settings, given as at construction. Open connections stay.

        What they agreed on stays too (protocol, scheme, client); times and sizes hold for them from their next wait,
        head or content on.
        """
        self.__init__(self.handler, self.state, **settings)

    def connection(self):
        """Return a protocol for one accepted connection: the factory of `loop.create_server`."""
        return self.make_connection(self)

    def http2_connection(self):
        """Return a protocol for one accepted connection that speaks HTTP/2 from its first byte on."""
        # h2 costs 20 ms to import: only who is asked for it, and when the first connection comes.
        from siphon_http.server.http2_connection import Http2Connection

        return Http2Connection(self)

    def admit(self, transport, bint refusable=False):
        """Count what is no connection yet as one; False when there are as many as there may be.

        refusable: it may become one that is answered 503, for which there is some more room.
        """
        cdef Py_ssize_t room = self.max_connections + (REFUSALS_AT_ONCE if refusable else 0)
        if len(self.connections) + len(self.handshakes) >= room:
            self.refused_count += 1
            self.traffic.refuse(0)
            return False
        self.handshakes.add(transport)
        if self.draining:   # it was in the listener's queue, or has sent its PROXY header just now
            self.state.loop.call_later(HANDSHAKE_GRACE_SECONDS, self._end_handshakes)
        return True

    def count_refusal(self):
        """Count a connection that was closed before it was one."""
        self.refused_count += 1

    def drain(self):
        """Let every connection end after what it has under way; idle ones, and handshakes, after a moment."""
        cdef AcceptedConnection connection
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        if self.handshakes:
            # Their clients were accepted, and send a request as soon as they may.
            self.state.loop.call_later(HANDSHAKE_GRACE_SECONDS, self._end_handshakes)

    def _end_handshakes(self):
        """Reset who has not become a connection yet."""
        for transport in list(self.handshakes):
            transport.abort()
        self.handshakes.clear()
        self._tell_if_empty()

    def abort(self):
        """Reset every connection that is left."""
        cdef AcceptedConnection connection
        for connection in list(self.connections):
            connection.abort()
        for transport in list(self.handshakes):
            transport.abort()
        if self.access is not None:
            self.access.flush()

    def when_empty(self, callback):
        """Call `callback()` once no connection is open, or about to be: now, or when the last one ends."""
        self.idle_waiter = callback
        self._tell_if_empty()

    cdef int _tell_if_empty(self) except -1:
        if not self.connections and not self.handshakes and self.idle_waiter is not None:
            waiter = self.idle_waiter
            self.idle_waiter = None
            waiter()
        return 0

    cdef int _begun(self, Request request) except -1:
        """Note that a request has come."""
        self.requests += 1
        self.traffic.in_flight[0] += 1
        request.traced = self.request_ids
        request.began = nanoseconds()
        return 0

    cdef int _over(self, Request request) except -1:
        """Count an exchange that is over, however it ended."""
        cdef int64_t took = nanoseconds() - request.began
        cdef RouteCounts counts = request.counts
        self.traffic.in_flight[0] -= 1
        if counts is None:
            counts = self.traffic.unmatched
        counts.ended(request.status, took)
        if self.access is not None:
            self.access.note(request, request.peer, request.status, took)
        if took > self.slow_nanoseconds > 0:
            self._slow(request, took)
        return 0

    cdef int _slow(self, Request request, int64_t nanoseconds) except -1:
        """Count a slow request, and say so, at most once a second."""
        cdef double now = monotonic()
        self.traffic.slow[0] += 1
        if now - self.slow_said >= SLOW_SAID_EVERY:
            self.slow_said = now
            route, where = "no route", ""
            if request.entry is not None:
                route, where = request.entry.pattern, f" ({request.entry.where})"
            log.warning("slow request: %s %s%s took %.0f ms, status %d", request.method, route, where,
                        nanoseconds / 1e6, request.status or 499,
                        extra={"request_id": request.request_id} if request.traced else None)
        return 0

    cdef int _gone(self, AcceptedConnection connection) except -1:
        self.connections.discard(connection)
        return self._tell_if_empty()


@cython.final
cdef class ConnectionDeadline(Deadline):
    """The place of one connection in its loop's deadlines."""

    cdef int expired(self, double now) except -1:
        if self.owner is not None:
            self.owner._expired(now)
        return 0


cdef class AcceptedConnection(Sink):
    """One accepted connection, whatever it speaks: asyncio.Protocol on one side, Sink of its protocol on the other."""

    def __cinit__(self, Endpoint endpoint not None):
        self.endpoint = endpoint
        self.phase = PHASE_GONE     # until connection_made has got through

    cdef int drain(self) except -1:
        """Let what is under way be the last."""
        raise NotImplementedError

    cdef int _time_over(self, double now) except -1:
        """`due` has passed, and the connection is not closing."""
        raise NotImplementedError

    cdef int _open(self, object transport) except -1:
        """Take the transport, a place among the listener's connections and one in the loop's deadlines."""
        cdef Endpoint endpoint = self.endpoint
        self.transport = transport
        self.transport_write = transport.write
        self.traffic = endpoint.traffic
        self.traffic.open[0] += 1
        self.peer = endpoint.describe_peer(transport)
        if self.told_client is not None:
            self.peer = Peer(self.told_client, self.peer.scheme, self.peer.certificate)
        self.tls = endpoint.scheme == "https"
        self.deadline = ConnectionDeadline.__new__(ConnectionDeadline)
        self.deadline.owner = self
        endpoint.state.deadlines.add(self.deadline)
        endpoint.connections.add(self)
        return 0

    cdef int _leave(self) except -1:
        """Give all of it back."""
        self.traffic.open[0] -= 1
        self.phase = PHASE_GONE
        self.endpoint.state.deadlines.discard(self.deadline)
        self.deadline.owner = None
        self.transport = None
        self.transport_write = None
        return self.endpoint._gone(self)

    cdef int _broken(self) except -1:
        """Log what of ours was raised, and reset the connection."""
        log.exception("internal error on the connection of %s", self.peer.client)
        return self.abort()

    # ---- Sink

    cdef int refused(self, int status, Request request) except -1:
        """Count what was refused (see Sink); without a request, this is all that will be heard of it."""
        self.endpoint.refused_count += 1
        self.traffic.refuse(status)
        if request is None and self.endpoint.access is not None:
            self.endpoint.access.note(None, self.peer, status, 0)
        return 0

    cdef int write(self, bytes data) except -1:
        """Send (see Sink)."""
        self.traffic.sent[0] += PyBytes_GET_SIZE(data)
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
        if linger:
            halves = self.transport.can_write_eof()
            self.hold(False)
            self._enter(PHASE_LINGER, now + (LINGER_SECONDS if halves else LINGER_SECONDS / 4))
            if halves:
                self.transport.write_eof()
        else:
            self._enter(PHASE_CLOSING, 0)
            self._watch_write(now)
            self.transport.close()
        return 0

    cdef int abort(self) except -1:
        """Reset the connection (see Sink).

        To abort the transport is not enough: the kernel would still send what it has taken, for as long as the client
        likes, and then end it as if it were whole.
        """
        if self.transport is not None:
            self.phase = PHASE_CLOSING
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                except OSError:
                    pass        # the client was first
            self.transport.abort()
        return 0

    # ---- time

    cdef int _enter(self, Phase phase, double due) except -1:
        self.phase = phase
        self.due = due
        return self._arm()

    cdef int _arm(self) except -1:
        cdef double when = self.due
        if self.write_due > 0 and (when == 0 or self.write_due < when):
            when = self.write_due
        return self.endpoint.state.deadlines.arm(self.deadline, when)

    cdef int _expired(self, double now) except -1:
        """Something was due; find out what."""
        if self.phase == PHASE_GONE:
            return 0
        try:
            if self.write_due > 0 and now >= self.write_due:
                self._check_write(now)
            if self.phase < PHASE_GONE and self.due > 0 and now >= self.due:
                self.due = 0
                if self.phase == PHASE_LINGER:
                    self._lingered(now)
                elif self.phase < PHASE_CLOSING:
                    self._time_over(now)
            if self.phase < PHASE_GONE:
                self._arm()
        except Exception:
            self._broken()
        return 0

    cdef int _lingered(self, double now) except -1:
        """Everything is sent and the peer was given its time; unsent bytes have the write time-out."""
        if self.transport.get_write_buffer_size():
            self._enter(PHASE_CLOSING, 0)
            self._watch_write(now)
            self.transport.close()
        else:
            self.transport.close() if self.tls else self.transport.abort()
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
