"""An HTTP/2 client without a socket: h2 frames and judges, and what came of each stream is noted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

__all__ = ["PREFACE", "Client", "Got"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclasses.dataclass
class Got:
    """What has come back on one stream."""

    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Feed it what the server sent, send what `take` returns. takes: give window for content that came."""

    def __init__(self, takes: bool = True) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.h2.initiate_connection()
        self.takes = takes
        self.streams: dict[int, Got] = {}
        self.goaways: list[tuple[int, int]] = []
        self._rest = b""

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, *more: tuple[str, str], end: bool = True
    ) -> int:
        """Begin a request, with content of at most one window; returns its stream."""
        id = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "t"), *more]
        self.h2.send_headers(id, fields, end_stream=end and body is None)
        self.streams[id] = Got()
        if body is not None:
            for at in range(0, len(body), 16384):
                self.h2.send_data(id, body[at : at + 16384])
            if end:
                self.h2.end_stream(id)
        return id

    def take(self) -> bytes:
        """Return what is to be sent."""
        return bytes(self.h2.data_to_send())

    def feed(self, data: bytes) -> None:
        """Take what the server sent. GOAWAY is noted and kept from h2, which would not go on after it."""
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= (end := 9 + int.from_bytes(self._rest[:3], "big")):
            frame, self._rest = self._rest[:end], self._rest[end:]
            if frame[3] == 7:
                self.goaways.append((int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big")))
                continue
            for event in self.h2.receive_data(frame):
                self._note(event)

    def _note(self, event: Any) -> None:
        got = self.streams.setdefault(getattr(event, "stream_id", 0) or 0, Got())
        if isinstance(event, ResponseReceived):
            got.headers = {str(name): str(value) for name, value in event.headers}
            got.status = int(got.headers[":status"])
        elif isinstance(event, DataReceived):
            got.body += event.data
            if self.takes and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            got.ended = True
        elif isinstance(event, StreamReset):
            got.reset = int(event.error_code)
