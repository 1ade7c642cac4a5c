"""Requests in, answers out, as h2 sees them from the other end."""

from __future__ import annotations

import gc
import re
import weakref

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.protocol.http2_stream import Http2State
from siphon_http.testing import ExchangeDriver, request_facts
from tests.http2_frames import frame, frames
from tests.protocol.http2_pair import PREFACE, SETTINGS, Owner, Pair, always, echo, fields, keep

# ---- what is received


def test_a_request_is_told_as_it_was_sent() -> None:
    pair = Pair(keep)
    pair.get("/a%20b?x=1&y", "GET", ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers"))
    (request,) = pair.owner.requests
    assert (request.method, request.path, request.raw_path, request.query_string) == ("GET", "/a b", "/a%20b", "x=1&y")
    assert request.headers == {"cookie": "a=1; b=2", "x-one": "1", "te": "trailers", "host": "test"}
    assert request.header("Host") == request.host == "test"
    assert request.cookies == {"a": "1", "b": "2"}
    assert request.http_version == "2"
    assert request.url == "http://test/a%20b?x=1&y"
    facts = request_facts(request)
    assert facts["target"] == b"/a%20b?x=1&y"
    assert facts["fields"] == b"cookie: a=1\r\nx-one: 1\r\ncookie: b=2\r\nte: trailers\r\n"
    assert not facts["has_content"] and facts["is_complete"]


def test_a_host_field_stands_in_for_an_authority() -> None:
    pair = Pair(keep)
    pair.send([(":method", "GET"), (":path", "/"), (":scheme", "http"), ("host", "other:81")])
    pair.run()
    assert pair.owner.requests[0].host == "other:81"


def test_the_order_of_calls_for_one_request() -> None:
    pair = Pair()
    answer = pair.get("/x")
    assert pair.owner.calls == [("head_received", "/x"), ("request_received", "/x"), ("request_ended", "/x")]
    assert answer.status == "200" and answer.body == b"/x" and answer.ended and answer.reset is None
    assert pair.server.is_quiet()


def test_requests_of_one_read_are_answered_in_one_write() -> None:
    pair = Pair()
    ids = [pair.send(fields(f"/{n}")) for n in range(20)]
    before = len(pair.owner.writes)
    pair.server.receive_data(pair.client.data_to_send(), 100.0)
    assert len(pair.owner.writes) == before + 1
    pair.run()
    assert [pair.answers[id].body for id in ids] == [b"/%d" % n for n in range(20)]


@pytest.mark.parametrize("size", [0, 1, 100, 16384, 60_000])
def test_content_arrives_whole(size: int) -> None:
    content = bytes(n % 251 for n in range(size))
    pair = Pair()
    answer = pair.get("/p", "POST", ("content-length", str(size)), body=content)
    assert answer.body == (content or b"/p")


def test_content_larger_than_every_window_is_taken_as_it_comes() -> None:
    pair = Pair(lambda driver, request: driver.respond(request, Response(body=str(len(request.body())))))
    id = pair.client.get_next_available_stream_id()
    pair.client.send_headers(id, fields("/p", "POST"))
    left = 1_000_000
    while left:
        pair.run()
        size = min(left, pair.client.local_flow_control_window(id), 16384)
        assert size > 0
        pair.client.send_data(id, b"x" * size)
        left -= size
    pair.client.end_stream(id)
    pair.run()
    assert pair.answers[id].body == b"1000000"


def test_padding_counts_for_windows_and_not_for_content() -> None:
    pair = Pair()
    id = pair.send(fields("/p", "POST"), end=False)
    for _ in range(600):
        pair.client.send_data(id, b"ab", pad_length=250)
        pair.run()
    pair.client.end_stream(id)
    pair.run()
    assert pair.answers[id].body == b"ab" * 600


def test_trailers_end_the_content_and_reach_nobody() -> None:
    pair = Pair()
    id = pair.send(fields("/p", "POST"), b"abc", end=False)
    pair.client.send_headers(id, [("x-sum", "1")], end_stream=True)
    pair.run()
    assert pair.answers[id].body == b"abc"
    assert "x-sum" not in pair.owner.requests[0].headers


def test_a_pseudo_field_in_trailers_resets_the_stream() -> None:
    pair = Pair()
    id = pair.send(fields("/p", "POST"), b"abc", end=False)
    pair.client.send_headers(id, [(":path", "/q")], end_stream=True)
    pair.run()
    assert pair.answers[id].reset == 1
    assert pair.owner.requests == [] and not pair.is_closed()
    assert pair.owner.names[-1] == "request_abandoned"


# ---- answers


def test_date_and_content_length_are_always_told_and_no_server() -> None:
    answer = Pair().get("/x")
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])
    assert answer.headers["content-length"] == "2"
    assert "server" not in answer.headers


def test_a_date_of_the_script_is_kept() -> None:
    answer = Pair(always(headers={"Date": "x"})).get()
    assert [value for name, value in answer.all_headers if name == "date"] == ["x"]


def test_fields_of_a_connection_are_dropped_and_others_kept() -> None:
    set_by_script = {
        "Connection": "close", "Keep-Alive": "1", "Transfer-Encoding": "chunked", "Upgrade": "x", "TE": "x",
        "Proxy-Connection": "x", "X-Kept": "J\xfcrg", "Set-Cookie": ["a=1", "b=2"], "Content-Length": "2",
    }  # fmt: skip
    answer = Pair(always(200, set_by_script, b"ok")).get()
    kept = [(name, value) for name, value in answer.all_headers if name not in (":status", "date")]
    assert kept == [("x-kept", "J\xfcrg"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-length", "2")]


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, "4"), ("GET", 204, None), ("GET", 304, None), ("GET", 205, "0"), ("HEAD", 404, "4")],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_has_no_content_ends_with_its_head(method: str, status: int, length: str | None, streamed: bool) -> None:
    def answer(driver: ExchangeDriver, request: Request) -> None:
        if streamed:
            assert driver.start(request, Response(status), 4) == 1
            assert driver.chunk(request, b"body") == 1
            assert driver.end(request) == 1
        else:
            driver.respond(request, Response(status, body=b"body"))

    got = Pair(answer).get("/", method)
    assert (got.status, got.body, got.ended, got.frames) == (str(status), b"", True, [])
    assert got.headers.get("content-length") == length


def test_head_tells_the_length_that_the_script_declared() -> None:
    assert Pair(always(200, {"content-length": "77"})).get("/", "HEAD").headers["content-length"] == "77"


def test_an_answer_in_pieces() -> None:
    pair = Pair(keep)
    got = pair.get("/")
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    assert driver.start(request, Response(200)) == 1
    assert driver.respond(request, Response(500)) == 0
    assert driver.chunk(request, b"one") == driver.chunk(request, b"") == driver.chunk(request, b"two") == 1
    pair.run()
    assert (got.body, got.ended) == (b"onetwo", False)
    assert "content-length" not in pair.answers[1].headers
    assert driver.is_open(request)
    assert driver.end(request) == 1
    pair.run()
    assert pair.answers[1].ended
    assert not driver.is_open(request)
    assert driver.chunk(request, b"x") == driver.end(request) == driver.fail(request) == 0
    assert pair.owner.names.count("request_ended") == 1


def test_a_broken_off_answer_is_reset() -> None:
    pair = Pair(keep)
    pair.get("/")
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    driver.start(request, Response(200), 10)
    driver.chunk(request, b"one")
    assert driver.fail(request) == 1
    pair.run()
    assert pair.answers[1].reset == 2 and not pair.answers[1].ended
    assert pair.owner.names[-1] == "request_ended" and not pair.is_closed()


def test_the_request_is_the_token() -> None:
    pair = Pair(keep)
    pair.get("/a")
    pair.get("/b")
    a, b = pair.owner.requests
    driver = pair.owner.drivers[0]
    assert driver.respond(b, Response()) == 0
    assert not driver.is_open(b) and driver.is_writable(b)
    assert driver.respond(a, Response()) == 1
    assert driver.respond(a, Response()) == 0
    assert driver.start(a, Response()) == 0


def test_streams_are_answered_in_any_order() -> None:
    pair = Pair(keep)
    ids = [pair.send(fields(f"/{n}")) for n in range(3)]
    pair.run()
    for n in (2, 0, 1):
        pair.owner.drivers[n].respond(pair.owner.requests[n], Response(body=str(n)))
    pair.run()
    assert [pair.answers[id].body for id in ids] == [b"0", b"1", b"2"]


def test_large_fields_go_out_in_continuation_frames() -> None:
    answer = Pair(always(200, {f"x-{n}": "v" * 5000 for n in range(8)}, b"x")).get()
    assert len([name for name, _ in answer.all_headers if name.startswith("x-")]) == 8


# ---- splits and leaks


def samples() -> dict[str, bytes]:
    """Return streams of whole messages, some wrong, to be cut anywhere."""
    client = Pair().client.__class__()
    client.initiate_connection()
    client.send_headers(1, fields("/a", "POST", ("content-length", "5")))
    client.send_data(1, b"hello", end_stream=True)
    client.send_headers(3, fields("/b", "GET", ("x-large", "v" * 300)), end_stream=True)
    client.send_headers(5, fields("/c", "POST"))
    client.send_data(5, b"abc", pad_length=3)
    client.send_headers(5, [("x-trailer", "1")], end_stream=True)
    client.ping(b"12345678")
    client.send_headers(7, fields("/d"))
    client.reset_stream(7)
    good = client.data_to_send()
    return {
        "good": good,
        "goaway": good + frame(7, 0, 0, bytes(8)),
        "bad frame": good + frame(6, 0, 0, b"1234567") + good[24:],
        "too large": good + (20_000).to_bytes(3, "big") + bytes(6) + b"x" * 50,
        "data on an idle stream": good + frame(0, 0, 99, b"x"),
        "reset of an idle stream": good + frame(3, 0, 99, bytes(4)),
        "no settings first": PREFACE + frame(6, 0, 0, bytes(8)) + SETTINGS,
        "bad preface": b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n",
        "http/1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    }


def outcome(owner: Owner) -> tuple[object, ...]:
    """Return what must not depend on how a stream was cut: calls, state, and frames but for the fields' coding."""
    return owner.calls, owner.connection.state, [one for one in frames(owner.written) if one[0] != 1]


@pytest.mark.parametrize("name", samples())
def test_a_stream_cut_at_each_byte_gives_the_same_calls(name: str) -> None:
    data = samples()[name]

    def run(*pieces: bytes) -> tuple[object, ...]:
        owner = Owner(echo)
        for piece in pieces:
            owner.connection.receive_data(piece)
        return outcome(owner)

    whole = run(data)
    assert (name in {"good", "goaway"}) == ("refused" not in dict(whole[0]))  # type: ignore[call-overload]
    for cut in range(1, len(data)):
        assert run(data[:cut], data[cut:]) == whole, cut
    assert run(*(data[i : i + 1] for i in range(len(data)))) == whole


def test_nothing_is_left_of_a_connection_without_the_cyclic_collector() -> None:
    def connect(kind: int) -> list[weakref.ref[object]]:
        pair = Pair(echo if kind == 0 else keep)
        pair.get("/a", "POST", body=b"abc")
        if kind == 2:
            driver, request = pair.owner.drivers[0], pair.owner.requests[0]
            driver.start(request, Response())
            driver.chunk(request, b"x" * 100_000)
        if kind == 3:
            pair.raw(b"\xff" * 9)
        refs: list[weakref.ref[object]] = [weakref.ref(pair.server.connection), weakref.ref(pair.owner)]
        pair.server.detach()
        pair.server.detach()
        pair.client._frame_dispatch_table.clear()
        return refs

    gc.collect()
    gc.disable()
    try:
        left = [ref() for kind in range(4) for ref in connect(kind)]
        assert left == [None] * 8
    finally:
        gc.enable()


def test_detaching_tells_which_requests_were_cut_off() -> None:
    pair = Pair(keep)
    pair.get("/a")
    pair.get("/b", "POST", body=b"x", end=False)
    called: list[str] = []
    pair.owner.drivers[0].wait(pair.owner.requests[0], lambda: called.append("a"))
    assert [request.path for request in pair.server.detach()] == ["/a", "/b"]
    assert called == ["a"]
    assert pair.server.state == Http2State.CLOSED
    assert pair.owner.drivers[0].respond(pair.owner.requests[0], Response()) == 0
    assert pair.server.receive_data(b"x") == pair.server.resume() == pair.server.drain() == 0
    assert "request_ended" not in pair.owner.names
