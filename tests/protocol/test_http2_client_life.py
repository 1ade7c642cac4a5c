"""Client side of HTTP/2: how exchanges and connections end, and what a bad server may not do (RFC 9113)."""

from __future__ import annotations

import itertools

import pytest

from tests.http2_frames import frame
from tests.protocol.http2_client_pair import CLOSED, PROTOCOL, REFUSED, Caller, Pair, Wire


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def goaway(last: int, code: int = 0, data: bytes = b"") -> bytes:
    return frame(7, 0, 0, number(last) + number(code) + data)


def resets(wire: Wire) -> list[tuple[int, int]]:
    """Take what was written; return (stream, code) of the RST_STREAM frames."""
    return [(one[2], int.from_bytes(one[3], "big")) for one in wire.client.sent() if one[0] == 3]


# ---- RST_STREAM


@pytest.mark.parametrize("code", [0, 1, 2, 8, 11, 13, 99])
def test_a_reset_fails_the_exchange_and_names_the_code(code: int) -> None:
    wire = Wire()
    caller, other = wire.begin(), wire.begin()
    wire.feed(frame(3, 0, 1, number(code)))
    assert caller.failure == (CLOSED, False)
    names = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 8: "CANCEL", 13: "HTTP_1_1_REQUIRED", 99: "0x63"}
    assert caller.reason == f"the peer reset the stream: {names.get(code, 'ENHANCE_YOUR_CALM')}"
    assert wire.head(3, end=True) and other.ended


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_refused_stream_was_not_processed(method: bytes) -> None:
    wire = Wire()
    caller = wire.begin(method)
    wire.feed(frame(3, 0, 1, number(7)))
    assert caller.failure == (REFUSED, True)


def test_a_stream_that_is_refused_after_its_head_may_have_been_processed() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.head(1).feed(frame(3, 0, 1, number(7)))
    assert caller.failure == (CLOSED, False)


def test_a_reset_after_the_answer_is_of_no_matter() -> None:
    wire = Wire()
    caller = wire.begin(b"POST", length=-1)
    wire.head(1, end=True).feed(frame(3, 0, 1, number(0)))
    assert caller.ended
    assert not wire.client.is_closed


def test_leaving_resets_the_stream_and_what_still_comes_is_passed_over() -> None:
    wire = Wire()
    caller, other = wire.begin(), wire.begin()
    wire.client.take()
    wire.driver.leave(1)
    assert resets(wire) == [(1, 8)]
    assert not wire.driver.is_idle()
    # Its fields go into the dynamic table, which the next answer uses.
    wire.head(1, ("x-tenant", "a")).data(1, b"late").feed(frame(8, 0, 1, number(5)) + frame(3, 0, 1, number(8)))
    wire.head(3, ("x-tenant", "a"), end=True)
    assert caller.calls == []
    assert other.fields == [("x-tenant", "a")]
    assert not wire.client.is_closed


def test_frames_after_a_reset_of_the_peer_are_reset_again() -> None:
    wire = Wire()
    wire.begin(b"POST", length=-1)
    wire.client.take()
    wire.feed(frame(3, 0, 1, number(8))).head(1).data(1, b"x")
    assert resets(wire) == [(1, 5), (1, 5)]
    assert not wire.client.is_closed


@pytest.mark.parametrize("late", [frame(0, 0, 1, b"x"), frame(0, 1, 1), frame(1, 5, 1, b"\x88"), frame(1, 1, 1, b"")])
def test_frames_after_the_end_of_a_stream_end_the_connection(late: bytes) -> None:
    wire = Wire()
    wire.begin()
    other = wire.head(1, end=True).begin()
    wire.feed(late)
    assert wire.client.goaway() == 5
    assert other.failure == (PROTOCOL, False)


# ---- GOAWAY


def test_goaway_fails_streams_above_the_last_and_the_others_go_on() -> None:
    wire = Wire()
    first, second, third = wire.begin(), wire.begin(b"POST"), wire.begin()
    wire.client.room_seen.clear()
    wire.feed(goaway(1, 0, b"bye"))
    assert first.failure is None
    assert (second.failure, third.failure) == ((REFUSED, True), (REFUSED, True))
    assert second.reason == "the peer is going away: NO_ERROR"
    assert wire.client.room_seen == [0]
    assert not wire.client.is_closed
    wire.head(1).data(1, b"x", end=True)
    assert first.ended
    assert wire.client.is_closed


def test_goaway_in_two_steps_lets_those_go_on_that_the_second_allows() -> None:
    wire = Wire()
    first, second = wire.begin(), wire.begin()
    wire.feed(goaway(0x7FFFFFFF))
    assert (first.failure, second.failure) == (None, None)
    assert wire.driver.room() == 0
    wire.feed(goaway(1))
    assert (first.failure, second.failure) == (None, (REFUSED, True))


def test_goaway_without_exchanges_closes_at_once() -> None:
    wire = Wire()
    wire.feed(goaway(0))
    assert wire.client.goaway() == 0
    assert wire.client.is_closed
    assert wire.driver.room() == 0


def test_what_a_goaway_has_said_is_told_when_the_connection_ends_after_it() -> None:
    wire = Wire()
    caller = wire.begin(b"POST")
    wire.feed(goaway(1, 11, b"too_many_pings" + bytes(100)))
    assert not caller.failure
    wire.driver.eof_received()
    assert caller.failure == (CLOSED, False)
    assert "GOAWAY ENHANCE_YOUR_CALM b'too_many_pings" in caller.reason and len(caller.reason) < 400


def test_goaway_with_an_error_names_it() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.feed(goaway(0, 11))
    assert caller.failure == (REFUSED, True)
    assert caller.reason == "the peer is going away: ENHANCE_YOUR_CALM"


def test_frames_for_a_stream_that_goaway_took_are_passed_over() -> None:
    wire = Wire()
    first, second = wire.begin(), wire.begin()
    wire.feed(goaway(1)).head(3).data(3, b"x", end=True).head(1, end=True)
    assert first.ended
    assert second.calls == ["answer_failed"]


# ---- the end of the connection


@pytest.mark.parametrize(("method", "again"), [(b"GET", True), (b"DELETE", True), (b"POST", False), (b"PATCH", False)])
def test_what_a_lost_connection_has_not_begun_to_answer_may_be_repeated_when_that_does_no_harm(
    method: bytes, again: bool
) -> None:
    wire = Wire()
    caller = wire.begin(method)
    wire.driver.lost("connection reset by peer")
    assert caller.failure == (CLOSED, again)
    assert caller.reason == "connection reset by peer"
    wire.driver.lost("again")
    assert wire.client.calls == []
    assert wire.driver.room() == 0


def test_what_was_begun_before_the_last_sign_of_the_peer_may_have_been_processed() -> None:
    wire = Wire()
    old = wire.begin()
    wire.feed(frame(6, 1, 0, bytes(8)))
    new = wire.begin()
    wire.driver.eof_received()
    assert (old.failure, new.failure) == ((CLOSED, False), (CLOSED, True))
    assert wire.client.calls == ["close"]
    assert wire.client.room_seen[-1] == 0


def test_nothing_is_done_after_the_end() -> None:
    wire = Wire()
    caller = wire.begin(b"PUT", length=-1)
    wire.driver.lost("gone")
    wire.client.take()
    wire.feed(frame(6, 0, 0, bytes(8)))
    assert wire.driver.send(caller.id, b"x", last=True)
    wire.driver.leave(caller.id)
    wire.driver.shut_down()
    wire.driver.eof_received()
    wire.driver.resume()
    wire.driver.uncork()
    assert not wire.driver.check_alive()
    assert (wire.client.writes, wire.client.calls) == ([], [])


def test_shut_down_lets_what_is_open_end_and_says_good_bye() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.client.take()
    wire.driver.shut_down()
    assert (wire.driver.room(), wire.client.writes, wire.client.is_closed) == (0, [], False)
    wire.head(1, end=True)
    assert caller.ended
    assert wire.client.is_closed
    assert wire.client.goaway() == 0


def test_shut_down_of_an_idle_connection_closes_at_once() -> None:
    pair = Pair()
    pair.get()
    pair.driver.shut_down()
    pair.driver.shut_down()
    assert pair.client.calls == ["close"]
    assert pair.run().goaways == [0]


def test_leaving_the_last_exchange_of_a_connection_that_is_shut_down_closes_it() -> None:
    wire = Wire()
    wire.begin()
    wire.driver.shut_down()
    wire.driver.leave(1)
    assert wire.client.is_closed
    assert wire.client.goaway() == 0


# ---- a peer that is gone


def pings(wire: Wire) -> list[bytes]:
    """Take what was written; return the payloads of the PING frames."""
    return [one[3] for one in wire.client.sent() if one[0] == 6]


def test_a_peer_that_does_not_answer_a_ping_is_found_out() -> None:
    wire = Wire()
    wire.begin()
    assert wire.driver.check_alive()  # the peer's SETTINGS have come
    assert pings(wire) == []
    assert wire.driver.check_alive()
    assert len(pings(wire)) == 1
    assert not wire.driver.check_alive()
    assert wire.client.writes == []


def test_a_peer_that_is_only_busy_keeps_what_it_may_have_acted_on() -> None:
    wire = Wire()
    order = wire.begin(b"POST")
    assert wire.driver.check_alive() and wire.driver.check_alive()
    look_up = wire.begin(b"GET")
    wire.client.take()
    assert wire.driver.check_alive(), "the order may be under way"
    assert look_up.failure == (CLOSED, True) and look_up.reason == "the server gives no sign of life"
    assert (wire.driver.room(), resets(wire)) == (0, [(3, 8)])
    for _ in range(8):
        assert wire.driver.check_alive()
    wire.head(1).data(1, b"done", end=True)
    assert order.ended and wire.client.is_closed


def test_a_peer_that_stays_silent_is_given_up() -> None:
    wire = Wire()
    wire.begin(b"POST")
    looks = 0
    while wire.driver.check_alive():
        looks += 1
        assert looks < 20
    assert looks == 12  # a PING after two, and ten that found nothing


def test_a_peer_that_answers_nothing_but_pings_is_asked_less_and_less() -> None:
    wire = Wire()
    wire.begin()
    asked = []
    for second in range(200):
        assert wire.driver.check_alive()
        for payload in pings(wire):
            asked.append(second)
            wire.feed(frame(6, 1, 0, payload))
    assert asked[0] == 1
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[0] <= 4 and gaps[-1] >= 30


def test_anything_from_the_peer_is_a_sign_of_life() -> None:
    wire = Wire()
    wire.begin()
    wire.head(1)
    for _ in range(10):
        assert wire.driver.check_alive()
        wire.data(1, b"x")
    assert pings(wire) == []


def test_a_peer_that_owes_nothing_is_not_asked() -> None:
    wire = Wire()
    wire.begin()
    wire.head(1, end=True)
    for _ in range(10):
        assert wire.driver.check_alive()
    assert pings(wire) == []


# ---- what a server must not send

ONE = number(1)
ERRORS: dict[str, tuple[bytes, set[int]]] = {
    "frame too large": (frame(0, 0, 1, bytes(16385)), {6}),
    "HEADERS on stream 0": (frame(1, 4, 0, b"\x88"), {1}),
    "HEADERS on an even stream": (frame(1, 4, 2, b"\x88"), {1}),
    "HEADERS on a stream that was not opened": (frame(1, 4, 5, b"\x88"), {1}),
    "HEADERS with more padding than payload": (frame(1, 12, 1, b"\5\x88"), {1}),
    "HEADERS without its padding length": (frame(1, 12, 1), {1, 6}),
    "HEADERS without its priority": (frame(1, 36, 1, b"\0\0\0"), {1, 6}),
    "HEADERS interrupted": (frame(1, 0, 1, b"\x88") + frame(0, 0, 1, b"x"), {1}),
    "HEADERS interrupted by a frame of an unknown type": (frame(1, 0, 1, b"\x88") + frame(77, 0, 1, b"x"), {1}),
    "HEADERS continued on another stream": (frame(1, 0, 1, b"\x88") + frame(9, 4, 3, b""), {1}),
    "CONTINUATION alone": (frame(9, 4, 1, b"\x88"), {1}),
    "CONTINUATION after the end": (frame(1, 4, 1, b"\x88") + frame(9, 4, 1), {1}),
    "DATA on stream 0": (frame(0, 0, 0, b"x"), {1}),
    "DATA on an even stream": (frame(0, 0, 2, b"x"), {1}),
    "DATA on a stream that was not opened": (frame(0, 0, 5, b"x"), {1}),
    "DATA with more padding than payload": (frame(1, 4, 1, b"\x88") + frame(0, 8, 1, b"\2x"), {1}),
    "DATA without its padding length": (frame(1, 4, 1, b"\x88") + frame(0, 8, 1), {1, 6}),
    "PRIORITY on stream 0": (frame(2, 0, 0, bytes(5)), {1}),
    "PRIORITY of a wrong size": (frame(2, 0, 1, bytes(4)), {1, 6}),
    "RST_STREAM on stream 0": (frame(3, 0, 0, ONE), {1}),
    "RST_STREAM on a stream that was not opened": (frame(3, 0, 5, ONE), {1}),
    "RST_STREAM of a wrong size": (frame(3, 0, 1, b"\0\0\1"), {6}),
    "SETTINGS on a stream": (frame(4, 0, 1), {1}),
    "SETTINGS of a wrong size": (frame(4, 0, 0, bytes(5)), {6}),
    "SETTINGS acknowledged with payload": (frame(4, 1, 0, bytes(6)), {6}),
    "SETTINGS that enable push": (frame(4, 0, 0, b"\0\2" + ONE), {1}),
    "SETTINGS with a bad ENABLE_PUSH": (frame(4, 0, 0, b"\0\2" + number(2)), {1}),
    "SETTINGS with a window above 2**31 - 1": (frame(4, 0, 0, b"\0\4" + number(1 << 31)), {3}),
    "SETTINGS with a frame size below the least": (frame(4, 0, 0, b"\0\5" + number(16383)), {1}),
    "SETTINGS with a frame size above the largest": (frame(4, 0, 0, b"\0\5" + number(1 << 24)), {1}),
    "PUSH_PROMISE": (frame(5, 4, 1, number(2) + b"\x82"), {1}),
    "PING on a stream": (frame(6, 0, 1, bytes(8)), {1}),
    "PING of a wrong size": (frame(6, 0, 0, bytes(7)), {6}),
    "GOAWAY on a stream": (frame(7, 0, 1, bytes(8)), {1}),
    "GOAWAY of a wrong size": (frame(7, 0, 0, bytes(7)), {6, 1}),
    "WINDOW_UPDATE of nothing": (frame(8, 0, 0, number(0)), {1}),
    "WINDOW_UPDATE of nothing on a stream": (frame(8, 0, 1, number(0)), {1}),
    "WINDOW_UPDATE of a wrong size": (frame(8, 0, 0, bytes(3)), {6}),
    "WINDOW_UPDATE on a stream that was not opened": (frame(8, 0, 5, ONE), {1}),
    "a field block with an index that is not there": (frame(1, 4, 1, b"\xff\x20"), {9}),
    "a field block that ends too early": (frame(1, 4, 1, b"\x40\x05ab"), {9}),
    "a table size above what we allow": (frame(1, 4, 1, b"\x3f\xe1\xff\x03\x88"), {9}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_rule_that_is_broken_ends_the_connection_with_its_code(name: str) -> None:
    data, codes = ERRORS[name]
    wire = Wire()
    callers = [wire.begin(), wire.begin(b"POST", length=-1)]
    wire.feed(data)
    assert wire.client.goaway() in codes
    assert wire.client.calls == ["close"]
    assert wire.client.room_seen[-1] == 0
    for caller in callers:
        assert caller.failure == (PROTOCOL, False)
    wire.feed(frame(6, 0, 0, bytes(8)))
    assert wire.client.writes == []


HARMLESS: dict[str, bytes] = {
    "an unknown type": frame(77, 255, 1, b"x") + frame(10, 0, 0, b"origin") + frame(77, 0, 99, b""),
    "an unknown setting": frame(4, 0, 0, b"\0\x99" + ONE + b"\0\10" + ONE),
    "a setting that forbids push": frame(4, 0, 0, b"\0\2" + number(0)),
    "unknown flags": frame(6, 0xFE, 0, bytes(8)) + frame(8, 0xFF, 0, ONE),
    "the reserved bit of a stream": frame(8, 0, 0x80000001, ONE) + frame(8, 0, 1, b"\x80\0\0\1"),
    "PRIORITY": frame(2, 0, 1, bytes(4) + b"\5") + frame(2, 0, 99, bytes(5)) + frame(2, 0, 2, bytes(5)),
    "an answer to a PING that nobody sent": frame(6, 1, 0, b"whatever"),
    "WINDOW_UPDATE on a stream that is over": frame(8, 0, 1, ONE),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_has_no_meaning_is_passed_over(name: str) -> None:
    wire = Wire()
    wire.begin()
    wire.head(1, end=True)
    other = wire.begin()
    wire.feed(HARMLESS[name]).head(3, end=True)
    assert other.ended
    assert not wire.client.is_closed


FLOODS: dict[str, bytes] = {
    "PING": frame(6, 0, 0, bytes(8)),
    "PING acknowledgements": frame(6, 1, 0, bytes(8)),
    "SETTINGS": frame(4, 0, 0),
    "SETTINGS acknowledgements": frame(4, 1, 0),
    "GOAWAY": frame(7, 0, 0, number(2**31 - 1) + number(0)),
    "PRIORITY": frame(2, 0, 1, bytes(5)),
    "WINDOW_UPDATE": frame(8, 0, 1, ONE),
    "empty DATA": frame(0, 0, 1),
    "padded empty DATA": frame(0, 8, 1, b"\5" + bytes(5)),
    "unknown frames": frame(77, 0, 0),
    "resets of a stream that is over": frame(3, 0, 3, ONE),
    "heads of a stream that is over": frame(1, 4, 3, b"\x88"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection(name: str) -> None:
    wire = Wire()
    caller = wire.begin(b"POST", length=-1)
    wire.begin()
    wire.driver.leave(3)
    wire.head(1)
    wire.feed(FLOODS[name] * 50)
    assert not wire.client.is_closed
    wire.feed(FLOODS[name] * 5000)
    assert wire.client.is_closed
    assert wire.client.goaway() == 11
    assert caller.failure == (PROTOCOL, False)


@pytest.mark.parametrize("size", [0, 1, 16384])
def test_continuation_without_end_ends_the_connection(size: int) -> None:
    wire = Wire()
    caller = wire.begin()
    wire.feed(frame(1, 0, 1, b"\x88") + frame(9, 0, 1, bytes(size)) * 100)
    assert wire.client.goaway() == 11
    assert caller.failure == (PROTOCOL, False)


def test_a_ping_with_each_read_and_small_answers_for_a_long_time_are_no_flood() -> None:
    wire = Wire()
    for number_ in range(1500):
        caller = wire.begin()
        wire.feed(frame(6, 0, 0, bytes(8)) + frame(8, 0, 0, ONE) + frame(77, 0, 0))
        wire.head(caller.id)
        for _ in range(3):
            wire.data(caller.id, b"{}\n")
        wire.data(caller.id, end=True)
        assert caller.ended, number_
        wire.client.take()


def test_many_that_leave_and_whose_answers_come_late_are_no_flood() -> None:
    wire = Wire()
    for _ in range(60):
        callers: list[Caller] = [wire.begin() for _ in range(100)]
        for caller in callers:
            wire.driver.leave(caller.id)
        wire.feed(b"".join(frame(1, 5, caller.id, b"\x88") for caller in callers))
    assert not wire.client.is_closed
