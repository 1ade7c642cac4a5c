"""Client side of HTTP/2: requests and answers, with h2 as the server (RFC 9113, section 8)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hpack import Decoder, InvalidTableIndex

from siphon_http.errors import LocalProtocolError
from tests.http2_frames import frame, frames
from tests.protocol.http2_client_pair import CLOSED, LIMIT, PREFACE, PROTOCOL, Caller, Client, Pair, Wire

FIELDS = b"Accept: text/plain\r\nX-Tenant: a b\r\n"


def code(number: int) -> bytes:
    return number.to_bytes(4, "big")


# ---- the connection's first bytes


def test_a_connection_begins_with_the_preface_settings_and_a_window() -> None:
    client = Client(window=1 << 20, max_streams=100, max_header_bytes=5000)
    assert client.writes == []
    client.driver.uncork()
    data = client.take()
    assert data.startswith(PREFACE)
    (kind, _, stream, payload), window = frames(data.removeprefix(PREFACE))
    assert (kind, stream) == (4, 0)
    pairs = {payload[at + 1]: int.from_bytes(payload[at + 2 : at + 6], "big") for at in range(0, len(payload), 6)}
    assert pairs[2] == 0  # no push
    assert pairs[4] == 1 << 20
    assert pairs[6] == 5000
    assert window == (8, 0, 0, code(100 * (1 << 20) - 65535))


def test_the_first_request_may_go_before_the_peers_settings() -> None:
    client = Client()
    assert client.driver.room() == 100
    client.begin()
    data = client.take()
    assert [one[0] for one in frames(data.removeprefix(PREFACE))] == [4, 8, 1]


@pytest.mark.parametrize("first", [frame(6, 0, 0, bytes(8)), frame(4, 1, 0), frame(1, 5, 1, b"\x88")])
def test_a_peer_that_does_not_begin_with_settings_is_left(first: bytes) -> None:
    client = Client()
    caller = client.begin()
    client.driver.receive_data(first)
    assert client.goaway() == 1
    assert client.is_closed
    assert caller.failure == (PROTOCOL, False)


def test_a_peer_that_speaks_http_1_is_named() -> None:
    client = Client()
    caller = client.begin()
    client.driver.receive_data(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert caller.failure == (PROTOCOL, False)
    assert caller.reason == "the peer speaks HTTP/1, not HTTP/2"
    assert client.is_closed


# ---- requests


def test_a_request_arrives_as_it_was_given() -> None:
    pair = Pair()
    caller = pair.get(b"GET", b"/orders?x=1", FIELDS, authority=b"example.com", scheme=b"https")
    asked = pair.asked[caller.id]
    assert asked.fields == [
        (":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/orders?x=1"),
        ("accept", "text/plain"), ("x-tenant", "a b"),
    ]  # fmt: skip
    assert asked.ended
    assert caller.body == b"hello"


@pytest.mark.parametrize("size", [1, 1000, 16384, 16385, 65535, 65536, 300_000])
def test_content_arrives_whole_with_its_length(size: int) -> None:
    pair = Pair()
    content = bytes(range(256)) * (size // 256 + 1)
    caller = pair.get(b"POST", b"/", FIELDS, content[:size])
    asked = pair.asked[caller.id]
    assert asked.body == content[:size]
    assert dict(asked.fields)["content-length"] == str(size)
    assert asked.ended
    assert caller.ended


def test_empty_content_is_told_and_no_content_is_not() -> None:
    pair = Pair()
    empty, none = pair.begin(b"POST", content=b""), pair.begin(b"POST")
    pair.run()
    assert ("content-length", "0") in pair.asked[empty.id].fields
    assert not any(name == "content-length" for name, _ in pair.asked[none.id].fields)
    assert pair.asked[empty.id].ended and pair.asked[none.id].ended


@pytest.mark.parametrize("length", [-1, 9])
def test_streamed_content_arrives_piece_by_piece(length: int) -> None:
    pair = Pair()
    caller = pair.begin(b"PUT", length=length)
    asked = pair.run().asked[caller.id]
    assert not asked.ended
    assert dict(asked.fields).get("content-length") == (str(length) if length >= 0 else None)
    assert pair.driver.send(caller.id, b"first")
    pair.run()
    assert asked.body == b"first"
    assert pair.driver.send(caller.id, b"last", last=True)
    pair.run()
    assert (asked.body, asked.ended) == (b"firstlast", True)


def test_streamed_content_may_end_with_an_empty_piece() -> None:
    pair = Pair()
    caller = pair.begin(b"PUT", length=-1)
    pair.driver.send(caller.id, b"all")
    pair.driver.send(caller.id, b"", last=True)
    asked = pair.run().asked[caller.id]
    assert (asked.body, asked.ended) == (b"all", True)


@pytest.mark.parametrize(("pieces", "last"), [([b"123456"], False), ([b"12"], True), ([b"123", b"45678"], True)])
def test_content_that_differs_from_its_declared_length_is_our_error(pieces: list[bytes], last: bool) -> None:
    pair = Pair()
    caller = pair.begin(b"PUT", length=5)
    with pytest.raises(LocalProtocolError, match="declared"):
        for piece in pieces:
            pair.driver.send(caller.id, piece, last=last and piece is pieces[-1])
    assert pair.run().asked[caller.id].reset == 8
    assert pair.driver.is_idle()


def test_a_piece_for_an_exchange_that_is_over_is_taken() -> None:
    pair = Pair()
    caller = pair.begin(b"PUT", length=-1)
    pair.driver.leave(caller.id)
    assert pair.driver.send(caller.id, b"late")
    assert pair.driver.send(caller.id, b"", last=True)
    pair.driver.leave(caller.id)
    pair.driver.taken(caller.id, 10)
    assert pair.run().asked[caller.id].body == b""


def test_a_large_head_is_continued() -> None:
    pair = Pair({5: 16384, 6: 1 << 20})
    fields = b"".join(b"x-%d: %s\r\n" % (number, b"v" * 1000) for number in range(50))
    caller = pair.get(b"GET", b"/", fields)
    assert len(pair.asked[caller.id].fields) == 54
    assert caller.ended


def test_credentials_are_never_indexed() -> None:
    pair = Pair()
    caller = pair.get(b"GET", b"/", b"Authorization: Bearer x\r\nCookie: a=b\r\nAccept: x/y\r\n")
    assert pair.asked[caller.id].never == {"authorization", "cookie"}


def test_the_peers_table_size_is_kept() -> None:
    pair = Pair({1: 0})
    for _ in range(5):
        caller = pair.get(b"GET", b"/orders", FIELDS)
    assert pair.asked[caller.id].fields[3:] == [(":path", "/orders"), ("accept", "text/plain"), ("x-tenant", "a b")]
    pair.server.update_settings({1: 4096})
    for _ in range(5):
        caller = pair.run().get(b"GET", b"/orders", FIELDS)
    assert pair.asked[caller.id].fields[3:] == [(":path", "/orders"), ("accept", "text/plain"), ("x-tenant", "a b")]


# ---- answers


def test_an_answer_is_told_in_order() -> None:
    pair = Pair()
    caller = pair.begin()
    pair.run()
    pair.answer(caller.id, 404, b"hello", ("Content-Type", "text/plain"), ("set-cookie", "a"), ("set-cookie", "b"))
    assert caller.status == 404
    assert caller.fields == [("content-type", "text/plain"), ("set-cookie", "a"), ("set-cookie", "b")]
    assert caller.calls == ["head_received", "content_received", "answer_ended"]
    assert pair.driver.is_idle()


def test_answers_of_many_exchanges_come_in_any_order() -> None:
    pair = Pair()
    callers = [pair.begin(b"GET", b"/%d" % number) for number in range(50)]
    pair.run()
    for caller in reversed(callers):
        pair.answer(caller.id, 200, b"%d" % caller.id)
    assert [caller.body for caller in callers] == [b"%d" % caller.id for caller in callers]


def test_interim_answers_are_not_told() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.head(1, ("link", "</a>"), status=103).head(1, status=100)
    assert caller.calls == []
    wire.head(1, status=204, end=True)
    assert (caller.status, caller.calls) == (204, ["head_received", "answer_ended"])


def test_interim_answers_without_end_fail_the_exchange() -> None:
    wire = Wire()
    caller, other = wire.begin(), wire.begin()
    for _ in range(100):
        wire.head(1, status=100)
    assert caller.failure == (LIMIT, False)
    assert wire.head(3, end=True) and other.ended


@pytest.mark.parametrize(
    ("status", "ends", "ended"), [(101, False, False), (199, True, True), ("099", False, False), ("600", False, False)]
)
def test_a_status_that_http_2_does_not_have_is_malformed(status: int | str, ends: bool, ended: bool) -> None:
    wire = Wire()
    caller, other = wire.begin(), wire.begin()
    wire.head(1, status=status, end=ends)
    assert caller.failure == (PROTOCOL, False)
    assert wire.client.is_closed is ended
    assert (other.failure is not None) is ended


def test_trailers_end_an_answer_and_are_dropped() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.head(1).data(1, b"abc").feed(frame(1, 5, 1, wire.block(("x-checksum", "1"))))
    assert caller.calls == ["head_received", "content_received", "answer_ended"]
    assert caller.fields == []


def test_trailers_with_a_pseudo_field_are_malformed() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.head(1).head(1, end=True)
    assert caller.failure == (PROTOCOL, False)
    assert not wire.client.is_closed


def test_trailers_without_an_end_end_the_connection() -> None:
    wire = Wire()
    caller = wire.begin()
    wire.head(1).feed(frame(1, 4, 1, wire.block(("x", "1"))))
    assert caller.failure == (PROTOCOL, False)
    assert wire.client.goaway() == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_an_answer_that_has_no_content_may_tell_a_length(method: bytes, status: int) -> None:
    wire = Wire()
    caller = wire.begin(method)
    wire.head(1, ("content-length", "5"), status=status, end=True)
    if method == b"GET" and status == 200:
        assert caller.failure == (PROTOCOL, False)
    else:
        assert caller.calls == ["head_received", "answer_ended"]


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_content_of_an_answer_that_has_none_is_malformed(method: bytes, status: int) -> None:
    wire = Wire()
    caller = wire.begin(method)
    wire.head(1, status=status).data(1)
    assert caller.failure is None
    wire.data(1, b"x", end=True)
    assert caller.failure == (PROTOCOL, False)
    assert caller.body == b""
    assert not wire.client.is_closed


@pytest.mark.parametrize("pieces", [[b"1234"], [b"123456"], [b"123", b"456"], [b""]])
def test_content_that_differs_from_content_length_is_malformed(pieces: list[bytes]) -> None:
    wire = Wire()
    caller, other = wire.begin(b"POST", length=-1), wire.begin()
    wire.head(1, ("content-length", "5"))
    for piece in pieces:
        wire.data(1, piece, end=piece is pieces[-1])
    assert caller.failure == (PROTOCOL, False)
    assert (3, 1) in [(kind, int.from_bytes(payload, "big")) for kind, _, _, payload in wire.client.sent()]
    assert wire.head(3, ("content-length", "1")).data(3, b"1", end=True) and other.ended


BAD_HEADS: list[list[tuple[str, str]]] = [
    [], [("x", "1")], [("x", "1"), (":status", "200")], [(":status", "200"), (":status", "200")],
    [(":status", "200"), (":method", "GET")], [(":status", "")], [(":status", "2000")], [(":status", "20x")],
    [(":status", "200"), ("X-Upper", "1")], [(":status", "200"), ("a b", "1")], [(":status", "200"), ("x", "a\r\nb")],
    [(":status", "200"), ("x", "a\0")], [(":status", "200"), ("x", " a")], [(":status", "200"), ("connection", "close")],
    [(":status", "200"), ("transfer-encoding", "chunked")], [(":status", "200"), ("upgrade", "x")],
    [(":status", "200"), ("content-length", "1"), ("content-length", "2")], [(":status", "200"), ("content-length", "-1")],
    [(":status", "200"), ("", "x")], [(":status", "200"), (":new", "x")],
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_HEADS, ids=str)
@pytest.mark.parametrize("end", [False, True])
def test_a_malformed_head_fails_its_exchange_and_no_other(fields: list[tuple[str, str]], end: bool) -> None:
    wire = Wire()
    caller, other = wire.begin(b"POST", length=-1), wire.begin()
    wire.feed(frame(1, 4 | end, 1, wire.block(*fields)))
    assert caller.failure == (PROTOCOL, False)
    assert caller.calls == ["answer_failed"]
    assert wire.head(3, end=True) and other.ended
    resets = [(one[2], one[3]) for one in wire.client.sent() if one[0] == 3]
    assert resets == [(1, code(1))]


def test_a_head_above_the_limit_fails_its_exchange() -> None:
    wire = Wire(max_header_bytes=1000, max_headers=10)
    big, many, other = wire.begin(), wire.begin(), wire.begin()
    wire.head(1, ("x", "v" * 1000))
    assert big.failure == (LIMIT, False)
    wire.head(3, *(("x", "1"),) * 11)
    assert many.failure == (LIMIT, False)
    assert wire.head(5, *(("x", "1"),) * 10, end=True) and other.ended


def test_a_head_far_above_the_limit_ends_the_connection() -> None:
    wire = Wire(max_header_bytes=1000)
    caller = wire.begin()
    bomb = wire.block((":status", "200"), ("x", "v" * 900)) + b"\xbe" * 10
    wire.feed(frame(1, 4, 1, bomb))
    assert caller.failure == (PROTOCOL, False)
    assert wire.client.goaway() == 11


def test_a_block_that_cannot_be_decoded_ends_the_connection() -> None:
    wire = Wire()
    caller, other = wire.begin(), wire.begin()
    wire.feed(frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff\xff"))
    assert (caller.failure, other.failure) == ((PROTOCOL, False), (PROTOCOL, False))
    assert wire.client.goaway() == 9


# ---- callers who act while they are told


def test_what_callers_begin_while_they_are_told_is_written_at_once() -> None:
    wire = Wire()
    begun: list[Caller] = []

    def again(caller: Caller, event: str) -> None:
        if event == "answer_ended":
            begun.append(wire.begin(b"GET", b"/again"))

    for _ in range(3):
        wire.begin(then=again)
    wire.client.take()
    block = b"\x88"
    wire.feed(b"".join(frame(1, 5, id, block) for id in (1, 3, 5)))
    assert len(wire.client.writes) == 1
    assert [one[2] for one in wire.client.sent()] == [7, 9, 11]


@pytest.mark.parametrize("event", ["head_received", "content_received"])
def test_a_caller_may_leave_while_it_is_told(event: str) -> None:
    wire = Wire()
    caller = wire.begin(then=lambda one, name: name == event and wire.driver.leave(one.id))
    other = wire.begin()
    wire.client.take()
    wire.feed(frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"a") + frame(0, 1, 1, b"b") + frame(1, 5, 3, b"\x88"))
    assert caller.calls[-1] == event
    assert other.ended
    assert [(one[0], one[2], one[3]) for one in wire.client.sent()] == [(3, 1, code(8))]


def test_a_caller_may_end_the_connection_while_it_is_told() -> None:
    wire = Wire()

    def lose(caller: Caller, event: str) -> None:
        if event == "head_received":
            wire.driver.lost("gone")

    caller, other = wire.begin(then=lose), wire.begin()
    wire.feed(frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"a") + frame(1, 5, 3, b"\x88"))
    assert (caller.failure, other.failure) == ((CLOSED, False), (CLOSED, False))


def test_output_is_held_back_while_the_owner_says_so() -> None:
    wire = Wire()
    wire.driver.cork()
    for _ in range(5):
        wire.begin(b"POST", content=b"x" * 100)
    wire.feed(frame(6, 0, 0, bytes(8)))
    assert wire.client.writes == []
    wire.driver.uncork()
    assert len(wire.client.writes) == 1
    assert [one[0] for one in wire.client.sent()] == [1, 0] * 5 + [6]


# ---- any split


def test_an_answer_cut_at_each_place_is_the_same() -> None:
    def play(cut: int | None) -> list[Any]:
        wire = Wire()
        callers = [wire.begin(takes=False), wire.begin(b"HEAD"), wire.begin(b"POST", content=b"x" * 10)]
        data = (
            frame(1, 4, 1, b"\x88\x40\x01x\x01y") + frame(6, 0, 0, b"12345678") + frame(0, 8, 1, b"\2abc\0\0")
            + frame(1, 0, 3, b"\x88") + frame(9, 4, 3, b"\xbe") + frame(1, 44, 5, b"\1\0\0\0\0\5\x88\0")
            + frame(8, 0, 0, code(100)) + frame(3, 0, 3, code(8)) + frame(0, 1, 1, b"d" * 100)
            + frame(1, 5, 5, b"\x0f\x12\x01y") + frame(7, 0, 0, code(5) + code(0))
        )  # fmt: skip
        parts = [data] if cut is None else [data[at : at + 1] for at in range(len(data))]
        for part in parts if cut in {None, -1} else [data[:cut], data[cut:]]:
            wire.feed(part)
        facts = [(one.status, one.fields, one.body, one.calls, one.failure) for one in callers]
        return [facts, wire.client.take(), wire.client.calls]

    whole = play(None)
    assert [fact[3][-1] for fact in whole[0]] == ["answer_ended", "answer_failed", "answer_ended"]
    for cut in range(-1, 250):
        assert play(cut) == whole


def test_heads_of_the_same_bytes_mean_the_same_until_the_table_changes() -> None:
    wire = Wire()
    plain = b"\x88\x0f\x10\x0atext/plain"
    tenant = b"\x88\xbe"  # the newest entry of the dynamic table

    def fields(block: bytes, kind: int = 5) -> list[tuple[str, str]]:
        caller = wire.begin()
        wire.feed(frame(1, kind, caller.id, block))
        assert caller.ended
        return caller.fields

    for _ in range(3):
        assert fields(plain) == [("content-type", "text/plain")]
    for value in (b"1", b"2", b"3"):
        name = b"\x40\x01x\x01" + value
        for _ in range(3):
            assert fields(b"\x88" + name) == [("x", value.decode())]
        for _ in range(2):
            assert fields(tenant) == [("x", value.decode())]
        assert fields(plain) == [("content-type", "text/plain")]
        assert fields(b"\x88" + name) == [("x", value.decode())]
    caller = wire.begin()
    wire.feed(frame(1, 4, caller.id, plain) + frame(1, 5, caller.id, plain[1:]))
    assert caller.ended
    assert fields(plain) == [("content-type", "text/plain")]
    caller = wire.begin()
    wire.feed(frame(1, 5, caller.id, b""))
    assert caller.failure == (PROTOCOL, False)


BLOCKS = [
    b"\x88",
    b"\x88\x58\x03abc\x5f\x02de",  # literals that enter the table
    b"\x88\x58\x03abc\x5f\x02df",
    b"\x88\x40\x01x\xff\x81\x03" + b"v" * 512,
    b"\x88" + b"".join(b"\x40\x01%c\x01y" % (97 + n) for n in range(8)),
    b"\x88" + b"".join(b"\x40\x01%c\x01z" % (97 + n) for n in range(9)),
    b"\x88\xbe",  # from the table
    b"\x88\xc1\xbf",
    b"\x88\x7f\x00\x01q",  # a name from the table, and into it
    b"\x88\x0f\x2f\x01r",  # a name from the table
    b"\x20\x3f\xe1\x1f\x88",  # the table is emptied
    b"\x3f\x51\x88\x58\x03abc",  # its size is 112
    b"\x40\x01x\x01y",  # no status
]


def test_any_sequence_of_heads_leaves_the_table_as_it_should_be() -> None:
    chance = random.Random(11)
    for _ in range(200):
        wire, oracle = Wire(), Decoder()
        blocks = [BLOCKS[1], *chance.choices(BLOCKS, k=4)]
        for block in [one for one in chance.choices(blocks, k=25) for _ in range(chance.choice([1, 1, 2, 3]))]:
            try:
                expected = oracle.decode(block, raw=True)
            except InvalidTableIndex:
                break
            caller = wire.begin()
            wire.feed(frame(1, 5, caller.id, block))
            if expected and expected[0][0] == b":status":
                assert [(n.encode(), v.encode()) for n, v in caller.fields] == [tuple(one) for one in expected[1:]]
            else:
                assert caller.failure == (PROTOCOL, False)
