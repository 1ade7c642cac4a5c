"""asyncio.Protocol adapter between a transport and the protocol that a client's connection speaks."""

cimport cython

from siphon_http._core.client_traffic cimport ClientCounts
from siphon_http._core.idle cimport IdleEntry
from siphon_http.protocol.answer cimport Answer, ClientProtocol, Link
from siphon_http.protocol.http1_client cimport Http1ClientConnection


cdef class ConnectionOwner:
    cdef readonly bytes absolute                  # what goes before a target for a proxy: scheme and authority; None = no proxy
    cdef readonly bytes proxy_fields              # field lines for that proxy, or b""
    cdef ClientCounts counts                      # of the client, or None: nobody counts

    cdef int room_changed(self, ClientConnection connection) except -1
    cdef int gone(self, ClientConnection connection) except -1


@cython.final
cdef class ClientConnection(Link):
    cdef ConnectionOwner owner           # the origin's place in the pool; None once the connection has gone
    cdef readonly ClientProtocol protocol  # what is spoken
    cdef Http1ClientConnection http1     # the same, when that is HTTP/1.1; else None
    cdef ClientCounts counts             # of the owner, or None
    cdef object transport                # None before connection_made and once gone
    cdef object transport_write          # its bound write
    cdef object loop                     # of an HTTP/2 connection
    cdef object watch                    # handle of the timer that looks for signs of life, while exchanges are open; or None
    cdef readonly IdleEntry entry        # its place in a list of idle connections
    cdef list blocked                    # Answers that wait for the transport to take more, or None
    cdef readonly bint is_full           # the transport takes no more for now
    cdef readonly bint is_closing        # close or abort was called, or the transport is gone
    cdef readonly bint is_secure         # TLS
    cdef public str refusal              # what the server's TLS said when it ended the connection; None = nothing
    cdef readonly str ending             # why it has ended, once it is gone (see ClientProtocol); or None
    cdef bint is_corked                  # output waits for `flush`
    cdef bint reported                   # the timings of the connect were told to an exchange
    cdef int fd                          # of the socket, to look at an idle one; -1 when it has none
    cdef readonly double dns, tcp, tls   # seconds that the phases of the connect took; 0 = there was none

    cdef bint is_usable(self, double now, bint careful) except -1
    cdef Py_ssize_t unsent(self, long exchange) except -1
    cdef Py_ssize_t queued(self) noexcept
    cdef int cork(self, object loop) except -1
    cdef int wait_for_room(self, Answer answer) except -1
    cdef int _broken(self) except -1
    cdef int _read_rest(self) except -1
