"""A dispatcher behind a real listener, inside the test's process, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from siphon_http._core.counters import LEDGER_BYTES, Counters
from siphon_http._core.traffic import Traffic
from siphon_http.config import Address, ServerConfig
from siphon_http.dispatch import Dispatcher
from siphon_http.host.ledger import series_of
from siphon_http.registry import Registry
from siphon_http.server.lifecycle import Server

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
on_each_loop = pytest.mark.parametrize("loop", LOOPS)


def play(scenario: Callable[[], Awaitable[None]], loop: str = "uvloop", within: float = 30) -> None:
    """Run `scenario` to its end on a new loop; what reached the loop's exception handler fails the test."""
    reports: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
        await asyncio.wait_for(scenario(), within)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert reports == []


async def until(claim: Callable[[], object], within: float = 3) -> None:
    """Wait until `claim()` is true."""
    async with asyncio.timeout(within):
        while not claim():
            await asyncio.sleep(0.002)


def said(caplog: pytest.LogCaptureFixture, level: int = 0) -> list[str]:
    """Return what we logged; an event loop in debug mode says things of its own."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("siphon_http") and r.levelno >= level]


def tcp(host: str = "127.0.0.1", port: int = 0) -> Address:
    return Address("tcp", host, port, "", f"{host}:{port}")


def unix(path: object) -> Address:
    return Address("unix", "", 0, str(path), f"unix:{path}")


@dataclasses.dataclass(frozen=True)
class Answer:
    """One response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Read one response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        body = b""
        if head_only or status in (204, 304):
            pass
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            body = await self.reader.read()
        return Answer(status, headers, body)

    async def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request, and read its response."""
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        fields += f"content-length: {len(body)}\r\n" if body is not None else ""
        await self.send(f"{method} {target} HTTP/1.1\r\nhost: test\r\n{fields}\r\n".encode() + (body or b""))
        return await self.answer(head_only=method == "HEAD")

    async def rest(self) -> bytes:
        """Read to the end of the connection, be it an end or a reset."""
        got = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(65536):
                got += piece
        return got

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Send a reset, not an end: a half-closed client would still be answered."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX and not self.writer.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Site:
    """Routes to be registered, then served: `async with Site().serving() as site`."""

    def __init__(self, **settings: Any) -> None:
        self.registry = Registry()
        self.settings = settings
        self.pool_settings: dict[str, Any] = {}
        self.server: Server
        self.dispatcher: Dispatcher
        self._lines: list[Line] = []

    def route(self, path: str, methods: list[str] | None = None, **options: Any) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            self.registry.add_route(function, path, methods, **options)
            return function

        return register

    def middleware(self, function: Any, **options: Any) -> Any:
        self.registry.add_middleware(function, **options)
        return function

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Site]:
        loop = asyncio.get_running_loop()
        self.counted = memoryview(bytearray(LEDGER_BYTES))
        traffic = Traffic(Counters(self.counted))
        self.dispatcher = Dispatcher(self.registry.freeze(), loop, traffic=traffic, **self.pool_settings)
        self.server = Server([ServerConfig(**{"listen": tcp(), **self.settings})])
        self.server.bind()
        await self.server.serve(self.dispatcher, traffic)
        try:
            yield self
        finally:
            for line in self._lines:
                line.reset()
            self.dispatcher.cancel_all()
            self.server.close()
            self.dispatcher.close()
            await until(lambda: not self.server.open_connections)
            for _ in range(3):
                await asyncio.sleep(0)

    async def line(self, **options: Any) -> Line:
        """Connect."""
        listener = self.server.listeners[0]
        if listener.config.listen.kind == "unix":
            made = await asyncio.open_unix_connection(listener.config.listen.path, **options)
        else:
            made = await asyncio.open_connection(listener.config.listen.host, listener.port, **options)
        line = Line(*made)
        self._lines.append(line)
        return line

    async def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request on a connection of its own."""
        line = await self.line()
        try:
            return await line.ask(method, target, body, **headers)
        finally:
            line.close()

    def play(self, scenario: Callable[[], Awaitable[None]], loop: str = "uvloop") -> None:
        """Serve while `scenario` runs."""

        async def served() -> None:
            async with self.serving():
                await scenario()

        play(served, loop)

    @property
    def endpoint(self) -> Any:
        return self.server.listeners[0].endpoint

    @property
    def numbers(self) -> dict[str, Any]:
        """What was counted, without `siphon_http_`, by name and labels; of histograms how many."""
        return {
            f"{one.name.removeprefix('siphon_http_')}{{{one.labels}}}".removesuffix("{}"): sum(one.values[:-1])
            if one.bounds
            else one.values[0]
            for one in series_of(self.counted)
        }


def small_window() -> socket.socket:
    """Return a socket whose receive buffer is small, so that a writer to it is soon held up."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    return sock
