"""Expect: 100-continue (RFC 9110, 10.1.1; design section 5: answered when the body is first wanted)."""

from __future__ import annotations

import json

import pytest

from .launch import Server
from .wire import Wire, one, refused


def expecting(target: str = "/echo", value: str = "100-continue", length: int = 5, version: str = "1.1") -> bytes:
    """Return the head of a POST with an expectation."""
    return f"POST {target} HTTP/{version}\r\nHost: t\r\nExpect: {value}\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("value", ["100-continue", "100-Continue", "100-CONTINUE", " 100-continue "])
@pytest.mark.parametrize("target", ["/echo", "/echo-sync", "/stream"])
def test_a_100_is_sent_when_the_body_is_wanted(main: Server, value: str, target: str) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(expecting(target, value))
        interim = wire.read_head()
        assert interim.status == 100
        wire.send(b"hello")
        answer = wire.read("POST")
        assert answer.status == 200
        assert answer.body == b"hello" or json.loads(answer.body)["total"] == 5
        wire.expect_open()


def test_a_100_is_sent_for_a_chunked_body(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert wire.read_head().status == 100
        wire.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert wire.read("POST").body == b"hello"
        wire.expect_open()


def test_one_100_is_enough(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(expecting("/stream", length=6))
        assert wire.read_head().status == 100
        wire.send_pieces([b"a", b"b", b"c", b"d", b"e", b"f"], 0.005)
        assert json.loads(wire.read("POST").body)["total"] == 6


def test_no_100_follows_a_final_head(main: Server) -> None:
    """An answer whose head goes out before the body is wanted is final; RFC 9110, 15.2 has no interim one after it."""
    with Wire(main["plain"]) as wire:
        wire.send(expecting("/stream-back"))
        answer = wire.read_head()
        if answer.status == 100:
            return
        wire.send(b"hello")
        wire.read_body(answer, "POST")
        assert answer.body in (b"hello", b"")


def test_a_body_that_came_along_needs_no_100(main: Server) -> None:
    """RFC 9110, 10.1.1: a server MAY omit it then; if sent, it comes once and first."""
    with Wire(main["plain"]) as wire:
        wire.send(expecting() + b"hello")
        answer = wire.read_head()
        if answer.status == 100:
            answer = wire.read_head()
        wire.read_body(answer)
        assert (answer.status, answer.body) == (200, b"hello")
        wire.expect_open()


@pytest.mark.parametrize("target,status", [("/nothing-here", 404), ("/put-only", 405), ("/seen/%zz", 400)])
def test_a_final_answer_comes_without_100(main: Server, target: str, status: int) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(expecting(target))
        answer = wire.read("POST")
        assert answer.status == status
        assert answer.closes, "the body may follow or not: framing is in doubt (RFC 9110, 10.1.1)"
        wire.expect_end()


def test_too_much_is_refused_without_100(main: Server) -> None:
    refused(main["small"], expecting(length=1001), {413})


def test_a_handler_that_wants_no_body_answers_without_100(main: Server) -> None:
    """With stream=True the body is wanted when the script reads it."""
    with Wire(main["plain"]) as wire:
        wire.send(expecting("/stream-unread"))
        answer = wire.read("POST")
        assert (answer.status, answer.body) == (403, b"no")
        assert answer.closes
        wire.expect_end()


@pytest.mark.parametrize(
    "value", ["nothing", "200-ok", "100-continue, foo", "100-continue=1", "foo=bar", "100", "100 continue"]
)
def test_another_expectation_is_answered_417(main: Server, value: str) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(expecting(value=value))
        answer = wire.read("POST")
        assert answer.status == 417


def test_an_expectation_in_http_1_0_is_ignored(main: Server) -> None:
    """RFC 9110, 10.1.1: MUST ignore; httptools-based servers send a 100 there."""
    answer = one(main["plain"], expecting(version="1.0") + b"hello", "POST")
    assert (answer.status, answer.body) == (200, b"hello")


def test_an_expectation_without_body_needs_no_100(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n\r\n")
        answer = wire.read()
        assert (answer.status, answer.body) == (200, b"ok")
        wire.expect_open()


def test_an_expectation_of_an_empty_body_needs_no_100(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(expecting(length=0))
        answer = wire.read("POST")
        assert (answer.status, answer.body) == (200, b"")
        wire.expect_open()


def test_the_answer_before_comes_before_the_100(main: Server) -> None:
    """A 100 of a pipelined request must not overtake the answer to the one before it."""
    with Wire(main["plain"]) as wire:
        wire.send(b"GET /sleep/40 HTTP/1.1\r\nHost: t\r\n\r\n" + expecting())
        assert wire.read().body == b"slept"
        assert wire.read_head().status == 100
        wire.send(b"hello")
        assert wire.read("POST").body == b"hello"
        wire.expect_open()
