"""An HTTP/2 server connection with a recording owner, and h2 as its client."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, InformationalResponseReceived, ResponseReceived
from h2.events import StreamEnded as Ended
from h2.events import StreamReset as Reset

from siphon_http._core.exchange import Exchange
from siphon_http._core.message import Peer, Request, Response
from siphon_http._core.traffic import RouteCounts
from siphon_http.protocol.http2_server import Http2ServerConnection
from siphon_http.protocol.http2_stream import Http2State
from siphon_http.protocol.sink import PySink
from siphon_http.testing import BufferDriver, ExchangeDriver, prepare_request
from tests.http2_frames import frame, frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PEER = Peer("192.0.2.1:4711")
Answer = Callable[[ExchangeDriver, Request], object]


def echo(driver: ExchangeDriver, request: Request) -> None:
    """Answer with the content, or the path."""
    driver.respond(request, Response(200, body=request.body() or request.path.encode()))


def keep(driver: ExchangeDriver, request: Request) -> None:
    """Answer nothing yet."""


def always(*args: Any, **fields: Any) -> Answer:
    """Return an answer function that sends Response(*args, **fields)."""
    return lambda driver, request: driver.respond(request, Response(*args, **fields))


def fields(path: str = "/", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the fields of a request."""
    return [(":method", method), (":path", path), (":scheme", "http"), (":authority", "test"), *more]


SETTINGS = frame(4, 0, 0)


class Owner:
    """Owner of one connection: notes every call but `write`, as (name, argument), and answers as it is told."""

    through_h2 = False  # of connections made from now on; tests run with both

    def __init__(
        self, answer: Answer, cap: int = 1_048_576, streams: bool = False, buffer: Any = None, **limits: Any
    ) -> None:
        self.answer, self.cap, self.streams = answer, cap, streams
        self.counts: RouteCounts | None = None  # of the route that every request is for
        self.calls: list[tuple[str, Any]] = []
        self.writes: list[bytes] = []
        self.taken = 0
        self.requests: list[Request] = []
        self.drivers: list[ExchangeDriver] = []
        limits.setdefault("through_h2", self.through_h2)
        self.connection = Http2ServerConnection(PySink(self), buffer or BufferDriver().buffer, **limits)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def head_received(self, request: Request) -> int:
        self.calls.append(("head_received", request.raw_path))
        prepare_request(request, PEER, self.streams, None, self.counts)
        return self.cap

    def request_received(self, exchange: Exchange, request: Request) -> None:
        self.calls.append(("request_received", request.raw_path))
        self.requests.append(request)
        self.drivers.append(ExchangeDriver(exchange))
        self.answer(self.drivers[-1], request)

    def request_ended(self, request: Request) -> None:
        self.calls.append(("request_ended", request.raw_path))

    def request_abandoned(self, request: Request) -> None:
        self.calls.append(("request_abandoned", request.raw_path))

    def refused(self, status: int) -> None:
        self.calls.append(("refused", status))

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def hold(self, stop: bool) -> None:
        self.calls.append(("hold", stop))

    def close(self, linger: bool) -> None:
        self.calls.append(("close", linger))

    def abort(self) -> None:
        self.calls.append(("abort", None))


@dataclasses.dataclass
class Answered:
    """What the client has got on one stream."""

    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    all_headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    frames: list[int] = dataclasses.field(default_factory=list)
    informational: list[str] = dataclasses.field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> str | None:
        return self.headers.get(":status")


class Pair:
    """Server and client, with nothing between them. `takes`: whether the client gives window for what it gets."""

    def __init__(
        self, answer: Answer = echo, *, settings: dict[int, int] | None = None, takes: bool = True, **kw: Any
    ) -> None:
        self.owner = Owner(answer, **kw)
        self.server = self.owner.connection
        self.client = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.client.local_settings.update(settings or {})
        self.client.local_settings.acknowledge()
        self.client.initiate_connection()
        self.takes = takes
        self.now = 100.0
        self.answers: dict[int, Answered] = {}
        self.goaways: list[tuple[int, int]] = []
        self.run()

    def run(self) -> Pair:
        """Carry bytes to and fro until nothing moves."""
        while True:
            data = self.client.data_to_send()
            if data:
                self.server.receive_data(data, self.now)
            while self.server.has_more:
                self.server.receive_data(b"", self.now)
            back = b"".join(self.owner.writes[self.owner.taken :])
            self.owner.taken = len(self.owner.writes)
            if not data and not back:
                return self
            for event in self.client.receive_data(self._without_goaway(back)):
                self._note(event)

    def _without_goaway(self, data: bytes) -> bytes:
        """Take GOAWAY frames out, after which h2 would not go on; every write is whole frames."""
        out = b""
        for kind, flags, stream, payload in frames(data):
            if kind == 7:
                self.goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")))
            else:
                out += frame(kind, flags, stream, payload)
        return out

    def _note(self, event: Any) -> None:
        got = self.answers.setdefault(getattr(event, "stream_id", 0) or 0, Answered())
        if isinstance(event, ResponseReceived):
            got.all_headers = list(event.headers)  # type: ignore[arg-type]
            got.headers = dict(got.all_headers)
        elif isinstance(event, InformationalResponseReceived):
            got.informational.append(dict(event.headers)[":status"])  # type: ignore[index,arg-type]
        elif isinstance(event, DataReceived):
            got.body += event.data
            got.frames.append(len(event.data))
            if self.takes and event.flow_controlled_length:
                self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, Ended):
            got.ended = True
        elif isinstance(event, Reset):
            got.reset = int(event.error_code)
        elif isinstance(event, ConnectionTerminated):
            raise AssertionError("a GOAWAY came through")

    def send(self, headers: Iterable[tuple[str, str]], body: bytes | None = None, *, end: bool = True) -> int:
        """Begin a request; returns its stream. Content must fit into one window. Does not run."""
        id = self.client.get_next_available_stream_id()
        self.client.send_headers(id, headers, end_stream=end and body is None)
        if body is not None:
            for at in range(0, len(body), 16384):
                self.client.send_data(id, body[at : at + 16384])
            if end:
                self.client.end_stream(id)
        return id

    def get(self, *args: Any, body: bytes | None = None, end: bool = True) -> Answered:
        """Send one request, run, and return what came back so far."""
        id = self.send(fields(*args), body, end=end)
        self.run()
        return self.answers.setdefault(id, Answered())

    def raw(self, data: bytes) -> Pair:
        """Give the server bytes that h2 would not send."""
        self.server.receive_data(data, self.now)
        return self.run()

    def is_closed(self) -> bool:
        return self.server.state == Http2State.CLOSED
