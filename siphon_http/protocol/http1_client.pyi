"""Types of http1_client.pyx."""

from enum import IntEnum
from typing import Self, final

from siphon_http.protocol.answer import ClientProtocol, Link

__all__ = ["Http1ClientConnection", "Http1ClientState"]

class Http1ClientState(IntEnum):
    IDLE = 0
    WAITING = 1
    READING = 2
    CLOSED = 3

@final
class Http1ClientConnection(ClientProtocol):
    """Client side of one HTTP/1.1 connection (RFC 9112)."""

    @property
    def state(self) -> Http1ClientState: ...
    @property
    def keep_seconds(self) -> int: ...
    def __new__(cls, link: Link, max_header_bytes: int = 65536, max_headers: int = 256) -> Self: ...
    def on_body(self, data: bytes) -> None: ...
    def on_message_complete(self) -> None: ...
