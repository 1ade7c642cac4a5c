"""TLS between a TCP transport and a client's connection."""

cimport cython

from siphon_http.client.connection cimport ClientConnection


cdef enum SecureState:
    HANDSHAKING = 0
    OPEN = 1
    CLOSING = 2             # close_notify is sent; nothing more is read or written
    GONE = 3


@cython.final
cdef class SecureClientTransport:
    cdef object loop                 # event loop
    cdef object context              # ssl.SSLContext
    cdef str host                    # for SNI and for the certificate's names
    cdef readonly object handshake   # future of the protocol that ALPN has chosen, or None for none
    cdef object raw                  # TCP transport; None before connection_made and once gone
    cdef object raw_write            # its bound write
    cdef object incoming             # ssl.MemoryBIO of bytes from the peer
    cdef object outgoing             # ssl.MemoryBIO of bytes to the peer
    cdef object tls                  # ssl.SSLObject
    cdef object read                 # its bound read
    cdef object write_some           # its bound write
    cdef object pending              # its bound pending
    cdef ClientConnection app        # the connection, once the handshake is over; None before and once gone
    cdef int state                   # SecureState
    cdef bint paused                 # the connection takes no data for now
    cdef bint reading                # `_read` is on the stack

    cdef int _shake_hands(self) except -1
    cdef int _read(self) except -1
    cdef int _flush(self) except -1
    cdef int _fail(self, object error) except -1
    cdef int _say_goodbye(self) except -1
    cdef int _read_rest(self) except -1
    cdef int _ended(self) except -1
