"""What a peer may not do: malformed requests, limits, broken rules, floods."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon_http._core.message import Request, Response
from siphon_http.protocol.http2_flood import flood_limit
from siphon_http.protocol.http2_head import read_request
from siphon_http.testing import ExchangeDriver
from tests.http2_floods import FLOODS, head
from tests.http2_frames import frame, frames
from tests.protocol.http2_pair import PREFACE, SETTINGS, Owner, Pair, always, echo, fields, keep

PROTOCOL_ERROR, REFUSED_STREAM, CALM = 1, 7, 11
METHOD, PATH, SCHEME, AUTHORITY = fields()

# ---- malformed requests: the stream ends, the connection goes on

MALFORMED = {
    "a length without content": [*fields(), ("content-length", "5")],
    "a length that is no number": [*fields(), ("content-length", "+0")],
    "a length of 30 digits": [*fields(), ("content-length", "0" * 30)],
    "lengths that differ": [*fields(), ("content-length", "0"), ("content-length", "1")],
    "upper case": [*fields(), ("X-A", "b")],
    "a space in a name": [*fields(), ("x a", "b")],
    "a name that is no token": [*fields(), ("x(a", "b")],
    "an empty name": [*fields(), ("", "b")],
    "a line end in a value": [*fields(), ("x-a", "b\r\nx: y")],
    "a control character": [*fields(), ("x-a", "b\x01c")],
    "NUL": [*fields(), ("x-a", "b\0c")],
    "white space around": [*fields(), ("x-a", " b")],
    "connection": [*fields(), ("connection", "close")],
    "transfer-encoding": [*fields(), ("transfer-encoding", "chunked")],
    "te": [*fields(), ("te", "gzip")],
    "two hosts": [*fields(), ("host", "test"), ("host", "test")],
    "host and authority differ": [*fields(), ("host", "other")],
    "neither host nor authority": [METHOD, PATH, SCHEME],
    "no method": [PATH, SCHEME, AUTHORITY],
    "no scheme": [METHOD, PATH, AUTHORITY],
    "no path": [METHOD, SCHEME, AUTHORITY],
    "an empty path": fields(""),
    "a path without slash": fields("x"),
    "asterisk with GET": fields("*"),
    "two methods": [METHOD, *fields()],
    "a late pseudo-field": [*fields(), ("x", "y"), (":path", "/")],
    "an unknown pseudo-field": [(":x", "y"), *fields()],
    "status": [(":status", "200"), *fields()],
    "extended CONNECT": [(":protocol", "websocket"), *fields("/", "CONNECT")],
    "CONNECT with a path": fields("/", "CONNECT"),
    "a method that is no token": fields("/", "G(T"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_costs_its_stream_only(name: str) -> None:
    pair = Pair()
    under_way = pair.send(fields("/slow", "POST"), b"a", end=False)
    id = pair.send(MALFORMED[name])
    pair.run()
    assert pair.answers[id].reset == PROTOCOL_ERROR and pair.answers[id].status is None
    assert pair.owner.calls == [("head_received", "/slow"), ("refused", 400)]
    pair.client.end_stream(under_way)
    pair.run()
    assert pair.answers[under_way].body == b"a" and pair.get("/x").body == b"/x"


@pytest.mark.parametrize(
    ("more", "body"),
    [("5", [b"abc"]), ("5", [b"abc", b"def"]), ("5", [b""]), ("0", [b"x"]), ("3", [b"abc", b"d"])],
)
@pytest.mark.parametrize("streams", [False, True])
def test_content_that_is_not_as_long_as_told_costs_its_stream(more: str, body: list[bytes], streams: bool) -> None:
    pair = Pair(keep, streams=streams)
    id = pair.send(fields("/", "POST", ("content-length", more)), end=False)
    for piece in body[:-1]:
        pair.client.send_data(id, piece)
    pair.client.send_data(id, body[-1], end_stream=True)
    pair.run()
    assert pair.answers[id].reset == PROTOCOL_ERROR
    assert pair.owner.names[-1] == "request_abandoned" and len(pair.owner.requests) == int(streams)
    assert pair.server.is_quiet() and not pair.is_closed()


REFUSED = {
    "userinfo": (400, [METHOD, PATH, SCHEME, (":authority", "a@test")]),
    "an empty authority": (400, [METHOD, PATH, SCHEME, (":authority", "")]),
    "a port that is no number": (400, [METHOD, PATH, SCHEME, (":authority", "test:x")]),
    "a space in the path": (400, fields("/a b")),
    "a fragment": (400, fields("/a#b")),
    "an unknown expectation": (417, fields("/", "GET", ("expect", "x"))),
    "CONNECT": (501, [(":method", "CONNECT"), AUTHORITY]),
    "too many fields": (431, fields("/", "GET", *((f"x-{n}", "") for n in range(129)))),
    "too many bytes": (431, fields("/", "GET", *((f"x-{n}", "v" * 7000) for n in range(10)))),
    "a long path": (414, fields("/" + "x" * 70_000)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served_is_answered_and_the_connection_goes_on(name: str) -> None:
    status, request = REFUSED[name]
    pair = Pair()
    id = pair.send(request)
    pair.run()
    assert pair.answers[id].status == str(status)
    assert pair.answers[id].headers["content-type"] == "text/plain; charset=utf-8"
    assert pair.owner.calls == [("refused", status)]
    assert pair.get("/x").body == b"/x"


@pytest.mark.parametrize("authority", ["test", "a.b-c:80", "[::1]", "[::1]:80", "%41", "1.2.3.4:", "a_b"])
def test_authorities_that_are_fine(authority: str) -> None:
    assert read_request([(b":authority", authority.encode()), *_bytes(METHOD, PATH, SCHEME)])[1] == 0


def _bytes(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def test_options_asterisk_is_a_target() -> None:
    assert Pair().get("*", "OPTIONS").body == b"*"


NAMES = st.sampled_from(
    [b":method", b":path", b":scheme", b":authority", b"host", b"te", b"a", b"A", b"", b"connection"]
)
VALUES = st.sampled_from([b"GET", b"/", b"http", b"test", b"trailers", b"", b" x", b"a\0", b"1"])


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=7))
def test_whatever_h2_refuses_is_refused_here(pairs: list[tuple[bytes, bytes]]) -> None:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.exceptions import ProtocolError

    judge = H2Connection(H2Configuration(client_side=False))
    judge.initiate_connection()
    block = Encoder().encode(pairs)
    try:
        judge.receive_data(PREFACE + SETTINGS + frame(1, 5, 1, block))
    except ProtocolError:
        assert read_request(pairs)[:2] == (None, -1)


# ---- limits


def test_content_too_large_by_its_length_is_refused_before_it_comes() -> None:
    pair = Pair(cap=10)
    id = pair.send(fields("/", "POST", ("content-length", "11"), ("expect", "100-continue")), end=False)
    pair.run()
    got = pair.answers[id]
    assert (got.status, got.informational, got.ended, got.reset) == ("413", [], True, 0)
    assert pair.owner.calls[-3:] == [("head_received", "/"), ("refused", 413), ("request_ended", "/")]
    assert pair.owner.requests == []


@pytest.mark.parametrize("streams", [False, True])
def test_content_too_large_is_refused_while_it_comes(streams: bool) -> None:
    pair = Pair(keep, cap=10, streams=streams)
    id = pair.send(fields("/", "POST"), b"x" * 10, end=False)
    pair.run()
    assert id not in pair.answers
    pair.client.send_data(id, b"x")
    pair.run()
    got = pair.answers[id]
    assert (got.status, got.body, got.reset) == ("413", b"content too large\n", 0)
    assert len(pair.owner.requests) == int(streams)
    assert pair.owner.names[-1] == "request_ended" and pair.server.is_quiet()


def test_a_refusal_of_head_has_no_content() -> None:
    pair = Pair()
    got = pair.get("/", "HEAD", ("expect", "x"))
    assert (got.status, got.body, got.ended) == ("417", b"", True)


def test_streams_beyond_the_limit_are_refused_and_may_be_tried_again() -> None:
    pair = Pair(keep, max_streams=2)
    assert pair.client.remote_settings.max_concurrent_streams == 2
    pair.client.remote_settings[3] = 100
    pair.client.remote_settings.acknowledge()
    ids = [pair.send(fields(f"/{n}")) for n in range(3)]
    pair.run()
    assert pair.answers[ids[2]].reset == REFUSED_STREAM
    assert [request.path for request in pair.owner.requests] == ["/0", "/1"]
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response())
    pair.run()
    pair.send(fields("/3"))
    pair.run()
    assert pair.owner.requests[-1].path == "/3"


def test_a_reset_stream_counts_until_its_handler_has_ended() -> None:
    pair = Pair(keep, max_streams=2)
    for path in ("/0", "/1"):
        id = pair.send(fields(path))
        pair.run()
        pair.client.reset_stream(id)
        pair.run()
    assert pair.owner.names[-1] == "request_abandoned"
    assert not pair.server.streams and pair.server.abandoned == 2
    assert pair.get("/2").reset == REFUSED_STREAM
    assert pair.owner.drivers[0].respond(pair.owner.requests[0], Response(503)) == 0
    assert pair.server.abandoned == 1
    del pair.owner.drivers[0]
    del pair.owner.drivers[-1]  # a handler that never answers
    assert pair.server.abandoned == 0
    assert pair.get("/3").reset is None and pair.owner.requests[-1].path == "/3"


def test_a_timed_out_handler_counts_until_it_has_ended() -> None:
    pair = Pair(keep, max_streams=1)
    pair.get("/0")
    pair.server.time_out(pair.owner.requests[0])
    pair.run()
    assert pair.answers[1].status == "504" and pair.server.abandoned == 1
    assert pair.get("/1").reset == REFUSED_STREAM
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response())
    assert pair.server.abandoned == 0


# ---- broken rules: the connection ends

BROKEN = {
    "an overlong frame": (6, (16385).to_bytes(3, "big") + b"\0\0\0\0\0\1"),
    "DATA on stream 0": (1, frame(0, 0, 0, b"x")),
    "DATA on an idle stream": (1, frame(0, 0, 5, b"x")),
    "HEADERS on stream 2": (1, frame(1, 5, 2, b"\x82\x86\x84\x41\x01x")),
    "a stream id that is too low": (1, frame(1, 5, 5, b"\x82\x86\x84\x41\x01x") + frame(1, 5, 3, b"\x82")),
    "a bad field block": (9, frame(1, 5, 3, b"\x80")),
    "RST_STREAM on an idle stream": (1, frame(3, 0, 5, bytes(4))),
    "RST_STREAM on a stream of ours": (1, frame(3, 0, 2, bytes(4))),
    "a short RST_STREAM": (6, frame(3, 0, 1, bytes(3))),
    "an acknowledgement with settings": (6, frame(4, 1, 0, b"\0\3\0\0\0\1")),
    "a short SETTINGS": (6, frame(4, 0, 0, bytes(5))),
    "SETTINGS with a bad window": (3, frame(4, 0, 0, b"\0\4\xff\xff\xff\xff")),
    "PUSH_PROMISE": (1, frame(5, 4, 1, bytes(4))),
    "a short PING": (6, frame(6, 0, 0, bytes(7))),
    "a short GOAWAY": (6, frame(7, 0, 0, bytes(7))),
    "GOAWAY on a stream": (1, frame(7, 0, 1, bytes(8))),
    "WINDOW_UPDATE by nothing": (1, frame(8, 0, 0, bytes(4))),
    "WINDOW_UPDATE by too much": (3, frame(8, 0, 0, b"\x7f\xff\xff\xff")),
    "WINDOW_UPDATE on an idle stream": (1, frame(8, 0, 5, b"\0\0\0\1")),
    "CONTINUATION of nothing": (1, frame(9, 4, 1, b"")),
    "a frame inside a field block": (1, frame(1, 1, 3, b"\x82") + frame(6, 0, 0, bytes(8))),
    "an unknown frame inside a field block": (1, frame(1, 1, 3, b"\x82") + frame(77, 0, 0)),
    "a field bomb": (CALM, frame(1, 5, 3, b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 100)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_ends_the_connection(name: str) -> None:
    code, data = BROKEN[name]
    pair = Pair(keep)
    pair.get("/")
    pair.raw(data)
    assert pair.goaways == [(pair.goaways[0][0], code)] and pair.goaways[0][0] in (1, 3, 5)
    assert pair.is_closed()
    assert pair.owner.names[-3:] == ["request_abandoned", "refused", "close"] and pair.owner.calls[-1] == (
        "close",
        True,
    )
    assert pair.owner.drivers[0].respond(pair.owner.requests[0], Response()) == 0
    before = len(pair.owner.writes)
    pair.raw(frame(6, 0, 0, bytes(8)))
    assert len(pair.owner.writes) == before


def test_an_overlong_frame_is_refused_by_its_head() -> None:
    owner = Owner(echo)
    owner.connection.receive_data(PREFACE + SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
    assert owner.names == ["refused", "close"]


def test_settings_that_nobody_knows_are_not_kept_and_the_encoders_table_is_bounded() -> None:
    pair = Pair()
    known = len(pair.server.connection.remote_settings)
    many = b"".join(n.to_bytes(2, "big") + bytes(4) for n in range(100, 600))
    pair.raw(frame(4, 0, 0, many) + frame(4, 0, 0, b"\0\1\xff\xff\xff\xff"))
    assert len(pair.server.connection.remote_settings) == known
    assert pair.server.connection.encoder.header_table_size == 4096
    assert pair.get("/x").body == b"/x"


# ---- floods


def answer(driver: ExchangeDriver, request: Request) -> None:
    """Answer at once, or not at all."""
    if request.path == "/":
        driver.respond(request, Response(body=b"hello"))


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection(name: str) -> None:
    flood = FLOODS[name]
    owner = Owner(answer)
    server = owner.connection
    server.receive_data(PREFACE + SETTINGS, 100.0)
    for n in range(5000 if flood.code is not None else 1000):
        server.receive_data(flood.each(n), 100.0)
        if server.state == 3:
            break
    if flood.code is None:
        assert server.state == 1 and owner.names.count("request_ended") == 1000
        return
    assert n < 4500
    last = [one for one in frames(owner.written) if one[0] == 7][-1]
    assert int.from_bytes(last[3][4:8], "big") == flood.code
    assert owner.names[-2:] == ["refused", "close"]
    ends = owner.names.count("request_ended") + owner.names.count("request_abandoned")
    assert owner.names.count("head_received") == ends
    assert len(owner.written) < 100_000


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_in_one_read_ends_as_it_does_in_many(name: str) -> None:
    """However much has come at once, no turn is longer than what another client can wait."""
    flood = FLOODS[name]
    owner = Owner(answer)
    owner.connection.receive_data(PREFACE + SETTINGS, 100.0)
    owner.connection.receive_data(b"".join(flood.each(n) for n in range(4500)), 100.0)
    turns = 1
    while owner.connection.has_more and owner.connection.state != 3:
        assert owner.names.count("head_received") <= 1024 * turns
        owner.connection.receive_data(b"", 100.0)
        turns += 1
    assert owner.connection.state == (3 if flood.code is not None else 1)
    assert flood.code is not None or (turns > 4 and owner.names.count("request_ended") == 4500)


def test_large_heads_that_come_at_once_are_read_in_turns() -> None:
    """A quarter of a mebibyte of fields, as one read brings it: others are served in between."""
    owner = Owner(always(body=b"x"), max_streams=100)
    section = head("/") + b"\x00\x01a\x7f\x99\x74" + b"x" * 15_000
    owner.connection.receive_data(PREFACE + SETTINGS)
    owner.connection.receive_data(b"".join(frame(1, 5, id, section) for id in range(1, 35, 2)), 100.0)
    assert owner.connection.has_more and owner.names.count("request_ended") < 10 and owner.calls[-1] == ("hold", True)
    while owner.connection.has_more:
        owner.connection.receive_data(b"", 100.0)
    assert owner.names.count("request_ended") == 17 and owner.names.count("hold") == 2


@pytest.mark.parametrize("kind", range(9))
def test_a_slow_trickle_is_no_flood(kind: int) -> None:
    at_once = flood_limit(kind)
    assert 100 <= at_once <= 4001
    assert flood_limit(kind, 1.0, 10_000) == 10_001
    assert at_once <= flood_limit(kind, 0.0005) < 10 * at_once


def test_a_busy_polite_client_is_no_flood() -> None:
    pair = Pair(always(body=b"x" * 20_000), max_streams=100)
    for _ in range(30):
        ids = [pair.send(fields()) for _ in range(50)]
        pair.run()
        assert all(pair.answers.pop(id).ended for id in ids)
    assert not pair.is_closed()


def test_what_comes_with_each_request_of_a_busy_client_is_no_flood() -> None:
    """A priority signal, two small pieces of content, new windows of both kinds, a PING."""
    owner = Owner(always(body=b"x"))
    owner.connection.receive_data(PREFACE + SETTINGS, 100.0)
    for id in range(1, 10_001, 2):
        request = frame(1, 4, id, head("/", b"\x83")) + frame(0, 0, id, b"x") + frame(0, 1, id)
        more = frame(16, 0, 0, b"\0\0\0\1u=1") + frame(2, 0, id, bytes(5)) + frame(6, 0, 0, bytes(8))
        updates = frame(8, 0, 0, b"\0\0\0\1") + frame(8, 0, id, b"\0\0\0\1")
        owner.connection.receive_data(more + request + updates, 100.0)
    assert owner.connection.state == 1 and owner.names.count("request_received") == 5000


@pytest.mark.parametrize("name", ["no such route", "too large", "no content wanted"])
def test_content_on_its_way_when_its_answer_comes_is_no_flood(name: str) -> None:
    """A client that uploads to where nobody takes it sends what it has before it reads the answer."""
    owner = Owner(always(404, body=b"x"), cap=3 if name == "too large" else 1_048_576, streams=name != "too large")
    owner.connection.receive_data(PREFACE + SETTINGS, 100.0)
    for id in range(1, 10_001, 2):
        content = frame(0, 0, id, b"x" * 100) * 3 + frame(0, 1, id, b"x" * 100)
        owner.connection.receive_data(
            frame(1, 4, id, head("/", b"\x83")) + content + frame(8, 0, 0, b"\0\0\0\x20"), 100.0
        )
    assert owner.connection.state == 1 and owner.names.count("request_ended") == 5000


# ---- what follows on a stream that we have reset: the peer may not know it yet (RFC 9113, 5.1)

RESET_BY_US = {
    "an early answer": (always(body=b"x"), True, fields("/", "POST"), b""),
    "too much content": (keep, False, fields("/", "POST"), frame(0, 0, 1, b"x" * 99)),
    "a length that is none": (keep, True, fields("/", "POST", ("content-length", "1")), frame(0, 0, 1, b"xx")),
    "a malformed request": (keep, True, fields("/", "POST", ("X", "y")), b""),
    "a window that overflows": (keep, True, fields("/", "POST"), frame(8, 0, 1, b"\x7f\xff\xff\xff")),
    "a refused stream": (keep, True, fields("/", "POST"), b""),
}
TRAILERS = b"\x40\x01t\x011"
LATE = {
    "content": frame(0, 0, 1, b"x" * 1000) * 2 + frame(0, 1, 1, b"x"),
    "padded content": frame(0, 9, 1, b"\x05" + bytes(5)),
    "trailers": frame(1, 5, 1, TRAILERS),
    "trailers in pieces": frame(1, 1, 1, TRAILERS[:2]) + frame(9, 4, 1, TRAILERS[2:]),
    "a reset": frame(0, 0, 1, b"x") + frame(3, 0, 1, bytes(4)) + frame(8, 0, 1, b"\0\0\0\1") + frame(2, 0, 1, bytes(5)),
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("name", RESET_BY_US)
def test_what_follows_on_a_stream_that_was_reset_is_passed_over(name: str, plain: bool, late: str) -> None:
    answer, streams, section, data = RESET_BY_US[name]
    owner = Owner(answer, cap=50, streams=streams, max_streams=0 if name == "a refused stream" else 128)
    block = Encoder().encode(section, huffman=False)
    owner.connection.receive_data(
        PREFACE + SETTINGS + (frame(1, 4, 1, block) if plain else frame(1, 36, 1, bytes(5) + block)) + data
    )
    assert [one[0] for one in frames(owner.written) if one[2] == 1][-1] == 3
    before = len(owner.written)
    owner.connection.receive_data(LATE[late])
    assert [one for one in frames(owner.written[before:]) if one[2] == 1] == []
    if late == "trailers":  # its field is in the table
        owner.connection.receive_data(frame(1, 4, 3, block + b"\xbe"))
    owner.connection.receive_data(frame(6, 0, 0, bytes(8)))
    assert frames(owner.written)[-1][:3] == (6, 1, 0) and owner.connection.state == 1


def test_content_for_a_stream_that_was_reset_is_given_back_to_the_connection() -> None:
    owner = Owner(keep, cap=50, max_streams=2)
    owner.connection.receive_data(PREFACE + SETTINGS)
    for id in range(1, 401, 2):
        owner.connection.receive_data(
            frame(1, 4, id, head("/", b"\x83")) + frame(0, 0, id, bytes(16_000)) * 4, 100.0 + id
        )
    windows = sum(int.from_bytes(one[3], "big") for one in frames(owner.written) if one[0] == 8 and one[2] == 0)
    assert owner.connection.state == 1 and windows > 200 * 64_000 - 2 * 65_536


def test_content_for_a_stream_that_was_reset_must_keep_to_the_connections_window() -> None:
    owner = Owner(keep, cap=50, max_streams=1)
    owner.connection.receive_data(PREFACE + SETTINGS + frame(1, 4, 1, head("/", b"\x83")) + frame(0, 0, 1, bytes(99)))
    owner.connection.connection._inbound_flow_control_window_manager.current_window_size = 50
    owner.connection.receive_data(frame(0, 0, 1, bytes(51)))
    assert frames(owner.written)[-1][0] == 7 and frames(owner.written)[-1][3][7] == 3


def test_the_client_may_give_up_a_page_full_of_streams() -> None:
    pair = Pair(lambda driver, request: pending.append((driver, request)))
    pending: list[tuple[ExchangeDriver, Request]] = []
    for _ in range(2):
        ids = [pair.send(fields()) for _ in range(128)]
        pair.run()
        for id in ids:
            pair.client.reset_stream(id)
        pair.run()
        for driver, request in pending:
            driver.respond(request, Response())
        pending.clear()
    assert not pair.is_closed() and pair.server.abandoned == 0


def test_content_beyond_a_window_ends_the_connection() -> None:
    owner = Owner(keep, streams=True)
    owner.connection.receive_data(
        PREFACE + SETTINGS + frame(1, 4, 1, head("/", b"\x83")) + frame(0, 0, 1, bytes(16384)) * 5
    )
    last = [one for one in frames(owner.written) if one[0] == 7][-1]
    assert last[3][4:8] == b"\0\0\0\3" and owner.names[-3:] == ["request_abandoned", "refused", "close"]
