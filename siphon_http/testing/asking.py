"""One request to a listener without sockets: its bytes go through a real connection, and the answer's are parsed.

Asking.begin -> serialised head -> WireTransport.receive -> server Connection -> protocol -> dispatch -> script
Asking.head, content <- httptools <- WireTransport.write <- ... <- http.Response
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import httptools

from siphon_http._core.message import Response
from siphon_http.server.endpoint import Endpoint
from siphon_http.testing.fakes import MemoryTransport
from siphon_http.testing.writing import Pieces, Written

__all__ = ["Asking"]

HIGH_WATER = 65_536
"""Bytes of an answer that nobody has read yet, from which on the server is asked to wait."""

SETTLING_TURNS = 3


class WireTransport(MemoryTransport):
    """The server's end of a connection in memory. What it writes goes to `asking`, as long as somebody reads it."""

    def __init__(self, endpoint: Endpoint, asking: Asking, address: tuple[str, int]) -> None:
        self._asking = asking
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        self._readable.set()
        super().__init__(endpoint.connection(), high_water=HIGH_WATER, peername=address)

    def write(self, data: bytes) -> None:
        """Take what the server sends."""
        super().write(data)
        self.pass_on()

    def pass_on(self) -> None:
        """Give the client what was sent; hold the rest back while it reads nothing."""
        sent, self.sent = self.sent, []
        for piece in sent:
            self._asking.receive(piece)
        self.is_stuck = self._asking.unread >= HIGH_WATER
        if not self.is_stuck and self.held:
            self.flush()
            self.pass_on()
        if self.is_closing() and not self.held:
            self._loop.call_soon(self.settle)

    def settle(self, error: Exception | None = None) -> None:
        """Tell both ends that the connection is gone (see MemoryTransport)."""
        super().settle(error)
        self._readable.set()
        if self.is_lost:
            self._asking.lost(error)

    @property
    def is_lost(self) -> bool:
        """Whether the server was told that the connection is gone."""
        return self._lost

    def close(self) -> None:
        """Close once everything held is read."""
        super().close()
        self._loop.call_soon(self.settle)

    def abort(self) -> None:
        """Drop what is held and close."""
        super().abort()
        self._loop.call_soon(self.settle)

    def write_eof(self) -> None:
        """The server has written its last byte: the client, which reads it, closes too."""
        super().write_eof()
        self._loop.call_soon(self.leave)

    def leave(self) -> None:
        """Close the client's side; what the server still had to say is lost."""
        if not self.is_lost and not self.is_closing():
            self.receive_eof()

    def pause_reading(self) -> None:
        """Stop giving bytes to the server."""
        super().pause_reading()
        self._readable.clear()

    def resume_reading(self) -> None:
        """Go on giving bytes to the server."""
        super().resume_reading()
        self._readable.set()

    async def give(self, data: bytes) -> bool:
        """Give the server one read, when it wants it, as a loop would: from no task's code. False: it has gone."""
        await self._readable.wait()
        if self.is_closing():
            return False
        given: asyncio.Future[None] = self._loop.create_future()
        self._loop.call_soon(self._give, data, given)
        await given
        return True

    def _give(self, data: bytes, given: asyncio.Future[None]) -> None:
        self.receive(data)
        if not given.done():
            given.set_result(None)


class Asking:
    """One exchange, seen from the client. Belongs to the harness's loop. unread: bytes of the answer nobody has read."""

    def __init__(self, request: Written) -> None:
        self.name = request.name
        self.unread = 0
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[str, str]] = []
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._head: Response | None = None
        self._continue = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._transport: WireTransport | None = None
        self._sending: asyncio.Task[None] | None = None

    # ---- sending

    async def begin(self, endpoint: Endpoint, address: tuple[str, int]) -> None:
        """Open a connection and send the request; content goes on being sent afterwards. address: of the client."""
        request = self._request
        self._transport = transport = WireTransport(endpoint, self, address)
        head, content = request.head, request.content
        if isinstance(content, list) and content and not request.expects and not request.chunked:
            head, content = head + content[0], content[1:]
        await transport.give(head)
        self._sending = asyncio.create_task(self._send(transport, content))

    async def _send(self, transport: WireTransport, content: Pieces) -> None:
        try:
            if self._request.expects:
                await self._continue.wait()
            if self._ended:
                return
            async for piece in _each(content):
                framed = b"%x\r\n%b\r\n" % (len(piece), piece) if self._request.chunked else piece
                if piece and not await transport.give(framed):
                    return
            if self._request.chunked:
                await transport.give(b"0\r\n\r\n")
        except Exception as error:  # of the test's own iterator: the test must see it
            self._fail(error)
            self.disconnect()

    # ---- what the server does

    def receive(self, data: bytes) -> None:
        """Take bytes of the answer."""
        if self._ended:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(RuntimeError(f"{self.name}: the answer is no HTTP/1.1: {error}"))

    def lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if not self._ended:
            told = f"after {self._head.status} and its head" if self._head is not None else "before any answer"
            self._fail(ConnectionResetError(f"{self.name}: the connection was closed {told}, the answer is not whole"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one field (httptools)."""
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Keep the head, unless it is an interim one (httptools)."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._head = Response(status, self._fields)
            self._ended = self._request.method == "HEAD"
        self._fields = []
        self._continue.set()
        self._changed.set()

    def on_body(self, data: bytes) -> None:
        """Keep content (httptools)."""
        if not self._ended:
            self._chunks.append(data)
            self.unread += len(data)
            self._changed.set()

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one (httptools)."""
        if self._head is not None:
            self._ended = True
            self._changed.set()

    def _fail(self, error: BaseException) -> None:
        if not self._ended:
            self._ended = True
            self._error = error
            self._continue.set()
            self._changed.set()

    # ---- reading

    async def head(self) -> Response:
        """Wait for the head of the answer; the Response has no content yet. Raises what broke the exchange."""
        while self._head is None:
            await self._change()
        return self._head

    async def read(self) -> bytes:
        """Return the next piece of the content, b"" at its end. Raises what broke the exchange."""
        while not self._chunks:
            if self._ended and self._error is None:
                return b""
            await self._change()
        piece = self._chunks.popleft()
        self.unread -= len(piece)
        if self._transport is not None:
            self._transport.pass_on()
        return piece

    async def response(self) -> Response:
        """Wait for the whole answer."""
        head = await self.head()
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        head.body = b"".join(pieces)
        return head

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        self._changed.clear()
        await self._changed.wait()

    # ---- ending

    async def leave(self) -> None:
        """Reset the connection; a handler that is cancelled for it has seen that when this returns."""
        self.disconnect()
        await self._settled()

    def disconnect(self) -> None:
        """Reset the connection, as a client does that has gone."""
        if self._transport is not None and not self._transport.is_lost:
            error = ConnectionResetError("the client has gone")
            self._fail(ConnectionResetError(f"{self.name}: the test has disconnected"))
            self._transport.settle(error)

    async def end(self) -> None:
        """Close the connection: quietly when the answer was read to its end, else as a client that has gone."""
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending
        if self._transport is None or self._transport.is_lost:
            return
        if self._ended and not self._chunks:
            self._transport.leave()
            await self._settled()
        self.disconnect()
        await self._settled()

    async def _settled(self) -> None:
        """Let what was told just now be seen: a close takes a turn of the loop, a cancelled handler another."""
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)


async def _each(content: Pieces) -> AsyncIterator[bytes]:
    """Yield from an iterable of either kind."""
    if isinstance(content, AsyncIterable):
        async for piece in content:
            yield _as_bytes(piece)
    else:
        for piece in content:
            yield _as_bytes(piece)


def _as_bytes(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, bytes | bytearray | memoryview):
        return bytes(piece)
    raise TypeError(f"a piece of a body is bytes or str, not {type(piece).__name__}")
