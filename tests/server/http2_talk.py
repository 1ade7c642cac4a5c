"""An HTTP/2 client on a connection to a `Site`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from tests.http2_client import Client, Got
from tests.stage import Line, Site


class Talk:
    """An HTTP/2 client on one line."""

    def __init__(self, line: Line, takes: bool = True) -> None:
        self.line = line
        self.client = Client(takes)
        self.closed = False
        self.silent = False

    def flush(self) -> None:
        if not self.silent:
            self.line.writer.write(self.client.take())

    async def until(self, claim: Callable[[], object], within: float = 3) -> None:
        """Carry bytes until `claim()` is true."""
        self.flush()
        async with asyncio.timeout(within):
            while not claim():
                data = b""
                with contextlib.suppress(ConnectionError):
                    data = await self.line.reader.read(65536)
                if not data:
                    self.closed = True
                    self.line.close()
                    assert claim(), "the connection was closed"
                    return
                self.client.feed(data)
                self.flush()

    async def get(self, path: str, method: str = "GET", body: bytes | None = None, *more: tuple[str, str]) -> Got:
        got = self.client.streams[self.client.ask(path, method, body, *more)]
        await self.until(lambda: got.over)
        return got

    async def end(self) -> None:
        """Wait until the server closes."""
        await self.until(lambda: self.closed)


async def talk(made: Site, *, takes: bool = True, **options: Any) -> Talk:
    return Talk(await made.line(**options), takes)
