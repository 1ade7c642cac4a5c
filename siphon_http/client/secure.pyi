"""Types of secure.pyx."""

import asyncio
import ssl
from typing import Any, Self, final

from siphon_http.client.connection import ClientConnection

__all__ = ["SecureClientTransport"]

@final
class SecureClientTransport(asyncio.Transport, asyncio.Protocol):
    """One TLS connection, client side."""

    def __new__(cls, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, host: str) -> Self: ...
    @property
    def handshake(self) -> asyncio.Future[str | None]: ...
    def open(self, connection: ClientConnection) -> None: ...
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...
