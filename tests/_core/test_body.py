from __future__ import annotations

import random
import sys

import pytest

from siphon_http._core.body import BodyAccumulator
from siphon_http.errors import ContentTooLarge


def test_pieces_come_back_as_one() -> None:
    draw = random.Random(1)
    for _ in range(300):
        pieces = [draw.randbytes(draw.choice([0, 1, 2, 511, 512, 513, 5_000])) for _ in range(draw.randrange(12))]
        body = BodyAccumulator(100_000)
        left = [body.feed(piece) for piece in pieces]
        assert left == [100_000 - sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
        taken = body.take()
        assert type(taken) is bytes and taken == b"".join(pieces)
        assert body.take() == b""
        assert body.size == len(taken)


def test_a_single_piece_is_not_copied() -> None:
    piece = b"x" * 1_000
    body = BodyAccumulator(1_000)
    body.feed(piece)
    assert body.take() is piece


def test_what_passes_the_limit_is_refused_and_nothing_kept() -> None:
    body = BodyAccumulator(10)
    assert body.feed(b"12345") == 5
    with pytest.raises(ContentTooLarge):
        body.feed(b"678901")
    assert body.take() == b""
    assert BodyAccumulator(0).feed(b"") == 0
    with pytest.raises(ContentTooLarge):
        BodyAccumulator(0).feed(b"x")


def test_a_limit_near_the_largest_integer_does_not_overflow() -> None:
    body = BodyAccumulator(2**63 - 1)
    assert body.feed(b"abc") == 2**63 - 4
    with pytest.raises(ValueError):
        BodyAccumulator(-1)
    with pytest.raises(OverflowError):
        BodyAccumulator(2**63)


def test_a_body_in_tiny_pieces_costs_no_object_for_each() -> None:
    body = BodyAccumulator(1_000_000)
    before = sys.getallocatedblocks()
    for i in range(50_000):
        body.feed(b"%02d" % (i % 100))
    assert sys.getallocatedblocks() - before < 1_000
    assert len(body.take()) == 100_000
