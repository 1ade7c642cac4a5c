"""TLS between a TCP transport and a connection: ssl.SSLObject over two memory BIOs, driven straight from the reads.

    uvloop transport -> SecureTransport.data_received -> SSLObject.read -> Connection.data_received
                                                                         (Http2Connection if ALPN chose h2)
    Connection.write -> SecureTransport.write -> SSLObject.write -> transport.write

To the transport it is an asyncio.Protocol, to the connection a transport. It exists because it does less than the
general TLS layers of event loops: no task or timer of its own, and no SSLWantReadError for every read, which alone
costs a microsecond. What TLS is stays OpenSSL's business.
"""

cimport cython

import logging
import ssl

from siphon_http._core.clock cimport monotonic
from siphon_http._core.deadlines cimport Deadline
from siphon_http.server.endpoint cimport Endpoint

__all__ = ["SecureTransport"]

log = logging.getLogger("siphon_http.server")

cdef object WantRead = ssl.SSLWantReadError
cdef object TlsError = ssl.SSLError
cdef int READ_BYTES = 65536


@cython.final
cdef class HandshakeDeadline(Deadline):
    """Time that a handshake has."""

    cdef int expired(self, double now) except -1:
        if self.owner is not None:
            self.owner.abort()
        return 0


@cython.final
cdef class SecureTransport:
    """One TLS connection, server side.

    endpoint: makes the Connection once the handshake is over; its header time-out covers the handshake.
    context: ssl.SSLContext of the listener.
    """

    def __cinit__(self, Endpoint endpoint, context):
        self.endpoint = endpoint
        self.context = context
        self.state = HANDSHAKING

    # ---- asyncio.Protocol of the TCP transport

    def connection_made(self, transport):
        """Wait for the client's hello; refuse when the listener has as many connections as it may."""
        self.raw = transport
        self.raw_write = transport.write
        if not self.endpoint.admit(self):
            transport.abort()
            return
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.read = self.tls.read
        self.write_some = self.tls.write
        self.pending = self.tls.pending
        self.deadline = HandshakeDeadline.__new__(HandshakeDeadline)
        self.deadline.owner = self
        self.endpoint.state.deadlines.add(self.deadline)
        self.endpoint.state.deadlines.arm(self.deadline, monotonic() + self.endpoint.header_timeout)

    def data_received(self, data):
        """Decrypt what came, and pass it on."""
        if self.state >= CLOSING:
            return      # what still comes after our goodbye is forgotten
        self.incoming.write(data)
        if self.state == HANDSHAKING and not self._handshake():
            return
        self._read()

    def eof_received(self):
        """The client has closed its side of TCP, with or without close_notify: it is gone."""
        self.ended = True
        if self.app is not None and self.state == OPEN:
            self.app.eof_received()
        return False

    def connection_lost(self, exc):
        """Cut every reference cycle."""
        if self.state == GONE:
            return
        self.state = GONE
        self._leave_handshake()
        app = self.app
        self.app = None
        self.app_data_received = None
        self.raw = None
        self.raw_write = None
        self.tls = self.read = self.write_some = self.pending = None
        self.incoming = self.outgoing = None
        if app is not None:
            app.connection_lost(exc)

    def pause_writing(self):
        """Pass back-pressure on."""
        if self.app is not None:
            self.app.pause_writing()

    def resume_writing(self):
        """Pass back-pressure on."""
        if self.app is not None:
            self.app.resume_writing()

    # ---- transport of the connection

    def write(self, data):
        """Encrypt and send `data`, bytes."""
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t sent
        if self.state != OPEN or size == 0:
            return
        try:
            sent = self.write_some(data)
            if sent < size:
                view = memoryview(data)
                while sent < size:
                    sent += self.write_some(view[sent:])
        except TlsError as error:
            self._fail(error)
            return
        self._flush()

    def close(self):
        """Say goodbye (close_notify) and close once everything is sent."""
        self._say_goodbye()
        if self.raw is not None:
            self.raw.close()

    def abort(self):
        """Reset the connection."""
        if self.raw is not None:
            self.raw.abort()

    def can_write_eof(self):
        """Tell that our side can be closed alone."""
        return True

    def write_eof(self):
        """Say goodbye and close our side; what the client still sends is read and forgotten."""
        self._say_goodbye()
        if self.raw is not None and self.raw.can_write_eof():
            self.raw.write_eof()

    def is_closing(self):
        """Tell whether the connection is on its way out."""
        return self.raw is None or self.raw.is_closing()

    def pause_reading(self):
        """Take no data for now."""
        self.paused = True
        if self.raw is not None:
            self.raw.pause_reading()

    def resume_reading(self):
        """Take data again, first what is here already."""
        self.paused = False
        if self.raw is None:
            return
        self.raw.resume_reading()
        if self.state == OPEN and not self.reading and (self.incoming.pending or self.pending()):
            self.endpoint.state.loop.call_soon(self._go_on)

    def get_write_buffer_size(self):
        """Return the bytes that are not sent yet."""
        return 0 if self.raw is None else self.raw.get_write_buffer_size()

    def get_extra_info(self, name, default=None):
        """Return `peercert`, `ssl_object`, `cipher`, or what the TCP transport knows."""
        if name == "ssl_object":
            return self.tls
        if name == "peercert":
            return default if self.tls is None else self.tls.getpeercert()
        if name == "cipher":
            return default if self.tls is None else self.tls.cipher()
        return default if self.raw is None else self.raw.get_extra_info(name, default)

    # ---- inside

    cdef int _handshake(self) except -1:
        """Go on with the handshake; 1 when it is done and the connection is open."""
        try:
            self.tls.do_handshake()
        except WantRead:
            self._flush()
            return 0
        except (TlsError, ValueError) as error:    # ValueError: a certificate that Python cannot read
            self._fail(error)
            return 0
        self._leave_handshake()
        self.state = OPEN
        self._flush()
        if self.tls.selected_alpn_protocol() == "h2":
            self.app = self.endpoint.http2_connection()
        else:
            self.app = self.endpoint.connection()
        self.app.told_client = self.told_client
        self.app_data_received = self.app.data_received
        self.app.connection_made(self)
        return self.state == OPEN

    cdef int _read(self) except -1:
        """Decrypt what is here and pass it on, until nothing is left or the connection has enough."""
        if self.reading:
            return 0
        self.reading = True
        try:
            while self.state == OPEN and not self.paused:
                data = self.read(READ_BYTES)
                if not data:
                    # close_notify: the client will send no more, and expects nothing more.
                    self.app.eof_received()
                    self.close()
                    break
                self.app_data_received(data)
                if self.state != OPEN or not (self.incoming.pending or self.pending()):
                    break
        except WantRead:
            pass        # part of a record; its rest comes with the next read
        except TlsError as error:
            self._fail(error)
        finally:
            self.reading = False
        if self.state == OPEN and self.outgoing.pending:
            self._flush()   # answers of TLS itself: key updates
        return 0

    def _go_on(self):
        """Read on after a pause."""
        if self.state == OPEN:
            self._read()

    cdef int _flush(self) except -1:
        """Send what TLS has written."""
        if self.raw_write is not None:
            data = self.outgoing.read()
            if data:
                self.raw_write(data)
        return 0

    cdef int _fail(self, object error) except -1:
        """TLS is broken: send the alert, if there is one, and close."""
        log.debug("TLS with %s: %s", self.get_extra_info("peername"), error)
        if self.state == GONE or self.raw is None:
            return 0
        self._flush()
        self.state = CLOSING
        self.raw.close()
        return 0

    cdef int _say_goodbye(self) except -1:
        """Send close_notify, once; the client's own is not waited for (RFC 8446, 6.1)."""
        if self.state == OPEN:
            self.state = CLOSING
            try:
                self.tls.unwrap()
            except (TlsError, OSError, ValueError):
                pass        # it wants to read the client's goodbye
            self._flush()
        elif self.state == HANDSHAKING:
            self.state = CLOSING
        return 0

    cdef int _leave_handshake(self) except -1:
        """The handshake is over, or will never be."""
        if self.deadline is not None:
            self.deadline.owner = None
            self.endpoint.state.deadlines.discard(self.deadline)
            self.deadline = None
        self.endpoint.handshakes.discard(self)
        return 0
