"""However a stream is cut, it comes to the same."""

from __future__ import annotations

import random

import pytest

from siphon_http.testing import RecordingSink
from tests.protocol.wire_samples import BAD, GOOD, echo, outcome

SAMPLES = GOOD | BAD


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_cut_at_each_byte_gives_the_same_calls(name: str) -> None:
    data = SAMPLES[name]
    whole = outcome(RecordingSink(echo).receive(data))
    for cut in range(1, len(data)):
        assert outcome(RecordingSink(echo).receive(data[:cut], data[cut:])) == whole, cut


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_byte_by_byte_gives_the_same_calls(name: str) -> None:
    data = SAMPLES[name]
    assert outcome(RecordingSink(echo).receive(*(data[i : i + 1] for i in range(len(data))))) == outcome(
        RecordingSink(echo).receive(data)
    )


@pytest.mark.parametrize("name", GOOD)
def test_what_is_allowed_is_not_refused(name: str) -> None:
    sink = RecordingSink(echo).receive(GOOD[name])
    assert "refused" not in sink.names
    assert sink.requests


@pytest.mark.parametrize("name", BAD)
def test_what_is_forbidden_is_refused_and_the_connection_closed(name: str) -> None:
    sink = RecordingSink(echo).receive(BAD[name])
    assert sink.names[-1] == "close"
    assert "refused" in sink.names
    assert b"\r\nconnection: close\r\n" in sink.written
    before = outcome(sink)
    sink.receive(GOOD["get"])
    assert outcome(sink) == before


@pytest.mark.parametrize("limits", [(60, 128), (65536, 2), (200, 3)])
def test_limits_do_not_depend_on_the_split(limits: tuple[int, int]) -> None:
    draw = random.Random(7)
    size, fields = limits
    for length in range(30, 90, 3):
        data = (
            b"GET /" + b"x" * length + b" HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * (length % 4) + b"\r\n" + GOOD["get"]
        )
        whole = outcome(RecordingSink(echo, max_header_bytes=size, max_headers=fields).receive(data))
        for _ in range(40):
            cuts = sorted(draw.sample(range(len(data)), 3))
            parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            assert outcome(RecordingSink(echo, max_header_bytes=size, max_headers=fields).receive(*parts)) == whole
