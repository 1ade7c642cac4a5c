"""A blocking HTTP/2 client over `Wire`."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator

from tests.http2_client import Client, Got

from .wire import Address, Wire


class Http2Wire:
    """One client connection that speaks HTTP/2."""

    def __init__(self, address: Address, *, takes: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.wire = Wire(address, tls=tls)
        self.client = Client(takes)

    def flush(self) -> None:
        """Send what is due; a server that has gone is found out by reading."""
        with contextlib.suppress(OSError):
            self.wire.send(self.client.take())

    def until(self, claim: Callable[[], object], within: float = 5.0) -> None:
        """Carry bytes until `claim()` is true or the server closes."""
        deadline = time.monotonic() + within
        self.flush()
        while not claim() and not self.wire.ended:
            assert time.monotonic() < deadline, "nothing came"
            self.wire.fill()
            self.client.feed(self.wire.buffer)
            self.wire.buffer = b""
            self.flush()

    def get(self, path: str, method: str = "GET", body: bytes | None = None, *more: tuple[str, str]) -> Got:
        """Send a request and return its whole answer."""
        got = self.client.streams[self.client.ask(path, method, body, *more)]
        self.until(lambda: got.over)
        assert got.over, "the connection was closed"
        return got


@contextlib.contextmanager
def http2(address: Address, *, takes: bool = True, tls: ssl.SSLContext | None = None) -> Iterator[Http2Wire]:
    """Connect, and close at the end."""
    made = Http2Wire(address, takes=takes, tls=tls)
    try:
        yield made
    finally:
        made.wire.__exit__()
