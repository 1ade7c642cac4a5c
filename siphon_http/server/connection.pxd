"""asyncio.Protocol adapter between a transport and protocol/, and what the connections of one listener share."""

cimport cython

from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.exchange cimport Handler
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.message cimport Peer
from siphon_http.protocol.http1_server cimport Http1ServerConnection
from siphon_http.protocol.sink cimport Sink


cdef enum Phase:
    PHASE_NEW = 0           # accepted; its first head is due
    PHASE_IDLE = 1          # between requests
    PHASE_HEAD = 2          # a head is arriving
    PHASE_REQUEST = 3       # a request is being handled
    PHASE_DISCARD = 4       # answered, but content still arrives
    PHASE_CLOSING = 5       # written bytes leave, then the transport closes
    PHASE_LINGER = 6        # closed for writing; what arrives is forgotten
    PHASE_GONE = 7


@cython.final
cdef class LoopState:
    cdef readonly object loop
    cdef readonly Deadlines deadlines
    cdef OutBuffer out
    cdef object timer               # handle of the one timer, or None


@cython.final
cdef class Endpoint:
    cdef readonly Handler handler
    cdef readonly LoopState state
    cdef readonly double header_timeout, idle_timeout, write_timeout, request_timeout   # seconds
    cdef readonly Py_ssize_t max_body_bytes, max_header_bytes
    cdef readonly int max_headers
    cdef readonly int max_connections    # more are answered 503
    cdef readonly str scheme
    cdef readonly object forwarded       # callable(peer address, header) -> client, or None: no proxy is trusted
    cdef readonly object describe_peer   # callable(transport) -> Peer
    cdef readonly set connections        # those that are open
    cdef readonly set handshakes         # SecureTransport objects that are not open yet; they count as connections
    cdef readonly bint draining
    cdef readonly long long accepted, refused_count, requests
    cdef object idle_waiter              # callable, called when the last connection has gone

    cdef int _gone(self, Connection connection) except -1


@cython.final
cdef class Connection(Sink):
    cdef object transport
    cdef object transport_write          # bound method, looked up once
    cdef Endpoint endpoint
    cdef Http1ServerConnection protocol
    cdef ConnectionDeadline deadline
    cdef Peer peer
    cdef Phase phase
    cdef double due                      # when the phase's time is over; 0 = never
    cdef double write_due                # when to look at a write that has stalled; 0 = none
    cdef double progress_at              # when the write buffer was last seen to shrink
    cdef Py_ssize_t unsent               # bytes in it then
    cdef bint tls
    cdef bint reading_paused

    cdef int drain(self) except -1
    cdef int _enter(self, Phase phase, double due) except -1
    cdef int _arm(self) except -1
    cdef int _expired(self, double now) except -1
    cdef int _check_write(self, double now) except -1
    cdef int _watch_write(self, double now) except -1


@cython.final
cdef class ConnectionDeadline(Deadline):
    cdef Connection owner                # None once the connection has gone
