"""Streams that h2 never sees, and what it is told when it has to see them after all."""

from __future__ import annotations

import pytest
from hpack import Encoder

from siphon_http._core.message import Request, Response
from siphon_http.protocol.http2_server import Http2ServerConnection
from siphon_http.protocol.sink import PySink
from siphon_http.testing import BufferDriver, ExchangeDriver
from siphon_http.testing.fakes import RecordingSink
from tests.http2_frames import frame, frames
from tests.protocol.http2_pair import PREFACE, SETTINGS, Owner, Pair, always, fields, keep

GET = b"\x82\x86\x84\x41\x01x"


def answer_heads(data: bytes) -> list[bytes]:
    """Return the field blocks of the answers."""
    return [payload for kind, _, _, payload in frames(data) if kind == 1]


def test_a_plain_request_is_kept_from_h2_unless_it_is_to_see_all(through_h2: None) -> None:
    pair = Pair(keep)
    pair.get("/x")
    assert pair.server.through_h2 == Owner.through_h2
    assert list(pair.server.streams) == [1]
    assert list(pair.server.connection.streams) == ([1] if Owner.through_h2 else [])


@pytest.mark.parametrize(
    "head",
    [
        frame(1, 13, 1, b"\1" + GET + b"\0"),
        frame(1, 37, 1, bytes(5) + GET),
        frame(1, 1, 1, GET[:3]) + frame(9, 4, 1, GET[3:]),
    ],
    ids=["padding", "priority", "continuation"],
)
def test_what_is_not_plain_is_for_h2(head: bytes) -> None:
    owner = Owner(keep, through_h2=False)
    owner.connection.receive_data(PREFACE + SETTINGS + head)
    assert list(owner.connection.connection.streams) == [1] and len(owner.requests) == 1


def test_trailers_make_a_stream_over_to_h2_with_its_windows() -> None:
    pair = Pair(keep, settings={4: 100}, takes=False, through_h2=False)
    id = pair.send(fields("/p", "POST"), b"abc", end=False)
    pair.client.increment_flow_control_window(11, id)
    pair.run()
    assert not pair.server.connection.streams
    pair.client.send_headers(id, [("x-sum", "1")], end_stream=True)
    pair.run()
    adopted = pair.server.connection.streams[id]
    assert adopted.outbound_flow_control_window == 111
    assert adopted.inbound_flow_control_window == 65535 - 3
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=b"x" * 111))
    pair.run()
    assert pair.owner.requests[0].body() == b"abc" and pair.answers[id].ended


@pytest.mark.parametrize(
    ("how", "code"), [(frame(3, 0, 1, bytes(4)), None), (b"", 5)], ids=["reset by the client", "ended by both"]
)
def test_h2_is_told_how_a_stream_has_ended(how: bytes, code: int | None) -> None:
    owner = Owner(keep if how else always(), through_h2=False)
    owner.connection.receive_data(PREFACE + SETTINGS + frame(1, 5, 1, GET) + how)
    assert not owner.connection.streams
    owner.connection.receive_data(frame(1, 5, 1, GET))
    last = frames(owner.written)[-1]
    if code is None:  # a stream error: the client may not have known
        assert last[0] == 3 and last[3][3] == 5 and owner.connection.state == 1
    else:
        assert last[0] == 7 and last[3][7] == code and owner.connection.state == 3


def test_a_stream_that_was_passed_over_is_closed() -> None:
    owner = Owner(always(), through_h2=False)
    owner.connection.receive_data(PREFACE + SETTINGS + frame(1, 5, 5001, GET) + frame(1, 5, 5, GET))
    assert owner.connection.highest_stream == 5001
    assert frames(owner.written)[-1][0] == 7 and frames(owner.written)[-1][3][7] == 1


@pytest.mark.parametrize(
    ("sizes", "updates"),
    [((0,), b"\x20"), ((0, 4096), b"\x20\x3f\xe1\x1f"), ((100, 0, 50), b"\x20\x3f\x13"), ((100, 100), b"\x3f\x45")],
)
@pytest.mark.parametrize("first", ["hot", "h2"])
@pytest.mark.parametrize("at_once", [False, True])
def test_the_next_head_tells_of_changed_table_sizes_once(
    sizes: tuple[int, ...], updates: bytes, first: str, at_once: bool
) -> None:
    owner = Owner(always(), through_h2=False)
    owner.connection.receive_data(PREFACE + SETTINGS)
    values = [b"\0\1" + size.to_bytes(4, "big") for size in sizes]
    for one in [b"".join(values)] if at_once else values:
        owner.connection.receive_data(frame(4, 0, 0, one))
    hot, slow = frame(1, 5, 1, GET), frame(1, 37, 1, bytes(5) + GET)
    owner.connection.receive_data(hot if first == "hot" else slow)
    owner.connection.receive_data(frame(1, 5, 3, GET) + frame(1, 37, 5, bytes(5) + GET))
    heads = answer_heads(owner.written)
    assert heads[0].startswith(updates + b"\x88")
    assert [head[:1] for head in heads[1:]] == [b"\x88", b"\x88"]


def test_a_setting_that_overflows_a_window_ends_the_connection() -> None:
    pair = Pair(keep, through_h2=False)
    pair.send(fields("/x"))
    pair.client.increment_flow_control_window(1, 1)
    pair.run()
    pair.raw(frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff"))
    assert pair.goaways == [(1, 3)] and pair.is_closed()


def test_h2_and_hot_streams_send_from_one_window(through_h2: None) -> None:
    owner = Owner(always(body=b"x" * 40_000))
    hot, slow = frame(1, 5, 1, GET), frame(1, 37, 3, bytes(5) + GET)
    owner.connection.receive_data(PREFACE + SETTINGS + hot + slow)
    assert sum(len(one[3]) for one in frames(owner.written) if one[0] == 0) == 65535
    assert owner.connection.send_window == 0
    owner.connection.receive_data(frame(8, 0, 0, (14_465).to_bytes(4, "big")))
    assert sum(len(one[3]) for one in frames(owner.written) if one[0] == 0) == 80_000
    assert not owner.connection.streams


def test_a_field_that_one_side_indexed_is_known_to_the_other() -> None:
    owner = Owner(keep, through_h2=False)
    encoder = Encoder()
    owner.connection.receive_data(PREFACE + SETTINGS)
    for n in range(6):
        block = encoder.encode(fields(f"/{n // 2}", "GET", ("x-long", "value")))
        payload = frame(1, 37, 2 * n + 1, bytes(5) + block) if n % 3 == 0 else frame(1, 5, 2 * n + 1, block)
        owner.connection.receive_data(payload)
    assert [(one.path, one.header("x-long")) for one in owner.requests] == [(f"/{n // 2}", "value") for n in range(6)]


def test_connections_that_answer_within_each_others_reads_do_not_mix() -> None:
    shared = BufferDriver()
    http1 = RecordingSink(keep, buffer=shared)
    http1.receive(b"GET /1 HTTP/1.1\r\nHost: test\r\n\r\n")
    owners: list[Owner] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        driver.respond(request, Response(body=b"two"))
        if len(owners) == 2:
            http1.driver.respond(http1.current, Response(body=b"one"))
            owners[0].drivers[0].respond(owners[0].requests[0], Response(body=b"zero"))

    for answers in (keep, answer):
        owner = Owner(answers)
        owner.connection = Http2ServerConnection(PySink(owner), shared.buffer)
        owner.connection.receive_data(PREFACE + SETTINGS)
        owners.append(owner)
        owner.connection.receive_data(frame(1, 5, 1, GET))
    owners[1].connection.receive_data(frame(6, 0, 0, bytes(8)))
    assert [body for kind, _, _, body in frames(owners[0].written) if kind == 0] == [b"zero"]
    assert [body for kind, _, _, body in frames(owners[1].written) if kind == 0] == [b"two"]
    assert http1.written.endswith(b"\r\n\r\none") and http1.written.startswith(b"HTTP/1.1 200")
    assert not shared.is_owned and shared.size == 0
