"""The proxies of the backend: CONNECT, and requests in absolute form, well and badly done."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.client.backend import Backend


class ProxyTalk:
    """One connection to a proxy."""

    MODES = ("proxy", "proxy_auth", "proxy_refuses", "proxy_mute", "proxy_leaves", "proxy_talks", "proxy_slow")
    """proxy_auth: user `me`, password `s3cret`; proxy_talks: bytes after its answer; proxy_slow: half a second."""

    def __init__(self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str) -> None:
        self.backend = backend
        self.reader = reader
        self.writer = writer
        self.kind = kind

    async def serve(self) -> None:
        while True:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            credentials = headers.get("proxy-authorization", "")
            self.backend.tunnels.append((f"{method} {target}", credentials))
            if self.kind == "proxy_mute":
                await asyncio.sleep(3600)
            if self.kind == "proxy_leaves":
                return
            if self.kind == "proxy_refuses":
                await self.send(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno")
                continue
            if self.kind == "proxy_auth" and credentials != "Basic bWU6czNjcmV0":
                await self.send(b'HTTP/1.1 407 Who\r\nproxy-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n')
                continue
            if self.kind == "proxy_slow":
                await asyncio.sleep(0.5)
            if method == "CONNECT":
                await self.tunnel(target)
                return
            size = int(headers.get("content-length", "0"))
            told = {"proxied": target, "headers": headers, "body": (await self.reader.readexactly(size)).decode()}
            body = json.dumps(told).encode()
            await self.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async def tunnel(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        extra = b"surprise" if self.kind == "proxy_talks" else b""
        await self.send(b"HTTP/1.1 200 Connection established\r\n\r\n" + extra)
        try:
            await asyncio.gather(self.copy(self.reader, writer), self.copy(reader, self.writer))
        finally:
            writer.close()

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
