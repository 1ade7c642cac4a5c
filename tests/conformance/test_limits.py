"""Limits and time-outs, each on a listener of its own (design sections 4 and 5)."""

from __future__ import annotations

import json
import time

import pytest

from .launch import Server
from .wire import PING, NoAnswerError, Response, Wire, check_error_body, one, polite, request


def declared(target: str, length: int, extra: bytes = b"") -> bytes:
    """Return the head of a POST that declares a length."""
    return f"POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n".encode() + extra + b"\r\n"


def ends(wire: Wire, within: float) -> float:
    """Read to the end of the connection; return the seconds until then."""
    start = time.monotonic()
    wire.sock.settimeout(within)
    try:
        while wire.fill():
            pass
    except TimeoutError:
        pytest.fail(f"still open after {within} s")
    return time.monotonic() - start


def read_error(wire: Wire, status: int) -> Response:
    """Read an error after which the connection ends."""
    answer = wire.read()
    assert answer.status == status
    check_error_body(answer)
    assert answer.closes
    wire.expect_end()
    return answer


CAPS = {
    # listener, target, largest body
    "listener": ("small", "/echo", 1000),
    "listener, sync handler": ("small", "/echo-sync", 1000),
    "default": ("plain", "/echo", 1_048_576),
    "route above its listener": ("small", "/big", 5000),
    "route below its listener": ("plain", "/tiny", 10),
    "streaming route": ("plain", "/stream-capped", 100),
}


@pytest.mark.parametrize("name", CAPS)
def test_a_body_of_the_largest_size_is_taken(main: Server, name: str) -> None:
    listener, target, cap = CAPS[name]
    assert request(main[listener], target, "POST", body=b"x" * cap).status == 200


@pytest.mark.parametrize("name", CAPS)
@pytest.mark.parametrize("more", [1, 1000, 10**12])
def test_a_declared_length_over_the_cap_is_answered_413_before_any_body(main: Server, name: str, more: int) -> None:
    listener, target, cap = CAPS[name]
    with Wire(main[listener]) as wire:
        wire.send(declared(target, cap + more))
        read_error(wire, 413)


@pytest.mark.parametrize("name", CAPS)
def test_a_chunked_body_over_the_cap_is_answered_413(main: Server, name: str) -> None:
    listener, target, cap = CAPS[name]
    with Wire(main[listener]) as wire:
        wire.send(f"POST {target} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        wire.send(b"%x\r\n" % cap + b"x" * cap + b"\r\n")
        wire.send(b"1\r\nx\r\n")
        read_error(wire, 413)


@pytest.mark.parametrize("name", CAPS)
def test_a_chunked_body_of_the_largest_size_is_taken(main: Server, name: str) -> None:
    listener, target, cap = CAPS[name]
    head = f"POST {target} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert one(main[listener], head + b"%x\r\n" % cap + b"x" * cap + b"\r\n0\r\n\r\n", "POST").status == 200


def test_a_handler_does_not_run_for_a_body_over_the_cap(main: Server) -> None:
    before = request(main["plain"], "/events/tiny").body
    with Wire(main["plain"]) as wire:
        wire.send(declared("/tiny", 11) + b"x" * 11)
        assert wire.read().status == 413
    assert request(main["plain"], "/events/tiny").body == before


def test_the_413_reaches_a_client_that_is_still_sending(main: Server) -> None:
    """RFC 9112, 9.6: a close with unread bytes must not destroy the answer by a reset."""
    with Wire(main["small"]) as wire:
        wire.send(declared("/echo", 400_000) + b"x" * 1000)
        time.sleep(0.05)  # the 413 is on its way before the rest is sent
        for _ in range(20):
            wire.send(b"x" * 10_000)
            time.sleep(0.001)  # each in a segment of its own
        assert wire.read().status == 413


def test_too_much_for_an_unknown_path_is_404_or_413(main: Server) -> None:
    with Wire(main["small"]) as wire:
        wire.send(declared("/nothing-here", 10**9))
        answer = wire.read()
        assert answer.status in (404, 413)
        assert answer.closes
        wire.expect_end()


HEADS = {
    # listener small: max_header_bytes 2048, max_headers 10
    "fields within": (b"GET / HTTP/1.1\r\nHost: t\r\nX-A: " + b"x" * 1900 + b"\r\n\r\n", 200),
    "one field too long": (b"GET / HTTP/1.1\r\nHost: t\r\nX-A: " + b"x" * 2100 + b"\r\n\r\n", 431),
    "one field much too long": (b"GET / HTTP/1.1\r\nHost: t\r\nX-A: " + b"x" * 50_000 + b"\r\n\r\n", 431),
    "fields together too long": (
        b"GET / HTTP/1.1\r\nHost: t\r\n" + (b"X-A: " + b"x" * 400 + b"\r\n") * 6 + b"\r\n",
        431,
    ),
    "ten fields": (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X-A: b\r\n" * 9 + b"\r\n", 200),
    "eleven fields": (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X-A: b\r\n" * 10 + b"\r\n", 431),
    "a hundred fields": (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
    "target within": (b"GET /seen/" + b"x" * 1900 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 200),
    "target too long": (b"GET /seen/" + b"x" * 2100 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    "query too long": (b"GET /seen?" + b"x" * 2100 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    "too long, not ended": (b"GET / HTTP/1.1\r\nHost: t\r\nX-A: " + b"x" * 3000, 431),
    "eleven fields, not ended": (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X-A: b\r\n" * 10, 431),
    "target too long, not ended": (b"GET /seen/" + b"x" * 3000, 414),
    "method without end": (b"G" * 3000, None),
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize("name", HEADS)
def test_the_limits_of_a_head(main: Server, name: str, split: bool) -> None:
    data, status = HEADS[name]
    with Wire(main["small"]) as wire:
        if split:
            wire.send_pieces([data[n : n + 700] for n in range(0, min(len(data), 7000), 700)], 0.002)
        else:
            wire.send(data)
        if status is None:
            assert wire.read().status in (400, 414, 501)  # a method is no target, but no line has ended either
        elif status == 200:
            answer = wire.read()
            assert answer.status == 200
            wire.expect_open()
        else:
            read_error_unless_reset(wire, status)


def read_error_unless_reset(wire: Wire, status: int) -> None:
    """As read_error; when we sent far more than the server reads, the reset may overtake the end."""
    answer = wire.read()
    assert answer.status == status
    check_error_body(answer)
    assert answer.closes
    ends(wire, 3)


def test_the_limits_of_one_listener_are_not_those_of_another(main: Server) -> None:
    data = b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X-A: b\r\n" * 100 + b"\r\n"
    assert one(main["plain"], data).status == 200
    assert request(main["plain"], "/echo", "POST", body=b"x" * 2000).status == 200
    assert request(main["plain"], "/sleep/500").status == 200


@pytest.mark.parametrize("fields,status", [(127, 200), (128, 431)])
def test_128_fields_are_the_default(main: Server, fields: int, status: int) -> None:
    """Host is one of them."""
    assert one(main["plain"], b"GET / HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * fields + b"\r\n").status == status


def test_a_head_of_8_mib_is_not_read(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.sock.settimeout(3)
        wire.send(b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X-A: " + b"x" * 8_000_000 + b"\r\n\r\n")
        try:
            assert wire.read().status == 431
        except NoAnswerError:
            assert wire.was_reset


SLOW_HEADS = {
    "nothing": b"",
    "one byte": b"G",
    "half a line": b"GET / HT",
    "a line": b"GET / HTTP/1.1\r\n",
    "half a field": b"GET / HTTP/1.1\r\nHost: t\r\nX-",
    "all but the end": b"GET / HTTP/1.1\r\nHost: t\r\n",
    "an empty line": b"\r\n",
}


@pytest.mark.parametrize("name", SLOW_HEADS)
def test_a_head_that_does_not_come_is_cut_by_header_timeout(main: Server, name: str) -> None:
    """300 ms here; 408 for a head that has begun, at most that for a silent socket."""
    with Wire(main["quick"]) as wire:
        wire.send(SLOW_HEADS[name])
        took = ends(wire, 2.0)
        assert 0.2 <= took <= 1.6
        if SLOW_HEADS[name].strip():
            answer = wire.read()
            assert answer.status == 408
            check_error_body(answer)
            assert answer.closes
        elif wire.buffer:
            assert wire.read().status == 408
        assert not wire.buffer


def test_a_trickling_head_is_cut_by_header_timeout(main: Server) -> None:
    """Progress does not extend it: a connection's first byte to its complete head."""
    head = b"GET / HTTP/1.1\r\nHost: t\r\nX-A: " + b"x" * 200
    start = time.monotonic()
    with Wire(main["quick"]) as wire:
        for n in range(len(head)):
            wire.send(head[n : n + 1])
            time.sleep(0.02)  # 4.8 s in all, and header_timeout_ms is 300
            if wire.answered() or time.monotonic() - start > 2:
                break
        assert time.monotonic() - start < 2, "a head of 240 bytes was allowed to take 4.8 s"
        assert wire.read().status == 408


def test_a_second_head_that_does_not_come_is_cut_too(main: Server) -> None:
    with Wire(main["quick"]) as wire:
        wire.send(PING)
        assert wire.read().status == 200
        wire.send(b"GET / HTTP/1.1\r\nHo")
        answer = wire.read()
        assert answer.status == 408
        assert ends(wire, 2.0) < 1.6


def test_an_idle_connection_is_closed_by_idle_timeout(main: Server) -> None:
    with Wire(main["quick"]) as wire:
        wire.send(PING)
        assert wire.read().status == 200
        took = ends(wire, 2.5)
        assert 0.3 <= took <= 1.8
        assert wire.buffer == b"", "a 408 to nobody would be taken for the answer to the next request"


def test_a_busy_connection_is_not_idle(main: Server) -> None:
    with Wire(main["quick"]) as wire:
        for _ in range(8):
            wire.send(PING)
            assert wire.read().status == 200
            time.sleep(0.1)  # below idle_timeout_ms, which eight of them pass


STALLED = {
    "length, nothing sent": declared("/echo", 10),
    "length, half sent": declared("/echo", 10) + b"hello",
    "chunked, nothing sent": b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked, half sent": b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    "chunked, no end": b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "streaming route": declared("/stream", 10) + b"hello",
    "expecting": declared("/echo", 10, b"Expect: 100-continue\r\n"),
}


@pytest.mark.parametrize("name", STALLED)
def test_a_body_that_stalls_is_answered_408(main: Server, name: str) -> None:
    """Design section 4: 408 while the body is still arriving; request_timeout_ms is 300 here."""
    start = time.monotonic()
    with Wire(main["quick"]) as wire:
        wire.send(STALLED[name])
        answer = wire.read_head()
        if answer.status == 100:
            answer = wire.read_head()
        wire.read_body(answer)
        assert answer.status == 408
        check_error_body(answer)
        assert answer.closes
        wire.expect_end()
    assert 0.2 <= time.monotonic() - start <= 1.6


def test_a_trickling_body_is_cut_by_request_timeout(main: Server) -> None:
    start = time.monotonic()
    with Wire(main["quick"]) as wire:
        wire.send(declared("/echo", 200))
        while not wire.answered() and time.monotonic() - start < 2.5:
            wire.send(b"x")
            time.sleep(0.03)
        assert time.monotonic() - start < 2
        assert wire.read().status == 408


@pytest.mark.parametrize("target", ["/sleep/3000", "/block/900"])
def test_a_handler_beyond_request_timeout_is_answered_504(main: Server, target: str) -> None:
    start = time.monotonic()
    with Wire(main["quick"]) as wire:
        wire.send(polite(target))
        answer = wire.read()
        took = time.monotonic() - start
        assert answer.status == 504
        check_error_body(answer)
        wire.expect_state(answer)
    assert 0.2 <= took <= 0.85


def test_a_route_may_have_a_shorter_time_out(main: Server) -> None:
    start = time.monotonic()
    answer = request(main["plain"], "/short/3000")
    assert answer.status == 504
    assert time.monotonic() - start < 1.3
    deadline = time.monotonic() + 2
    while b"cancelled" not in request(main["plain"], "/events/short").body:
        assert time.monotonic() < deadline, "the handler was not cancelled"


def test_a_route_may_have_a_longer_time_out(main: Server) -> None:
    assert request(main["quick"], "/long/700").body == b"slept"


def test_a_handler_that_answers_after_its_504_is_ignored(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/stubborn"))
        answer = wire.read()
        assert answer.status == 504
        wire.expect_state(answer)


def test_pipelined_requests_go_on_after_a_504_or_end_cleanly(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/short/3000") + PING)
        first = wire.read()
        assert first.status == 504
        if first.closes:
            wire.expect_end()
        else:
            assert wire.read().body == b"ok"


def test_a_streamed_answer_may_outlive_request_timeout(main: Server) -> None:
    """Design section 4: a streamed one: to its head."""
    answer = request(main["quick"], "/ticks/6/100")
    assert answer.body == b"tick0tick1tick2tick3tick4tick5"


def test_a_client_that_does_not_read_is_cut_by_write_timeout(main: Server) -> None:
    """500 ms without progress, then the transport is aborted."""
    with Wire(main["quick"]) as wire:
        wire.send(polite("/bulk/60000000"))
        time.sleep(2.2)  # nothing is read for longer than write_timeout_ms and a sweep of the deadlines
        wire.sock.settimeout(3)
        got = 0
        while wire.fill():
            got += len(wire.buffer)
            wire.buffer = b""
    assert got < 60_000_000


def test_an_endless_answer_nobody_reads_costs_little_and_ends(main: Server) -> None:
    request(main["quick"], "/endless/warm", "HEAD")
    before = main.rss_kib()
    with Wire(main["quick"]) as wire:
        wire.send(polite("/endless/unread"))
        time.sleep(0.3)  # it fills all the buffers that there are
        assert main.rss_kib() - before < 16_000
        deadline = time.monotonic() + 3
        while json.loads(request(main["plain"], "/events/unread").body) != ["start", "closed"]:
            assert time.monotonic() < deadline, "the generator of an aborted answer was not closed"
            time.sleep(0.05)


def test_a_slow_reader_that_makes_progress_is_served(main: Server) -> None:
    with Wire(main["quick"]) as wire:
        wire.send(polite("/bulk/8000000"))
        wire.sock.settimeout(3)
        answer = wire.read_head()
        left = int(answer.header("content-length") or 0) - len(wire.buffer)
        wire.buffer = b""
        while left > 0:
            data = wire.sock.recv(400_000)
            assert data, "cut although it was read from"
            left -= len(data)
            time.sleep(0.03)


def test_a_connection_over_max_connections_is_answered_503(main: Server) -> None:
    with Wire(main["few"]) as first, Wire(main["few"]) as second:
        for wire in (first, second):
            wire.send(PING)
            assert wire.read().status == 200
        with Wire(main["few"]) as third:
            third.send(PING)
            answer = third.read()
            assert answer.status == 503
            check_error_body(answer)
            assert answer.closes
            third.expect_end()
        assert request(main["plain"], "/").status == 200, "another listener has its own count"
        first.expect_open()
    deadline = time.monotonic() + 2
    while True:
        with Wire(main["few"]) as again:
            again.send(PING)
            if again.read().status == 200:
                return
        assert time.monotonic() < deadline, "the count does not go down"


def test_many_silent_connections_do_not_harm_a_polite_one(main: Server) -> None:
    wires = [Wire(main["quick"]) for _ in range(200)]
    try:
        start = time.monotonic()
        assert request(main["quick"], "/").status == 200
        assert time.monotonic() - start < 0.3
        for wire in wires:
            ends(wire, 3)
    finally:
        for wire in wires:
            wire.sock.close()
