"""Content piece by piece, in and out."""

from __future__ import annotations

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.errors import RemoteProtocolError
from siphon_http.protocol.http1_answers import Http1State
from siphon_http.testing import ExchangeDriver, RecordingSink
from tests.protocol.wire_samples import CHUNKED, GET, without_date

POST = b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n%s\r\n"


def keep(driver: ExchangeDriver, request: Request) -> None:
    """Answer nothing yet."""


# ---- in


def test_a_streamed_request_is_received_with_its_head_and_its_content_follows() -> None:
    sink = RecordingSink(keep, streams=True).receive(POST % b"")
    request = sink.current
    assert sink.names == ["head_received", "request_received"]
    assert sink.driver.read_content(request) is None
    woken: list[int] = []
    sink.driver.wait(request, lambda: woken.append(1))
    sink.receive(b"ab")
    assert woken == [1]
    assert sink.driver.read_content(request) == b"ab"
    assert sink.driver.read_content(request) is None
    sink.receive(b"cd", b"e" + GET)
    assert sink.driver.read_content(request) == b"cde"
    assert sink.driver.read_content(request) == b""
    assert sink.driver.read_content(request) == b""
    assert len(sink.requests) == 1
    sink.driver.respond(request, Response())
    assert len(sink.requests) == 2


def test_a_streamed_request_that_came_whole_has_its_content() -> None:
    sink = RecordingSink(keep, streams=True).receive(POST % b"" + b"hello")
    assert [sink.driver.read_content(sink.current) for _ in range(3)] == [b"hello", b"", b""]


def test_chunks_stream_without_their_framing() -> None:
    sink = RecordingSink(keep, streams=True)
    for i in range(len(data := CHUNKED + b"5;x\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n")):
        sink.receive(data[i : i + 1])
    assert sink.driver.read_content(sink.current) == b"hello!"
    assert sink.driver.read_content(sink.current) == b""


def test_100_is_sent_when_a_streamed_content_is_first_read() -> None:
    sink = RecordingSink(keep, streams=True).receive(POST % b"Expect: 100-continue\r\n")
    assert sink.written == b""
    assert sink.driver.read_content(sink.current) is None
    assert sink.driver.read_content(sink.current) is None
    assert sink.written == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_no_100_after_the_head_of_the_answer() -> None:
    sink = RecordingSink(keep, streams=True).receive(POST % b"Expect: 100-continue\r\n")
    sink.driver.start(sink.current, Response())
    assert sink.driver.read_content(sink.current) is None
    assert b" 100 " not in sink.written
    assert b"connection: close" in sink.written


@pytest.mark.parametrize("bad", [b"x\r\n", b"1\r\nab\r\n", b"5\nhello", b"fffffff\r\n"])
def test_content_that_breaks_a_rule_ends_the_stream_with_an_error(bad: bytes) -> None:
    sink = RecordingSink(keep, streams=True, cap=100).receive(CHUNKED + b"1\r\na\r\n")
    request = sink.current
    woken: list[int] = []
    sink.driver.wait(request, lambda: woken.append(1))
    sink.receive(bad)
    assert woken == [1]
    assert sink.names[-3:] == ["refused", "request_ended", "close"]
    with pytest.raises(RemoteProtocolError):
        sink.driver.read_content(request)
    assert sink.driver.respond(request, Response()) == 0


def test_content_that_breaks_a_rule_breaks_the_answer_under_way_off() -> None:
    sink = RecordingSink(keep, streams=True).receive(CHUNKED)
    sink.driver.start(sink.current, Response())
    sink.driver.chunk(sink.current, b"abc")
    sink.receive(b"zz\r\n")
    assert b" 400 " not in sink.written and not sink.written.endswith(b"0\r\n\r\n")
    assert sink.calls[-1] == ("close", False)


def test_two_may_wait_at_once() -> None:
    sink = RecordingSink(keep, streams=True).receive(CHUNKED)
    woken: list[str] = []
    sink.driver.start(sink.current, Response())
    sink.driver.wait(sink.current, lambda: woken.append("reader"))
    sink.driver.wait(sink.current, lambda: woken.append("writer"))
    sink.receive(b"1\r\na\r\n")
    assert woken == ["reader", "writer"]
    sink.receive(b"1\r\nb\r\n")
    assert woken == ["reader", "writer"]


# ---- out


@pytest.mark.parametrize(
    "line, fields, length, head, body",
    [
        (b"GET / HTTP/1.1\r\nHost: t", {}, -1, b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"),
        (b"GET / HTTP/1.1\r\nHost: t", {}, 4, b"content-length: 4\r\n", b"abcd"),
        (b"GET / HTTP/1.0", {}, -1, b"connection: close\r\n", b"abcd"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", {}, -1, b"connection: close\r\n", b"abcd"),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive",
            {},
            4,
            b"content-length: 4\r\nconnection: keep-alive\r\n",
            b"abcd",
        ),
        (b"HEAD / HTTP/1.1\r\nHost: t", {}, -1, b"transfer-encoding: chunked\r\n", b""),
        (b"HEAD / HTTP/1.1\r\nHost: t", {}, 4, b"content-length: 4\r\n", b""),
        (
            b"GET / HTTP/1.1\r\nHost: t",
            {"connection": "close"},
            4,
            b"content-length: 4\r\nconnection: close\r\n",
            b"abcd",
        ),
    ],
)
def test_a_streamed_answer_is_framed_as_its_peer_and_length_allow(
    line: bytes, fields: dict[str, str], length: int, head: bytes, body: bytes
) -> None:
    def answer(driver: ExchangeDriver, request: Request) -> None:
        assert driver.start(request, Response(200, fields), length) == 1
        assert driver.chunk(request, b"abc") == 1
        assert driver.chunk(request, b"") == 1
        assert driver.chunk(request, b"d") == 1
        assert driver.end(request) == 1

    sink = RecordingSink(answer).receive(line + b"\r\n\r\n")
    assert without_date(sink.written) == b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body
    assert sink.is_closed is (b"connection: close" in head)
    assert len(sink.writes) == 1


@pytest.mark.parametrize("status, head", [(204, b""), (304, b""), (205, b"content-length: 0\r\n")])
def test_a_status_without_content_has_none_when_streamed_either(status: int, head: bytes) -> None:
    def answer(driver: ExchangeDriver, request: Request) -> None:
        driver.start(request, Response(status))
        driver.chunk(request, b"abc")
        driver.end(request)

    sink = RecordingSink(answer).receive(GET + GET)
    one = without_date(sink.written).partition(b"\r\n")[2]
    assert one.startswith(head + b"\r\n")
    assert b"abc" not in sink.written
    assert len(sink.requests) == 2


def test_a_piece_that_comes_later_is_sent_at_once() -> None:
    sink = RecordingSink(keep).receive(GET)
    for count, call in enumerate(
        (
            lambda: sink.driver.start(sink.current, Response()),
            lambda: sink.driver.chunk(sink.current, b"a"),
            lambda: sink.driver.end(sink.current),
        ),
        1,
    ):
        call()
        assert len(sink.writes) == count


def test_large_pieces_are_not_copied_and_stay_in_order() -> None:
    big = b"x" * 50_000
    sink = RecordingSink(keep).receive(GET)
    sink.driver.start(sink.current, Response())
    for piece in (b"a", big, b"b"):
        sink.driver.chunk(sink.current, piece)
    sink.driver.end(sink.current)
    assert sink.written.endswith(b"\r\n\r\n1\r\na\r\nc350\r\n" + big + b"\r\n1\r\nb\r\n0\r\n\r\n")
    assert any(write is big for write in sink.writes)


@pytest.mark.parametrize(
    "line, length, last", [(b"1.1", -1, "close"), (b"1.1", 9, "close"), (b"1.0", -1, "abort"), (b"1.0", 9, "close")]
)
def test_an_answer_that_is_broken_off_cannot_be_taken_for_a_whole_one(line: bytes, length: int, last: str) -> None:
    sink = RecordingSink(keep).receive(b"GET / HTTP/" + line + b"\r\nHost: t\r\n\r\n" + GET)
    sink.driver.start(sink.current, Response(), length)
    sink.driver.chunk(sink.current, b"abc")
    assert sink.driver.fail(sink.current) == 1
    assert sink.names[-2:] == ["request_ended", last]
    assert not sink.written.endswith(b"0\r\n\r\n")
    assert len(sink.requests) == 1
    assert sink.connection.state == Http1State.CLOSED


def test_an_answer_that_is_broken_off_before_its_head_is_a_500() -> None:
    sink = RecordingSink(keep).receive(GET + GET)
    assert sink.driver.fail(sink.current) == 1
    assert sink.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert len(sink.requests) == 2


def test_who_waits_is_woken_when_the_answer_is_broken_off() -> None:
    sink = RecordingSink(keep).receive(GET)
    woken: list[int] = []
    sink.driver.start(sink.current, Response())
    sink.driver.wait(sink.current, lambda: woken.append(1))
    sink.driver.fail(sink.current)
    assert woken == [1]


def test_who_waits_for_room_is_woken_when_there_is_some_or_the_connection_goes() -> None:
    for go_on in ("resume", "detach"):
        sink = RecordingSink(keep).receive(GET)
        request = sink.current
        sink.connection.pause()
        assert not sink.driver.is_writable(request)
        woken: list[int] = []
        sink.driver.wait(request, lambda seen=woken: seen.append(1))
        getattr(sink.connection, go_on)()
        assert woken == [1]
        assert sink.driver.is_writable(request)
