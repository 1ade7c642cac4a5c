"""The suite's own client must see what is wrong, or the suite proves nothing."""

from __future__ import annotations

import email.utils
import socket
import threading
from collections.abc import Callable

import pytest

from .wire import CutShortError, NoAnswerError, Wire, WireFaultError

DATE = b"date: NOW"
"""The client wants the date of the moment: `answer_with` puts it in."""


def answer_with(data: bytes) -> tuple[tuple[str, int], Callable[[], None]]:
    """Start a listener that answers one connection with `data` and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(data.replace(b"NOW", email.utils.formatdate(usegmt=True).encode()))
        listener.close()

    thread = threading.Thread(target=run)
    thread.start()
    return listener.getsockname(), thread.join


def read(data: bytes, method: str = "GET") -> list[bytes]:
    """Return the bodies that the client reads from `data`, to its end."""
    address, join = answer_with(data)
    try:
        with Wire(address, timeout=2) as wire:
            bodies = [wire.read(method).body]
            wire.expect_end()
    finally:
        join()
    return bodies


GOOD = {
    "length": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\ncontent-length: 2\r\n\r\nok",
    "chunked": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "until close": b"HTTP/1.0 200 OK\r\n" + DATE + b"\r\n\r\nok",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_correct_response_is_read(name: str) -> None:
    assert read(GOOD[name]) == [b"ok"]


FAULTY = {
    "no date": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "old date": b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2001 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
    "two dates": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n" + DATE + b"\r\ncontent-length: 0\r\n\r\n",
    "server field": b"HTTP/1.1 200 OK\r\nserver: x\r\n" + DATE + b"\r\ncontent-length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
    "length and coding": b"HTTP/1.1 200 OK\r\n"
    + DATE
    + b"\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare line feed": b"HTTP/1.1 200 OK\n" + DATE + b"\r\ncontent-length: 0\r\n\r\n",
    "bad version": b"HTTP/2.0 200 OK\r\n" + DATE + b"\r\ncontent-length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\ncontent-length : 0\r\n\r\n",
    "bytes after the body": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\ncontent-length: 1\r\n\r\nok",
    "length on 204": b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\ncontent-length: 0\r\n\r\n",
    "bad chunk size": b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\no\r\n0\r\n\r\n",
    "no CRLF after a chunk": b"HTTP/1.1 200 OK\r\n"
    + DATE
    + b"\r\ntransfer-encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD["length"],
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_response_is_seen(name: str) -> None:
    with pytest.raises(WireFaultError):
        read(FAULTY[name])


CUT = {
    "in the head": GOOD["length"][:30],
    "in the body": GOOD["length"][:-1],
    "in a chunk": GOOD["chunked"][:-12],
    "before the last chunk": GOOD["chunked"][:-5],
    "before the last line": GOOD["chunked"][:-2],
}


@pytest.mark.parametrize("name", CUT)
def test_a_response_that_is_cut_short_is_seen(name: str) -> None:
    with pytest.raises(CutShortError):
        read(CUT[name])


def test_an_end_without_answer_is_seen() -> None:
    with pytest.raises(NoAnswerError):
        read(b"")


def test_a_head_answer_has_no_content() -> None:
    assert read(GOOD["length"].removesuffix(b"ok"), "HEAD") == [b""]
