"""Ways to make an HTTP/2 server work more than its client, or keep more than it should: what is sent, and how it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests.http2_frames import frame

__all__ = ["FLOODS", "Flood", "head"]

PROTOCOL_ERROR, FRAME_SIZE_ERROR, CALM = 1, 6, 11
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END, HEAD, PADDED, PRIO = 1, 4, 8, 32


def head(path: str, method: bytes = b"\x82") -> bytes:
    """Return the field block of a request; nothing enters the dynamic table."""
    return method + b"\x86\x01\x01t\x04" + bytes((len(path),)) + path.encode()


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


POST = b"\x83"
FAST, SLEEP = head("/"), head("/sleep/500")


def fast(n: int) -> bytes:
    """Return the n-th request, answered at once."""
    return frame(HEADERS, END | HEAD, 2 * n + 1, FAST)


def slow(n: int) -> bytes:
    """Return the n-th request, whose handler suspends."""
    return frame(HEADERS, END | HEAD, 2 * n + 1, SLEEP)


def reset(n: int) -> bytes:
    return frame(RST_STREAM, 0, 2 * n + 1, number(8))


def upload(path: str = "/echo") -> bytes:
    """Return the first request's head; its content follows."""
    return frame(HEADERS, HEAD, 1, head(path, POST))


def later(first: Callable[[], bytes], each: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return what is sent as the n-th: `first` comes once, before it."""
    return lambda n: (b"" if n else first()) + each(n)


def block(n: int) -> bytes:
    """Return a request in twenty pieces of nothing."""
    return (
        frame(HEADERS, END, 2 * n + 1, FAST)
        + frame(CONTINUATION, 0, 2 * n + 1) * 20
        + frame(CONTINUATION, HEAD, 2 * n + 1)
    )


BOMB = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000


@dataclasses.dataclass(frozen=True)
class Flood:
    """each: what is sent as the n-th. code: of the GOAWAY; None: it is no flood, and is served."""

    each: Callable[[int], bytes]
    code: int | None = CALM


FLOODS: dict[str, Flood] = {
    # streams that are opened and reset, by either side
    "rapid reset": Flood(lambda n: slow(n) + reset(n)),
    "rapid reset of what is answered at once": Flood(lambda n: fast(n) + reset(n)),
    "reset after the answer": Flood(lambda n: fast(n) + (reset(n - 20) if n > 20 else b"")),
    "reset of an upload": Flood(lambda n: frame(HEADERS, HEAD, 2 * n + 1, head("/", POST)) + reset(n)),
    "reset of one in two": Flood(lambda n: fast(2 * n) + slow(2 * n + 1) + reset(2 * n + 1)),
    "made to reset: window overflow": Flood(lambda n: slow(n) + frame(WINDOW_UPDATE, 0, 2 * n + 1, number(2**31 - 1))),
    "made to reset: DATA after the end": Flood(lambda n: slow(n) + frame(DATA, 0, 2 * n + 1, b"x" * 100)),
    "made to reset: HEADERS after the end": Flood(lambda n: slow(n) + frame(HEADERS, END | HEAD, 2 * n + 1, FAST)),
    "made to reset: malformed requests": Flood(lambda n: frame(HEADERS, END | HEAD, 2 * n + 1, b"\x82")),
    "made to reset: a length that is none": Flood(
        lambda n: frame(HEADERS, END | HEAD, 2 * n + 1, FAST + b"\x0f\x0d\x019")
    ),
    "made to reset: too much content": Flood(
        lambda n: frame(HEADERS, HEAD, 2 * n + 1, head("/", POST) + b"\x0f\x0d\x010") + frame(DATA, 0, 2 * n + 1, b"x" * 99)
    ),
    "made to reset: window of zero": Flood(lambda n: slow(n) + frame(WINDOW_UPDATE, 0, 2 * n + 1, number(0)), PROTOCOL_ERROR),
    "made to reset: PRIORITY on itself": Flood(
        lambda n: slow(n) + frame(PRIORITY, 0, 2 * n + 1, number(2 * n + 1) + b"\x10"), PROTOCOL_ERROR
    ),
    "made to reset: HEADERS that depend on themselves": Flood(
        lambda n: frame(HEADERS, END | HEAD | PRIO, 2 * n + 1, number(2 * n + 1) + b"\x10" + FAST), PROTOCOL_ERROR
    ),
    "made to reset: PRIORITY of a wrong length": Flood(lambda n: slow(n) + frame(PRIORITY, 0, 2 * n + 1, bytes(4)), FRAME_SIZE_ERROR),
    "made to reset: RST_STREAM of a wrong length": Flood(lambda n: slow(n) + frame(RST_STREAM, 0, 2 * n + 1, bytes(3)), FRAME_SIZE_ERROR),
    "made to reset: WINDOW_UPDATE of a wrong length": Flood(
        lambda n: slow(n) + frame(WINDOW_UPDATE, 0, 2 * n + 1, bytes(5)), FRAME_SIZE_ERROR
    ),
    "streams beyond the limit": Flood(slow),
    "a reset of an idle stream": Flood(lambda n: reset(1000), PROTOCOL_ERROR),
    # field blocks
    "endless CONTINUATION": Flood(lambda n: frame(CONTINUATION, 0, 1) if n else frame(HEADERS, END, 1, FAST)),
    "endless CONTINUATION of one byte": Flood(
        lambda n: frame(CONTINUATION, 0, 1, b"\x82") if n else frame(HEADERS, END, 1, FAST)
    ),
    "large CONTINUATION": Flood(lambda n: frame(CONTINUATION if n else HEADERS, 0, 1, b"\x82" * 16000)),
    "requests in many pieces": Flood(block),
    "a field bomb": Flood(lambda n: frame(HEADERS, END | HEAD, 2 * n + 1, FAST + (b"" if n else BOMB) + b"\xbe" * 12000)),
    "empty field blocks": Flood(lambda n: frame(HEADERS, END | HEAD, 2 * n + 1)),
    "trailers without an end": Flood(later(upload, lambda n: frame(HEADERS, HEAD, 1)), PROTOCOL_ERROR),
    "HEADERS for a stream that was reset": Flood(
        later(lambda: slow(0) + reset(0), lambda n: frame(HEADERS, END | HEAD, 1, FAST))
    ),
    # frames of the connection
    "SETTINGS": Flood(lambda n: frame(SETTINGS, 0, 0)),
    "SETTINGS acknowledgements": Flood(lambda n: frame(SETTINGS, 1, 0)),
    "SETTINGS of thousands of entries": Flood(lambda n: frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64" * 2700)),
    "SETTINGS that change the table": Flood(lambda n: frame(SETTINGS, 0, 0, b"\0\1" + number(n % 2 * 4096))),
    "SETTINGS that change windows": Flood(lambda n: (slow(n) if n < 100 else b"") + frame(SETTINGS, 0, 0, b"\0\4" + number(n % 2))),
    "PING": Flood(lambda n: frame(PING, 0, 0, bytes(8))),
    "PING acknowledgements": Flood(lambda n: frame(PING, 1, 0, bytes(8))),
    "GOAWAY": Flood(lambda n: (b"" if n else slow(0)) + frame(GOAWAY, 0, 0, bytes(8))),
    "PRIORITY": Flood(lambda n: frame(PRIORITY, 0, 2 * n + 1, bytes(5))),
    "PRIORITY_UPDATE": Flood(lambda n: frame(16, 0, 0, number(1) + b"u=1")),
    "unknown frames": Flood(lambda n: frame(200, 0, 0, b"x")),
    "WINDOW_UPDATE of the connection": Flood(lambda n: frame(WINDOW_UPDATE, 0, 0, number(1))),
    "WINDOW_UPDATE of a stream": Flood(later(lambda: slow(0), lambda n: frame(WINDOW_UPDATE, 0, 1, number(1)))),
    # content
    "empty DATA": Flood(later(upload, lambda n: frame(DATA, 0, 1))),
    "DATA of one byte": Flood(later(upload, lambda n: frame(DATA, 0, 1, b"x"))),
    "DATA of padding": Flood(later(upload, lambda n: frame(DATA, PADDED, 1, b"\x0f" + bytes(15)))),
    "DATA for a stream that is over": Flood(later(lambda: fast(0) + reset(0), lambda n: frame(DATA, 0, 1, b"x"))),
    # no flood: a client that asks for much
    "requests": Flood(fast, None),
    "requests that change the table": Flood(
        lambda n: frame(HEADERS, END | HEAD, 2 * n + 1, b"\x20\x3f\xe1\x1f" * 50 + FAST), None
    ),
    "requests with a priority": Flood(
        lambda n: frame(HEADERS, END | HEAD | PRIO, 2 * n + 1, bytes(4) + b"\x10" + FAST), None
    ),
}  # fmt: skip
