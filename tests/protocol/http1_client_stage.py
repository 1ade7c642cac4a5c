"""An Http1ClientConnection with everything around it recorded."""

from __future__ import annotations

from dataclasses import dataclass, field

from siphon_http.protocol.answer import PyAnswer, PyLink
from siphon_http.protocol.http1_client import Http1ClientConnection
from siphon_http.testing import ClientDriver

__all__ = ["Got", "Stage"]

CLOSED, PROTOCOL, LIMIT, CANCELLED = 1, 2, 3, 4


@dataclass
class Got:
    """What the caller of one exchange was told."""

    status: int = 0
    fields: bytes = b""
    version: int = 0
    content: bytes = b""
    ended: int = 0
    failure: int = 0
    unprocessed: bool = False
    reason: str = ""
    wanted: int = 0

    def head_received(self, status: int, head: bytes, fields: int, fields_end: int, version: int) -> None:
        assert self.status == 0
        self.status, self.fields, self.version = status, head[fields:fields_end], version

    def content_received(self, data: bytes) -> None:
        assert data and self.status
        self.content += data

    def answer_ended(self) -> None:
        self.ended += 1

    def answer_failed(self, failure: int, unprocessed: bool, reason: str) -> None:
        assert not self.ended and not self.failure
        self.failure, self.unprocessed, self.reason = failure, bool(unprocessed), reason

    def content_wanted(self) -> None:
        self.wanted += 1

    @property
    def outcome(self) -> tuple[object, ...]:
        """Everything but how often it came."""
        return (self.status, self.fields, self.version, self.content, self.ended, self.failure)


@dataclass
class Stage:
    """One connection; `sent` is what it wrote, `closed` and `aborted` what it asked for."""

    sent: bytes = b""
    closed: int = 0
    aborted: int = 0
    held: bool = False
    rooms: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = Http1ClientConnection(PyLink(self))
        self.driver = ClientDriver(self.connection)

    def write(self, data: bytes) -> None:
        self.sent += data

    def hold(self, stop: bool) -> None:
        self.held = bool(stop)

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted += 1

    def room_changed(self) -> None:
        self.rooms.append(self.driver.room())

    def ask(self, method: bytes = b"GET", **more: object) -> Got:
        """Begin an exchange."""
        got = Got()
        self.number = self.driver.begin(PyAnswer(got), method, **more)  # type: ignore[arg-type]
        return got

    def exchange(self, answer: bytes, method: bytes = b"GET") -> Got:
        """Begin an exchange and let `answer` come."""
        got = self.ask(method)
        self.driver.receive_data(answer)
        return got

    @property
    def is_reusable(self) -> bool:
        """Whether another exchange may begin."""
        return self.driver.room() == 1 and not self.closed and not self.aborted
