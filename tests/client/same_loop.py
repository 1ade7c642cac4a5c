"""A backend on the loop of the test, so that what happens first is decided: its paths say what it does, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

from siphon_http.client.api import Client, Clients, client_class
from siphon_http.client.pool import Pool, PoolTransport
from siphon_http.config import ClientConfig

__all__ = ["Backend", "Seen", "clients_for", "running", "the_pool"]


class Seen:
    """One request as it came."""

    def __init__(self, head: bytes, body: bytes, connection: int) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            if colon:
                self.headers[name.lower()] = value
        self.body = body
        self.connection = connection


class Backend:
    """Serves HTTP/1.1. requests: what has come; connections: how many were accepted; open: those that are."""

    def __init__(self, tls: ssl.SSLContext | None = None, seed: int = 1) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.tls = tls
        self.random = random.Random(seed)
        self.gate = asyncio.Event()
        self.plain: dict[str, Callable[[Seen], bytes]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http{'s' if self.tls else ''}://localhost:{self.port}"

    async def start(self) -> None:
        """Listen on a free port."""
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in list(self.open):
            writer.transport.abort()
        await self.server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        number = self.connections
        self.open.add(writer)
        try:
            while await self._one(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, asyncio.LimitOverrunError):
            pass
        finally:
            self.tasks.discard(task)
            self.open.discard(writer)
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        early = b" /early" in head or b" /slowly" in head
        body = b"" if early else await _content(head, reader)
        seen = Seen(head, body, number)
        self.requests.append(seen)
        path = seen.target.partition("?")[0]
        if path in self.plain:
            answer = self.plain[path](seen)
            writer.write(answer)
            return b"connection: close" not in answer
        word, _, rest = path.lstrip("/").partition("/")
        act = getattr(self, f"do_{word}", None)
        if act is None:
            writer.write(answer_of(f"{seen.method} {seen.target}".encode(), method=seen.method))
            return True
        return bool(await act(seen, rest, reader, writer))

    async def do_echo(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        writer.write(answer_of(seen.body))
        return True

    async def do_sleep(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        await asyncio.sleep(int(rest) / 1000)
        writer.write(answer_of(b"slept"))
        return True

    async def do_gate(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        await self.gate.wait()
        writer.write(answer_of(b"open"))
        return True

    async def do_silent(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        await reader.read()
        return False

    async def do_close(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        return False

    async def do_reset(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        reset(writer)
        return False

    async def do_last(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Answers, says nothing, and closes."""
        writer.write(answer_of(b"last"))
        return False

    async def do_cut(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
        return False

    async def do_junk(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        return False

    async def do_status(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        writer.write(answer_of(b"status", int(rest)))
        return True

    async def do_extra(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Answers, and sends bytes that nobody has asked for a moment later."""
        writer.write(answer_of(b"extra"))
        await writer.drain()
        await asyncio.sleep(0.02)  # the answer is taken, and its connection idle
        writer.write(answer_of(b"poison"))
        return True

    async def do_to(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Redirects: /to/302/where."""
        status, _, where = rest.partition("/")
        writer.write(answer_of(b"moved", int(status), b"location: /" + where.encode() + b"\r\n"))
        return True

    async def do_gzip(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        content = gzip.compress(b"z" * int(rest))
        writer.write(answer_of(content, 200, b"content-encoding: gzip\r\n"))
        return True

    async def do_badgzip(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        writer.write(answer_of(b"\x1f\x8b nonsense", 200, b"content-encoding: gzip\r\n"))
        return True

    async def do_pieces(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Content of `rest` KiB in chunks."""
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(int(rest)):
            writer.write(b"400\r\n" + bytes([number % 251]) * 1024 + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    async def do_trickle(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """A byte every `rest` milliseconds, for ever."""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(int(rest) / 1000)

    async def do_early(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Answers before the content has come, and reads none of it."""
        writer.write(answer_of(b"too large", 413))
        await writer.drain()
        await asyncio.sleep(0.2)  # the answer is read while the content is still being sent
        return False

    async def do_slowly(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Reads `rest` bytes at its leisure, and answers."""
        left = int(rest)
        while left > 0:
            left -= len(await reader.read(20_000))
            await asyncio.sleep(0.001)
        writer.write(answer_of(b"read"))
        return False

    async def do_parts(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Sends its head line by line, one each 30 ms."""
        for line in (b"HTTP/1.1 200 OK", *[b"x: y"] * 7, b"content-length: 0", b""):
            writer.write(line + b"\r\n")
            await asyncio.sleep(0.03)  # below any time-out of its callers, but for all of them together
        return True

    async def do_interim(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Says for a while that it is at work."""
        for _ in range(8):
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.03)  # below any time-out of its callers, but for all of them together
        writer.write(answer_of(b""))
        return True

    async def do_deaf(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        return True

    async def do_storm(self, seen: Seen, rest: str, reader: Any, writer: Any) -> bool:
        """Answers in pieces and at its leisure, and closes now and then: after the answer, or a moment later."""
        draw = self.random.random()
        answer = answer_of(b"calm " + seen.target.encode())
        if draw < 0.2:
            await asyncio.sleep(self.random.random() * 0.004)
        if draw < 0.3:
            writer.write(answer[:20])
            await asyncio.sleep(self.random.random() * 0.002)
            writer.write(answer[20:])
        else:
            writer.write(answer)
        if 0.4 < draw < 0.45:
            return False
        if 0.45 < draw < 0.5:
            await writer.drain()
            await asyncio.sleep(self.random.random() * 0.003)
            return False
        if 0.5 < draw < 0.52:
            await writer.drain()
            reset(writer)
            return False
        return True


def answer_of(content: bytes, status: int = 200, fields: bytes = b"", method: str = "GET") -> bytes:
    """Return a whole answer."""
    head = b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n" % (status, fields, len(content))
    return head if method == "HEAD" else head + content


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the peer sees a reset."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _content(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        body = b""
        while size := int(await reader.readuntil(b"\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body
    size = lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(size)) if size else b""


@contextlib.asynccontextmanager
async def running(tls: ssl.SSLContext | None = None, **config: Any) -> AsyncIterator[tuple[Backend, Any]]:
    """Give a backend that runs and a named client for it; `config` are keys of ClientConfig."""
    backend = Backend(tls)
    await backend.start()
    made = clients_for(api=ClientConfig(base_url=backend.url, **config))
    try:
        yield backend, made("api")
    finally:
        await made._clients.close()
        await backend.stop()


def clients_for(**configs: ClientConfig) -> type[Client]:
    """Return the class `http.Client` of a namespace with these named clients."""
    return client_class(Clients(configs, PoolTransport))


def the_pool(client: Any) -> Pool:
    """Return the pool that `client` has on the running loop."""
    _, transport = client._clients.named(client.name)
    pool: Pool = transport.carrier(asyncio.get_running_loop())
    return pool
