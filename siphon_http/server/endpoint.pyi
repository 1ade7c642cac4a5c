"""Types of endpoint.pyx."""

import asyncio
from collections.abc import Callable
from typing import Any, Self, final

from typing_extensions import disjoint_base

from siphon_http._core.deadlines import Deadlines
from siphon_http._core.exchange import Handler
from siphon_http._core.message import Peer, Request
from siphon_http._core.traffic import Traffic
from siphon_http.protocol.sink import Sink
from siphon_http.server.access import AccessLog
from siphon_http.server.connection import Connection
from siphon_http.server.http2_connection import Http2Connection
from siphon_http.server.proxy_protocol import HeaderReader
from siphon_http.server.secure import SecureTransport

__all__ = ["AcceptedConnection", "Endpoint", "LoopState"]

@final
class LoopState:
    """What all connections of one event loop share."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def deadlines(self) -> Deadlines: ...
    @property
    def traffic(self) -> Traffic: ...
    def __init__(self, loop: asyncio.AbstractEventLoop, traffic: Traffic | None = None) -> None: ...
    def close(self) -> None: ...

@final
class Endpoint:
    """One listener on one loop. Times in seconds, sizes in bytes."""

    @property
    def handler(self) -> Handler: ...
    @property
    def state(self) -> LoopState: ...
    @property
    def header_timeout(self) -> float: ...
    @property
    def idle_timeout(self) -> float: ...
    @property
    def write_timeout(self) -> float: ...
    @property
    def request_timeout(self) -> float: ...
    @property
    def max_body_bytes(self) -> int: ...
    @property
    def max_header_bytes(self) -> int: ...
    @property
    def max_headers(self) -> int: ...
    @property
    def max_connections(self) -> int: ...
    @property
    def max_concurrent_streams(self) -> int: ...
    @property
    def http2_ping_interval(self) -> float: ...
    @property
    def http2_through_h2(self) -> bool: ...
    @property
    def http1(self) -> bool: ...
    @property
    def http2(self) -> bool: ...
    @property
    def scheme(self) -> str: ...
    @property
    def forwarded(self) -> Callable[[Request, str], str | None] | None: ...
    @property
    def describe_peer(self) -> Callable[[Any], Peer]: ...
    @property
    def connections(self) -> set[AcceptedConnection]: ...
    @property
    def handshakes(self) -> set[SecureTransport | HeaderReader]: ...
    @property
    def draining(self) -> bool: ...
    @property
    def accepted(self) -> int: ...
    @property
    def refused_count(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def traffic(self) -> Traffic: ...
    @property
    def access(self) -> AccessLog | None: ...
    @property
    def request_ids(self) -> bool: ...
    def __init__(
        self,
        handler: Handler,
        state: LoopState,
        *,
        describe_peer: Callable[[Any], Peer],
        header_timeout: float = 10.0,
        idle_timeout: float = 75.0,
        write_timeout: float = 30.0,
        request_timeout: float = 30.0,
        max_body_bytes: int = 1048576,
        max_header_bytes: int = 65536,
        max_headers: int = 128,
        max_connections: int = 1000000,
        max_concurrent_streams: int = 128,
        http2_ping_interval: float = 0.0,
        http2_through_h2: bool = False,
        http1: bool = True,
        http2: bool = True,
        scheme: str = "http",
        forwarded: Callable[[Request, str], str | None] | None = None,
        access: AccessLog | None = None,
        request_ids: bool = False,
        slow_request_ms: int = 0,
    ) -> None: ...
    def connection(self) -> Connection: ...
    def http2_connection(self) -> Http2Connection: ...
    def admit(self, transport: SecureTransport | HeaderReader, refusable: bool = False) -> bool:
        """Count what is no connection yet as one; False when there are as many as there may be, or it is draining."""

    def count_refusal(self) -> None: ...
    def drain(self) -> None: ...
    def abort(self) -> None: ...
    def when_empty(self, callback: Callable[[], object]) -> None: ...

# In the build it is no subclass of asyncio.Protocol: loops call its methods by name. Here it is, for `create_server`.
@disjoint_base
class AcceptedConnection(Sink, asyncio.Protocol):
    """One accepted connection, whatever it speaks."""

    told_client: str | None

    def __new__(cls, endpoint: Endpoint) -> Self: ...
