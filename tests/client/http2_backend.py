"""An HTTP/2 backend in the loop of a test: h2 speaks for it, and a test says what it does with each request."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, PingAckReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError


@dataclasses.dataclass
class Request:
    """One request, complete or not."""

    peer: Peer
    id: int
    fields: dict[str, str]
    body: bytearray = dataclasses.field(default_factory=bytearray)
    reset: bool = False

    @property
    def path(self) -> str:
        return self.fields[":path"]

    @property
    def method(self) -> str:
        return self.fields[":method"]

    def respond(self, body: bytes = b"", status: int = 200, *more: tuple[str, str]) -> None:
        """Answer whole; content goes as the windows allow."""
        if self.id in self.peer.requests and not self.reset:
            self.peer.h2.send_headers(self.id, [(":status", str(status)), *more], end_stream=not body)
            if body:
                self.peer.waiting[self.id] = body
            self.peer.flush()

    def refuse(self, code: int = ErrorCodes.REFUSED_STREAM) -> None:
        """Reset the stream."""
        self.peer.h2.reset_stream(self.id, code)
        self.peer.flush()


Handler = Callable[[Request], Awaitable[None] | None]


class Peer(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.requests: dict[int, Request] = {}
        self.waiting: dict[int, bytes] = {}
        self.tasks: set[asyncio.Future[None]] = set()
        self.transport: Any = None
        self.is_deaf = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.backend.peers.append(self)
        self.h2.local_settings.update(self.backend.settings)
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.is_deaf:
            return
        try:
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            self.backend.errors.append(repr(error))
            self.flush()
            self.transport.close()
            return
        for event in events:
            self._event(event)
        self.flush()

    def _event(self, event: Any) -> None:
        if isinstance(event, RequestReceived):
            self.requests[event.stream_id] = request = Request(self, event.stream_id, dict(event.headers))  # type: ignore[arg-type]
            if self.backend.early is not None:
                self.backend.early(request)
        elif isinstance(event, DataReceived):
            self.requests[event.stream_id].body += event.data
            if event.flow_controlled_length and self.backend.takes:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.backend.count += 1
            done = self.backend.handler(self.requests[event.stream_id])
            if done is not None:
                task = asyncio.ensure_future(done)
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        elif isinstance(event, StreamReset):
            self.waiting.pop(event.stream_id, None)
            self.requests[event.stream_id].reset = True
        elif isinstance(event, PingAckReceived | WindowUpdated):
            pass

    def flush(self) -> None:
        """Send what h2 has, and content as far as the windows go."""
        for id, body in list(self.waiting.items()):
            while body:
                size = min(self.h2.local_flow_control_window(id), self.backend.piece, len(body))
                if size <= 0:
                    break
                self.h2.send_data(id, body[:size], end_stream=size == len(body))
                body = body[size:]
            if body:
                self.waiting[id] = body
            else:
                del self.waiting[id]
        data = self.h2.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    def raw(self, data: bytes) -> None:
        """Send what h2 would not."""
        self.transport.write(data)

    def goaway(self, last: int, code: int = 0) -> None:
        """Send GOAWAY, and go on."""
        self.raw(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.backend.gone += 1
        for task in self.tasks:
            task.cancel()


class Backend:
    """A listener. settings: of its SETTINGS frame; takes: whether it gives windows back; piece: largest DATA it sends."""

    def __init__(
        self,
        handler: Handler,
        settings: dict[int, int] | None = None,
        *,
        takes: bool = True,
        piece: int = 16384,
        early: Callable[[Request], None] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.handler, self.settings, self.takes, self.piece = handler, settings or {}, takes, piece
        self.early, self.context = early, context
        self.peers: list[Peer] = []
        self.errors: list[str] = []
        self.count = self.gone = 0

    async def __aenter__(self) -> Self:
        self.server = await asyncio.get_running_loop().create_server(
            lambda: Peer(self), "127.0.0.1", 0, ssl=self.context
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.close()
        for peer in self.peers:
            if peer.transport is not None:
                peer.transport.abort()
        await asyncio.sleep(0)
