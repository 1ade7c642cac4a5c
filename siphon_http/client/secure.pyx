"""TLS between a TCP transport and a client's connection: ssl.SSLObject over two memory BIOs, driven from the reads.

    transport -> SecureClientTransport.data_received -> SSLObject.read -> ClientConnection.data_received
    ClientConnection.write -> SecureClientTransport.write -> SSLObject.write -> transport.write

To the TCP transport it is an asyncio.Protocol, to the connection a transport. It is the client's side of what
`server/secure` is for the server, and exists for the same reason: it does less than the TLS layers of event loops. The
two share no code because neither layer may import the other, and what is common to both is little beside the handshake,
its time-out and its ends, which differ.
"""

cimport cython

import ssl

from siphon_http.errors import TlsError

from siphon_http.client.connection cimport ClientConnection

from siphon_http.client.connection import unread
from siphon_http.client.tls import describe_failure

__all__ = ["SecureClientTransport"]

cdef object WantRead = ssl.SSLWantReadError
cdef object SslError = ssl.SSLError
cdef int READ_BYTES = 65536


@cython.final
cdef class SecureClientTransport:
    """One TLS connection, client side. context: ssl.SSLContext; host: name or IP address that the certificate must have."""

    def __cinit__(self, loop, context, str host not None):
        self.loop = loop
        self.context = context
        self.host = host
        self.handshake = loop.create_future()
        self.state = HANDSHAKING

    # ---- asyncio.Protocol of the TCP transport

    def connection_made(self, transport):
        """Send the hello."""
        self.raw = transport
        self.raw_write = transport.write
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        try:
            self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=self.host)
        except (SslError, ValueError) as error:     # a host that cannot be a server name
            self._fail(error)
            return
        self.read = self.tls.read
        self.write_some = self.tls.write
        self.pending = self.tls.pending
        self._shake_hands()

    def data_received(self, data):
        """Decrypt what came, and pass it on."""
        if self.state >= CLOSING:
            return      # what still comes after our goodbye is forgotten
        self.incoming.write(data)
        if self.state == HANDSHAKING:
            self._shake_hands()
        elif self.app is not None:
            self._read()

    def eof_received(self):
        """The server has closed its side of TCP; without close_notify that may be anybody's doing (RFC 8446, 6.1)."""
        if self.state == HANDSHAKING:
            self._fail(ssl.SSLEOFError())
        elif self.state == OPEN and self.app is not None:
            self.incoming.write_eof()
            self._read()
            if self.state == OPEN and self.app is not None:
                self.app.abort()    # nothing that has no other end is taken for whole
        return False

    def connection_lost(self, exc):
        """Cut every reference cycle."""
        cdef ClientConnection app = self.app
        if self.state == GONE:
            return
        if self.state == HANDSHAKING and not self.handshake.done():
            self.handshake.set_exception(TlsError(
                f"{self.host}: " + (describe_failure(ssl.SSLEOFError(), self.host) if exc is None else str(exc))))
        if self.state == OPEN and app is not None and exc is not None and not self.reading:
            self._read_rest()
        self.state = GONE
        self.app = None
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

    def open(self, ClientConnection connection not None):
        """Carry `connection` from now on; the handshake is over."""
        self.app = connection
        connection.connection_made(self)
        if self.state == GONE:
            connection.connection_lost(None)
        elif self.incoming.pending or self.pending():
            self._read()

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
        except SslError as error:
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
            self.loop.call_soon(self._go_on)

    def get_write_buffer_size(self):
        """Return the bytes that are not sent yet."""
        return 0 if self.raw is None else self.raw.get_write_buffer_size()

    def get_extra_info(self, name, default=None):
        """Return `ssl_object`, `cipher`, or what the TCP transport knows."""
        if name == "ssl_object":
            return self.tls
        if name == "cipher":
            return default if self.tls is None else self.tls.cipher()
        return default if self.raw is None else self.raw.get_extra_info(name, default)

    # ---- inside

    cdef int _shake_hands(self) except -1:
        """Go on with the handshake."""
        try:
            self.tls.do_handshake()
        except WantRead:
            return self._flush()
        except (SslError, ValueError) as error:     # ValueError: a certificate that Python cannot read
            return self._fail(error)
        self.state = OPEN
        self._flush()
        if not self.handshake.done():
            self.handshake.set_result(self.tls.selected_alpn_protocol())
        return 0

    cdef int _read(self) except -1:
        """Decrypt what is here and pass it on, until nothing is left or the connection has enough."""
        if self.reading:
            return 0
        self.reading = True
        try:
            while self.state == OPEN and not self.paused and self.app is not None:
                data = self.read(READ_BYTES)
                if not data:
                    self._ended()
                    break
                self.app.data_received(data)
                if self.state != OPEN or not (self.incoming.pending or self.pending()):
                    break
        except WantRead:
            pass        # part of a record; its rest comes with the next read
        except SslError as error:
            self._fail(error)
        finally:
            self.reading = False
        if self.state == OPEN and self.outgoing.pending:
            self._flush()   # answers of TLS itself: key updates
        return 0

    cdef int _read_rest(self) except -1:
        """A write has failed: read the alert, or the answer, that the transport will not read any more."""
        sock = self.raw.get_extra_info("socket")
        rest = [] if sock is None else unread(sock.fileno())
        if rest:
            self.incoming.write(b"".join(rest))
            self.paused = False
            self._read()
        return 0

    cdef int _ended(self) except -1:
        """close_notify: the server will send no more, and expects nothing more."""
        self.app.eof_received()
        self.close()
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
        if self.state == HANDSHAKING and not self.handshake.done():
            text = describe_failure(error, self.host, peer=self.tls) if isinstance(error, SslError) else str(error)
            self.handshake.set_exception(TlsError(f"{self.host}: {text}"))
            self.handshake.exception()      # whoever awaited it may be gone
        if self.state == GONE or self.raw is None:
            return 0
        self._flush()
        self.state = CLOSING
        if self.app is not None:
            if isinstance(error, SslError) and "ALERT" in (error.reason or ""):
                self.app.refusal = f"{self.host}: {describe_failure(error, self.host)}"
            self.app.abort()    # what is under way fails now
        else:
            self.raw.close()
        return 0

    cdef int _say_goodbye(self) except -1:
        """Send close_notify, once; the server's own is not waited for (RFC 8446, 6.1)."""
        if self.state == OPEN:
            self.state = CLOSING
            try:
                self.tls.unwrap()
            except (SslError, OSError, ValueError):
                pass        # it wants to read the server's goodbye
            self._flush()
        elif self.state == HANDSHAKING:
            self.state = CLOSING
        return 0
