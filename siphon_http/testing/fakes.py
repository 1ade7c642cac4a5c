"""Doubles for tests of protocols and servers: a recording sink, a transport in memory, a clock that stands still."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from siphon_http._core.exchange import Exchange
from siphon_http._core.message import Peer, Request, Response
from siphon_http.protocol.http1_server import Http1ServerConnection
from siphon_http.protocol.sink import PySink
from siphon_http.testing.driver import BufferDriver, ExchangeDriver, prepare_request, request_facts

__all__ = ["ManualClock", "MemoryTransport", "Received", "RecordingSink"]

PEER = Peer("192.0.2.1:4711")


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """What a protocol told of one request, copied when it was given to the sink."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    version: str
    keep_alive: bool


class RecordingSink:
    """Owner of one HTTP/1.1 server connection: notes every call, and answers as it is told.

    answer: called with an ExchangeDriver and the Request when one is received; None answers 200 with no content.
    cap: largest content accepted, bytes. streams: whether content is read piece by piece. buffer: output buffer, to be
    shared by several connections.

    calls: every call but `write`, as (name, argument). written: all bytes sent. requests: what was received.
    """

    def __init__(
        self,
        answer: Callable[[ExchangeDriver, Request], object] | None = None,
        *,
        cap: int = 1_048_576,
        streams: bool = False,
        max_header_bytes: int = 65_536,
        max_headers: int = 128,
        buffer: BufferDriver | None = None,
    ) -> None:
        self.answer = answer or _answer_200
        self.cap = cap
        self.streams = streams
        self.calls: list[tuple[str, Any]] = []
        self.writes: list[bytes] = []
        self.requests: list[Received] = []
        self.buffer = buffer or BufferDriver()
        self.connection = Http1ServerConnection(PySink(self), self.buffer.buffer, max_header_bytes, max_headers)
        self.driver = ExchangeDriver(self.connection)
        self.current: Request | None = None

    @property
    def written(self) -> bytes:
        """All bytes sent so far."""
        return b"".join(self.writes)

    @property
    def names(self) -> list[str]:
        """Names of the calls so far."""
        return [name for name, _ in self.calls]

    @property
    def is_closed(self) -> bool:
        """Whether the connection was closed or reset."""
        return "close" in self.names or "abort" in self.names

    def receive(self, *pieces: bytes) -> RecordingSink:
        """Give the connection bytes, one read for each piece."""
        for piece in pieces:
            self.connection.receive_data(piece)
        return self

    def head_received(self, request: Request) -> int:
        """Note the head."""
        self.calls.append(("head_received", request.method))
        prepare_request(request, PEER, self.streams)
        return self.cap

    def request_received(self, exchange: Exchange, request: Request) -> None:
        """Note the request, and answer it."""
        facts = request_facts(request)
        lines = facts["fields"].decode("latin-1").split("\r\n")[:-1]
        self.requests.append(
            Received(
                request.method,
                facts["target"].decode("latin-1"),
                tuple((name.lower(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)),
                facts["content"] or b"",
                request.http_version,
                facts["keep_alive"],
            )
        )
        self.calls.append(("request_received", request.method))
        self.current = request
        self.answer(self.driver, request)

    def request_ended(self, request: Request) -> None:
        """Note the end of the exchange."""
        self.calls.append(("request_ended", request.method))
        self.current = None

    def request_abandoned(self, request: Request) -> None:
        """Note that the client has left the exchange."""
        self.calls.append(("request_abandoned", request.method))

    def refused(self, status: int) -> None:
        """Note the refusal."""
        self.calls.append(("refused", status))

    def write(self, data: bytes) -> None:
        """Keep what is sent."""
        self.writes.append(data)

    def hold(self, stop: bool) -> None:
        """Note whether reading stops."""
        self.calls.append(("hold", stop))

    def close(self, linger: bool) -> None:
        """Note the close."""
        self.calls.append(("close", linger))

    def abort(self) -> None:
        """Note the reset."""
        self.calls.append(("abort", None))


def _answer_200(driver: ExchangeDriver, request: Request) -> None:
    driver.respond(request, Response())


class _Protocol(Protocol):
    """What a transport calls of an asyncio protocol."""

    def connection_made(self, transport: Any, /) -> object: ...
    def connection_lost(self, exc: Exception | None, /) -> object: ...
    def data_received(self, data: bytes, /) -> object: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> object: ...
    def resume_writing(self) -> object: ...


class MemoryTransport:
    """A transport without socket or loop. Like a real one it never calls `connection_lost` from within a call of its
    user: `settle()` does, when it was closed and everything is sent.

    high_water: bytes that it holds before it asks the protocol to pause. is_stuck: the peer takes nothing, what is
    written is held until `flush()`. extra: answers to get_extra_info.
    """

    def __init__(self, protocol: _Protocol, *, high_water: int = 65_536, **extra: Any) -> None:
        self.protocol = protocol
        self.high_water = high_water
        self.extra: dict[str, Any] = {"peername": ("192.0.2.1", 4711), **extra}
        self.sent: list[bytes] = []
        self.held: list[bytes] = []
        self.is_stuck = False
        self.is_paused = False
        self.is_aborted = False
        self.wrote_eof = False
        self._closing = False
        self._full = False
        self._lost = False
        protocol.connection_made(self)

    @property
    def written(self) -> bytes:
        """All that the peer has got."""
        return b"".join(self.sent)

    def write(self, data: bytes) -> None:
        """Send, or hold, `data`."""
        if self._closing or self.wrote_eof:
            return
        (self.held if self.is_stuck else self.sent).append(data)
        if not self._full and self.get_write_buffer_size() > self.high_water:
            self._full = True
            self.protocol.pause_writing()

    def flush(self) -> None:
        """Let the peer take all that is held."""
        self.sent += self.held
        self.held.clear()
        if self._full:
            self._full = False
            self.protocol.resume_writing()

    def settle(self, error: Exception | None = None) -> None:
        """Tell the protocol that the connection is gone, if it was closed or there is an error; once."""
        if not self._lost and (error is not None or self.is_aborted or (self._closing and not self.held)):
            self._lost = True
            self.protocol.connection_lost(error)

    def receive(self, data: bytes) -> None:
        """Give the protocol bytes of the peer, unless it has paused reading."""
        if not self.is_paused and not self._closing:
            self.protocol.data_received(data)

    def receive_eof(self) -> None:
        """Tell the protocol that the peer has sent its last byte; close unless it wants to go on writing."""
        if not self.protocol.eof_received():
            self.close()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that are held."""
        return sum(map(len, self.held))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a fact about the connection."""
        return self.extra.get(name, default)

    def can_write_eof(self) -> bool:
        """Plain TCP can."""
        return True

    def write_eof(self) -> None:
        """Note that nothing more will be sent."""
        self.wrote_eof = True

    def pause_reading(self) -> None:
        """Stop giving bytes to the protocol."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Go on giving bytes to the protocol."""
        self.is_paused = False

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self._closing

    def close(self) -> None:
        """Close once everything held is sent."""
        self._closing = True

    def abort(self) -> None:
        """Drop what is held and close."""
        self.held.clear()
        self._closing = True
        self.is_aborted = True


class ManualClock:
    """A clock that moves when it is told to, with the one timer that `_core.deadlines` asks for.

    `Deadlines(clock.schedule)`, then `clock.sweep = deadlines.sweep`. started: how often the timer was started.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.due: float | None = None
        self.started = 0
        self.sweep: Callable[[float], object] = lambda now: None

    def schedule(self, when: float) -> None:
        """Let the timer fire at `when`, in place of what it was set to."""
        self.due = when
        self.started += 1

    def advance(self, seconds: float) -> None:
        """Let time pass; the timer fires at its own time, as often as it is set anew."""
        end = self.now + seconds
        while self.due is not None and self.due <= end:
            self.now = max(self.now, self.due)
            self.due = None
            self.sweep(self.now)
        self.now = end
