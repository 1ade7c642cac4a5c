"""Whatever a client sends: hot streams mean the same as streams of h2, which is the oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon_http._core.message import Request, Response
from siphon_http.errors import RemoteProtocolError
from siphon_http.testing import ExchangeDriver, prepare_request, request_facts
from tests.http2_frames import frame, frames
from tests.protocol.http2_pair import PEER, PREFACE, Owner, fields

Op = tuple[Any, ...]
WINDOW = 1000  # of each stream, what the server takes


def answer(driver: ExchangeDriver, request: Request) -> None:
    """Answer at once when the path says so: /now, or /now12 for as much content. Fuzzers ask for /now-, too."""
    word, now, size = request.path.partition("/now")
    if now and not word:
        count = int(size) if size.isascii() and size.isdigit() else 0
        driver.respond(request, Response(200, {"x": "1", "te": "x"}, body=b"n" * min(count, 100_000)))


@dataclasses.dataclass
class Got:
    """What a client was sent on one stream."""

    heads: list[list[tuple[str, str]]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    resets: list[int] = dataclasses.field(default_factory=list)


class Side:
    """One server connection, and what came of it."""

    def __init__(self, through_h2: bool) -> None:
        self.owner = Owner(
            answer, cap=3000, max_streams=6, max_header_bytes=2000, max_headers=9, window=WINDOW, through_h2=through_h2
        )
        self.server = self.owner.connection
        self.content: list[tuple[int, object]] = []
        head_received = self.owner.head_received

        def note(request: Request) -> int:
            cap = head_received(request)
            if request.path == "/stream":
                prepare_request(request, PEER, True)
            return cap

        self.owner.head_received = note  # type: ignore[method-assign]

    def read(self, n: int) -> None:
        """Read what has arrived for the n-th request."""
        try:
            self.content.append((n, self.owner.drivers[n].read_content(self.owner.requests[n])))
        except RemoteProtocolError:
            self.content.append((n, "gone"))

    def outcome(self, table_sizes: list[int | None]) -> dict[str, object]:
        """Return all that a client, the owner and the handlers have seen."""
        decoder = Decoder()
        streams: dict[int, Got] = {}
        sizes = iter(table_sizes)
        windows, goaways, pings, block = 0, [], 0, b""
        for kind, flags, id, payload in frames(self.owner.written):
            got = streams.setdefault(id, Got()) if kind in (0, 1, 3, 9) else Got()
            if kind in (1, 9):
                block += payload
                if flags & 4:
                    head = decoder.decode(block)
                    got.heads.append([(str(n), str(v)) for n, v in head if n != "date"])
                    block = b""
                got.ended |= kind == 1 and bool(flags & 1)
            elif kind == 0:
                got.body += payload
                got.ended |= bool(flags & 1)
            elif kind == 3:
                got.resets.append(int.from_bytes(payload, "big"))
            elif kind == 4 and flags & 1 and (size := next(sizes)) is not None:
                decoder.max_allowed_table_size = size
            elif kind == 6:
                pings += 1
            elif kind == 7:
                goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")))
            elif kind == 8 and id == 0:
                windows += int.from_bytes(payload, "big")
        facts = [request_facts(one) for one in self.owner.requests]
        return {
            "calls": self.owner.calls,
            "requests": [(f["head"], f["target"], f["fields"], f["content"], f["is_complete"]) for f in facts],
            "content": self.content,
            "streams": streams,
            "windows": windows,
            "goaways": goaways,
            "pings": pings,
            "state": self.server.state,
            "open": list(self.server.streams),
            "abandoned": self.server.abandoned,
            "send_window": self.server.send_window,
            "sent": self.server.sent_bytes,
        }


class Play:
    """Plays one sequence of operations to both sides."""

    def __init__(self) -> None:
        self.sides = [Side(False), Side(True)]
        self.encoder = Encoder()
        self.last = -1
        self.table_sizes: list[int | None] = [None]
        self.feed(PREFACE + frame(4, 0, 0))

    def feed(self, data: bytes) -> None:
        """Send the same bytes to both."""
        for side in self.sides:
            side.server.receive_data(data, 100.0)

    def open(self, how: str, end: bool, path: str, extra: tuple[tuple[str, str], ...], skip: int) -> None:
        """Open the next stream, or send HEADERS for one that was used."""
        self.last += 2 + 2 * skip
        method = "POST" if not end else "GET"
        self.headers(how, end, self.last, [*fields(path, method), *extra])

    def headers(self, how: str, end: bool, id: int, section: list[tuple[str, str]]) -> None:
        """Send a field section in one way or the other."""
        block = self.encoder.encode(section)
        flags = int(end)
        if how == "padded":
            self.feed(frame(1, flags | 12, id, b"\3" + block + bytes(3)))
        elif how == "priority":
            self.feed(frame(1, flags | 36, id, b"\0\0\0\0\5" + block))
        elif how == "continued":
            self.feed(frame(1, flags, id, block[:5]) + frame(9, 4, id, block[5:]))
        else:
            self.feed(frame(1, flags | 4, id, block))

    def id(self, back: int) -> int:
        """Return the id of a stream used lately."""
        return max(1, self.last - 2 * back)

    def again(self, back: int, end: bool, section: list[tuple[str, str]]) -> None:
        """Send HEADERS on a stream that was used: trailers, or an error."""
        self.headers("plain", end, self.id(back), section)

    def data(self, back: int, size: int, end: bool, pad: int | None) -> None:
        """Send DATA."""
        payload = b"d" * size
        if pad is None:
            self.feed(frame(0, int(end), self.id(back), payload))
        else:
            self.feed(frame(0, 8 | int(end), self.id(back), bytes((pad,)) + payload + bytes(pad)))

    def small(self, kind: int, back: int | None, number: int, size: int = 4) -> None:
        """Send RST_STREAM (3) or WINDOW_UPDATE (8)."""
        self.feed(frame(kind, 0, 0 if back is None else self.id(back), number.to_bytes(4, "big")[:size]))

    def settings(self, values: list[tuple[int, int]]) -> None:
        """Send SETTINGS."""
        sizes = [value for code, value in values if code == 1]
        self.table_sizes.append(min(sizes[-1], 4096) if sizes else None)
        self.feed(frame(4, 0, 0, b"".join(c.to_bytes(2, "big") + v.to_bytes(4, "big") for c, v in values)))

    def raw(self, kind: int, flags: int, back: int | None, payload: bytes) -> None:
        """Send any frame."""
        self.feed(frame(kind, flags, 0 if back is None else self.id(back), payload))

    def each(self, do: Callable[[Side], object]) -> None:
        """Do the same on both sides, as long as both can."""
        for side in self.sides:
            do(side)

    def handle(self, what: str, back: int, status: int, size: int) -> None:
        """Let a handler act."""

        def do(side: Side) -> None:
            n = len(side.owner.requests) - 1 - back
            if n < 0:
                return
            driver, request = side.owner.drivers[n], side.owner.requests[n]
            done = -1
            if what == "respond":
                done = driver.respond(request, Response(status, {"set-cookie": ["a", "b"]}, b"r" * size))
            elif what == "large":
                done = driver.respond(request, Response(status, {"x-large": "v" * 40 * size}, b"r"))
            elif what == "start":
                done = driver.start(request, Response(status, {"te": "x", "x": "y"}))
            elif what == "chunk":
                done = driver.chunk(request, b"c" * size)
            elif what == "end":
                done = driver.end(request)
            elif what == "fail":
                done = driver.fail(request)
            elif what == "late":
                done = side.server.time_out(request)
            elif side.owner.requests[n].path == "/stream":
                side.read(n)
            side.content.append((n, (what, done, driver.is_open(request), driver.is_writable(request))))

        self.each(do)

    def owner(self, what: str) -> None:
        """Let the owner act."""
        self.each(lambda side: getattr(side.server, what)())

    def run(self, ops: list[Op]) -> list[dict[str, object]]:
        """Play everything; return both outcomes."""
        started: set[tuple[int, int]] = set()
        for name, *arguments in ops:
            if name == "handle" and not self._is_legal(started, *arguments):
                continue
            getattr(self, name)(*arguments)
        self.owner("resume")
        return [side.outcome(self.table_sizes) for side in self.sides]

    def _is_legal(self, started: set[tuple[int, int]], what: str, back: int, *_: int) -> bool:
        """Keep to the order in which dispatch calls an exchange."""
        place = (0, len(self.sides[1].owner.requests) - 1 - back)
        if what in ("chunk", "end", "fail"):
            return place in started
        if what in ("start", "respond", "large") and place in started:
            return False
        if what == "start":
            started.add(place)
        return True


BACK = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8])
SIZE = st.sampled_from([0, 1, 10, 200, 500, 999, 1000, 1001, 3001])
EXTRA = st.sampled_from(
    [
        (), (), (), (), (("cookie", "a"), ("cookie", "b"), ("x-a", "v")), (("content-length", "10"),),
        (("content-length", "5000"),), (("expect", "100-continue"),), (("expect", "x"),), (("X", "bad"),), (("te", "gzip"),),
        (("x", "v" * 1900),), (("x", "v" * 3000),), tuple((f"x{n}", "1") for n in range(10)), (("host", "test"),),
        (("host", "other"),), ((":x", "1"),), (("cookie", "c"),) * 12, (("content-length", "0"),), (("expect", ""),),
    ]
)  # fmt: skip
OPEN = st.tuples(
    st.just("open"),
    st.sampled_from(["plain"] * 6 + ["padded", "priority", "continued"]),
    st.booleans(),
    st.sampled_from(
        ["/", "/now", "/now10", "/now900", "/now70000", "/stream", "/x?y=1", "", "*", "/a b", "/" + "l" * 2500]
    ),
    EXTRA,
    st.sampled_from([0, 0, 0, 1]),
)
TRAILERS = st.sampled_from([[("x-sum", "1")], [(":path", "/")], [("Bad", "1")], []])
HANDLE = st.tuples(
    st.just("handle"),
    st.sampled_from(
        ["respond"] * 4 + ["large", "start", "start", "chunk", "chunk", "end", "fail", "read", "read", "late"]
    ),
    BACK,
    st.sampled_from([200, 200, 200, 201, 204, 205, 304, 404, 599]),
    st.sampled_from([0, 1, 100, 1000, 20_000, 40_000]),
)
INCREMENT = st.sampled_from([1, 10, 1000, 100_000])
SETTINGS = st.sampled_from(
    [
        [(4, 0)], [(4, 10)], [(4, 200_000)], [(4, 0x7FFFFFFF)], [(1, 0)], [(1, 100)], [(1, 4096), (5, 20_000)], [(1, 99_999)],
        [(5, 16_384)], [(3, 1)], [], [(77, 1)], [(1, 50), (1, 4096)],
    ]
)  # fmt: skip
POLITE = st.one_of(
    OPEN, OPEN, OPEN, HANDLE, HANDLE, HANDLE,
    st.tuples(st.just("data"), BACK, SIZE, st.booleans(), st.sampled_from([None, None, None, 0, 7, 200])),
    st.tuples(st.just("small"), st.just(8), st.one_of(st.none(), BACK), INCREMENT),
    st.tuples(st.just("small"), st.just(3), BACK, st.sampled_from([0, 8, 2])),
    st.tuples(st.just("settings"), SETTINGS),
    st.tuples(st.just("again"), BACK, st.just(True), TRAILERS),
    st.tuples(st.just("owner"), st.sampled_from(["pause", "resume", "resume"])),
    st.just(("raw", 6, 0, None, bytes(8))),
    st.tuples(st.just("raw"), st.just(2), st.just(0), BACK, st.just(bytes(5))),
    st.just(("raw", 99, 0, None, b"?")),
)  # fmt: skip
RUDE = st.one_of(
    st.tuples(st.just("small"), st.just(8), st.one_of(st.none(), BACK), st.sampled_from([0, 0x7FFFFFFF, 0x80000001])),
    st.tuples(st.just("small"), st.sampled_from([3, 8]), st.one_of(st.none(), BACK), st.just(1), st.just(3)),
    st.tuples(st.just("again"), BACK, st.booleans(), TRAILERS),
    st.tuples(st.just("raw"), st.sampled_from([0, 1, 9]), st.sampled_from([0, 1, 4, 5, 8, 13, 37]), st.one_of(st.none(), BACK),
              st.sampled_from([b"", b"\xff", b"\x82", b"\x80", b"\5ab", b"\x3f\xff\xff\xff\xff\xff"])),
    st.tuples(st.just("settings"), st.sampled_from([[(4, 1 << 31)], [(5, 1)], [(2, 7)]])),
    st.tuples(st.just("owner"), st.sampled_from(["drain", "receive_eof", "time_out"])),
    st.just(("raw", 7, 0, None, bytes(8))),
    st.just(("raw", 5, 4, 0, bytes(4))),
)  # fmt: skip


def same(ops: list[Op]) -> None:
    """Assert that both sides come to the same."""
    hot, oracle = Play().run(ops)
    for name in oracle:
        assert hot[name] == oracle[name], name


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.lists(POLITE, max_size=40))
def test_polite_clients_get_the_same(ops: list[Op]) -> None:
    same(ops)


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(POLITE, POLITE, POLITE, RUDE), max_size=40))
def test_rude_clients_get_the_same(ops: list[Op]) -> None:
    same(ops)
