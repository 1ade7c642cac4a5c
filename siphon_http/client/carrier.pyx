"""What calls ask of the pool, and the configuration of a client as both use it."""

cimport cython

from siphon_http._core.url cimport Url, parse_url
from siphon_http.client.connection cimport ConnectionOwner
from siphon_http.protocol.answer cimport Answer

__all__ = ["Carrier", "Settings", "encode_host"]


@cython.final
cdef class Settings:
    """The configuration of a client as its calls use it: seconds, and the base URL parsed. config: a ClientConfig."""

    def __init__(self, str name, config):
        self.name = name
        self.config = config
        self.base = None if config.base_url is None else parse_url(config.base_url, encode_host)
        self.timeout = config.timeout_ms / 1000
        self.connect_timeout = config.connect_timeout_ms / 1000
        self.pool_timeout = config.pool_timeout_ms / 1000
        self.write_timeout = (config.write_timeout_ms or 0) / 1000
        self.read_timeout = (config.read_timeout_ms or 0) / 1000
        self.idle_timeout = config.idle_timeout_ms / 1000
        self.follow_redirects = config.follow_redirects
        self.max_response_bytes = config.max_response_bytes
        self.pool_size = config.pool_size
        self.max_connections = config.max_connections
        self.http2_prior_knowledge = config.http2_prior_knowledge
        self.retries = config.retries


def encode_host(host):
    """Return a host name beyond ASCII as it is looked up (IDNA). Raises ValueError."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{host[:60]!r} is no host name: {error}") from None


cdef class Carrier:
    """What a call asks of the pool."""

    cdef ConnectionOwner origin(self, Url url):
        """Return the place of the origin that `url` names."""
        raise NotImplementedError

    cdef int submit(self, Answer call, bint fresh) except -1:
        """Let a Call begin on a connection of its origin: now if one is idle, or when there is one.

        fresh: one that nothing has used before.
        """
        raise NotImplementedError

    cdef int withdraw(self, Answer call) except -1:
        """Forget a call that waits; return 1 when a connect is under way for it and others."""
        raise NotImplementedError

    cdef int over(self, Answer call) except -1:
        """Count a Call that has ended, however it did; once for each."""
        raise NotImplementedError
