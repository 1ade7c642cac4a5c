"""HPACK: a browser's request read by the hot path and by `decode`, beside hpack; an answer written. One round = 1,000."""

from __future__ import annotations

import hpack
import pytest

from siphon_http._core.hpack import Decoder, decode_often, encode_response

TIMES = 1000
BROWSER = [
    (":method", "GET"),
    (":authority", "example.com"),
    (":scheme", "https"),
    (":path", "/orders/17?page=2"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ("te", "trailers"),
]
FIELDS = [("content-type", "application/json"), ("cache-control", "no-store"), ("x-request-id", "4f6a1c0e9b")]


def blocks():
    """Return name -> (blocks that fill the table, the block that is read again and again)."""
    first = hpack.Encoder()
    known = hpack.Encoder()
    opening = known.encode(BROWSER)
    new_path = [
        (name, value) if name != ":path" else hpack.NeverIndexedHeaderTuple(name, value + "0")
        for name, value in BROWSER
    ]
    return {
        "all_indexed": ([opening], known.encode(BROWSER)),
        "path_literal": ([opening], known.encode(new_path)),
        "all_inserted": ([], first.encode(BROWSER)),
        "all_literal": ([], hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in BROWSER])),
        "all_literal_plain": (
            [],
            hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in BROWSER], huffman=False),
        ),
    }


BLOCKS = blocks()


@pytest.mark.parametrize("name", BLOCKS)
def test_hot_face_1000_requests(benchmark, name):
    opening, block = BLOCKS[name]
    decoder = Decoder()
    for one in opening:
        decoder.decode(one)
    assert benchmark(decode_often, decoder, block, TIMES) == TIMES


@pytest.mark.parametrize("kind", [Decoder, hpack.Decoder], ids=["ours", "hpack"])
@pytest.mark.parametrize("name", BLOCKS)
def test_decode_one_request(benchmark, name, kind):
    opening, block = BLOCKS[name]
    decoder = kind()
    for one in opening:
        decoder.decode(one)
    assert len(benchmark(decoder.decode, block, raw=True)) == len(BROWSER)


def test_encode_one_answer_with_checks(benchmark):
    assert benchmark(encode_response, 200, FIELDS, 1234, b"Sun, 06 Nov 1994 08:49:37 GMT")[0] == 0x88
