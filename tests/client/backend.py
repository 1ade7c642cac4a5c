"""A backend of ours for tests of the client: the path of a request says what happens to it.

    with Backend() as backend:
        backend.url("/echo")                    # plain HTTP/1.1
        backend.url("/echo", kind="tls")        # see backend_tls.KINDS
        backend.seen, backend.accepted          # what came, and over how many connections

It runs in a thread with a loop of its own, and reads HTTP by hand, so that nothing of ours judges what we send. Good cases are
methods of Good, those that break something are in backend_faults.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import random
import socket
import ssl
import struct
import threading
import zlib
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.client.backend_tls import KINDS, BlockingServer, Certificates

LIMIT = 1 << 20  # of a head


@dataclasses.dataclass
class Seen:
    """One request as it came: raw target, fields in order (names in lower case), content, number of its connection."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    connection: int
    kind: str
    version: str
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)


class Talk:
    """One connection of the backend, and the request that is answered on it."""

    def __init__(self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str) -> None:
        self.backend = backend
        self.reader = reader
        self.writer = writer
        self.kind = kind
        self.number = backend.accepted
        self.served = 0  # requests answered on this connection
        self.seen: Seen
        self.path: list[str] = []
        self.query: dict[str, str] = {}
        self._unread: tuple[str, int] | None = None

    # ---- reading

    async def next(self) -> bool:
        """Read the next head; say whether there was one."""
        head = b""
        try:
            head = await self.reader.readexactly(1)
            if head == b"\x16":  # a TLS hello
                await self.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
                return False
            head += await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as exc:
            if head:
                self.backend.oddities.append(f"cut head: {(head + exc.partial)[:100]!r}")
            return False
        first, *lines = head.decode("latin-1")[:-4].split("\r\n")
        method, target, version = first.split(" ")
        fields = [(name.lower(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
        self.seen = Seen(method, target, fields, self.number, self.kind, version)
        self.backend.seen.append(self.seen)
        parts = urlsplit(target)
        self.path = [unquote(part) for part in parts.path.split("/")[1:]]
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = self.seen.headers
        if headers.get("transfer-encoding") == "chunked":
            self._unread = ("chunked", 0)
        else:
            size = int(headers.get("content-length", "0"))
            self._unread = ("length", size) if size else None
        return True

    async def content(self) -> bytes:
        """Read the content of the request."""
        if self._unread is None:
            return self.seen.body
        if self.seen.headers.get("expect") == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        kind, size = self._unread
        self._unread = None
        if kind == "length":
            self.seen.body = await self.reader.readexactly(size)
            return self.seen.body
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            self.seen.body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return self.seen.body

    # ---- writing

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self, body: bytes = b"", status: int = 200, fields: tuple[str, ...] = (), size: int | None = None
    ) -> bool:
        """Answer with a length; `size` lies about it."""
        lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body) if size is None else size}", *fields, "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        await self.send(head if self.seen.method == "HEAD" else head + body)
        return True

    async def answer_json(self, value: Any, *fields: str, status: int = 200) -> bool:
        return await self.answer(json.dumps(value).encode(), status, ("content-type: application/json", *fields))

    def reset(self) -> None:
        """End the connection with a reset."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Good(Talk):
    """What a good server does. Each method returns whether the connection stays open."""

    async def do_echo(self) -> bool:
        await self.content()
        seen = self.seen
        told = {
            "method": seen.method, "target": seen.target, "fields": seen.fields, "connection": seen.connection,
            "body": seen.body.decode("latin-1"), "kind": seen.kind, "version": seen.version,
        }  # fmt: skip
        return await self.answer_json(told)

    async def do_status(self) -> bool:
        """/status/404?name=value: with those fields."""
        await self.content()
        status = int(self.path[1])
        fields = tuple(f"{name}: {value}" for name, value in self.query.items())
        if status in (204, 304):
            await self.send("\r\n".join([f"HTTP/1.1 {status} x", *fields, "", ""]).encode("latin-1"))
            return True
        return await self.answer(b"status %d" % status, status, fields)

    async def do_bytes(self) -> bool:
        return await self.answer(b"x" * int(self.path[1]))

    async def do_delay(self) -> bool:
        await self.content()
        await asyncio.sleep(int(self.path[1]) / 1000)
        return await self.answer(b"late")

    async def do_chunked(self) -> bool:
        """/chunked/3?ms=5&size=10: pieces with pauses, an extension and a trailer."""
        await self.content()
        await self.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = b"y" * int(self.query.get("size", "5"))
        for i in range(int(self.path[1])):
            await asyncio.sleep(int(self.query.get("ms", "0")) / 1000)
            await self.send(b"%x%b\r\n%b\r\n" % (len(piece), b";ext=1" if i == 1 else b"", piece))
        await self.send(b"0\r\nx-trailer: 1\r\n\r\n")
        return True

    async def do_eof(self) -> bool:
        await self.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end")
        return False

    async def do_http10(self) -> bool:
        await self.send(b"HTTP/1.0 200 OK\r\n\r\nold")
        return False

    async def do_interim(self) -> bool:
        for line in (b"102 Processing\r\n", b"103 Early Hints\r\nlink: </x>\r\n"):
            await self.send(b"HTTP/1.1 " + line + b"\r\n")
        return await self.answer(b"final")

    async def do_packed(self) -> bool:
        """/packed/gzip?size=100"""
        text = b"z" * int(self.query.get("size", "100"))
        raw = zlib.compressobj(wbits=-15)
        packed = {
            "gzip": gzip.compress(text), "x-gzip": gzip.compress(text), "deflate": zlib.compress(text),
            "raw": raw.compress(text) + raw.flush(), "br": b"not decoded", "identity": text,
            "twice": gzip.compress(zlib.compress(text)), "cut": gzip.compress(text)[:-3], "junk": b"<html>",
            "tail": gzip.compress(text) + b"tail",
        }[self.path[1]]  # fmt: skip
        names = {"raw": "deflate", "twice": "deflate, gzip", "cut": "gzip", "junk": "gzip", "tail": "gzip"}
        return await self.answer(packed, 200, (f"content-encoding: {names.get(self.path[1], self.path[1])}",))

    async def do_empty_packed(self) -> bool:
        return await self.answer(b"", 200, ("content-encoding: gzip",))

    async def do_redirect(self) -> bool:
        """/redirect/3?status=307: three times, then /echo."""
        await self.content()
        left, status = int(self.path[1]), self.query.get("status", "302")
        target = f"/redirect/{left - 1}?status={status}" if left > 1 else "/echo"
        return await self.answer(b"moved", int(status), (f"location: {target}",))

    async def do_redirect_to(self) -> bool:
        """/redirect_to?url=...&status=302"""
        await self.content()
        return await self.answer(b"moved", int(self.query.get("status", "302")), (f"location: {self.query['url']}",))

    async def do_flaky(self) -> bool:
        """/flaky/KEY/2?status=503&retry-after=1: fails twice for a key, then tells how often it was asked."""
        await self.content()
        asked = self.backend.asked[self.path[1]] = self.backend.asked[self.path[1]] + 1
        if asked > int(self.path[2]):
            return await self.answer_json({"asked": asked, "body": self.seen.body.decode("latin-1")})
        status = self.query.pop("status", "503")
        if status == "close":
            return False
        if status == "reset":
            self.reset()
            return False
        return await self.answer(b"again", int(status), tuple(f"{k}: {v}" for k, v in self.query.items()))

    async def do_sink(self) -> bool:
        """Count the content of the request without keeping it."""
        size = len(await self.content())
        self.seen.body = b""
        return await self.answer_json({"size": size})

    async def do_cookie(self) -> bool:
        return await self.answer(b"", 200, ("set-cookie: a=1", "set-cookie: b=2", "x-many: 1", "x-many: 2"))


class Backend:
    """The thread, its listeners, and what it has seen."""

    def __init__(self) -> None:
        from tests.client.backend_faults import Faulty
        from tests.client.backend_proxy import ProxyTalk

        self.talk: type[Good] = Faulty
        self.proxy_talk = ProxyTalk
        self.certificates = Certificates()
        self.seen: list[Seen] = []
        self.oddities: list[str] = []  # what no client should send
        self.tunnels: list[tuple[str, str]] = []  # (target of CONNECT, credentials) at the proxies
        self.asked: Counter[str] = Counter()
        self.accepted = 0
        self.open = 0
        self.random = random.Random(20)
        self.ports: dict[str, int] = {}
        self._closed: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="backend", daemon=True)

    def __enter__(self) -> Backend:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for sock in self._closed:
            sock.close()
        self._mutual.close()
        self.certificates.close()

    def url(self, path: str = "", *, kind: str = "plain", host: str = "127.0.0.1") -> str:
        scheme = "https" if kind in KINDS else "http"
        return f"{scheme}://{host}:{self.ports[kind]}{path}"

    def told(self) -> str:
        """Return what another process must know of it, as JSON."""
        return json.dumps({"ports": self.ports, "folder": str(self.certificates.folder)})

    def clear(self) -> None:
        """Forget what was seen."""
        self.seen.clear()
        self.tunnels.clear()
        self.oddities.clear()
        self.asked.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _listen(self) -> None:
        contexts: dict[str, ssl.SSLContext | None] = {"plain": None, "mute": None, "control": None}
        contexts |= {kind: self.certificates.context(kind) for kind in KINDS}
        contexts |= dict.fromkeys(self.proxy_talk.MODES)
        mutual = contexts.pop("mtls")
        assert mutual is not None
        self._mutual = BlockingServer(mutual)
        self.ports["mtls"] = self._mutual.port
        for kind, context in contexts.items():
            server = await asyncio.start_server(
                self._accepter(kind), "127.0.0.1", 0, ssl=context, limit=LIMIT, backlog=1000
            )
            self._servers.append(server)
            self.ports[kind] = server.sockets[0].getsockname()[1]
        self._closed_port("refused")
        self._full_port("full")

    def _closed_port(self, name: str) -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))  # and no listen: connections are refused
        self._closed.append(sock)
        self.ports[name] = sock.getsockname()[1]

    def _full_port(self, name: str) -> None:
        """Make a port that takes no further connection and refuses none: connects hang."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        self._closed.append(sock)
        self.ports[name] = sock.getsockname()[1]
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
            self._closed.append(filler)

    def _accepter(self, kind: str) -> Any:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if kind == "control":
                await self._control(Talk(self, reader, writer, kind))
                writer.close()
                return
            self.accepted += 1
            self.open += 1
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                if kind in self.proxy_talk.MODES:
                    await self.proxy_talk(self, reader, writer, kind).serve()
                elif kind == "mute":
                    await asyncio.sleep(3600)  # until the client leaves or the test ends
                else:
                    await self._converse(self.talk(self, reader, writer, kind))
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
                pass  # the client has left, or the test has ended
            finally:
                self.open -= 1
                self._tasks.discard(task)
                writer.close()

        return accepted

    async def _control(self, talk: Talk) -> None:
        """Tell another process what was seen, or forget it: GET /told, GET /clear."""
        if await talk.next():
            self.seen.remove(talk.seen)
            if talk.path[0] == "clear":
                self.clear()
            seen = [dataclasses.asdict(one) | {"body": one.body.decode("latin-1")} for one in self.seen]
            told = {"seen": seen, "tunnels": self.tunnels, "oddities": self.oddities, "asked": self.asked}
            await talk.answer_json(told | {"accepted": self.accepted, "open": self.open})

    async def _converse(self, talk: Good) -> None:
        while await talk.next():
            case = getattr(talk, f"do_{talk.path[0]}", None)
            if case is None:
                await talk.answer(b"no such case", 404)
                return
            if not await case():
                return
            await talk.content()
            talk.served += 1

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
