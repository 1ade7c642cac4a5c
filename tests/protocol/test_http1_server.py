"""Whole messages in, whole answers out: framing, persistence, limits."""

from __future__ import annotations

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.errors import LocalProtocolError
from siphon_http.protocol.http1_answers import Http1State
from siphon_http.testing import BufferDriver, ExchangeDriver, RecordingSink
from tests.protocol.wire_samples import CHUNKED, GET, GOOD, echo, without_date

POST = b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n%s\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def keep(driver: ExchangeDriver, request: Request) -> None:
    """Answer nothing yet."""


def send(response: Response):  # type: ignore[no-untyped-def]
    """Return an answer function that sends `response`."""
    return lambda driver, request: driver.respond(request, response)


# ---- what is received


def test_a_request_is_told_as_it_was_sent() -> None:
    sink = RecordingSink(echo).receive(GOOD["fields"])
    (request,) = sink.requests
    assert (request.method, request.target, request.version, request.body) == ("GET", "/", "1.1", b"")
    assert request.fields == (("host", "t"), ("cookie", "a=b"), ("x-one", ""), ("x-two", "two"), ("cookie", "c=d"))


def test_the_order_of_calls_for_one_request() -> None:
    sink = RecordingSink().receive(GET)
    assert sink.calls == [("head_received", "GET"), ("request_received", "GET"), ("request_ended", "GET")]
    assert without_date(sink.written) == OK


def test_pipelined_requests_are_answered_in_order_in_one_write() -> None:
    sink = RecordingSink(echo).receive(GOOD["pipeline"])
    assert [r.body for r in sink.requests] == [b"", b"abc", b"x", b""]
    assert len(sink.writes) == 1
    assert sink.written.count(b"HTTP/1.1 200 OK") == 4


def test_a_request_behind_one_that_is_handled_waits_for_its_turn() -> None:
    sink = RecordingSink(keep).receive(GET * 3)
    assert sink.names == ["head_received", "request_received"]
    for count in (1, 2, 3):
        assert len(sink.requests) == count
        assert sink.driver.respond(sink.current, Response()) == 1
    assert sink.written.count(b"200 OK") == 3
    assert sink.connection.state == Http1State.IDLE


@pytest.mark.parametrize("size", [1, 5, 4095, 4097, 70_000])
def test_content_by_length_arrives_whole(size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    message = POST % (size, b"") + content
    for parts in ([message], [message[:60], message[60:]], [message[:-1], message[-1:]]):
        sink = RecordingSink(echo).receive(*parts)
        assert sink.requests[0].body == content
        assert sink.written.endswith(b"\r\n\r\n" + content)


def test_a_head_does_not_pin_the_large_read_it_came_in() -> None:
    seen: list[int] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        from siphon_http.testing import request_facts

        seen.append(len(request_facts(request)["head"]))
        driver.respond(request, Response())

    RecordingSink(answer).receive(POST % (50_000, b"") + b"x" * 50_000 + GET)
    assert seen == [len(POST % (50_000, b"")), len(GET)]


def test_the_method_that_the_parser_does_not_know_reaches_the_handler_as_sent() -> None:
    sink = RecordingSink(echo).receive(GOOD["unknown_method"], b"get / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert [r.method for r in sink.requests] == ["M-SEARCH", "GET", "get"]
    assert sink.requests[0].body == b"hi"


@pytest.mark.parametrize("field", [b"Upgrade: h2c\r\n", b"u:\r\nUpgrade: x\r\nu:\r\n", b"UPGRADE: a\r\nupgrade: b\r\n"])
@pytest.mark.parametrize("connection", [b"upgrade", b"Upgrade, HTTP2-Settings", b"keep-alive"])
def test_an_upgrade_is_ignored_and_its_content_is_content(field: bytes, connection: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: t\r\n" + field + b"Connection: " + connection + b"\r\nContent-Length: %d\r\n\r\n"
    sink = RecordingSink(echo).receive(head % len(GET) + GET, GET)
    assert [(r.method, r.body) for r in sink.requests] == [("POST", GET), ("GET", b"")]
    assert ("upgrade", "h2c") in sink.requests[0].fields or b"h2c" not in field


@pytest.mark.parametrize("value", [b"close", b"keep-alive", b"Close, x"])
def test_proxy_connection_means_nothing(value: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: t\r\nPROXY-Connection: " + value + b"\r\n\r\n"
    sink = RecordingSink(echo).receive(head, head + GET)
    assert len(sink.requests) == 3
    assert "refused" not in sink.names


@pytest.mark.parametrize("value", [b"chunked", b" \t chunked \t", b"Chunked\t ", b"\tchunked  "])
def test_white_space_around_a_transfer_coding_means_nothing(value: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding:" + value + b"\r\nHost: t\r\nT:\t\r\n\r\n"
    sink = RecordingSink(echo).receive(head + b"2\r\nhi\r\n0\r\n\r\n", GET)
    assert [r.body for r in sink.requests] == [b"hi", b""]


@pytest.mark.parametrize(
    "line", [b"u:\r\n", b"p:\r\n", b"Upgrade:\r\n", b"P:\r\nupgrade:x\r\n", b"proxy-connection:\r\n"]
)
def test_a_short_last_field_line_is_within_the_copy_for_the_parser(line: bytes) -> None:
    sink = RecordingSink(echo).receive(b"X / HTTP/1.1\r\nHost: t\r\nUpgrade: x\r\n" + line + b"\r\n")
    assert [r.method for r in sink.requests] == ["X"]


# ---- content: limits and 100 (Continue)


def test_content_over_the_cap_is_refused_before_any_of_it_is_read() -> None:
    sink = RecordingSink(echo, cap=10).receive(POST % (11, b"Expect: 100-continue\r\n"))
    assert sink.calls == [("head_received", "POST"), ("refused", 413), ("request_ended", "POST"), ("close", True)]
    assert sink.written.startswith(b"HTTP/1.1 413 Content Too Large\r\n")


def test_content_of_just_the_cap_is_taken() -> None:
    assert RecordingSink(echo, cap=10).receive(POST % (10, b"") + b"x" * 10).requests[0].body == b"x" * 10
    assert RecordingSink(echo, cap=10).receive(CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n").requests


@pytest.mark.parametrize("size", [b"b", b"fffffff", b"fffffffffffffff", b"7fffffffffffffff", b"0000000000000000b"])
def test_chunks_over_the_cap_are_refused(size: bytes) -> None:
    sink = RecordingSink(echo, cap=10).receive(CHUNKED + size + b"\r\nx")
    assert sink.calls[1][1] in (413, 400)
    assert not sink.requests


@pytest.mark.parametrize("cap", [0, 10, 2**63 - 1])
@pytest.mark.parametrize(
    "length", [b"9" * 18, b"9" * 19, b"9" * 40, b"9223372036854775807", b"18446744073709551616", b"-1", b"1e1", b"0x1"]
)
def test_a_length_near_the_limits_of_integers_is_no_surprise(length: bytes, cap: int) -> None:
    sink = RecordingSink(echo, cap=cap).receive(
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: " + length + b"\r\n\r\nxy"
    )
    assert not sink.requests
    if length == b"9" * 18 and cap > 10:
        assert sink.connection.state == Http1State.READING_BODY
    else:
        assert sink.is_closed


def test_two_chunks_that_together_pass_the_cap_are_refused_also_near_the_largest_integer() -> None:
    sink = RecordingSink(echo, cap=2**63 - 1, streams=True)
    sink.answer = keep
    sink.receive(CHUNKED + b"fffffffffffffff\r\nx")
    assert sink.connection.state == Http1State.READING_BODY


def test_100_is_sent_once_when_the_content_is_wanted_and_not_here() -> None:
    sink = RecordingSink(echo).receive(POST % (2, b"Expect: 100-continue\r\n"))
    assert sink.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    sink.receive(b"h", b"i")
    assert sink.written.count(b" 100 ") == 1
    assert sink.written.endswith(b"hi")


def test_no_100_when_content_is_here_already_or_none_is_announced_or_to_1_0() -> None:
    for data in (
        POST % (2, b"Expect: 100-continue\r\n") + b"h",
        POST % (0, b"Expect: 100-continue\r\n"),
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    ):
        assert b" 100 " not in RecordingSink(echo).receive(data).written


def test_100_follows_the_answers_before_it() -> None:
    sink = RecordingSink(echo).receive(GET + POST % (2, b"Expect: 100-continue\r\n"))
    assert without_date(sink.written).split(b"\r\n\r\n")[:-1] == [
        b"HTTP/1.1 200 OK\r\nx-method: GET\r\ncontent-length: 0",
        b"HTTP/1.1 100 Continue",
    ]


# ---- answers


@pytest.mark.parametrize(
    "method, status, body, head, content",
    [
        (b"GET", 200, b"abc", b"content-length: 3\r\n", b"abc"),
        (b"GET", 200, None, b"content-length: 0\r\n", b""),
        (b"HEAD", 200, b"abc", b"content-length: 3\r\n", b""),
        (b"GET", 204, b"abc", b"", b""),
        (b"HEAD", 204, None, b"", b""),
        (b"GET", 304, b"abc", b"", b""),
        (b"GET", 205, b"abc", b"content-length: 0\r\n", b""),
        (b"HEAD", 404, b"abc", b"content-length: 3\r\n", b""),
    ],
)
def test_an_answer_has_the_length_and_content_that_its_status_and_method_allow(
    method: bytes, status: int, body: bytes | None, head: bytes, content: bytes
) -> None:
    sink = RecordingSink(send(Response(status, None, body))).receive(method + b" / HTTP/1.1\r\nHost: t\r\n\r\n")
    line, _, rest = without_date(sink.written).partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert rest == head + b"\r\n" + content


def test_a_head_answer_may_tell_a_length_without_content() -> None:
    sink = RecordingSink(send(Response(200, {"content-length": "77"}))).receive(
        b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n" + GET[:9]
    )
    assert without_date(sink.written) == b"HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n"


def test_framing_fields_of_a_script_are_not_sent_twice() -> None:
    response = Response(
        200, {"Content-Length": "2", "Transfer-Encoding": "chunked", "Connection": "close", "A": "b"}, b"hi"
    )
    sink = RecordingSink(send(response)).receive(GET)
    assert without_date(sink.written) == b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
    assert sink.names[-1] == "close"


def test_large_content_is_written_as_it_is_behind_its_head() -> None:
    content = b"x" * 100_000
    sink = RecordingSink(send(Response(200, None, content))).receive(GET + GET)
    assert [len(w) for w in sink.writes if w is content or len(w) == 100_000] == [100_000, 100_000]
    assert any(w is content for w in sink.writes)
    assert sink.written.count(b"\r\n\r\n" + content) == 2


@pytest.mark.parametrize(
    "head, kept, told",
    [
        (b"GET / HTTP/1.1\r\nHost: t\r\n", True, b""),
        (b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n", False, b"connection: close\r\n"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nConnection: x\r\nConnection: y ,\tCLOSE\r\n", False, b"connection: close\r\n"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nConnection: closed, x-close\r\n", True, b""),
        (b"GET / HTTP/1.0\r\n", False, b"connection: close\r\n"),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", True, b"connection: keep-alive\r\n"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n", False, b"connection: close\r\n"),
        (b"GET / HTTP/1.9\r\nHost: t\r\n", True, b""),
    ],
)
def test_who_wants_to_go_on_and_what_is_told(head: bytes, kept: bool, told: bytes) -> None:
    sink = RecordingSink().receive(head + b"\r\n", GET)
    assert len(sink.requests) == 1 + kept
    first = without_date(sink.written).split(b"\r\n\r\n")[0] + b"\r\n"
    assert first.endswith(b"content-length: 0\r\n" + told)
    assert sink.is_closed is not kept


def test_a_second_answer_and_one_for_another_request_do_nothing() -> None:
    sink = RecordingSink(keep).receive(GET)
    first = sink.current
    assert sink.driver.is_open(first)
    assert sink.driver.respond(first, Response()) == 1
    assert not sink.driver.is_open(first)
    written = sink.written
    for call in (
        lambda: sink.driver.respond(first, Response()),
        lambda: sink.driver.start(first, Response()),
        lambda: sink.driver.chunk(first, b"x"),
        lambda: sink.driver.end(first),
        lambda: sink.driver.fail(first),
        lambda: sink.driver.respond(None, Response()),
        lambda: sink.driver.chunk(None, b"x"),
        lambda: sink.driver.end(None),
        lambda: sink.driver.fail(None),
    ):
        assert call() == 0
    assert sink.written == written
    sink.receive(GET)
    assert sink.driver.respond(first, Response()) == 0
    assert sink.driver.respond(sink.current, Response()) == 1


# ---- an answer before the content has come


def test_little_content_that_nobody_reads_is_passed_over() -> None:
    sink = RecordingSink(send(Response(404)), streams=True).receive(POST % (5, b""), b"ab", b"cde" + GET)
    assert [r.method for r in sink.requests] == ["POST", "GET"]
    assert not sink.is_closed


@pytest.mark.parametrize(
    "head",
    [POST % (65_537, b""), POST % (5, b"Expect: 100-continue\r\n"), CHUNKED],
    ids=["large", "expected", "chunked"],
)
def test_content_that_may_not_come_or_is_much_ends_the_connection(head: bytes) -> None:
    sink = RecordingSink(send(Response(404)), streams=True).receive(head)
    assert b"\r\nconnection: close\r\n" in sink.written
    assert sink.calls[-1] == ("close", True)


# ---- one buffer for a whole loop


def test_connections_that_share_a_buffer_never_mix_their_answers() -> None:
    buffer = BufferDriver()
    one = RecordingSink(keep, buffer=buffer).receive(GET)

    def both(driver: ExchangeDriver, request: Request) -> None:
        driver.respond(request, Response(200, {"x": "two"}))
        one.driver.respond(one.current, Response(200, {"x": "one"}))

    two = RecordingSink(both, buffer=buffer).receive(GET)
    assert b"x: one" in one.written and b"x: two" not in one.written
    assert b"x: two" in two.written and b"x: one" not in two.written
    assert buffer.size == 0 and not buffer.is_owned


def test_an_error_of_the_owner_leaves_the_connection_consistent() -> None:
    sink = RecordingSink(lambda driver, request: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sink.receive(GET)
    assert sink.connection.detach() is sink.current


def test_content_of_an_answer_without_a_head_is_our_own_mistake() -> None:
    sink = RecordingSink(keep).receive(GET)
    with pytest.raises(LocalProtocolError):
        sink.driver.chunk(sink.current, b"x")
    with pytest.raises(LocalProtocolError):
        sink.driver.end(sink.current)
    assert sink.written == b""
