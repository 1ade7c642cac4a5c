"""An HTTP/2 connection as a client with recording callers, and h2 as its server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from hpack import Encoder

from siphon_http.protocol.answer import PyAnswer, PyLink
from siphon_http.protocol.http2_client import Http2ClientConnection
from siphon_http.testing import ClientDriver
from tests.http2_frames import frame, frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CLOSED, PROTOCOL, LIMIT, CANCELLED, REFUSED = 1, 2, 3, 4, 5
Fields = Iterable[tuple[str, str]]


@dataclasses.dataclass
class Caller:
    """The caller of one exchange: notes what it is told."""

    driver: ClientDriver | None = None
    takes: bool = True  # gives the window back for what it gets
    id: int = 0
    status: int | None = None
    fields: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    failure: tuple[int, bool] | None = None
    reason: str = ""
    wanted: int = 0
    calls: list[str] = dataclasses.field(default_factory=list)
    then: Callable[[Caller, str], object] | None = None  # called with each event

    def _note(self, name: str) -> None:
        assert not self.over, f"{name} after the end"
        self.calls.append(name)
        if name in {"answer_ended", "answer_failed"}:
            self.ended = name == "answer_ended"
        if self.then is not None:
            self.then(self, name)

    @property
    def over(self) -> bool:
        return self.ended or self.failure is not None

    def head_received(self, status: int, head: bytes, fields: int, fields_end: int, version: int) -> None:
        assert version == 20
        assert 200 <= status <= 599
        self.status = status
        lines = head[fields:fields_end].split(b"\r\n")
        assert lines.pop() == b""
        self.fields = [(n, v) for n, _, v in (line.decode("latin-1").partition(": ") for line in lines)]
        self._note("head_received")

    def content_received(self, data: bytes) -> None:
        assert data
        self.body += data
        self._note("content_received")
        if self.takes and self.driver is not None:
            self.driver.taken(self.id, len(data))

    def answer_ended(self) -> None:
        self._note("answer_ended")

    def answer_failed(self, failure: int, unprocessed: bool, reason: str) -> None:
        assert reason
        self._note("answer_failed")
        self.failure, self.reason = (failure, unprocessed), reason

    def content_wanted(self) -> None:
        self.wanted += 1
        self._note("content_wanted")


class Client:
    """A client connection and its owner: notes what is written, and every other call."""

    through_h2 = False  # of connections made from now on; tests run with both

    def __init__(self, **limits: Any) -> None:
        self.calls: list[Any] = []
        self.writes: list[bytes] = []
        self.room_seen: list[int] = []
        self.on_room: Callable[[], object] | None = None
        limits.setdefault("through_h2", self.through_h2)
        self.driver = ClientDriver(Http2ClientConnection(PyLink(self), **limits))

    def write(self, data: bytes) -> None:
        assert data
        self.writes.append(data)

    def hold(self, stop: bool) -> None:
        self.calls.append(("hold", stop))

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def room_changed(self) -> None:
        self.room_seen.append(self.driver.room())
        if self.on_room is not None:
            self.on_room()

    def take(self) -> bytes:
        data = b"".join(self.writes)
        self.writes.clear()
        return data

    def begin(self, *args: Any, takes: bool = True, then: Any = None, **kw: Any) -> Caller:
        """Begin an exchange; see ClientDriver.begin."""
        caller = Caller(self.driver, takes, then=then)
        caller.id = self.driver.begin(PyAnswer(caller), *args, **kw)
        return caller

    @property
    def is_closed(self) -> bool:
        return "close" in self.calls

    def sent(self) -> list[tuple[int, int, int, bytes]]:
        """Take the frames that were written, without the preface."""
        return frames(self.take().removeprefix(PREFACE))

    def goaway(self) -> int | None:
        """Take what was written; return the code of the GOAWAY that is its last frame, if it is."""
        sent = self.sent()
        return int.from_bytes(sent[-1][3][4:8], "big") if sent and sent[-1][0] == 7 else None


@dataclasses.dataclass
class Asked:
    """One request as the server has got it."""

    fields: list[tuple[str, str]]
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    never: set[str] = dataclasses.field(default_factory=set)


class Pair:
    """A client and h2 as its server, with nothing between them."""

    def __init__(self, settings: dict[int, int] | None = None, *, takes: bool = True, **limits: Any) -> None:
        self.client = Client(**limits)
        self.driver = self.client.driver
        self.begin = self.client.begin
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.server.local_settings.update(settings or {})
        self.server.local_settings.acknowledge()
        self.server.initiate_connection()
        self.takes = takes
        self.asked: dict[int, Asked] = {}
        self.goaways: list[int] = []
        self.run()

    def run(self) -> Pair:
        """Carry bytes to and fro until nothing moves."""
        self.driver.uncork()
        while True:
            back = self.server.data_to_send()
            if back and not self.client.is_closed:
                self.driver.receive_data(back)
            data = self.client.take()
            if not data and not back:
                return self
            for event in self.server.receive_data(self._without_goaway(data)):
                self._note(event)

    def _without_goaway(self, data: bytes) -> bytes:
        out = PREFACE if data.startswith(PREFACE) else b""
        for kind, flags, stream, payload in frames(data[len(out) :]):
            if kind == 7:
                self.goaways.append(int.from_bytes(payload[4:8], "big"))
            else:
                out += frame(kind, flags, stream, payload)
        return out

    def _note(self, event: Any) -> None:
        if isinstance(event, RequestReceived):
            never = {str(one[0]) for one in event.headers if not one.indexable}
            self.asked[event.stream_id] = Asked([(str(n), str(v)) for n, v in event.headers], never=never)
        elif isinstance(event, DataReceived):
            self.asked[event.stream_id].body += event.data
            if self.takes and event.flow_controlled_length:
                self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.asked[event.stream_id].ended = True
        elif isinstance(event, StreamReset):
            self.asked[event.stream_id].reset = int(event.error_code)

    def answer(self, id: int, status: int = 200, body: bytes = b"", *more: tuple[str, str], end: bool = True) -> None:
        """Answer a request, and run."""
        self.server.send_headers(id, [(":status", str(status)), *more], end_stream=end and not body)
        if body:
            self.server.send_data(id, body, end_stream=end)
        self.run()

    def get(self, *args: Any, answer: bytes = b"hello", **kw: Any) -> Caller:
        """Do one exchange."""
        caller = self.begin(*args, **kw)
        self.run()
        self.answer(caller.id, 200, answer)
        return caller


class Wire:
    """A client whose server is written by hand, frame by frame."""

    def __init__(self, settings: bytes = b"", **limits: Any) -> None:
        self.client = Client(**limits)
        self.driver = self.client.driver
        self.begin = self.client.begin
        self.encoder = Encoder()
        self.feed(frame(4, 0, 0, settings))
        self.client.take()

    def feed(self, data: bytes) -> Wire:
        """Let the client receive bytes."""
        self.driver.receive_data(data)
        return self

    def block(self, *fields: tuple[str, str]) -> bytes:
        """Encode a field section; this changes the dynamic table."""
        return self.encoder.encode(list(fields))

    def head(self, id: int, *fields: tuple[str, str], status: int | str = 200, end: bool = False) -> Wire:
        """Send a plain HEADERS frame of an answer."""
        return self.feed(frame(1, 4 | end, id, self.block((":status", str(status)), *fields)))

    def data(self, id: int, data: bytes = b"", end: bool = False) -> Wire:
        """Send a DATA frame."""
        return self.feed(frame(0, int(end), id, data))
