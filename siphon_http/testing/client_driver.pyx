"""A door for tests to a client's connection, whatever it speaks: what its owner and its callers can ask."""

cimport cython

from siphon_http.protocol.answer cimport LENGTH_WHOLE, Answer, ClientProtocol
from siphon_http.protocol.http2_client cimport Http2ClientConnection

__all__ = ["ClientDriver"]


@cython.final
cdef class ClientDriver:
    """Calls a ClientProtocol as the pool and a caller do; arguments and results are theirs."""

    def __init__(self, ClientProtocol connection not None):
        self.connection = connection

    def begin(self, Answer answer not None, bytes method=b"GET", bytes target=b"/", bytes fields=b"", bytes content=None,
              long long length=LENGTH_WHOLE, bytes authority=b"test", bytes scheme=b"http"):
        """Send a request; return the number of the exchange."""
        return self.connection.begin(answer, method, scheme, authority, target, fields, content, length)

    def send(self, long exchange, bytes data not None, bint last=False):
        """Send a piece of content; return whether more may follow at once."""
        return bool(self.connection.send(exchange, data, last))

    def taken(self, long exchange, Py_ssize_t size):
        """Content was taken."""
        self.connection.taken(exchange, size)

    def leave(self, long exchange):
        """Cancel an exchange."""
        self.connection.leave(exchange)

    def receive_data(self, bytes data not None):
        """Bytes have come."""
        self.connection.receive_data(data)

    def eof_received(self):
        """The peer sends no more."""
        self.connection.eof_received()

    def lost(self, str reason not None):
        """The transport is gone."""
        self.connection.lost(reason)

    def shut_down(self):
        """Begin nothing more."""
        self.connection.shut_down()

    def room(self):
        """Return how many exchanges may begin."""
        return self.connection.room()

    def is_idle(self):
        """Tell whether no exchange is open."""
        return self.connection.is_idle()

    def cork(self):
        """Hold output back."""
        self.connection.cork()

    def uncork(self):
        """Write what was held back."""
        self.connection.uncork()

    def pause(self):
        """The transport is full."""
        self.connection.pause()

    def resume(self):
        """The transport takes more."""
        self.connection.resume()

    def check_alive(self):
        """Look for a sign of life."""
        return bool(self.connection.check_alive())

    def skip_to(self, long id):
        """HTTP/2: make `id` the next stream's, as if all below had been used."""
        (<Http2ClientConnection?> self.connection).next_id = id
