"""Memory stays bounded both ways, and nothing is left of a connection that has gone."""

from __future__ import annotations

import gc
import random
import sys

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.protocol.http1_answers import Http1State
from siphon_http.protocol.http1_server import Http1ServerConnection
from siphon_http.testing import BufferDriver, ExchangeDriver, RecordingSink
from tests.protocol.wire_samples import BAD, CHUNKED, GET, GOOD, echo

LIMIT = 65_536


def keep(driver: ExchangeDriver, request: Request) -> None:
    """Answer nothing yet."""


def holds(sink: RecordingSink) -> list[bool]:
    """Return the calls to stop reading and to go on."""
    return [value for name, value in sink.calls if name == "hold"]


def test_reading_pauses_when_64_kib_wait_behind_a_request() -> None:
    sink = RecordingSink(keep).receive(GET)
    waiting = 0
    while not holds(sink):
        sink.receive(GET * 100)
        waiting += len(GET) * 100
    assert LIMIT <= waiting < LIMIT + len(GET) * 100
    assert holds(sink) == [True]
    assert len(sink.requests) == 1


def test_reading_goes_on_when_what_waited_was_handled_once_in_order() -> None:
    sink = RecordingSink(keep).receive(GET, *[GET * 100] * 40)
    assert holds(sink) == [True]
    sink.answer = lambda driver, request: driver.respond(request, Response())
    sink.driver.respond(sink.current, Response())
    assert holds(sink) == [True, False]
    assert len(sink.requests) == 4_001
    assert sink.written.count(b"200 OK") == 4_001


def test_the_answers_of_one_read_are_sent_in_pieces_of_64_kib() -> None:
    sink = RecordingSink(lambda d, r: d.respond(r, Response(200, None, b"x" * 9_000))).receive(GET * 100)
    assert len(sink.writes) > 10
    assert max(map(len, sink.writes)) < LIMIT + 10_000
    assert sink.buffer.capacity <= 4 * LIMIT


def test_nothing_new_is_begun_while_the_transport_is_full() -> None:
    sink = RecordingSink(lambda d, r: d.respond(r, Response(200, None, b"x" * 40_000)))
    sink.write = lambda data: (RecordingSink.write(sink, data), sink.connection.pause())  # type: ignore[method-assign]
    sink.receive(GET * 50)
    assert len(sink.requests) == 1
    for count in range(2, 51):
        sink.connection.resume()
        assert len(sink.requests) == count


def test_reading_pauses_when_64_kib_wait_for_a_full_transport() -> None:
    sink = RecordingSink(echo)
    sink.connection.pause()
    sink.receive(*[GET * 100] * 25)
    assert holds(sink) == [True] and not sink.requests
    sink.connection.resume()
    assert holds(sink) == [True, False]
    assert len(sink.requests) == 2_500


@pytest.mark.parametrize("chunked", [False, True])
def test_reading_pauses_when_64_kib_of_streamed_content_wait(chunked: bool) -> None:
    head = CHUNKED if chunked else b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n"
    piece = b"2710\r\n" + b"x" * 10_000 + b"\r\n" if chunked else b"x" * 10_000
    sink = RecordingSink(keep, streams=True).receive(head)
    for _ in range(7):
        sink.receive(piece)
    assert holds(sink) == [True]
    assert len(sink.driver.read_content(sink.current) or b"") == 70_000
    assert holds(sink) == [True, False]


def test_reading_goes_on_when_a_streamed_request_ends_before_its_content_was_read() -> None:
    sink = RecordingSink(keep, streams=True).receive(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 70005\r\n\r\n")
    sink.receive(b"x" * 70_000)
    assert holds(sink) == [True]
    sink.driver.respond(sink.current, Response())
    assert holds(sink) == [True, False]
    sink.receive(b"x" * 5 + GET)
    assert len(sink.requests) == 2


def test_nothing_is_held_or_let_go_after_the_close() -> None:
    sink = RecordingSink(keep, streams=True).receive(
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 700000\r\n\r\n", b"x" * 70_000
    )
    sink.driver.respond(sink.current, Response())
    assert sink.calls[-1] == ("close", True)


def test_a_partial_head_behind_a_large_read_does_not_keep_that_read() -> None:
    sink = RecordingSink(echo)
    read = GET * 3_000 + GET[:10]
    references = sys.getrefcount(read)
    sink.receive(read)
    assert len(sink.requests) == 3_000
    assert sys.getrefcount(read) == references


def test_empty_lines_are_not_kept_without_end() -> None:
    sink = RecordingSink(echo)
    for _ in range(5):
        sink.receive(b"\r\n")
    assert ("refused", 400) in sink.calls


@pytest.mark.parametrize("size", [1, 70_000])
def test_a_head_without_end_is_refused_at_its_limit(size: int) -> None:
    sink = RecordingSink(echo, max_header_bytes=1_000).receive(GET[:-2])
    sent = 0
    while not sink.is_closed:
        sink.receive(b"x" * size)
        sent += size
    assert sent <= 1_000 + size
    assert ("refused", 431) in sink.calls


def test_too_many_fields_are_refused_while_they_arrive() -> None:
    sink = RecordingSink(echo, max_header_bytes=10_000_000).receive(GET[:-2])
    count = 0
    while not sink.is_closed:
        sink.receive(b"A: b\r\n")
        count += 1
    assert count == 128
    assert ("refused", 431) in sink.calls
    assert (
        RecordingSink(echo, max_headers=100_000, max_header_bytes=10_000_000)
        .receive(GET[:-2] + b"A: b\r\n" * 50_000 + b"\r\n")
        .requests
    )


def test_trailers_and_extensions_are_limited() -> None:
    assert ("refused", 431) in RecordingSink(echo).receive(CHUNKED + b"0\r\n", *[b"A: b\r\n"] * 129).calls
    assert ("refused", 431) in RecordingSink(echo).receive(CHUNKED + b"0\r\nA: " + b"b" * 70_000).calls
    assert ("refused", 400) in RecordingSink(echo).receive(CHUNKED, *[b"1;" + b"x" * 500 + b"\r\na\r\n"] * 9).calls


# ---- leaks


def alive() -> int:
    """Count what could be left over."""
    return sum(type(thing) in (Http1ServerConnection, Request, Response) for thing in gc.get_objects())


@pytest.mark.parametrize("how", ["answered", "waiting", "streaming", "refused", "in_content", "idle"])
def test_nothing_of_a_thousand_connections_is_left_when_they_have_gone(how: str) -> None:
    data = {"refused": b"bad\r\n", "in_content": GOOD["post"][:-3], "idle": b""}.get(how, GET + GET[:9])
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(1_000):
            sink = RecordingSink(echo if how in ("answered", "in_content") else keep)
            sink.receive(data)
            if how == "streaming":
                sink.driver.start(sink.current, Response())
                sink.driver.wait(sink.current, lambda: None)
            connection = sink.connection
            connection.detach()
            # The recorder's own ties; a server has them cut in connection_lost.
            sink.current = None
            del sink.driver, sink.connection
            del connection, sink
        assert alive() == before
    finally:
        gc.enable()


# ---- noise


def test_random_bytes_are_answered_or_waited_for_and_never_raise() -> None:
    draw = random.Random(11)
    samples = list((GOOD | BAD).values())
    for _ in range(3_000):
        sink = RecordingSink(streams=draw.random() < 0.3, cap=draw.choice([0, 5, 10_000]))
        for _ in range(draw.randrange(1, 6)):
            data = bytearray(draw.choice(samples) if draw.random() < 0.8 else draw.randbytes(draw.randrange(80)))
            for _ in range(draw.randrange(4)):
                if data:
                    data[draw.randrange(len(data))] = draw.randrange(256)
            sink.receive(bytes(data))
        sink.connection.receive_eof()
        sink.connection.time_out()
        assert sink.connection.state in (Http1State.CLOSED, Http1State.RESPONDING)
        assert sink.names.count("close") + sink.names.count("abort") <= 1
        assert sink.connection.detach() is sink.current
        assert not sink.buffer.is_owned


def test_the_buffer_gives_back_the_memory_of_a_large_answer() -> None:
    buffer = BufferDriver()
    for size in (1, 4_095, 4_096, 4_097, 300_000):
        buffer.add(b"x" * size)
        assert buffer.size == size
        assert buffer.take() == b"x" * size
    assert buffer.capacity == 0
    assert buffer.take() == b""
    for _ in range(1_000):
        buffer.add(b"ab")
    assert buffer.take() == b"ab" * 1_000
    assert 2_000 <= buffer.capacity <= 8_192
