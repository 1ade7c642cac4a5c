"""How streams and connections end: resets, time-outs, drain, half-close."""

from __future__ import annotations

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.errors import RemoteProtocolError
from siphon_http.protocol.http2_stream import Http2State
from siphon_http.testing import ExchangeDriver
from tests.http2_frames import frame, frames
from tests.protocol.http2_pair import PREFACE, SETTINGS, Owner, Pair, always, echo, fields, keep

LAST = 0x7FFFFFFF


# ---- resets


@pytest.mark.parametrize("started", [False, True])
def test_a_reset_ends_the_exchange_once(started: bool) -> None:
    pair = Pair(keep)
    id = pair.send(fields("/x"))
    pair.run()
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    if started:
        driver.start(request, Response())
    woken: list[bool] = []
    driver.wait(request, lambda: woken.append(True))
    pair.client.reset_stream(id)
    pair.run()
    assert pair.owner.names == ["head_received", "request_received", "request_abandoned"]
    assert woken == [True] and not driver.is_open(request)
    assert driver.chunk(request, b"x") == driver.respond(request, Response()) == driver.end(request) == 0
    assert pair.get("/y") and not pair.is_closed()


def test_a_reset_of_an_answer_on_its_way_drops_what_is_left() -> None:
    pair = Pair(always(body=b"x" * 200_000), takes=False)
    id = pair.send(fields())
    pair.run()
    assert pair.owner.names[-1] == "request_ended" and not pair.server.is_quiet()
    pair.client.reset_stream(id)
    pair.run()
    assert pair.server.is_quiet() and pair.owner.names.count("request_ended") == 1
    pair.client.increment_flow_control_window(1_000_000)
    pair.run()
    assert pair.server.sent_bytes == 65535


def test_a_reset_while_content_arrives_tells_only_the_end() -> None:
    pair = Pair()
    id = pair.send(fields("/x", "POST"), b"abc", end=False)
    pair.run()
    pair.client.reset_stream(id)
    pair.run()
    assert pair.owner.names == ["head_received", "request_abandoned"]
    assert pair.server.abandoned == 0 and pair.server.is_quiet()


# ---- time


def test_408_while_content_arrives_and_504_after() -> None:
    pair = Pair(keep)
    late = pair.send(fields("/late", "POST"), b"a", end=False)
    slow = pair.send(fields("/slow"))
    begun = pair.send(fields("/begun"))
    pair.run()
    pair.owner.drivers[1].start(pair.owner.requests[1], Response())
    pair.server.time_out(pair.owner.requests[0])
    pair.server.time_out(pair.owner.requests[0])
    pair.server.time_out(pair.owner.requests[1])
    pair.run()
    assert (pair.answers[slow].status, pair.answers[slow].body) == ("504", b"gateway timeout\n")
    assert pair.answers[begun].status == "200" and pair.answers[begun].reset is None
    assert late not in pair.answers


def test_requests_expire_when_they_were_armed_to() -> None:
    pair = Pair(keep)
    head_received = pair.owner.head_received

    def arm(request):  # type: ignore[no-untyped-def]
        pair.server.arm(request, 105.0 if request.raw_path == "/late" else 110.0)
        return head_received(request)

    pair.owner.head_received = arm  # type: ignore[method-assign]
    late = pair.send(fields("/late", "POST"), b"a", end=False)
    slow = pair.send(fields("/slow"))
    pair.run()
    assert pair.server.expire(104.9) == 105.0
    assert pair.server.expire(105.0) == 110.0
    pair.run()
    assert (pair.answers[late].status, pair.answers[late].reset) == ("408", 0)
    assert ("refused", 408) in pair.owner.calls
    pair.server.arm(pair.owner.requests[0], 0.0)
    assert pair.server.expire(200.0) == 0.0
    pair.server.arm(pair.owner.requests[0], 201.0)
    assert pair.server.expire(201.0) == 0.0
    pair.run()
    assert pair.answers[slow].status == "504"
    pair.server.arm(pair.owner.requests[0], 300.0)
    assert pair.server.expire(300.0) == 0.0


def test_an_answer_in_time_is_not_ended_by_its_requests_deadline() -> None:
    pair = Pair(keep, settings={4: 10}, takes=False)
    pair.get()
    pair.server.arm(pair.owner.requests[0], 101.0)
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=b"x" * 100))
    pair.run()
    assert pair.server.expire(101.0) == 131.0
    pair.run()
    assert pair.answers[1].reset is None


def test_a_silent_connection_says_goodbye_and_closes() -> None:
    pair = Pair()
    pair.get()
    assert pair.server.is_quiet()
    pair.server.time_out()
    pair.run()
    assert pair.goaways == [(1, 0)] and pair.is_closed() and pair.owner.calls[-1] == ("close", True)


def test_a_head_under_way_can_be_told() -> None:
    pair = Pair()
    assert not pair.server.is_reading_head()
    pair.server.receive_data(b"\0", 1.0)
    assert pair.server.is_reading_head() and not pair.server.is_quiet()
    pair.server.receive_data(frame(1, 1, 1, b"\x82")[1:], 1.0)
    assert pair.server.is_reading_head()
    pair.server.receive_data(frame(9, 4, 1, b"\x86\x84\x41\x01x"), 1.0)
    assert not pair.server.is_reading_head()


def test_a_client_that_sends_no_preface_is_closed_in_its_time() -> None:
    owner = Owner(echo)
    owner.connection.receive_data(PREFACE[:10])
    assert owner.connection.state == Http2State.PREFACE and owner.connection.is_reading_head()
    owner.connection.time_out()
    assert owner.calls == [("close", True)]


def upload(pair: Pair) -> tuple[ExchangeDriver, Request]:
    """Begin a request with content, and the answer to it."""
    pair.send(fields("/up", "POST"), b"a", end=False)
    pair.run()
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    assert driver.read_content(request) == b"a"
    driver.start(request, Response())
    return driver, request


def test_an_upload_behind_its_answer_must_not_stand_still() -> None:
    pair = Pair(keep, streams=True, upload_timeout=5.0)
    driver, request = upload(pair)
    assert pair.server.expire(101.0) == 106.0
    pair.client.send_data(1, b"b")
    pair.run()
    assert pair.server.expire(106.0) == 111.0
    assert driver.read_content(request) == b"b"
    assert pair.server.expire(111.0) == 0.0
    pair.run()
    assert pair.answers[1].reset == 8 and pair.owner.calls[-1] == ("request_abandoned", "/up")
    with pytest.raises(RemoteProtocolError):
        driver.read_content(request)


def test_an_upload_that_its_handler_does_not_read_may_stand_still() -> None:
    pair = Pair(keep, streams=True, upload_timeout=5.0)
    driver, request = upload(pair)
    pair.client.send_data(1, b"b")
    pair.run()
    for now in (101.0, 106.0, 111.0, 116.0):
        assert pair.server.expire(now) == now + 5
    assert driver.read_content(request) == b"b"
    pair.client.end_stream(1)
    pair.run()
    assert pair.server.expire(121.0) == 0.0 and driver.is_open(request)


def test_an_answer_that_waits_for_its_client_has_its_own_time_before_the_upload_has() -> None:
    pair = Pair(keep, streams=True, upload_timeout=5.0, write_timeout=3.0, settings={4: 1}, takes=False)
    driver, request = upload(pair)
    driver.chunk(request, b"xy")
    assert pair.server.expire(101.0) == 104.0
    pair.client.increment_flow_control_window(1, 1)
    pair.run()
    assert pair.server.expire(104.0) == 109.0
    pair.client.send_data(1, b"b")
    pair.run()
    assert pair.server.expire(109.0) == 114.0 and driver.is_open(request)


def test_what_stops_the_frames_behind_it_can_be_told() -> None:
    """And whether it is still the same frame or field block."""
    owner = Owner(keep)
    server = owner.connection

    def after(data: bytes) -> tuple[bool, int]:
        server.receive_data(data, 1.0)
        return server.is_stuck(), server.progress

    stuck, first = after(PREFACE + SETTINGS + frame(1, 4, 1, b"\x83\x86\x84\x41\x01x"))
    assert not stuck
    assert after(frame(0, 0, 1, b"x" * 100)[:50]) == (False, first)  # content may come slowly
    stuck, second = after(frame(0, 0, 1, b"x" * 100)[50:] + frame(1, 1, 3, b"\x82")[:4])
    assert stuck and second != first
    assert after(frame(1, 1, 3, b"\x82")[4:9]) == (True, second)
    stuck, third = after(b"\x82")
    assert stuck and third != second  # the block has begun
    assert after(frame(9, 0, 3, b"")) == (True, third)
    stuck, fourth = after(frame(9, 4, 3, b"\x86\x84\x41\x01x") + b"\0")
    assert stuck and fourth != third
    server.pause()
    assert not server.is_stuck()  # it is we who do not read


def test_a_ping_of_ours_is_sent_at_once() -> None:
    pair = Pair(keep)
    pair.server.ping()
    pair.run()
    assert frames(pair.owner.written)[-1] == (6, 0, 0, b"are you?") and not pair.is_closed()
    early = Owner(keep)
    early.connection.ping()
    assert early.writes == []


# ---- drain


def test_drain_lets_streams_finish_and_then_closes() -> None:
    pair = Pair(keep)
    first = pair.send(fields("/first"))
    pair.run()
    racing = pair.send(fields("/racing"))  # on its way when the server begins to drain
    data = pair.client.data_to_send()
    pair.server.drain()
    pair.server.receive_data(data, pair.now)
    pair.run()
    assert pair.goaways == [(LAST, 0), (racing, 0)]
    assert [request.path for request in pair.owner.requests] == ["/first", "/racing"]
    late = pair.send(fields("/late"))
    pair.run()
    assert pair.answers[late].reset == 7 and not pair.is_closed()
    for driver, request in zip(pair.owner.drivers, pair.owner.requests, strict=True):
        assert driver.respond(request, Response(body=b"done")) == 1
    pair.run()
    assert pair.answers[first].body == pair.answers[racing].body == b"done"
    # The client has answered a PING behind the last content: it has read all, and nothing is to be waited for.
    assert pair.is_closed() and pair.owner.calls[-1] == ("close", False)
    assert "refused" not in pair.owner.names


def test_a_client_that_has_noticed_the_end_is_asked_whether_it_has_read_all() -> None:
    owner = Owner(keep)
    server = owner.connection
    server.receive_data(PREFACE + SETTINGS + frame(1, 5, 1, b"\x82\x86\x84\x41\x01x"))
    server.drain()
    server.receive_data(frame(6, 1, 0, b"draining"))
    owner.drivers[0].respond(owner.requests[0], Response(body=b"done"))
    assert server.parting and frames(owner.written)[-1] == (6, 0, 0, b"good-bye")
    server.receive_data(frame(8, 0, 0, b"\0\0\0\4") + frame(1, 5, 3, b"\x82\x86\x84\x41\x01x"))
    assert frames(owner.written)[-1] == (3, 0, 3, b"\0\0\0\7") and "close" not in owner.names
    server.receive_data(frame(6, 1, 0, b"good-bye"))
    assert owner.calls[-1] == ("close", False) and server.state == Http2State.CLOSED


def test_a_client_that_does_not_answer_any_more_is_closed_in_its_time() -> None:
    owner = Owner(keep)
    owner.connection.receive_data(PREFACE + SETTINGS)
    owner.connection.drain()
    owner.connection.receive_data(frame(6, 1, 0, b"draining"))
    assert owner.connection.parting and "close" not in owner.names
    owner.connection.time_out()
    assert owner.calls == [("close", False)]


def test_an_idle_connection_drains_at_once() -> None:
    pair = Pair()
    pair.server.drain()
    pair.run()
    assert pair.goaways == [(LAST, 0), (0, 0)] and pair.is_closed()


def test_a_second_drain_does_not_wait_for_the_client() -> None:
    owner = Owner(keep)
    owner.connection.receive_data(PREFACE + SETTINGS)
    owner.connection.drain()
    assert "close" not in owner.names
    owner.connection.drain()
    assert owner.connection.state == Http2State.CLOSED
    assert [kind for kind, *_ in frames(owner.written)][-3:] == [7, 6, 7]


def test_a_large_answer_is_sent_whole_while_draining() -> None:
    pair = Pair(always(body=b"x" * 300_000), takes=False)
    got = pair.get()
    pair.server.drain()
    pair.server.drain()
    pair.takes = True
    pair.client.increment_flow_control_window(1_000_000)
    pair.client.increment_flow_control_window(1_000_000, 1)
    pair.run()
    assert len(got.body) == 300_000 and got.ended and pair.is_closed()


def test_a_clients_goodbye_lets_its_streams_finish() -> None:
    pair = Pair(keep)
    pair.get("/x")
    pair.raw(frame(7, 0, 0, bytes(8)))
    assert not pair.is_closed()
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=b"done"))
    pair.run()
    assert pair.answers[1].body == b"done" and pair.is_closed()


# ---- half-close


def test_a_half_closed_client_still_gets_its_answer() -> None:
    pair = Pair(keep)
    done = pair.send(fields("/done"))
    cut = pair.send(fields("/cut", "POST"), b"a", end=False)
    pair.run()
    pair.server.receive_eof()
    pair.run()
    assert pair.owner.calls[-1:] == [("request_abandoned", "/cut")] and pair.answers[cut].reset == 8
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=b"done"))
    pair.run()
    assert pair.answers[done].body == b"done"
    assert pair.is_closed() and pair.owner.calls[-1] == ("close", False)


def test_answers_that_wait_for_window_end_with_the_client() -> None:
    """It has closed its side, so no window can come: what it may still read is sent, the rest is reset."""
    pair = Pair(always(body=b"x" * 1_000_000), settings={4: 70_000}, takes=False)
    ids = [pair.send(fields()) for _ in range(3)]
    pair.run()
    assert len(pair.owner.requests) == 1 and len(pair.server.waiting) == 2
    pair.server.receive_eof()
    pair.run()
    assert [pair.answers[id].reset for id in ids] == [8, 8, 8] and pair.server.owed == 0
    assert pair.is_closed() and pair.owner.calls[-1] == ("close", False)


def test_a_client_that_ended_its_side_gets_a_streamed_answer_as_far_as_its_window_goes() -> None:
    pair = Pair(keep)
    pair.get()
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    driver.start(request, Response())
    pair.server.receive_eof()
    assert driver.chunk(request, b"x" * 65_535) == 1 and driver.is_open(request)
    assert driver.chunk(request, b"x") == 1 and not driver.is_open(request)
    assert pair.server.sent_bytes == 65_535 and pair.is_closed()


def test_an_end_on_an_idle_connection_closes_it() -> None:
    pair = Pair()
    pair.get()
    pair.server.receive_eof()
    assert pair.is_closed() and pair.owner.calls[-1] == ("close", False)
    owner = Owner(echo)
    owner.connection.receive_eof()
    assert owner.calls == [("close", False)]


def test_what_was_received_before_the_end_is_handled_once_the_transport_takes_more() -> None:
    pair = Pair()
    pair.server.pause()
    pair.send(fields("/x"))
    pair.server.receive_data(pair.client.data_to_send(), pair.now)
    pair.server.receive_eof()
    assert pair.owner.names == []
    pair.server.resume()
    pair.run()
    assert pair.answers[1].body == b"/x" and pair.is_closed()
