"""Body accumulator: one piece, many pieces, and the refusal; each round is one whole message."""

from __future__ import annotations

from typing import Any

import pytest

from siphon_http._core.body import BodyAccumulator
from siphon_http.errors import ContentTooLarge

LIMIT = 1_048_576
KIB = b"x" * 1024
READ = b"x" * 65_536  # about what one read of a fast peer brings


def collect(pieces: list[bytes]) -> bytes:
    """Do what a connection does for one message."""
    body = BodyAccumulator(LIMIT)
    for piece in pieces:
        body.feed(piece)
    return body.take()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([KIB], id="1KiB_in_one_piece"),
        pytest.param([b"x"] * 1024, id="1KiB_byte_by_byte"),
        pytest.param([READ] * 16, id="1MiB_in_16_reads"),
    ],
)
def test_collect(benchmark: Any, pieces: list[bytes]) -> None:
    assert benchmark(collect, pieces) == b"".join(pieces)


def test_refuse(benchmark: Any) -> None:
    def refused() -> bool:
        body = BodyAccumulator(1024)
        body.feed(KIB)
        try:
            body.feed(b"x")
        except ContentTooLarge:
            return True
        return False

    assert benchmark(refused)
