"""Every rule on http.Response (design sections 3 and 5; RFC 9110, 8.6 and 15; RFC 9112, 6)."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from .launch import APPS, Server
from .wire import PING, CutShortError, NoAnswerError, Response, Wire, check_error_body, one, polite, request

SOURCE = Path(APPS / "responses.py").read_text()
BAD = re.findall(r'^    "([^"]+)": lambda', SOURCE.split("BAD = {")[1].split("\n}")[0], re.M)
WAYS = ["/good/", "/good-late/", "/good-thread/"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How the handler runs: at once, after a suspension, on a thread."""
    return str(request.param)


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_response_raises_at_construction(responses: Server, case: str) -> None:
    """Design section 3: in the handler, where the author sees it."""
    answer = request(responses["plain"], f"/build/{case}")
    assert answer.body == b"refused", "constructed without an exception"


@pytest.mark.parametrize("case", BAD)
def test_a_handler_that_lets_it_through_is_answered_500(responses: Server, case: str) -> None:
    answer = request(responses["plain"], f"/bad/{case}")
    assert answer.status == 500
    assert answer.body.strip() == b"handler error"
    assert answer.header("x-evil") is None
    check_error_body(answer)


BODIES = {
    "empty": b"",
    "bytes": b"bytes",
    "bytearray": b"bytes",
    "memoryview": b"bytes",
    "memoryview-slice": b"bytes",
    "memoryview-strided": b"bytes",
    "str": "grüße €".encode(),
    "positional": b"made",
    "header-live": b"x",
    "length-right": b"bytes",
    "connection-keep-alive": b"bytes",
    "sync-stream": b"bytes",
    "async-stream": b"bytes",
    "stream-empty-parts": b"bytes",
    "stream-nothing": b"",
    "sync-stream-nothing": b"",
    "stream-one-large": b"z" * 3_000_000,
    "stream-many": b"".join(b"%04d" % n for n in range(2000)),
    "stream-bytearray": b"bytes",
    "stream-length-right": b"bytes",
    "iterator": b"bytes",
    "large": bytes(range(256)) * 40_000,
    "205": b"",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_goes_out_exactly(responses: Server, way: str, case: str) -> None:
    answer = request(responses["plain"], way + case)
    assert answer.body == BODIES[case]
    assert answer.status == {"positional": 201, "205": 205}.get(case, 200)


@pytest.mark.parametrize("case", BODIES)
def test_head_has_the_fields_of_get_and_no_content(responses: Server, case: str) -> None:
    got = request(responses["plain"], "/good/" + case)
    head = request(responses["plain"], "/good/" + case, "HEAD")
    assert head.status == got.status
    if head.header("content-length") is not None and got.framing == "length":
        assert head.header("content-length") == got.header("content-length")
    if got.framing == "length" and "stream" not in case:
        assert head.header("content-length") == str(len(BODIES[case])), "RFC 9110, 8.6 allows none; ours is known"


@pytest.mark.parametrize("case", BODIES)
def test_two_answers_in_one_read_are_both_exact(responses: Server, case: str) -> None:
    with Wire(responses["plain"]) as wire:
        wire.send(polite("/good/" + case) * 2 + PING)
        assert [wire.read().body, wire.read().body, wire.read().body] == [BODIES[case], BODIES[case], b"ok"]


STREAMED = [
    "sync-stream",
    "async-stream",
    "stream-empty-parts",
    "stream-nothing",
    "stream-many",
    "stream-one-large",
    "iterator",
]


@pytest.mark.parametrize("case", STREAMED)
def test_a_stream_to_http_1_0_is_ended_by_close(responses: Server, case: str) -> None:
    """RFC 9112, 6.1: no transfer coding to a 1.0 client, keep-alive or not."""
    with Wire(responses["plain"]) as wire:
        wire.send(f"GET /good/{case} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        answer = wire.read()
        assert answer.header("transfer-encoding") is None
        assert answer.body == BODIES[case]


@pytest.mark.parametrize("case", ["bytes", "large", "empty"])
def test_a_plain_body_to_http_1_0_has_a_length(responses: Server, case: str) -> None:
    answer = one(responses["plain"], f"GET /good/{case} HTTP/1.0\r\n\r\n".encode())
    assert (answer.framing, answer.body) == ("length", BODIES[case])


@pytest.mark.parametrize("case", ["sync-stream", "async-stream"])
def test_a_stream_of_unknown_length_is_chunked(responses: Server, case: str) -> None:
    assert request(responses["plain"], "/good/" + case).framing == "chunked"


def test_a_stream_of_declared_length_is_not_chunked(responses: Server) -> None:
    """A content-length that is checked against the stream frames it; chunked is as correct."""
    assert request(responses["plain"], "/good/stream-length-right").framing in ("length", "chunked")


def test_the_parts_of_a_slow_stream_arrive_one_by_one(responses: Server) -> None:
    with Wire(responses["plain"]) as wire:
        wire.send(polite("/watched/slow"))
        head = wire.read_head()
        assert head.header("transfer-encoding") == "chunked"
        assert wire.until(b"\r\n") == b"4"
        assert wire.take(6) == b"tick\r\n"


def cut(responses: Server, case: str) -> Response | None:
    """Ask for an answer that breaks; return a complete one, None for one that was visibly cut short."""
    with Wire(responses["plain"]) as wire:
        wire.send(polite(case))
        try:
            answer = wire.read()
        except (CutShortError, NoAnswerError):
            return None
        wire.expect_state(answer)
        return answer


BROKEN = ["stream-breaks", "stream-breaks-async", "stream-length-short", "stream-int"]


@pytest.mark.parametrize("case", BROKEN)
def test_a_stream_that_breaks_is_visibly_cut_short(responses: Server, way: str, case: str) -> None:
    """RFC 9112, 8: an incomplete message must not look complete; 500 if nothing was sent."""
    answer = cut(responses, way + case)
    assert answer is None or answer.status == 500


@pytest.mark.parametrize("case", ["stream-breaks", "stream-breaks-async", "stream-int"])
def test_a_stream_that_ends_with_the_connection_is_reset_when_it_breaks(responses: Server, way: str, case: str) -> None:
    """RFC 9112, 8: without length and chunks, an end that looks orderly would make it whole."""
    with Wire(responses["plain"]) as wire:
        wire.send(f"GET {way}{case} HTTP/1.0\r\n\r\n".encode())
        assert wire.read().framing == "close"
        assert wire.was_reset


def test_text_parts_of_a_stream_are_encoded_or_an_error(responses: Server, way: str) -> None:
    """Design section 3 promises bytes only; UTF-8 as for a whole body is as good as an error."""
    answer = cut(responses, way + "stream-str")
    assert answer is None or answer.status == 500 or answer.body == b"bytes"


def test_a_stream_longer_than_declared_is_never_longer_on_the_wire(responses: Server, way: str) -> None:
    answer = cut(responses, way + "stream-length-long")
    assert answer is None or answer.status == 500


@pytest.mark.parametrize("case", ["stream-breaks-first", "stream-breaks-first-async"])
def test_a_stream_that_breaks_before_its_first_part_is_500_or_cut(responses: Server, way: str, case: str) -> None:
    answer = cut(responses, way + case)
    assert answer is None or answer.status == 500


def test_a_broken_stream_does_not_leak_its_exception(responses: Server) -> None:
    with Wire(responses["plain"]) as wire:
        wire.send(polite("/good/stream-breaks"))
        while wire.fill():
            pass
        assert b"secret-detail" not in wire.buffer


@pytest.mark.parametrize("key", ["watched", "sync-watched"])
def test_the_generator_of_a_stream_is_closed_when_the_client_leaves(responses: Server, key: str) -> None:
    with Wire(responses["plain"]) as wire:
        wire.send(polite(f"/{key}/{key}"))
        wire.take(200)
        wire.abort()
    deadline = time.monotonic() + 3
    while request(responses["plain"], f"/closed/{key}").body != b"yes":
        assert time.monotonic() < deadline, "its finally did not run"
        time.sleep(0.02)


MISMATCHED = ["length-small", "length-large", "length-junk", "length-twice", "length-live", "te-chunked", "te-gzip"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("case", MISMATCHED)
def test_framing_fields_of_a_handler_are_never_trusted(responses: Server, way: str, case: str, method: str) -> None:
    """Design section 5: checked against the body. Corrected or 500, the framing is right (the client checks it)."""
    answer = request(responses["plain"], way + case, method)
    assert answer.status in (200, 500)
    if method == "GET" and answer.status == 200:
        assert answer.body == b"bytes"
    elif method == "HEAD" and answer.status == 200:
        assert answer.header("content-length") in ("5", None)


def test_a_stream_with_its_own_transfer_encoding_is_framed_once(responses: Server) -> None:
    answer = request(responses["plain"], "/good/te-stream")
    assert answer.status == 500 or answer.body == b"bytes"


@pytest.mark.parametrize("case", ["204", "204-body", "204-length", "204-stream", "304", "304-body"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_204_and_304_have_no_content(responses: Server, way: str, case: str, method: str) -> None:
    """RFC 9110, 15.3.5 and 15.4.5; a body there is dropped, or an error of the handler."""
    answer = request(responses["plain"], way + case, method)
    assert answer.status in ({int(case[:3])} if case in ("204", "304") else {int(case[:3]), 500})
    if answer.status == 304:
        assert not answer.all("transfer-encoding")


@pytest.mark.parametrize("case", ["100", "101", "199"])
def test_an_interim_status_is_no_answer_of_a_handler(responses: Server, way: str, case: str) -> None:
    """RFC 9110, 15.2: interim; a client would wait for the final one for ever."""
    answer = request(responses["plain"], way + case)
    assert answer.status == 500


FIELDS = {
    "headers-list": [("x-a", "1"), ("x-a", "2")],
    "headers-pairs": [("x-a", "1"), ("x-a", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
    "header-empty-value": [("x-a", "")],
    "header-live": [("x-a", "set")],
    "header-latin1": [("x-a", "grüße")],
}


@pytest.mark.parametrize("case", FIELDS)
def test_header_fields_go_out_in_order(responses: Server, case: str) -> None:
    answer = request(responses["plain"], "/good/" + case)
    found = [(k, v) for k, v in answer.headers if k in ("x-a", "set-cookie")]
    if case == "header-latin1":
        assert found in ([("x-a", "grüße")], [("x-a", "grüße".encode().decode("latin-1"))]), (
            "latin-1, or UTF-8 as upstream"
        )
    else:
        assert found == FIELDS[case]


@pytest.mark.parametrize(
    "case,status", [("status-set", 202), ("status-299", 299), ("status-599", 599), ("reason-unknown", 478)]
)
def test_any_final_status_goes_out(responses: Server, case: str, status: int) -> None:
    assert request(responses["plain"], "/good/" + case).status == status


@pytest.mark.parametrize(
    "case,reason", [("empty", "OK"), ("positional", "Created"), ("204", "No Content"), ("304", "Not Modified")]
)
def test_reason_phrases_are_the_registered_ones(responses: Server, case: str, reason: str) -> None:
    assert request(responses["plain"], "/good/" + case).reason in (reason, "")


def test_a_date_of_the_handler_does_not_double_ours(responses: Server) -> None:
    """The client checks that there is one, and that it is now... or the handler's own."""
    with Wire(responses["plain"]) as wire:
        wire.send(polite("/good/date-own"))
        head = wire.until(b"\r\n\r\n").lower()
    assert head.count(b"\r\ndate:") == 1


def test_connection_close_of_a_handler_closes(responses: Server) -> None:
    answer = request(responses["plain"], "/good/connection-close")
    assert (answer.status, answer.body, answer.closes) == (200, b"bytes", True)


def test_connection_keep_alive_of_a_handler_does_not_undo_close(responses: Server) -> None:
    with Wire(responses["plain"]) as wire:
        wire.send(polite("/good/connection-keep-alive", headers=[("Connection", "close")]))
        answer = wire.read()
        assert answer.body == b"bytes"
        wire.expect_end()


def test_one_response_object_may_be_sent_twice(responses: Server) -> None:
    for _ in range(3):
        answer = request(responses["plain"], "/shared")
        assert (answer.body, answer.header("x-a"), answer.header("content-length")) == (b"shared", "1", "6")
    with Wire(responses["plain"]) as wire:
        wire.send(polite("/shared") * 5)
        assert [wire.read().body for _ in range(5)] == [b"shared"] * 5


def test_the_reading_side_of_a_response(responses: Server) -> None:
    """header, header_list, json, text, body, raise_for_status (design section 3)."""
    assert request(responses["plain"], "/reading").body == b"[True, True, True, True, True, True, True, True]"


def test_no_content_type_is_invented_for_bytes(responses: Server) -> None:
    """Upstream adds none (refs: upstream, section 4); only errors of ours are text/plain."""
    assert request(responses["plain"], "/good/bytes").header("content-type") in (None, "application/octet-stream")


def test_a_body_of_a_post_and_its_answer_do_not_mix(responses: Server) -> None:
    answer = request(responses["plain"], "/post/large", "POST", body=b"y" * 500_000)
    assert answer.body == BODIES["large"]
