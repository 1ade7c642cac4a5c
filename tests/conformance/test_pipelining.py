"""Pipelined requests and split bytes (RFC 9112, 9.3.2; design section 5)."""

from __future__ import annotations

import json
import random
import threading
import time

import pytest

from .launch import Server
from .wire import PING, Wire, exchange, polite, request

ECHO = polite("/echo", "POST", body=b"hello")
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("count", [2, 16, 200, 1000])
def test_pipelined_requests_are_answered_in_order(main: Server, count: int) -> None:
    data = b"".join(polite(f"/seen/{n}") for n in range(count))
    answers = exchange(main["plain"], data, ["GET"] * count)
    assert [json.loads(a.body)["path_params"]["name"] for a in answers] == [str(n) for n in range(count)]


def test_slow_and_quick_handlers_are_answered_in_order(main: Server) -> None:
    targets = ["/sleep/30", "/", "/block/20", "/seen", "/sleep/1", "/nothing-here", "/"]
    answers = exchange(main["plain"], b"".join(polite(t) for t in targets), ["GET"] * len(targets))
    assert [a.status for a in answers] == [200, 200, 200, 200, 200, 404, 200]
    assert [answers[0].body, answers[1].body, answers[2].body, answers[4].body] == [
        b"slept",
        b"ok",
        b"blocked",
        b"slept",
    ]


def test_handlers_of_one_connection_run_one_at_a_time(main: Server) -> None:
    data = b"".join(polite(f"/wait/serial/{ms}") for ms in (40, 1, 1))
    exchange(main["plain"], data, ["GET"] * 3)
    assert json.loads(request(main["plain"], "/events/serial").body) == ["start", "done"] * 3


def test_bodies_and_heads_alternate(main: Server) -> None:
    data = ECHO + PING + CHUNKED + PING + polite("/seen", "HEAD") + CHUNKED + ECHO
    answers = exchange(main["plain"], data, ["POST", "GET", "POST", "GET", "HEAD", "POST", "POST"])
    assert [a.body for a in answers] == [b"hello", b"ok", b"hello", b"ok", b"", b"hello", b"hello"]


BAD = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "garbage": b"\x16\x03\x01",
    "bad line": b"GET /\r\n\r\n",
    "length and coding": b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("first", ["/", "/sleep/20", "/block/20", "/ticks/2/5"])
def test_what_precedes_a_bad_message_is_answered(main: Server, name: str, first: str) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite(first) * 3 + BAD[name] + PING)
        answers = wire.read_all()
    assert [a.status for a in answers] == [200, 200, 200, 400]


def test_a_bad_message_while_a_handler_runs_waits_for_its_turn(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/sleep/50"))
        wire.send_pieces([BAD["no host"]], 0.005)
        assert [a.status for a in wire.read_all()] == [200, 400]


def test_a_request_that_closes_ends_the_pipeline(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(PING + polite("/sleep/10", headers=[("Connection", "close")]) + PING * 3)
        assert [a.status for a in wire.read_all()] == [200, 200]


def test_answers_before_a_close_are_not_lost_to_what_is_still_sent(main: Server) -> None:
    """RFC 9112, 9.6: the answer to a stream that had not ended says close; the requests behind it must not reset it."""
    upload = b"POST /stream-back HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3\r\nabc\r\n" * 30_000
    with Wire(main["plain"]) as wire:
        data = polite("/bulk/300000") * 3 + upload + b"0\r\n\r\n" + PING * 30_000
        sending = threading.Thread(target=wire.send, args=(data,))
        sending.start()
        time.sleep(0.1)  # by now it has answered, as far as we let it
        for _ in range(3):
            assert len(wire.read().body) == 300_000
        last = wire.read("POST")
        assert (last.body, last.closes) == (b"abc" * 30_000, True)
        sending.join()


def test_output_is_bounded_while_the_client_reads_nothing(main: Server) -> None:
    """Design section 5: the output of one read is flushed at 64 KiB and waits while the transport is full."""
    request(main["plain"], "/bulk/65536")
    before = main.rss_kib()
    count = 3000
    with Wire(main["plain"], timeout=20) as wire:
        wire.send(polite("/bulk/65536") * count)
        assert request(main["plain"], "/").status == 200
        grown = main.rss_kib() - before
        for _ in range(count):
            assert len(wire.read().body) == 65536
    assert grown < 24_000, f"{grown} KiB for answers that nobody reads; all of them are 196,608"


def test_input_is_bounded_while_a_handler_runs(main: Server) -> None:
    """Design section 5: at most 64 KiB stay, then reading pauses; so the sender is stopped by TCP."""
    with Wire(main["plain"]) as wire:
        wire.send(polite("/sleep/400"))
        wire.sock.settimeout(0.15)
        sent = 0
        try:
            while sent < 64 * 2**20:
                sent += wire.sock.send(PING * 2000)
        except TimeoutError:
            pass
    assert sent < 32 * 2**20, "64 MiB of requests were swallowed behind one handler"


def test_a_client_that_half_closes_still_gets_every_answer(main: Server) -> None:
    """Design section 5."""
    with Wire(main["plain"]) as wire:
        wire.send(polite("/sleep/50") + PING + polite("/block/20") + ECHO)
        wire.finish_sending()
        assert [a.body for a in wire.read_all()] == [b"slept", b"ok", b"blocked", b"hello"]


def test_a_half_close_inside_a_head_is_no_request(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(PING + PING[:-4])
        wire.finish_sending()
        assert [a.status for a in wire.read_all()] in ([200], [200, 400])


def test_a_half_close_inside_a_body_is_no_request(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(ECHO[:-2])
        wire.finish_sending()
        assert [a.status for a in wire.read_all()] in ([], [400])


SPLIT = {
    "get": (PING, "GET"),
    "browser": (
        b"GET /seen/%41?a=1&b=2 HTTP/1.1\r\nHost: t\r\nUser-Agent: x y z\r\nAccept: */*\r\nCookie: a=1; b=2\r\n\r\n",
        "GET",
    ),
    "post": (ECHO, "POST"),
    "chunked": (CHUNKED, "POST"),
    "chunked with everything": (
        b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n03\r\nllo\r\n0;z\r\nX: y\r\n\r\n",
        "POST",
    ),
    "head": (b"HEAD /head-get HTTP/1.1\r\nHost: t\r\n\r\n", "HEAD"),
    "absolute": (b"GET http://t/seen HTTP/1.1\r\nHost: t\r\n\r\n", "GET"),
    "not found": (b"GET /nothing-here HTTP/1.1\r\nHost: t\r\n\r\n", "GET"),
    "no host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", "GET"),
    "bad length": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n", "POST"),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : t\r\n\r\n", "GET"),
    "bare line feed": (b"GET / HTTP/1.1\nHost: t\n\n", "GET"),
    "bad chunk": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "POST"),
    "gzip": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", "POST"),
    "stream": (b"POST /stream-back HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello", "POST"),
    "http 1.0": (b"GET / HTTP/1.0\r\n\r\n", "GET"),
    "empty lines": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n", "GET"),
    "expectation": (b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: nothing\r\nContent-Length: 0\r\n\r\n", "POST"),
}


def ask_in_pieces(main: Server, pieces: list[bytes], method: str) -> tuple[int, bytes, bool]:
    """Return status, body and whether the connection ends."""
    with Wire(main["plain"]) as wire:
        wire.send_pieces(pieces)
        answer = wire.read(method)
        wire.expect_state(answer)
    body = (
        answer.body if answer.header("content-type") != "application/json" else json.dumps(without_client(answer.body))
    )
    return answer.status, body if isinstance(body, bytes) else body.encode(), answer.closes


def without_client(body: bytes) -> object:
    """Drop what differs between two connections."""
    found = json.loads(body)
    if isinstance(found, dict):
        found.pop("client", None)
    return found


@pytest.mark.parametrize("name", SPLIT)
def test_a_request_sent_byte_by_byte_gets_the_same_answer(main: Server, name: str) -> None:
    data, method = SPLIT[name]
    whole = ask_in_pieces(main, [data], method)
    assert ask_in_pieces(main, [data[n : n + 1] for n in range(len(data))], method) == whole


@pytest.mark.parametrize("name", SPLIT)
def test_a_request_cut_in_two_anywhere_gets_the_same_answer(main: Server, name: str) -> None:
    data, method = SPLIT[name]
    whole = ask_in_pieces(main, [data], method)
    places = sorted(random.Random(name).sample(range(1, len(data)), 12))
    for place in places:
        assert ask_in_pieces(main, [data[:place], data[place:]], method) == whole, place


@pytest.mark.parametrize("seed", range(12))
def test_a_pipeline_cut_at_random_gets_the_same_answers(main: Server, seed: int) -> None:
    draw = random.Random(seed)
    parts = [
        draw.choice([(PING, "GET"), (ECHO, "POST"), (CHUNKED, "POST"), SPLIT["head"], SPLIT["stream"]])
        for _ in range(12)
    ]
    data = b"".join(p[0] for p in parts)
    wanted = [{"GET": b"ok", "POST": b"hello", "HEAD": b""}[p[1]] for p in parts]
    cuts = sorted(draw.sample(range(1, len(data)), 25))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    with Wire(main["plain"]) as wire:
        wire.send_pieces(pieces, 0.001)
        answers = [wire.read(p[1]) for p in parts]
        wire.expect_open()
    assert [a.body for a in answers] == wanted


def test_a_large_body_behind_many_requests_is_read(main: Server) -> None:
    body = bytes(range(256)) * 3000
    answers = exchange(
        main["plain"], PING * 50 + polite("/echo", "POST", body=body) + PING, ["GET"] * 50 + ["POST", "GET"]
    )
    assert answers[50].body == body
