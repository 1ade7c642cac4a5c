"""Client side of one HTTP/1.1 connection: what is sent, how answers are framed, and when the connection lasts."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import httptools
import pytest

from siphon_http.errors import LocalProtocolError
from siphon_http.protocol.answer import PyAnswer, PyLink
from siphon_http.protocol.answer_head import inspect_answer
from siphon_http.protocol.http1_client import Http1ClientConnection
from siphon_http.testing import ClientDriver
from tests.protocol.http1_client_stage import CLOSED, PROTOCOL, Got, Stage

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-t: 1\r\n\r\n"

# ---- what is sent


def test_a_request_is_one_write_with_host_and_fields() -> None:
    stage = Stage()
    stage.ask(b"GET", target=b"/a?b", fields=b"x-a: 1\r\n", authority=b"example.com:81")
    assert stage.sent == b"GET /a?b HTTP/1.1\r\nhost: example.com:81\r\nx-a: 1\r\n\r\n"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
def test_methods_that_have_content_say_that_there_is_none(method: bytes) -> None:
    stage = Stage()
    stage.ask(method)
    assert stage.sent.endswith(b"\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_methods_without_content_say_nothing_of_it(method: bytes) -> None:
    stage = Stage()
    stage.ask(method)
    assert b"content-length" not in stage.sent


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000])
def test_whole_content_follows_its_length(size: int) -> None:
    stage = Stage()
    stage.ask(b"POST", content=b"x" * size)
    assert stage.sent.endswith(b"content-length: %d\r\n\r\n" % size + b"x" * size)


def test_content_of_unknown_length_goes_out_in_chunks() -> None:
    stage = Stage()
    stage.ask(b"POST", length=-1)
    assert stage.driver.send(stage.number, b"abc")
    assert stage.driver.send(stage.number, b"")
    assert stage.driver.send(stage.number, b"d" * 17, True)
    assert stage.sent.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n11\r\n" + b"d" * 17 + b"\r\n0\r\n\r\n")


def test_the_end_alone_ends_the_chunks() -> None:
    stage = Stage()
    stage.ask(b"POST", length=-1)
    stage.driver.send(stage.number, b"", True)
    assert stage.sent.endswith(b"\r\n\r\n0\r\n\r\n")


def test_content_of_declared_length_is_held_to_it() -> None:
    stage = Stage()
    stage.ask(b"POST", length=5)
    stage.driver.send(stage.number, b"abc")
    with pytest.raises(LocalProtocolError, match="more bytes"):
        stage.driver.send(stage.number, b"def")
    with pytest.raises(LocalProtocolError, match="fewer bytes"):
        stage.driver.send(stage.number, b"d", True)
    stage.driver.send(stage.number, b"de", True)
    assert stage.sent.endswith(b"content-length: 5\r\n\r\nabcde")


def test_an_exchange_is_not_begun_beside_another() -> None:
    stage = Stage()
    stage.ask()
    assert stage.driver.room() == 0
    with pytest.raises(LocalProtocolError):
        stage.ask()


# ---- how answers are framed

FRAMED: dict[str, tuple[bytes, bytes, int, bytes]] = {
    "length": (b"GET", OK, 200, b"hi"),
    "no content": (b"GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
    "no reason": (b"GET", b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", 200, b"x"),
    "empty reason": (b"GET", b"HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\nx", 200, b"x"),
    "chunks": (b"GET", CHUNKED, 200, b"abcde"),
    "chunks in capitals": (b"GET", CHUNKED.replace(b"chunked", b"Chunked"), 200, b"abcde"),
    "HEAD with a length": (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200, b""),
    "HEAD with chunks": (b"HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 200, b""),
    "HEAD without either": (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 200, b""),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "204 with a length": (b"GET", b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", 204, b""),
    "304 with a length": (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b""),
    "1.0 that lasts": (b"GET", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 200, b"x"),
    "after 100": (b"POST", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"hi"),
    "after 103 twice": (b"GET", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2 + OK, 200, b"hi"),
    "after 102 that says close": (b"GET", b"HTTP/1.1 102 P\r\nconnection: close\r\n\r\n" + OK, 200, b"hi"),
    "upgrade offered": (
        b"GET",
        OK.replace(b"\r\n\r\n", b"\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
        200,
        b"hi",
    ),
    "a status nobody knows": (b"GET", OK.replace(b"200", b"299"), 299, b"hi"),
    "keep-alive hint": (b"GET", OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: timeout=5, max=9\r\n\r\n"), 200, b"hi"),
}


@pytest.mark.parametrize("case", FRAMED, ids=str)
def test_an_answer_is_framed(case: str) -> None:
    method, answer, status, content = FRAMED[case]
    stage = Stage()
    got = stage.exchange(answer, method)
    assert (got.status, got.content, got.ended, got.reason) == (status, content, 1, "")
    assert stage.is_reusable and stage.rooms == [1]
    again = stage.exchange(OK)
    assert (again.status, again.content, again.ended) == (200, b"hi", 1)


@pytest.mark.parametrize("case", FRAMED, ids=str)
def test_an_answer_cut_at_each_byte_is_the_same(case: str) -> None:
    method, answer, *_ = FRAMED[case]
    whole = Stage().exchange(answer, method).outcome
    for cut in range(1, len(answer)):
        stage = Stage()
        got = stage.ask(method)
        stage.driver.receive_data(answer[:cut])
        assert not got.ended
        stage.driver.receive_data(answer[cut:])
        assert got.outcome == whole and stage.is_reusable
    stage = Stage()
    got = stage.ask(method)
    for at in range(len(answer)):
        stage.driver.receive_data(answer[at : at + 1])
    assert got.outcome == whole and stage.is_reusable


ENDS: dict[str, bytes] = {
    "connection: close": OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
    "close among others": OK.replace(b"\r\n\r\n", b"\r\nconnection: foo, Close\r\n\r\n"),
    "close and keep-alive": OK.replace(b"\r\n\r\n", b"\r\nconnection: close, keep-alive\r\n\r\n"),
    "proxy-connection: close": OK.replace(b"\r\n\r\n", b"\r\nproxy-connection: close\r\n\r\n"),
    "1.0": OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "more than the answer": OK + b"x",
    "another answer": OK + OK,
}


@pytest.mark.parametrize("case", ENDS, ids=str)
def test_the_connection_ends_after_an_answer_that_says_so_or_leaves_doubt(case: str) -> None:
    stage = Stage()
    got = stage.exchange(ENDS[case])
    assert (got.status, got.content, got.ended) == (200, b"hi", 1)
    assert stage.closed == 1 and stage.driver.room() == 0


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_content_without_length_ends_with_the_connection(version: bytes) -> None:
    stage = Stage()
    got = stage.exchange(b"HTTP/" + version + b" 200 OK\r\n\r\nab")
    stage.driver.receive_data(b"cd")
    assert got.content == b"abcd" and not got.ended
    stage.driver.eof_received()
    assert got.ended == 1 and stage.driver.room() == 0


def test_content_that_ends_with_the_connection_is_cut_by_a_reset() -> None:
    stage = Stage()
    got = stage.exchange(b"HTTP/1.1 200 OK\r\n\r\nab")
    stage.driver.lost("the connection broke")
    assert not got.ended and got.failure == CLOSED and "before the end" in got.reason


REFUSED: dict[str, bytes] = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n",
    "another version": b"HTTP/1.2 200 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "HTTP/0.9": b"hello",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "a short status": b"HTTP/1.1 20 OK\r\n\r\n",
    "a long status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "bare LF in a field": b"HTTP/1.1 200 OK\r\nx: y\ncontent-length: 0\r\n\r\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nxyz\r\ncontent-length: 0\r\n\r\n",
    "empty name": b"HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "two lengths in one": b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\nx",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx",
    "signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx",
    "huge length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nx",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "chunks in 1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "a chunk without size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
    "a chunk longer than its size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n",
    "many interim answers": b"HTTP/1.1 103 H\r\n\r\n" * 33,
    "a malformed interim answer": b"HTTP/1.1 100 C\r\nx y: z\r\n\r\n",
    "a large head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 257,
    "many trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 200,
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_broken_answer_fails_the_exchange_and_ends_the_connection(case: str) -> None:
    answer = REFUSED[case]
    stage = Stage()
    got = stage.exchange(answer)
    assert (got.failure, got.ended, got.unprocessed) == (PROTOCOL, 0, False) and got.reason
    assert stage.aborted == 1 and stage.driver.room() == 0
    stage.driver.receive_data(b"more")
    stage.driver.eof_received()
    stage.driver.lost("gone")
    for step in (1, 7):
        split = Stage()
        other = split.ask()
        for at in range(0, len(answer), step):
            split.driver.receive_data(answer[at : at + step])
        assert (other.failure, other.ended) == (PROTOCOL, 0)


def test_a_large_head_is_refused_before_its_end_and_cheaply() -> None:
    stage = Stage()
    got = stage.ask()
    stage.driver.receive_data(b"HTTP/1.1 200 OK\r\n")
    for _ in range(70):
        stage.driver.receive_data(b"x" * 1000)
    assert got.failure == PROTOCOL and "too large" in got.reason


# ---- ends


@pytest.mark.parametrize("cut", range(len(CHUNKED)))
def test_a_cut_answer_is_a_failure(cut: int) -> None:
    stage = Stage()
    got = stage.ask()
    stage.driver.receive_data(CHUNKED[:cut])
    stage.driver.eof_received()
    assert (got.ended, got.failure) == (0, CLOSED)
    assert not got.unprocessed, "the first request of a connection"


@pytest.mark.parametrize(
    "method, unprocessed",
    [
        (b"GET", True),
        (b"HEAD", True),
        (b"PUT", True),
        (b"DELETE", True),
        (b"OPTIONS", True),
        (b"POST", False),
        (b"PATCH", False),
    ],
)
def test_what_may_be_repeated_is_told_when_a_used_connection_ends_before_any_byte(
    method: bytes, unprocessed: bool
) -> None:
    stage = Stage()
    stage.exchange(OK)
    got = stage.ask(method)
    stage.driver.lost("reset by peer")
    assert (got.failure, got.unprocessed) == (CLOSED, unprocessed)


def test_one_byte_of_an_answer_is_too_much_to_repeat() -> None:
    stage = Stage()
    stage.exchange(OK)
    got = stage.ask()
    stage.driver.receive_data(b"H")
    stage.driver.lost("reset by peer")
    assert (got.failure, got.unprocessed) == (CLOSED, False)


@pytest.mark.parametrize("event", ["data", "eof", "lost"])
def test_whatever_happens_to_an_idle_connection_ends_it(event: str) -> None:
    stage = Stage()
    stage.exchange(OK)
    if event == "data":
        stage.driver.receive_data(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    elif event == "eof":
        stage.driver.eof_received()
    else:
        stage.driver.lost("reset")
    assert stage.driver.room() == 0 and stage.closed == 1 and stage.rooms == [1, 0]
    stage.driver.lost("again")
    assert stage.rooms == [1, 0]


def test_who_leaves_hears_nothing_and_the_connection_is_reset() -> None:
    stage = Stage()
    got = stage.ask()
    stage.driver.leave(stage.number)
    assert stage.aborted == 1 and stage.driver.room() == 0
    stage.driver.receive_data(OK)
    stage.driver.lost("gone")
    assert got == Got()


def test_leaving_an_exchange_that_has_ended_does_nothing() -> None:
    stage = Stage()
    stage.exchange(OK)
    stage.driver.leave(stage.number)
    assert stage.is_reusable


def test_an_early_answer_is_delivered_and_the_connection_not_used_again() -> None:
    stage = Stage()
    got = stage.ask(b"POST", length=-1)
    stage.driver.send(stage.number, b"abc")
    stage.driver.receive_data(OK.replace(b"200", b"413"))
    assert (got.status, got.ended) == (413, 1)
    assert stage.closed == 1 and stage.driver.room() == 0
    before = stage.sent
    assert stage.driver.send(stage.number, b"def", True)
    assert stage.sent == before


def test_shutting_down_waits_for_the_answer() -> None:
    stage = Stage()
    got = stage.ask()
    stage.driver.shut_down()
    assert not stage.closed
    stage.driver.receive_data(OK)
    assert got.ended == 1 and stage.closed == 1


def test_shutting_down_an_idle_connection_closes_it() -> None:
    stage = Stage()
    stage.exchange(OK)
    stage.driver.shut_down()
    assert stage.closed == 1 and stage.driver.room() == 0


def test_reading_stops_while_content_is_not_taken() -> None:
    stage = Stage()
    got = stage.ask()
    stage.driver.receive_data(b"HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n")
    stage.driver.receive_data(b"x" * 100_000)
    assert not stage.held
    stage.driver.receive_data(b"x" * 100_000)
    assert stage.held
    stage.driver.taken(stage.number, 150_000)
    assert not stage.held
    stage.driver.receive_data(b"x" * 200_000)
    assert not stage.held and got.ended == 1 and len(got.content) == 400_000, "an idle connection is not held"


def test_the_servers_hint_on_idle_time_is_kept() -> None:
    stage = Stage()
    assert stage.connection.keep_seconds == -1
    stage.exchange(FRAMED["keep-alive hint"][1])
    assert stage.connection.keep_seconds == 5


def test_a_caller_may_leave_while_it_is_told() -> None:
    stage = Stage()

    class Leaver(Got):
        def head_received(self, *args: Any) -> None:
            super().head_received(*args)
            stage.driver.leave(1)

    got = Leaver()
    stage.driver.begin(PyAnswer(got))
    stage.driver.receive_data(OK)
    assert (got.status, got.content, got.ended) == (200, b"", 0) and stage.aborted == 1


def test_a_closed_connection_is_freed_at_once() -> None:
    class Owner:
        def write(self, data: bytes) -> None: ...
        def close(self) -> None: ...
        def room_changed(self) -> None: ...

    owner = Owner()
    seen = weakref.ref(owner)
    gc.collect()
    gc.disable()
    try:
        driver = ClientDriver(Http1ClientConnection(PyLink(owner)))
        driver.begin(PyAnswer(Got()))
        driver.receive_data(OK)
        driver.lost("gone")
        del driver, owner
        assert seen() is None
    finally:
        gc.enable()


# ---- the oracle: httptools alone, with everything at once


class Oracle:
    """What httptools makes of an answer that it is given whole."""

    def __init__(self) -> None:
        self.content = b""
        self.complete = False
        self.parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        self.content += data

    def on_message_complete(self) -> None:
        self.complete = True


def mutated(rng: random.Random) -> bytes:
    """Return one of the answers of this file with a few bytes changed, moved or missing."""
    answer = bytearray(rng.choice([*(case[1] for case in FRAMED.values()), *ENDS.values(), *REFUSED.values()])[:400])
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(answer))
        what = rng.randrange(4)
        if what == 0:
            answer[at] = rng.choice(b"\r\n\0\t :;,0123456789abcHT/.\xff")
        elif what == 1:
            del answer[at : at + rng.randrange(1, 5)]
        elif what == 2:
            answer[at:at] = rng.choice([b"\r\n", b" ", b"0", b"x: y\r\n", b"content-length: 3\r\n", b":", b"\t"])
        else:
            answer[at : at + 1] = bytes([rng.randrange(256)])
        if not answer:
            answer = bytearray(b"H")
    return bytes(answer)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_accepted_is_what_httptools_accepts_and_splits_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    accepted = 0
    for _ in range(700):
        answer = mutated(rng)
        stage = Stage()
        got = stage.exchange(answer)
        cuts = sorted(rng.randrange(len(answer) + 1) for _ in range(rng.randrange(4)))
        split = Stage()
        other = split.ask()
        for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
            split.driver.receive_data(answer[start:end])
        assert (got.ended, got.failure) == (other.ended, other.failure), answer
        if got.ended:
            assert got.outcome == other.outcome, answer
        if not got.ended or answer.startswith(b"HTTP/1.1 1"):
            continue
        accepted += 1
        oracle = Oracle()
        try:
            oracle.parser.feed_data(answer)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            assert stage.closed, answer  # what follows the message is no answer
        assert oracle.complete, answer
        assert oracle.content.startswith(got.content), answer
    assert accepted > 50


def test_the_scan_names_what_it_found() -> None:
    result, facts = inspect_answer(b"HTTP/1.0 404 Not Found\r\nContent-Length: 12\r\nConnection: Keep-Alive\r\n\r\n")
    assert result == 1
    assert (facts["status"], facts["version"], facts["length"], facts["keep"], facts["close"]) == (
        404,
        10,
        12,
        True,
        False,
    )
    assert inspect_answer(b"HTTP/1.1 200 OK\r\n")[0] == 0
    assert inspect_answer(b"HTTQ")[1]["reason"]
