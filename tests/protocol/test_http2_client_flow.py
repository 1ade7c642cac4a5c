"""Client side of HTTP/2: windows both ways, room for exchanges, and what waits (RFC 9113, 5.1.2, 5.2 and 6.9)."""

from __future__ import annotations

import pytest

from siphon_http.errors import LocalProtocolError
from tests.http2_frames import frame
from tests.protocol.http2_client_pair import PROTOCOL, Caller, Client, Pair, Wire


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def setting(code: int, value: int) -> bytes:
    return code.to_bytes(2, "big") + number(value)


def sent(wire: Wire, kind: int) -> list[tuple[int, int, bytes]]:
    """Take what was written; return (stream, flags, payload) of the frames of one type."""
    return [(one[2], one[1], one[3]) for one in wire.client.sent() if one[0] == kind]


def content(wire: Wire) -> list[tuple[int, int, bool]]:
    """Take what was written; return (stream, size, ends) of the DATA frames."""
    return [(stream, len(data), bool(flags & 1)) for stream, flags, data in sent(wire, 0)]


# ---- content of requests


def test_content_stops_at_the_streams_window_and_goes_on_with_it() -> None:
    wire = Wire(setting(4, 10))
    wire.begin(b"POST", content=b"x" * 25)
    assert content(wire) == [(1, 10, False)]
    wire.feed(frame(8, 0, 1, number(14)))
    assert content(wire) == [(1, 14, False)]
    wire.feed(frame(8, 0, 1, number(1)))
    assert content(wire) == [(1, 1, True)]


def test_content_stops_at_the_connections_window_and_goes_on_with_it() -> None:
    wire = Wire(setting(4, 1 << 20))
    wire.begin(b"POST", content=b"x" * 70000)
    wire.begin(b"POST", content=b"y" * 10)
    assert sum(size for _, size, _ in content(wire)) == 65535
    wire.feed(frame(8, 0, 0, number(5)))
    assert content(wire) == [(1, 5, False)]
    wire.feed(frame(8, 0, 0, number(1 << 20)))
    assert sorted(content(wire)) == [(1, 70000 - 65540, True), (3, 10, True)]


def test_streams_take_turns_of_one_frame() -> None:
    wire = Wire(setting(4, 0))
    for _ in range(3):
        wire.begin(b"POST", content=b"x" * 20000)
    wire.client.take()
    wire.feed(frame(4, 0, 0, setting(4, 20000)))
    assert content(wire) == [(id, size, end) for size, end in ((16384, False), (3616, True)) for id in (1, 3, 5)]


def test_a_stream_without_window_holds_up_no_other() -> None:
    wire = Wire(setting(4, 0))
    wire.begin(b"POST", content=b"x" * 20)
    wire.begin(b"POST", content=b"y" * 20)
    assert content(wire) == []
    wire.feed(frame(8, 0, 3, number(20)))
    assert content(wire) == [(3, 20, True)]


def test_a_setting_changes_the_windows_of_open_streams_also_below_zero() -> None:
    wire = Wire(setting(4, 100))
    caller = wire.begin(b"POST", length=-1)
    wire.driver.send(1, b"x" * 60)
    wire.feed(frame(4, 0, 0, setting(4, 10)))  # 50 below zero
    wire.driver.send(1, b"x" * 60)
    assert sum(size for _, size, _ in content(wire)) == 60
    wire.feed(frame(8, 0, 1, number(50)))
    assert content(wire) == []
    wire.feed(frame(8, 0, 1, number(7)))
    assert content(wire) == [(1, 7, False)]
    wire.feed(frame(4, 0, 0, setting(4, 100)))
    assert content(wire) == [(1, 53, False)]
    assert caller.failure is None


def test_a_window_above_the_limit_fails_the_stream_or_the_connection() -> None:
    wire = Wire()
    caller, other = wire.begin(b"POST", length=-1), wire.begin(b"POST", length=-1)
    wire.feed(frame(8, 0, 1, number(0x7FFFFFFF)))
    assert caller.failure == (PROTOCOL, False)
    assert sent(wire, 3) == [(1, 0, number(3))]
    wire.feed(frame(8, 0, 0, number(0x7FFFFFFF)))
    assert other.failure == (PROTOCOL, False)
    assert wire.client.goaway() == 3


def test_a_setting_that_makes_a_window_too_large_ends_the_connection() -> None:
    wire = Wire()
    wire.begin(b"POST", length=-1)
    wire.feed(frame(8, 0, 1, number(0x7FFFFFFF - 65535)))
    wire.feed(frame(4, 0, 0, setting(4, 65536)))
    assert wire.client.goaway() == 3


def test_whoever_streams_more_than_is_taken_waits_until_it_is() -> None:
    wire = Wire(setting(4, 1000))
    caller = wire.begin(b"PUT", length=-1)
    assert wire.driver.send(1, b"x" * 1000)
    assert wire.driver.send(1, b"x" * 40000)
    assert not wire.driver.send(1, b"x" * 40000)
    assert caller.wanted == 0
    wire.feed(frame(8, 0, 1, number(40000)))
    assert caller.wanted == 0
    wire.feed(frame(8, 0, 1, number(39000)))
    assert caller.wanted == 1
    assert wire.driver.send(1, b"y", last=True)


def test_a_caller_that_goes_on_as_soon_as_it_may_sends_all_with_little_waiting() -> None:
    pair = Pair()
    left = [b"%06d" % piece * 1000 for piece in range(200)]
    whole = b"".join(left)

    def more(caller: Caller, event: str) -> None:
        if event == "content_wanted":
            while left and pair.driver.send(caller.id, left.pop(0), last=not left):
                pass

    caller = pair.begin(b"PUT", length=len(whole), then=more)
    more(caller, "content_wanted")
    assert len(left) > 150
    pair.run()
    asked = pair.asked[caller.id]
    assert (asked.body == whole, asked.ended) == (True, True)
    assert caller.wanted > 5


def test_content_waits_while_the_transport_is_full() -> None:
    wire = Wire()
    wire.driver.pause()
    wire.begin(b"POST", content=b"x" * 10)
    wire.begin(b"PUT", length=-1)
    assert not wire.driver.send(3, b"y" * 70000)
    assert wire.client.writes == []
    wire.driver.resume()
    assert sum(size for _, size, _ in content(wire)) == 65535


def test_reading_stops_while_the_transport_is_full_and_answers_to_frames_gather() -> None:
    wire = Wire()
    wire.driver.pause()
    wire.begin(b"GET", b"/" + b"x" * 70000)
    wire.feed(frame(6, 0, 0, bytes(8)))
    assert wire.client.calls == [("hold", True)]
    assert wire.client.writes == []
    wire.driver.resume()
    assert wire.client.calls == [("hold", True), ("hold", False)]
    assert wire.client.writes


def test_an_early_answer_ends_the_exchange_and_what_is_left_of_the_request_is_dropped() -> None:
    wire = Wire(setting(4, 10))
    caller = wire.begin(b"POST", content=b"x" * 25)
    wire.client.take()
    wire.head(1, status=413, end=True)
    assert caller.ended
    assert sent(wire, 3) == [(1, 0, number(0))]
    wire.feed(frame(8, 0, 1, number(100)) + frame(3, 0, 1, number(0)))
    assert wire.client.writes == []
    assert not wire.client.is_closed


# ---- content of answers


def test_the_streams_window_is_given_back_when_half_of_it_was_taken() -> None:
    wire = Wire(window=70000)
    caller = wire.begin(takes=False)
    wire.head(1)
    for _ in range(4):
        wire.data(1, b"x" * 16000)
    assert sent(wire, 8) == []
    wire.driver.taken(1, 34000)
    assert sent(wire, 8) == []
    wire.driver.taken(1, 2000)
    assert sent(wire, 8) == [(1, 0, number(36000))]
    wire.driver.taken(1, 1 << 30)  # more than came: the window is no larger than at first
    assert sent(wire, 8) == [(1, 0, number(28000))]
    assert len(caller.body) == 64000


def test_a_caller_that_takes_nothing_holds_up_its_own_stream_alone() -> None:
    wire = Wire(window=70000, max_streams=2)
    slow, fast = wire.begin(takes=False), wire.begin()
    wire.head(1).head(3)
    for _ in range(7):
        wire.data(1, b"x" * 10000)
    for _ in range(100):
        wire.data(3, b"y" * 10000)
    wire.data(3, end=True)
    assert fast.ended and len(fast.body) == 1_000_000
    wire.data(1, b"x")
    assert slow.failure == (PROTOCOL, False)
    assert wire.client.goaway() == 3


def test_padding_is_given_back_though_nobody_takes_it() -> None:
    wire = Wire(window=70000)
    caller = wire.begin(takes=False)
    wire.head(1)
    for _ in range(1000):
        wire.feed(frame(0, 8, 1, b"\xff" + b"x" + bytes(255)))
    assert sum(int.from_bytes(payload, "big") for stream, _, payload in sent(wire, 8) if stream == 1) > 180_000
    assert len(caller.body) == 1000


def test_the_connections_window_is_given_back_for_streams_that_were_left() -> None:
    wire = Wire(window=70000, max_streams=1)
    wire.begin()
    wire.head(1)
    wire.driver.leave(1)
    wire.client.take()
    for _ in range(40):
        wire.data(1, b"x" * 10000)
    assert sum(int.from_bytes(payload, "big") for _, _, payload in sent(wire, 8)) >= 365_000
    assert not wire.client.is_closed


def test_more_than_the_connections_window_ends_the_connection() -> None:
    wire = Wire(window=65535, max_streams=1)  # the connection's window is 65 536
    wire.begin()
    wire.driver.leave(1)
    for _ in range(1000):
        wire.data(1, b"x" * 16384)  # of no stream, and given back
    caller = wire.begin()
    wire.head(3)
    for _ in range(5):
        wire.data(3, b"x" * 16384)
    assert caller.failure == (PROTOCOL, False) or len(caller.body) > 65536


# ---- room


def test_room_follows_the_peers_limit_and_what_is_open() -> None:
    client = Client(max_streams=50)
    assert client.driver.room() == 50
    client.driver.receive_data(frame(4, 0, 0, setting(3, 2)))
    assert client.room_seen == [2]
    first, _ = client.begin(), client.begin()
    assert client.driver.room() == 0
    with pytest.raises(LocalProtocolError, match="room"):
        client.begin()
    client.driver.receive_data(frame(1, 5, first.id, b"\x88"))
    assert client.room_seen == [2, 1]
    client.driver.receive_data(frame(4, 0, 0, setting(3, 0)))
    assert client.room_seen == [2, 1, 0]
    client.driver.receive_data(frame(4, 0, 0, setting(3, 0xFFFFFFFF)))
    assert client.room_seen == [2, 1, 0, 49]


def test_an_owner_that_begins_what_waits_when_there_is_room_needs_one_stream_at_a_time() -> None:
    pair = Pair({3: 1})
    waiting = list(range(20))
    callers: list[Caller] = []

    def begin() -> None:
        while waiting and pair.driver.room():
            callers.append(pair.begin(b"GET", b"/%d" % waiting.pop(0)))

    pair.client.on_room = begin
    begin()
    for _ in range(20):
        pair.run()
        pair.answer(callers[-1].id, 200, b"x")
    assert [caller.body for caller in callers] == [b"x"] * 20
    assert pair.driver.is_idle()


def test_leaving_makes_room_at_once() -> None:
    wire = Wire(setting(3, 1))
    wire.begin()
    wire.client.room_seen.clear()
    wire.driver.leave(1)
    assert wire.client.room_seen == [1]


def test_the_last_stream_id_is_the_end_of_the_connection() -> None:
    wire = Wire()
    wire.driver.skip_to(0x7FFFFFFF)
    caller = wire.begin()
    assert caller.id == 0x7FFFFFFF
    assert wire.driver.room() == 0
    if not wire.driver.connection.through_h2:
        wire.head(caller.id, end=True)
        assert caller.ended
        assert wire.client.is_closed
