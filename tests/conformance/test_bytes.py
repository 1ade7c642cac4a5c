"""Forbidden bytes in every place of a head (RFC 9110, 5.5; RFC 9112, 2.2 and 5; design section 5)."""

from __future__ import annotations

import json

import pytest

from .launch import Server
from .wire import one, refused

AFTER = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
LINES = [b"GET /seen HTTP/1.1", b"Host: t", b"X-One: first value", b"X-Two: second", b""]
TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def head(lines: list[bytes], ends: list[bytes]) -> bytes:
    """Join lines with their own line ends."""
    return b"".join(line + end for line, end in zip(lines, ends, strict=True))


@pytest.mark.parametrize("place", range(len(LINES)))
@pytest.mark.parametrize(
    "end", [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r"], ids=["LF", "CR", "CRCRLF", "LFCR", "CRLFCR"]
)
def test_a_line_that_ends_otherwise_than_in_crlf_is_refused(main: Server, place: int, end: bytes) -> None:
    ends = [b"\r\n"] * len(LINES)
    ends[place] = end
    data = head(LINES, ends)
    if place == len(LINES) - 1 and end == b"\r\n\r":  # a correct head, and a bare CR before the next message
        refused(main["plain"], data + AFTER, before=(200,))
    else:
        refused(main["plain"], data + AFTER)


@pytest.mark.parametrize("byte", [b"\0", b"\r", b"\n"], ids=["NUL", "CR", "LF"])
@pytest.mark.parametrize("place", range(len(LINES[2]) + 1))
def test_nul_cr_and_lf_are_refused_everywhere_in_a_field_line(main: Server, byte: bytes, place: int) -> None:
    line = LINES[2][:place] + byte + LINES[2][place:]
    data = b"\r\n".join([*LINES[:2], line, *LINES[3:]]) + b"\r\n"
    refused(main["plain"], data + AFTER)


@pytest.mark.parametrize(
    "byte", [b for b in range(256) if b not in TOKEN and b not in b"\r\n:"], ids=lambda b: f"0x{b:02x}"
)
def test_a_byte_that_is_no_token_in_a_field_name_is_refused(main: Server, byte: int) -> None:
    refused(main["plain"], b"GET / HTTP/1.1\r\nHost: t\r\nX-" + bytes([byte]) + b"A: b\r\n\r\n" + AFTER)


@pytest.mark.parametrize("byte", TOKEN, ids=lambda b: f"0x{b:02x}")
def test_every_token_byte_in_a_field_name_is_taken(main: Server, byte: int) -> None:
    answer = one(main["plain"], b"GET /seen HTTP/1.1\r\nHost: t\r\nX-" + bytes([byte]) + b"A: b\r\n\r\n")
    assert json.loads(answer.body)["headers"]["x-" + chr(byte).lower() + "a"] == "b"


@pytest.mark.parametrize("byte", [b for b in [*range(1, 0x20), 0x7F] if b not in b"\t\r\n"], ids=lambda b: f"0x{b:02x}")
def test_another_control_byte_in_a_value_is_refused_or_kept(main: Server, byte: int) -> None:
    """RFC 9110, 5.5: invalid, yet a recipient may keep them; never a message of its own."""
    answer = one(main["plain"], b"GET /seen HTTP/1.1\r\nHost: t\r\nX-A: b" + bytes([byte]) + b"c\r\n\r\n")
    assert answer.status == 400 or json.loads(answer.body)["headers"]["x-a"] == f"b{chr(byte)}c"


@pytest.mark.parametrize("byte", [*range(0x80, 0x100)], ids=lambda b: f"0x{b:02x}")
def test_high_bytes_in_a_value_are_shown_as_latin_1(main: Server, byte: int) -> None:
    """Design section 3: non-ASCII as latin-1."""
    answer = one(main["plain"], b"GET /seen HTTP/1.1\r\nHost: t\r\nX-A: b" + bytes([byte]) + b"c\r\n\r\n")
    assert json.loads(answer.body)["headers"]["x-a"] == f"b{chr(byte)}c"


FOLDS = {
    "space": b"X-A: b\r\n c\r\n",
    "tab": b"X-A: b\r\n\tc\r\n",
    "many spaces": b"X-A: b\r\n      c\r\n",
    "empty fold": b"X-A: b\r\n \r\n",
    "behind the request line": b" X-A: b\r\n",
    "behind an empty value": b"X-A:\r\n b\r\n",
    "twice": b"X-A: b\r\n c\r\n d\r\n",
    "hidden host": b"X-A: b\r\n Host: u\r\n",
    "after a bare LF": b"X-A: b\n c\r\n",
}


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_folded_line_is_refused(main: Server, name: str, first: bool) -> None:
    """RFC 9112, 5.2: a server that gets obs-fold must answer 400 or unfold; the design refuses."""
    fields = FOLDS[name] + b"Host: t\r\n" if first else b"Host: t\r\n" + FOLDS[name]
    refused(main["plain"], b"GET / HTTP/1.1\r\n" + fields + b"\r\n" + AFTER)


LINES_WITHOUT_FORM = {
    "no colon": b"X-A\r\n",
    "no colon, a space": b"X-A b\r\n",
    "only a colon": b":\r\n",
    "no name": b": b\r\n",
    "space only name": b" : b\r\n",
    "space before the colon": b"X-A : b\r\n",
    "tab before the colon": b"X-A\t: b\r\n",
    "two spaces before the colon": b"X-A  : b\r\n",
    "a second request line": b"GET / HTTP/1.1\r\n",
    "quotes": b'"X-A": b\r\n',
}


@pytest.mark.parametrize("name", LINES_WITHOUT_FORM)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_malformed_field_line_is_refused(main: Server, name: str, first: bool) -> None:
    line = LINES_WITHOUT_FORM[name]
    fields = line + b"Host: t\r\n" if first else b"Host: t\r\n" + line
    refused(main["plain"], b"GET / HTTP/1.1\r\n" + fields + b"\r\n" + AFTER)


VALUES = {
    "no space": (b"X-A:b", "b"),
    "spaces around": (b"X-A:   b   ", "b"),
    "tabs around": (b"X-A:\t\tb\t\t", "b"),
    "mixed around": (b"X-A: \t b \t ", "b"),
    "space inside": (b"X-A: b c", "b c"),
    "tab inside": (b"X-A: b\tc", "b\tc"),
    "empty": (b"X-A:", ""),
    "only white space": (b"X-A: \t ", ""),
    "colons": (b"X-A: b: c:d", "b: c:d"),
    "quoted": (b'X-A: "b, c"', '"b, c"'),
}


@pytest.mark.parametrize("name", VALUES)
def test_white_space_around_a_value_is_no_part_of_it(main: Server, name: str) -> None:
    line, value = VALUES[name]
    answer = one(main["plain"], b"GET /seen HTTP/1.1\r\n" + line + b"\r\nHost: t\r\n\r\n")
    assert json.loads(answer.body)["headers"]["x-a"] == value
