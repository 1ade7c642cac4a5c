"""What the connections of one listener share, and what every connection is whatever it speaks."""

cimport cython
from libc.stdint cimport int64_t

from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.exchange cimport Handler
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.message cimport Peer, Request
from siphon_http._core.traffic cimport Traffic
from siphon_http.protocol.sink cimport Sink
from siphon_http.server.access cimport AccessLog


cdef enum Phase:
    PHASE_NEW = 0           # accepted; its first head is due
    PHASE_IDLE = 1          # between requests
    PHASE_HEAD = 2          # a head is arriving
    PHASE_REQUEST = 3       # a request is being handled
    PHASE_DISCARD = 4       # answered, but content still arrives
    PHASE_CLOSING = 5       # written bytes leave, then the transport closes
    PHASE_LINGER = 6        # closed for writing; what arrives is forgotten
    PHASE_GONE = 7


cdef enum:
    REFUSALS_AT_ONCE = 32   # connections over the limit that are answered 503; more are reset unheard


@cython.final
cdef class LoopState:
    cdef readonly object loop       # the event loop
    cdef readonly Deadlines deadlines  # of all its connections
    cdef OutBuffer out              # shared by all its connections
    cdef object timer               # handle of the one timer, or None
    cdef readonly Traffic traffic   # what all its connections count


@cython.final
cdef class Endpoint:
    cdef readonly Handler handler        # what requests are handed to
    cdef readonly LoopState state        # of the loop that it runs on
    cdef readonly double header_timeout, idle_timeout, write_timeout, request_timeout   # seconds
    cdef readonly Py_ssize_t max_body_bytes, max_header_bytes  # of content, unless the route says; of a head
    cdef readonly int max_headers        # more field lines are answered 431
    cdef readonly int max_connections    # more are answered 503
    cdef readonly int max_concurrent_streams  # of one HTTP/2 connection; more are refused
    cdef readonly double http2_ping_interval    # seconds of silence after which a client is asked; 0 = never
    cdef readonly bint http2_through_h2  # no hot path: every frame of HTTP/2 goes through h2
    cdef readonly bint http1, http2      # what is spoken
    cdef readonly str scheme             # "http" or "https"
    cdef readonly object forwarded       # callable(peer address, header) -> client, or None: no proxy is trusted
    cdef readonly object describe_peer   # callable(transport) -> Peer
    cdef readonly set connections        # those that are open
    cdef readonly set handshakes         # SecureTransport, HeaderReader: not open yet; they count as connections
    cdef readonly bint draining          # every exchange under way is the last of its connection
    cdef readonly long long accepted, refused_count, requests  # totals since the start: connections, refusals, heads
    cdef readonly Traffic traffic        # of `state`
    cdef readonly AccessLog access       # or None: no line is written
    cdef readonly bint request_ids       # ids of requests are sent back, and known to what handlers call
    cdef int64_t slow_nanoseconds        # a request that takes longer is logged; 0 = none
    cdef double slow_said                # when one was last logged
    cdef object idle_waiter              # callable, called when the last connection has gone
    cdef object make_connection          # class Connection

    cdef int _tell_if_empty(self) except -1
    cdef int _gone(self, AcceptedConnection connection) except -1
    cdef int _begun(self, Request request) except -1
    cdef int _over(self, Request request) except -1
    cdef int _slow(self, Request request, int64_t nanoseconds) except -1


cdef class AcceptedConnection(Sink):
    # What connections have in common whatever they speak: transport, phases, the time that each has, stalled writes.
    cdef object transport                # None before connection_made and once gone
    cdef object transport_write          # bound method, looked up once
    cdef Endpoint endpoint               # the listener that accepted it
    cdef ConnectionDeadline deadline     # its place in the loop's list
    cdef Traffic traffic                 # of the loop
    cdef Peer peer                       # who is at the other end; shared by its requests
    cdef Phase phase                     # which time-out `due` stands for
    cdef double due                      # when the phase's time is over; 0 = never
    cdef double write_due                # when to look at a write that has stalled; 0 = none
    cdef double progress_at              # when the write buffer was last seen to shrink
    cdef Py_ssize_t unsent               # bytes in it then
    cdef public str told_client          # client that a PROXY header told before we began, or None
    cdef bint tls                        # TLS knows no half-close: an EOF is departure
    cdef bint reading_paused             # the transport was told not to read

    @cython.final
    cdef int _open(self, object transport) except -1
    @cython.final
    cdef int _leave(self) except -1
    @cython.final
    cdef int _broken(self) except -1
    @cython.final
    cdef int _enter(self, Phase phase, double due) except -1
    @cython.final
    cdef int _arm(self) except -1
    @cython.final
    cdef int _expired(self, double now) except -1
    @cython.final
    cdef int _lingered(self, double now) except -1
    @cython.final
    cdef int _check_write(self, double now) except -1
    @cython.final
    cdef int _watch_write(self, double now) except -1
    # What depends on what is spoken:
    cdef int drain(self) except -1
    cdef int _time_over(self, double now) except -1


@cython.final
cdef class ConnectionDeadline(Deadline):
    cdef AcceptedConnection owner        # None once the connection has gone
