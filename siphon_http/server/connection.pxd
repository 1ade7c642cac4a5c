"""asyncio.Protocol adapter between a transport and protocol/http1_server."""

cimport cython

from siphon_http._core.message cimport Request
from siphon_http.protocol.http1_server cimport Http1ServerConnection
from siphon_http.server.endpoint cimport AcceptedConnection


@cython.final
cdef class Connection(AcceptedConnection):
    cdef Http1ServerConnection protocol  # parses and frames; None before connection_made
    cdef bint undecided                  # its first bytes may turn out to be the preface of HTTP/2, or must be
    cdef bytes early                     # first bytes that are kept until that is known, or None
    cdef bint reading                    # `data_received` is on the stack
    cdef bint batching                   # ... and the handler knows that several requests have come
    cdef unsigned int reads              # reads so far, to see whether a client still sends
    cdef unsigned int reads_seen         # `reads` when that was last looked at

    cdef int _enter_idle(self) except -1
    cdef int _rest(self) except -1
    cdef int _look_behind(self) except -1
    cdef double _now(self) noexcept
    cdef bytes _decide(self, bytes data)
    cdef int _give_up_http2(self) except -1
    cdef int _become_http2(self, bytes data) except -1
    cdef int _check_upload(self, Request request, double now) except -1
