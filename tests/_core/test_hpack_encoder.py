"""The encoder of a client: what hpack, and our own decoder, make of its blocks (RFC 7541)."""

from __future__ import annotations

import pytest
from hpack import Decoder, NeverIndexedHeaderTuple
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon_http._core.hpack import Decoder as OurDecoder
from siphon_http._core.hpack_encoder import Encoder

GET, HTTP, AUTHORITY = b"GET", b"http", b"example.com:8080"
FIELDS = b"Accept: */*\r\nUser-Agent: siphon\r\nX-Tenant: a\r\n"


def lines(*fields: tuple[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


class Line:
    """An encoder and two decoders that read all that it writes."""

    def __init__(self) -> None:
        self.encoder, self.hpack, self.ours = Encoder(), Decoder(), OurDecoder()

    def send(
        self,
        target: bytes = b"/",
        fields: bytes = b"",
        *,
        method: bytes = GET,
        authority: bytes = AUTHORITY,
        length: int = -1,
    ) -> tuple[bytes, list[tuple[str, str]]]:
        """Encode a request; return the block and its fields."""
        block = self.encoder.encode(method, HTTP, authority, target, fields, length)
        decoded = self.hpack.decode(block, raw=True)
        assert decoded == self.ours.decode(block, raw=True)
        assert self.encoder.entries() == [(bytes(n), bytes(v)) for n, v in self.hpack.header_table.dynamic_entries]
        assert self.encoder.entries() == self.ours.entries()
        self.never = {bytes(one[0]) for one in decoded if isinstance(one, NeverIndexedHeaderTuple)}
        return block, [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in decoded]


def test_a_request_is_its_pseudo_fields_then_its_fields_in_lower_case() -> None:
    _, fields = Line().send(b"/orders?x=1", FIELDS, length=12)
    assert fields == [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "example.com:8080"),
        (":path", "/orders?x=1"),
        ("accept", "*/*"),
        ("user-agent", "siphon"),
        ("x-tenant", "a"),
        ("content-length", "12"),
    ]


def test_what_is_sent_a_third_time_takes_a_byte_a_field() -> None:
    line = Line()
    sizes = [len(line.send(b"/orders", FIELDS)[0]) for _ in range(4)]
    assert sizes[1] == pytest.approx(sizes[0], abs=5)
    assert sizes[2] == sizes[3] == 7


@pytest.mark.parametrize("fresh", [False, True], ids=["the same objects", "equal objects"])
def test_a_request_that_is_kept_encoded_means_the_same(fresh: bool) -> None:
    line = Line()
    first = line.send(b"/a", FIELDS)[1]
    for number in range(200):
        fields = bytes(bytearray(FIELDS)) if fresh else FIELDS
        assert line.send(b"/a", fields)[1] == first
        line.send(b"/%d" % (number // 2), b"X-Number: %d\r\n" % (number // 2))


def test_what_differs_in_each_request_does_not_enter_the_table() -> None:
    line = Line()
    for number in range(300):
        line.send(b"/calls/%d" % number, FIELDS + b"X-Request-Id: %d\r\n" % number)
    assert {name for name, _ in line.encoder.entries()} == {b":authority", b"accept", b"user-agent", b"x-tenant"}


def test_credentials_and_cookies_are_never_indexed() -> None:
    line = Line()
    for _ in range(3):
        line.send(b"/", b"Authorization: Basic c2VjcmV0\r\nCookie: a=b\r\nProxy-Authorization: x\r\n")
        assert line.never == {b"authorization", b"cookie", b"proxy-authorization"}
    assert line.encoder.entries() == [(b":authority", AUTHORITY)]


def test_a_target_with_a_query_is_not_indexed() -> None:
    line = Line()
    for _ in range(3):
        line.send(b"/a?token=secret")
        line.send(b"/a")
    assert (b":path", b"/a") in line.encoder.entries()
    assert len(line.encoder.entries()) == 2


def test_fields_of_a_connection_are_left_out() -> None:
    fields = lines(
        ("Connection", "keep-alive"), ("Keep-Alive", "5"), ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"),
        ("Proxy-Connection", "close"), ("TE", "gzip"), ("Host", "x"), ("Content-Length", "9"), ("Accept", "a/b"),
    )  # fmt: skip
    assert Line().send(b"/", fields)[1][4:] == [("accept", "a/b")]
    assert Line().send(b"/", lines(("TE", "trailers")))[1][4:] == [("te", "trailers")]


@pytest.mark.parametrize("name", ["x" * 256, "X" * 257, "Y" * 5000])
def test_a_name_of_any_length_is_sent_in_lower_case(name: str) -> None:
    line = Line()
    for _ in range(3):
        assert line.send(b"/", lines((name, "1"), ("b", "2")))[1][4:] == [(name.lower(), "1"), ("b", "2")]


def test_a_lower_limit_of_the_peer_is_told_with_the_next_block_and_kept() -> None:
    line = Line()
    for _ in range(3):
        line.send(b"/", FIELDS)
    line.hpack.max_allowed_table_size = line.ours.max_allowed_table_size = 64
    line.encoder.limit(64)
    for _ in range(3):
        line.send(b"/", FIELDS)
    assert line.encoder.entries() == [(b"x-tenant", b"a")]
    line.encoder.limit(0)
    line.hpack.max_allowed_table_size = line.ours.max_allowed_table_size = 4096
    line.encoder.limit(1 << 31)  # the smallest is told too: the peer has emptied its table
    block, _ = line.send(b"/", FIELDS)
    assert block.startswith(b"\x20\x3f\xe1\x1f")
    assert line.hpack.header_table_size == 4096


def test_a_large_limit_of_the_peer_is_not_used() -> None:
    line = Line()
    line.encoder.limit(1 << 20)
    line.send()
    for number in range(400):
        line.send(b"/%d" % (number // 2), b"x-long: %d%s\r\n" % (number // 2, b"v" * 400))
    assert sum(len(n) + len(v) + 32 for n, v in line.encoder.entries()) <= 4096


NAMES = st.sampled_from(
    ["accept", "Accept-Encoding", "x-a", "X-B", "cookie", "authorization", "content-type", "te", "via"]
)
VALUES = st.one_of(
    st.sampled_from(["", "1", "gzip, deflate", "trailers", "v" * 200, "w" * 1500]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12),
)
REQUESTS = st.tuples(
    st.sampled_from([b"GET", b"POST", b"PROPFIND"]),
    st.sampled_from([b"/", b"/a", b"/a?b", b"/index.html", b"/" + b"p" * 900]),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.sampled_from([-1, 0, 1, 10, 123456789012]),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(REQUESTS, st.sampled_from([0, 40, 100, 500, 4096])), max_size=30))
def test_any_sequence_of_requests_is_understood(steps: list[object]) -> None:
    line = Line()
    kept: dict[bytes, bytes] = {}
    for step in steps:
        if isinstance(step, int):
            line.hpack.max_allowed_table_size = line.ours.max_allowed_table_size = step
            line.encoder.limit(step)
            continue
        method, target, pairs, length = step  # type: ignore[misc]
        block = lines(*pairs)
        fields = line.send(target, kept.setdefault(block, block), method=method, length=length)[1]
        wanted = [(n.lower(), v) for n, v in pairs if n != "te" or v == "trailers"]
        if length >= 0:
            wanted.append(("content-length", str(length)))
        assert fields[0] == (":method", method.decode())
        assert fields[3:] == [(":path", target.decode()), *wanted]
