"""TLS between a TCP transport and a connection."""

cimport cython

from siphon_http._core.deadlines cimport Deadline
from siphon_http.server.endpoint cimport Endpoint


cdef enum SecureState:
    HANDSHAKING = 0
    OPEN = 1
    CLOSING = 2             # close_notify is sent; nothing more is read or written
    GONE = 3


@cython.final
cdef class HandshakeDeadline(Deadline):
    cdef SecureTransport owner       # None once the handshake is over


@cython.final
cdef class SecureTransport:
    cdef Endpoint endpoint           # the listener that accepted it
    cdef object context              # ssl.SSLContext
    cdef object raw                  # TCP transport; None once gone
    cdef object raw_write            # its bound write
    cdef object incoming             # ssl.MemoryBIO of bytes from the peer
    cdef object outgoing             # ssl.MemoryBIO of bytes to the peer
    cdef object tls                  # ssl.SSLObject
    cdef object read                 # its bound read
    cdef object write_some           # its bound write
    cdef object pending              # its bound pending
    cdef object app                  # the Connection or Http2Connection, once the handshake is over
    cdef object app_data_received    # its bound data_received
    cdef public str told_client      # client that a PROXY header told before we began, or None
    cdef HandshakeDeadline deadline  # of the handshake; None once that is over
    cdef int state                   # SecureState
    cdef bint paused                 # the connection takes no data for now
    cdef bint reading                # `_read` is on the stack
    cdef bint ended                  # the peer has sent its last byte

    cdef int _handshake(self) except -1
    cdef int _read(self) except -1
    cdef int _flush(self) except -1
    cdef int _fail(self, object error) except -1
    cdef int _say_goodbye(self) except -1
    cdef int _leave_handshake(self) except -1
