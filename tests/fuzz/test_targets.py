"""Every fuzz target over its corpus, and over seeded mutations of it.

SIPHON_HTTP_FUZZ_RUNS=N plays N mutations to each target instead of the few of the suite; `make fuzz` is guided by coverage.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
RUNS = int(os.environ.get("SIPHON_HTTP_FUZZ_RUNS", "300"))
SPICE = [
    b"\0",
    b"\r\n",
    b"\n",
    b":",
    b"%",
    b"%2",
    b"%41",
    b"/",
    b"+",
    b"\xff",
    b"\x80",
    b"{",
    b"}",
    b"  ",
    b"&",
    b"=",
    b"0",
    b"- ",
    b"'",
]


def seeds(target: str) -> list[Path]:
    """Return the files of a target's corpus."""
    return sorted((CORPUS / target).iterdir())


def mutated(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Return `data` changed in one to four places."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(6)
        if kind == 0:
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + draw.choice(SPICE) + data[at:]
        elif kind == 2:
            data = data[:at] + data[at + draw.randint(1, 8) :]
        elif kind == 3:
            data = data[:at] + other[draw.randrange(len(other) + 1) :]
        elif kind == 4:
            data = data[:at] + data[at // 2 : at] + data[at:]
        elif at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    return data[:4096]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_corpus(target: str) -> None:
    assert len(seeds(target)) >= 3


def test_every_corpus_has_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize(
    "target, file", [(t, f) for t in TARGETS for f in seeds(t)], ids=lambda v: getattr(v, "name", v)
)
def test_the_corpus(target: str, file: Path) -> None:
    TARGETS[target](file.read_bytes())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target: str) -> None:
    corpus = [file.read_bytes() for file in seeds(target)]
    draw = random.Random(target)
    for _ in range(RUNS):
        data = mutated(draw, draw.choice(corpus), draw.choice(corpus))
        try:
            TARGETS[target](data)
        except Exception as error:
            error.add_note(f"{target}: {data!r}")
            raise
