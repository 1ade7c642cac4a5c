"""Frames of HTTP/2 for the benchmarks: written by hand, so that nothing of a peer is counted with ours."""

from __future__ import annotations

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WIDE_OPEN = (2**31 - 1 - 65_535).to_bytes(4, "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


GREETING = PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, WIDE_OPEN)
"""What a client sends first; its window never fills."""


class Requests:
    """Requests of one client, their fields always the same: `take(n)` returns the frames of the next n streams."""

    def __init__(self, path: str, method: str = "GET", content: bytes = b"") -> None:
        encoder = Encoder()
        fields = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "example.com")]
        fields += [("user-agent", "bench/1.0"), ("accept", "*/*")]
        self.first = encoder.encode(fields)
        self.block = encoder.encode(fields)  # names and values are in the table by now
        self.content = content
        self.next = 1

    def take(self, count: int) -> bytes:
        """Return the frames of `count` requests."""
        out = []
        for stream in range(self.next, self.next + 2 * count, 2):
            block = self.first if stream == 1 else self.block
            end = 0 if self.content else END_STREAM
            out.append(frame(HEADERS, END_HEADERS | end, stream, block))
            if self.content:
                out.append(frame(DATA, END_STREAM, stream, self.content))
        self.next += 2 * count
        return b"".join(out)


def opened(data: bytes) -> list[int]:
    """Return the streams that the HEADERS frames in `data` open."""
    found, at = [], len(PREFACE) if data.startswith(PREFACE) else 0
    while at < len(data):
        if data[at + 3] == HEADERS:
            found.append(int.from_bytes(data[at + 5 : at + 9], "big"))
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    return found
