"""How connections end: time-outs, half-close, drain, departure, and calls that come from within calls."""

from __future__ import annotations

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.errors import RemoteProtocolError
from siphon_http.protocol.http1_answers import Http1State
from siphon_http.testing import ExchangeDriver, RecordingSink
from tests.protocol.wire_samples import CHUNKED, GET, echo, without_date

POST = b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"


def keep(driver: ExchangeDriver, request: Request) -> None:
    """Answer nothing yet."""


def stream(driver: ExchangeDriver, request: Request) -> None:
    """Begin an answer."""
    driver.start(request, Response())
    driver.chunk(request, b"abc")


# ---- time-outs


@pytest.mark.parametrize("before", [b"", b"\r\n", GET, GET + b"\r\n\r\n"])
def test_time_is_over_before_a_request_has_begun_the_connection_closes_silently(before: bytes) -> None:
    sink = RecordingSink().receive(before)
    written = sink.written
    sink.connection.time_out()
    assert sink.written == written
    assert sink.calls[-1] == ("close", False)


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
@pytest.mark.parametrize("part", [GET[:1], GET[:-1], b"\r\n" + GET[:5]])
def test_time_is_over_in_a_head_it_is_answered_408(before: bytes, part: bytes) -> None:
    sink = RecordingSink().receive(before + part)
    sink.connection.time_out()
    assert without_date(sink.written).endswith(
        b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 16\r\n"
        b"connection: close\r\n\r\nrequest timeout\n"
    )
    assert sink.calls[-2:] == [("refused", 408), ("close", True)]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
def test_time_is_over_in_the_content_it_is_answered_408(before: bytes, streams: bool) -> None:
    sink = RecordingSink(lambda d, r: r.method == "GET" and d.respond(r, Response()), streams=streams)
    sink.receive(before + POST + b"ab")
    sink.connection.time_out()
    assert b"HTTP/1.1 408 " in sink.written
    assert sink.calls[-3:] == [("refused", 408), ("request_ended", "POST"), ("close", True)]


def test_time_is_over_for_the_handler_it_is_answered_504_and_the_next_request_has_its_turn() -> None:
    sink = RecordingSink(keep).receive(GET + GET)
    late = sink.current
    sink.connection.time_out()
    assert sink.written.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert len(sink.requests) == 2 and sink.current is not late
    assert sink.driver.respond(late, Response()) == 0
    assert sink.driver.respond(sink.current, Response()) == 1


def test_time_is_over_while_content_is_passed_over_the_connection_closes() -> None:
    sink = RecordingSink(streams=True).receive(POST)
    assert sink.connection.state == Http1State.READING_BODY
    written = sink.written
    sink.connection.time_out()
    assert sink.written == written
    assert sink.calls[-1] == ("close", False)


def test_time_is_over_while_an_answer_is_streamed_nothing_happens() -> None:
    sink = RecordingSink(stream).receive(GET)
    written = sink.written
    sink.connection.time_out()
    assert sink.written == written and not sink.is_closed
    assert sink.driver.end(sink.current) == 1


def test_time_out_from_within_a_request_answers_it_504() -> None:
    sink = RecordingSink()
    sink.answer = lambda driver, request: sink.connection.time_out()
    sink.receive(GET + GET)
    assert sink.written.count(b"HTTP/1.1 504 ") == 2
    assert sink.connection.state == Http1State.IDLE


# ---- half-close


@pytest.mark.parametrize("before", [b"", b"\r\n", GET[:-1], GET])
def test_an_end_between_requests_or_in_a_head_closes(before: bytes) -> None:
    sink = RecordingSink().receive(before)
    written = sink.written
    sink.connection.receive_eof()
    assert sink.calls[-1] == ("close", False)
    assert sink.written == written


def test_a_half_closed_client_gets_all_its_answers() -> None:
    sink = RecordingSink(keep).receive(GET + GET)
    sink.connection.receive_eof()
    assert not sink.is_closed
    sink.driver.respond(sink.current, Response())
    assert not sink.is_closed
    sink.driver.respond(sink.current, Response())
    assert sink.written.count(b"200 OK") == 2
    assert b"connection: close" in sink.written.split(b"\r\n\r\n")[1]
    assert sink.calls[-1] == ("close", False)


def test_a_half_closed_client_with_half_a_request_behind_gets_its_answer_and_the_close() -> None:
    sink = RecordingSink(keep).receive(GET + GET[:9])
    sink.connection.receive_eof()
    sink.driver.respond(sink.current, Response())
    assert sink.written.count(b"200 OK") == 1
    assert sink.calls[-1] == ("close", False)


@pytest.mark.parametrize("part", [POST + b"abcd", CHUNKED + b"5\r\nabc", CHUNKED + b"0\r\n"])
def test_an_end_within_the_content_is_refused(part: bytes) -> None:
    sink = RecordingSink(echo).receive(part)
    sink.connection.receive_eof()
    assert ("refused", 400) in sink.calls
    assert sink.calls[-1] == ("close", False)
    assert not sink.requests


def test_an_end_while_the_transport_is_full_waits_for_what_has_arrived() -> None:
    sink = RecordingSink(echo).receive(POST + b"ab")
    sink.connection.pause()
    sink.receive(b"cde" + GET)
    sink.connection.receive_eof()
    assert not sink.is_closed and not sink.requests
    sink.connection.resume()
    assert [r.body for r in sink.requests] == [b"abcde", b""]
    assert sink.calls[-1] == ("close", False)
    assert "refused" not in sink.names


def test_an_end_while_content_is_passed_over_closes() -> None:
    sink = RecordingSink(streams=True).receive(POST + b"a")
    sink.connection.receive_eof()
    assert "refused" not in sink.names
    assert sink.calls[-1] == ("close", False)


# ---- drain


def test_drain_closes_what_is_idle_and_lets_the_rest_be_the_last() -> None:
    idle = RecordingSink().receive(GET)
    idle.connection.drain()
    assert idle.calls[-1] == ("close", False)
    busy = RecordingSink(keep).receive(GET + GET)
    busy.connection.drain()
    assert not busy.is_closed
    busy.driver.respond(busy.current, Response())
    assert b"connection: close" in busy.written
    assert len(busy.requests) == 1
    assert busy.calls[-1] == ("close", True)  # the other request may not be all that it sends


@pytest.mark.parametrize(
    "asked, headers, behind, linger",
    [
        (b"", {}, b"", None),
        (b"", {"connection": "close"}, b"", True),
        (b"", {"connection": "close"}, GET, True),
        (b"connection: close\r\n", {}, b"", False),
        (b"connection: close\r\n", {}, GET, True),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_may_be_sending_is_read_for_a_while_after_the_close(
    asked: bytes, headers: dict[str, str], behind: bytes, linger: bool | None, streamed: bool
) -> None:
    """RFC 9112, 9.6: what it sends to a closed connection resets it, and answers that it has not read are lost."""
    sink = RecordingSink(keep).receive(GET[:-2] + asked + b"\r\n" + behind)
    if streamed:
        sink.driver.start(sink.current, Response(headers=headers))
        sink.driver.end(sink.current)
    else:
        sink.driver.respond(sink.current, Response(headers=headers))
    assert sink.is_closed is (linger is not None)
    if linger is not None:
        assert sink.calls[-1] == ("close", linger)


def test_drain_within_a_head_answers_it_as_the_last() -> None:
    sink = RecordingSink().receive(GET[:20])
    sink.connection.drain()
    sink.receive(GET[20:])
    assert b"connection: close" in sink.written
    assert sink.is_closed


def test_drain_while_an_answer_is_streamed_closes_after_its_end() -> None:
    sink = RecordingSink(stream).receive(GET)
    sink.connection.drain()
    assert not sink.is_closed
    sink.driver.end(sink.current)
    assert sink.written.endswith(b"3\r\nabc\r\n0\r\n\r\n")
    assert sink.calls[-1] == ("close", False)


def test_drain_while_content_is_passed_over_closes_after_it() -> None:
    sink = RecordingSink(streams=True).receive(POST)
    sink.connection.drain()
    assert not sink.is_closed
    sink.receive(b"abcde")
    assert sink.calls[-1] == ("close", False)


def test_drain_while_the_transport_is_full_closes_once_it_is_not() -> None:
    sink = RecordingSink().receive(GET)
    sink.connection.pause()
    sink.connection.drain()
    sink.connection.resume()
    assert sink.calls[-1] == ("close", False)


# ---- departure


def test_detach_tells_the_request_that_was_cut_off_once() -> None:
    sink = RecordingSink(keep).receive(GET + GET)
    cut = sink.current
    assert sink.connection.detach() is cut
    assert sink.connection.detach() is None


def test_every_call_after_detach_is_harmless() -> None:
    for answer in (keep, stream):
        sink = RecordingSink(answer, streams=True).receive(CHUNKED + b"3\r\nabc\r\n")
        request = sink.current
        sink.connection.detach()
        before = (sink.written, len(sink.calls))
        sink.receive(GET)
        sink.connection.receive_eof()
        sink.connection.pause()
        sink.connection.resume()
        sink.connection.drain()
        sink.connection.time_out()
        for token in (request, None):
            assert sink.driver.respond(token, Response()) == 0
            assert sink.driver.start(token, Response()) == 0
            assert sink.driver.chunk(token, b"x") == 0
            assert sink.driver.end(token) == 0
            assert sink.driver.fail(token) == 0
            assert not sink.driver.is_open(token)
            sink.driver.is_writable(token)
            woken: list[int] = []
            sink.driver.wait(token, lambda seen=woken: seen.append(1))
            assert woken == [1]
            with pytest.raises(RemoteProtocolError):
                sink.driver.read_content(token)
        assert (sink.written, len(sink.calls)) == before


@pytest.mark.parametrize(
    "name", ["write", "request_ended", "close", "refused", "hold", "head_received", "request_received"]
)
@pytest.mark.parametrize(
    "data",
    [
        GET + GET,
        b"bad\r\n",
        GET + b"bad\r\n",
        POST + b"abcde",
        b"GET / HTTP/1.0\r\n\r\n",
        POST + b"ab",
        CHUNKED + b"x\r\n",
    ],
)
@pytest.mark.parametrize("size", [0, 100_000])
def test_an_owner_that_goes_in_the_midst_of_a_call_does_no_harm(name: str, data: bytes, size: int) -> None:
    class Leaver(RecordingSink):
        pass

    def leave(self: RecordingSink, *args: object) -> object:
        result = getattr(RecordingSink, name)(self, *args)
        self.connection.detach()
        return result

    setattr(Leaver, name, leave)
    for answer in (
        lambda d, r: d.respond(r, Response(200, None, b"x" * size)),
        lambda d, r: (d.start(r, Response()), d.chunk(r, b"y" * (size + 1)), d.end(r)),
        lambda d, r: (d.start(r, Response()), d.fail(r)),
    ):
        sink = Leaver(answer)
        sink.receive(data)
        sink.connection.receive_eof()
        sink.connection.time_out()
        sink.connection.detach()
        assert not sink.buffer.is_owned


def test_an_owner_may_drain_or_time_out_from_within_any_call() -> None:
    for name in ("write", "request_ended", "close", "request_received", "head_received"):
        for act in ("drain", "time_out", "receive_eof", "pause", "resume"):

            class Busy(RecordingSink):
                pass

            def both(self: RecordingSink, *args: object, name: str = name, act: str = act) -> object:
                result = getattr(RecordingSink, name)(self, *args)
                if self.connection is not None:
                    getattr(self.connection, act)()
                return result

            setattr(Busy, name, both)
            for data in (GET + GET, POST + b"ab", b"bad\r\n"):
                sink = Busy(echo)
                sink.receive(data)
                sink.connection.resume()
                assert sink.names.count("close") + sink.names.count("abort") <= 1
                assert sink.names.count("request_ended") <= sink.names.count("head_received")
                sink.connection.detach()
