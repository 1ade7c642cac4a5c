"""Streams whose heads are judged together, against the same bytes one at a time, which are never judged so.

SIPHON_HTTP_FUZZ=N runs N / 10 streams instead of the 1,500 of the suite.
"""

from __future__ import annotations

import collections
import os
import random

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.protocol import http1_server
from siphon_http.protocol.http1_answers import Http1State
from siphon_http.testing import ExchangeDriver, RecordingSink
from siphon_http.testing.driver import request_facts
from tests.fuzz.test_http1_differential import SPICE, message, what_counts
from tests.protocol.wire_samples import GET, echo

COUNT = int(os.environ.get("SIPHON_HTTP_FUZZ", "15000")) // 10

HEAD = b"HEAD /h HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
CLOSE = b"GET /last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
SPECIAL = [HEAD, POST, POST, CLOSE, b"\r\n" + GET, b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]


def plain(draw: random.Random) -> bytes:
    """Return a head that may be judged together with its neighbours."""
    lines = [b"GET /%d HTTP/1.1" % draw.randrange(1000), b"Host: t"]
    lines += draw.sample([b"Accept: */*", b"Cookie: a=b", b"Connection: keep-alive", b"X-Empty:"], draw.randrange(3))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def batch(draw: random.Random) -> bytes:
    """Return up to 40 requests, most of them plain; every second stream is good to its end, others are mutated too."""
    good = draw.random() < 0.5
    out = b""
    for _ in range(draw.choice([2, 3, 5, 17, 40])):
        kind = draw.random()
        if kind < 0.85:
            out += plain(draw)
        elif good:
            out += draw.choice([HEAD, POST, b"\r\n" + GET])
        else:
            out += draw.choice(SPECIAL) if kind < 0.95 else message(draw)
    if not good and draw.random() < 0.5:
        at = draw.randrange(len(out) + 1)
        out = out[:at] + draw.choice([b"", draw.choice(SPICE)]) + out[at + draw.randrange(3) :]
    return out


def pieces(draw: random.Random, data: bytes) -> list[bytes]:
    """Cut `data` at one to nine places."""
    cuts = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(1, 10)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


class Late:
    """Answers some requests at once and keeps the others until `finish`."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.sink = RecordingSink(self.answer)

    def answer(self, driver: ExchangeDriver, request: Request) -> None:
        if self.draw.random() < 0.6:
            echo(driver, request)

    def play(self, parts: list[bytes]) -> RecordingSink:
        for part in parts:
            self.sink.receive(part)
            if self.draw.random() < 0.5:
                self.finish()
        self.finish()
        return self.sink

    def finish(self) -> None:
        while self.sink.current is not None and self.sink.connection.state == Http1State.RESPONDING:
            echo(self.sink.driver, self.sink.current)


def test_heads_that_are_judged_together_come_to_the_same_as_each_alone() -> None:
    ends: collections.Counter[Http1State] = collections.Counter()
    for seed in range(COUNT):
        draw = random.Random(seed)
        data = batch(draw)
        alone = RecordingSink(echo).receive(*(data[i : i + 1] for i in range(len(data))))
        expected = what_counts(alone)
        ends[alone.connection.state] += 1
        try:
            assert what_counts(RecordingSink(echo).receive(data)) == expected, "whole"
            assert what_counts(RecordingSink(echo).receive(*pieces(draw, data))) == expected, "cut"
            assert what_counts(Late(draw).play([data])) == expected, "whole, answered late"
            assert what_counts(Late(draw).play(pieces(draw, data))) == expected, "cut, answered late"
        except AssertionError as error:
            error.add_note(f"seed {seed}: {data!r}")
            raise
    assert min(ends[Http1State.IDLE], ends[Http1State.CLOSED]) > COUNT / 10


@pytest.mark.parametrize(
    "bad", [GET.replace(b"Host: t", b"X : y"), b"GET / HTTP/1.1\r\n\r\n", b"GE\0 / HTTP/1.1\r\n\r\n"]
)
@pytest.mark.parametrize("place", range(5))
def test_what_comes_before_a_bad_head_of_a_batch_is_answered_however_it_is_cut(bad: bytes, place: int) -> None:
    data = GET * place + bad + GET * (4 - place)
    whole = RecordingSink(echo).receive(data)
    assert whole.names.count("request_received") == place
    assert whole.written.count(b"HTTP/1.1 200 OK") == place
    assert whole.written.count(b"HTTP/1.1 400 ") == 1
    assert whole.names[-1] == "close"
    for cut in range(1, len(data)):
        assert what_counts(RecordingSink(echo).receive(data[:cut], data[cut:])) == what_counts(whole), cut


class Counting:
    """httptools' parser, and what it was fed."""

    fed: list[bytes]
    refuses: int | None = None  # a feed of so many heads or more is refused
    silent: int | None = None  # ... or taken without a word

    def __init__(self, protocol: object) -> None:
        self.parser = http1_server_parser(protocol)

    def feed_data(self, data: bytes) -> None:
        self.fed.append(data)
        count = data.count(b"\r\n\r\n")
        if self.refuses is not None and count >= self.refuses:
            raise http1_server.HttpParserError("refused")
        if self.silent is None or count < self.silent:
            self.parser.feed_data(data)


http1_server_parser = http1_server.HttpRequestParser


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    class Fresh(Counting):
        fed: list[bytes] = []  # noqa: RUF012  a fresh one for each test

    monkeypatch.setattr(http1_server, "HttpRequestParser", Fresh)
    return Fresh


def test_plain_heads_of_one_read_are_fed_together(counting: type[Counting]) -> None:
    sink = RecordingSink(echo).receive(GET * 5 + POST + GET * 2)
    assert counting.fed == [GET * 5, POST, GET * 2]
    assert len(sink.requests) == 8


def test_no_more_heads_are_fed_together_than_there_is_room_for(counting: type[Counting]) -> None:
    assert len(RecordingSink(echo).receive(GET * 40).requests) == 40
    assert [len(data) // len(GET) for data in counting.fed] == [16, 16, 8]
    counting.fed.clear()
    long = GET.replace(b"Host", b"X-Long: " + b"x" * 6000 + b"\r\nHost")
    assert len(RecordingSink(echo).receive(long * 9).requests) == 9
    assert max(map(len, counting.fed)) < 4 * len(long)


def test_heads_behind_a_request_that_waits_are_not_fed_twice(counting: type[Counting]) -> None:
    sink = RecordingSink(lambda driver, request: None).receive(GET * 3)
    assert (counting.fed, len(sink.requests)) == ([GET * 3], 1)
    sink.receive(GET)
    for done in (2, 3, 4):
        echo(sink.driver, sink.current)  # type: ignore[arg-type]
        assert len(sink.requests) == done
    assert counting.fed == [GET * 3, GET]


@pytest.mark.parametrize("how", ["refuses", "silent"])
def test_a_batch_that_is_not_taken_whole_is_fed_again_one_by_one_to_a_new_parser(
    counting: type[Counting], how: str
) -> None:
    setattr(counting, how, 2)
    sink = RecordingSink(echo).receive(GET * 4)
    assert len(sink.requests) == 4 and "refused" not in sink.names
    assert counting.fed == [GET * 4, GET, GET, GET, GET]
    setattr(counting, how, 1)
    sink.receive(GET)
    assert sink.names[-1] == "close" and sink.written.endswith(b"in doubt\n" if how == "silent" else b"bad request\n")


def test_the_answer_of_a_request_in_a_batch_does_not_depend_on_its_neighbours() -> None:
    seen: list[tuple[str, str, str, dict[str, str]]] = []

    def note(driver: ExchangeDriver, request: Request) -> None:
        seen.append((request.raw_path, request.query_string, request.host, dict(request.headers)))
        driver.respond(request, Response())

    one = b"GET /%d?q=%d HTTP/1.1\r\nHost: h%d\r\nX-N: %d\r\n\r\n"
    RecordingSink(note).receive(b"".join(one % (n, n, n, n) for n in range(20)))
    assert seen == [(f"/{n}", f"q={n}", f"h{n}", {"host": f"h{n}", "x-n": f"{n}"}) for n in range(20)]


def test_a_request_keeps_no_more_than_a_small_read_alive() -> None:
    kept: list[Request] = []
    sink = RecordingSink(lambda driver, request: (kept.append(request), driver.respond(request, Response())))
    sink.receive(GET * 100).receive(GET * 2000)
    assert {len(request_facts(request)["head"]) for request in kept} == {len(GET) * 100, len(GET)}
