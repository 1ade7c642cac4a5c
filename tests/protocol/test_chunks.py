"""Where a chunked body ends, against a slow reading of RFC 9112, 7.1."""

from __future__ import annotations

import random
import re

import pytest

from siphon_http.protocol.chunks import measure_chunks

LARGE = 2**63 - 1


@pytest.mark.parametrize(
    "body, content",
    [
        (b"0\r\n\r\n", 0),
        (b"5\r\nhello\r\n0\r\n\r\n", 5),
        (b"5;a=b;c\r\nhello\r\n000;x\r\n\r\n", 5),
        (b"A\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n", 10),
        (b"9\r\n0\r\n\r\nGET \r\n0\r\n\r\n", 9),
    ],
)
def test_a_body_ends_where_its_last_chunk_and_trailers_do(body: bytes, content: int) -> None:
    assert measure_chunks(body + b"GET / HTTP/1.1", LARGE) == (len(body), True, content)
    for cut in range(len(body)):
        used, ended, _ = measure_chunks(body[:cut], LARGE)
        assert (used, ended) == (cut, False)


@pytest.mark.parametrize(
    "body, status",
    [
        (b"\r\n", 400), (b";a\r\n", 400), (b"g\r\n", 400), (b"-1\r\n", 400), (b"+1\r\n", 400), (b"0x1\r\n", 400), (b" 1\r\n", 400),
        (b"1 \r\na", 400), (b"1\t;a\r\n", 400), (b"1\na", 400), (b"1\r\r\n", 400), (b"1;a\n", 400), (b"1;\r\r\n", 400),
        (b"1\r\nab", 400), (b"1\r\na\n", 400), (b"1\r\na\r\r", 400), (b"0\r\n\n", 400), (b"0\r\n\rx", 400), (b"0\r\n x: y\r\n", 400),
        (b"0\r\nX: y\r\n\tz\r\n", 400), (b"0\r\nX: y\n", 400), (b"0\r\nX: y\rz", 400), (b"0" * 16, 400), (b"f" * 16, 400),
        (b"0;" + b"x" * 4097, 400), (b"0\r\n" + b"A: b\r\n" * 129, 431), (b"0\r\nA: " + b"b" * 65536, 431),
    ],
)  # fmt: skip
def test_what_is_no_chunked_body_is_refused(body: bytes, status: int) -> None:
    assert measure_chunks(body, LARGE)[0] == -status


@pytest.mark.parametrize("cap", [0, 5, 2**60 - 1, LARGE])
def test_a_size_is_compared_with_the_cap_without_overflow(cap: int) -> None:
    for size in (0, 5, 6, 2**59, 2**60 - 1):
        used, _, total = measure_chunks(b"%x\r\n" % size, cap)
        assert used == (-413 if size > cap else len(b"%x\r\n" % size))
        assert total == (0 if size > cap else size)


def test_the_sum_of_chunks_is_compared_with_the_cap() -> None:
    body = b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    assert measure_chunks(body, 6) == (len(body), True, 6)
    assert measure_chunks(body, 5)[0] == -413


def slow(body: bytes) -> int:
    """Return how many bytes of `body` are a whole chunked body, or 0."""
    at = 0
    while match := re.compile(rb"([0-9a-fA-F]{1,15})(;[^\r\n]*)?\r\n").match(body, at):
        size = int(match[1], 16)
        at = match.end()
        if not size:
            match = re.compile(rb"(?:[^\r\n \t][^\r\n]*\r\n)*\r\n").match(body, at)
            return match.end() if match else 0
        if body[at + size : at + size + 2] != b"\r\n":
            return 0
        at += size + 2
    return 0


def test_random_bodies_end_where_the_slow_reading_says() -> None:
    draw = random.Random(5)
    pieces = [
        b"0",
        b"1",
        b"a",
        b"00",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b";",
        b"x",
        b"\r",
        b"\n",
        b" ",
        b"0\r\n\r\n",
        b"1\r\nz\r\n",
        b"X: y\r\n",
    ]
    whole = 0
    for _ in range(30_000):
        body = b"".join(draw.choice(pieces) for _ in range(draw.randrange(1, 9)))
        used, ended, _ = measure_chunks(body, LARGE)
        assert (used if ended else 0) == slow(body), body
        whole += ended
    assert whole > 1_000
