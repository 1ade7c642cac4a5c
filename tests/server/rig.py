"""Connections to be tested: over real sockets (`site`), or over a transport that takes what it likes (`rigged`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from siphon_http._core.message import Peer, Response
from siphon_http.dispatch import Dispatcher
from siphon_http.registry import Registry
from siphon_http.server.endpoint import Endpoint, LoopState
from tests.stage import Site, play

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def site(**settings: Any) -> Site:
    made = Site(**settings)

    @made.route("/", ["GET", "POST"])
    async def root(req: Any) -> Response:
        return Response(200, None, req.body())

    @made.route("/sleep", ["GET", "POST"])
    async def sleep(req: Any) -> Response:
        await asyncio.sleep(30)  # until it is cancelled
        return Response(200)

    @made.route("/large")
    async def large(req: Any) -> Response:
        return Response(200, None, bytes(16_000_000))

    return made


class Transport:
    """A transport without a socket: `unsent` bytes lie in it."""

    def __init__(self) -> None:
        self.unsent = 0
        self.written: list[bytes] = []
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def can_write_eof(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


class Rig:
    """One connection on a `Transport`, with `/` and `/wait`."""

    def __init__(self, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        registry = Registry()
        self.release = asyncio.Event()
        self.cancelled = 0
        registry.add_route(self._root, "/")
        registry.add_route(self._wait, "/wait")
        self.dispatcher = Dispatcher(registry.freeze(), loop)
        self.state = LoopState(loop)
        self.endpoint = Endpoint(
            self.dispatcher, self.state, describe_peer=lambda transport: Peer("192.0.2.1:9"), **settings
        )
        self.transport = Transport()
        self.connection = self.endpoint.connection()
        self.connection.connection_made(self.transport)

    async def _root(self, req: Any) -> Response:
        return Response(200)

    async def _wait(self, req: Any) -> Response:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Response(200)

    @property
    def calls(self) -> list[str]:
        return self.transport.calls

    def end(self) -> None:
        self.connection.connection_lost(None)
        self.state.close()
        self.dispatcher.close()


def rigged(scenario: Callable[[Rig], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        rig = Rig(**settings)
        try:
            await scenario(rig)
        finally:
            rig.end()

    play(run)
