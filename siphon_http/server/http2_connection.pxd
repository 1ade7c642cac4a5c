"""One accepted connection that speaks HTTP/2."""

cimport cython

from siphon_http.protocol.http2_server cimport Http2ServerConnection
from siphon_http.server.endpoint cimport AcceptedConnection


@cython.final
cdef class Http2Connection(AcceptedConnection):
    cdef Http2ServerConnection protocol  # judges and frames; None before connection_made
    cdef double phase_due                # when the phase's time is over; 0 = never
    cdef double look_due                 # when to look at the streams: at their time-outs, and whether there are any
    cdef double grace_due                # when a client that was told of the end has had its time to take note; 0 = none
    cdef double head_due                 # when a frame or field block in parts must be whole, streams or not; 0 = none
    cdef unsigned int head_seen          # `protocol.progress` when that was set
    cdef double ping_due                 # when to look whether the client is there; 0 = never
    cdef double pinged_at                # when it was asked; 0 = it was heard since
    cdef double heard_at                 # when something came from it, if that is asked
    cdef double active_at                # when the last request came, or something was written while there were streams
    cdef bint has_turn                   # the loop will call us for frames that one turn has left
    cdef bint parts                      # `phase_due` is when a client must have read the rest
    cdef bint told                       # `drain` has begun

    cdef int _begin(self, object transport, double due) except -1
    cdef int _go_on(self, double now) except -1
    cdef double _look_every(self)
    cdef int _check_peer(self, double now) except -1
    cdef int _wait(self, double now) except -1
    cdef int _set_due(self) except -1
