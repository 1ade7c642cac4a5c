"""Content codings: what is decoded, what is left alone, what is refused, and how much memory it may take."""

from __future__ import annotations

import contextlib
import gzip
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon_http.client import decode
from siphon_http.client.decode import ACCEPT_ENCODING, ContentDecoder, decoder
from siphon_http.errors import ReadError

TEXT = b"Die Antwort, die wir suchen. " * 50


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
}


def made(coding: str, limit: int = 1 << 30) -> ContentDecoder:
    found = decoder(coding, limit)
    assert found is not None
    return found


def decoded(coding: str, *data: bytes, limit: int = 1 << 30) -> bytes:
    found = made(coding, limit)
    result = b"".join(found.feed(piece) for piece in data)
    found.end()
    return result


@pytest.mark.parametrize("coding", PACK)
def test_a_coding_is_taken_off_however_it_is_cut(coding: str) -> None:
    packed = PACK[coding](TEXT)
    assert decoded(coding, packed) == TEXT
    assert decoded(coding, *(packed[i : i + 1] for i in range(len(packed)))) == TEXT
    for i in range(len(packed)):
        assert decoded(coding, packed[:i], packed[i:]) == TEXT


@pytest.mark.parametrize("coding", PACK)
def test_empty_content_is_decoded(coding: str) -> None:
    assert decoded(coding, PACK[coding](b"")) == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, deflate"])
def test_no_content_at_all_is_fine(coding: str) -> None:
    assert decoded(coding) == b""
    assert decoded(coding, b"") == b""


@given(st.binary(max_size=2000), st.sampled_from(sorted(PACK)), st.integers(1, 100))
def test_any_content_survives(data: bytes, coding: str, step: int) -> None:
    packed = PACK[coding](data)
    assert decoded(coding, *(packed[i : i + step] for i in range(0, len(packed), step))) == data


def test_codings_on_top_of_each_other_are_taken_off_last_first() -> None:
    packed = gzip.compress(zlib.compress(TEXT))
    assert decoded("deflate, gzip", packed) == TEXT
    assert decoded("identity, deflate,gzip", *(packed[i : i + 1] for i in range(len(packed)))) == TEXT


def test_members_of_gzip_follow_each_other() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert decoded("gzip", packed) == b"one two"
    assert decoded("gzip", *(packed[i : i + 1] for i in range(len(packed)))) == b"one two"


@pytest.mark.parametrize(
    "coding", ["", "identity", "br", "zstd", "gzip, br", "compress", "gzip, gzip, gzip", "gzip;q=1"]
)
def test_what_is_unknown_or_nothing_is_left_as_it_is(coding: str) -> None:
    assert decoder(coding, 100) is None


def test_what_is_asked_for_is_what_is_known() -> None:
    assert all(decoder(coding, 1) for coding in ACCEPT_ENCODING.split(","))


# ---- damage


@pytest.mark.parametrize("coding", PACK)
def test_cut_content_is_an_error(coding: str) -> None:
    packed = PACK[coding](TEXT)
    for size in (1, 2, 5, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ReadError, match=r"is cut|damaged"):
            decoded(coding, packed[:size])


def test_a_cut_second_member_is_an_error() -> None:
    with pytest.raises(ReadError, match="is cut"):
        decoded("gzip", gzip.compress(b"one") + gzip.compress(b"two")[:-3])


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("junk", [b"junk", b"\0" * 20])
def test_bytes_after_the_end_are_an_error(coding: str, junk: bytes) -> None:
    packed = PACK[coding](TEXT)
    with pytest.raises(ReadError, match=r"follow the end|damaged"):
        decoded(coding, packed + junk)
    with pytest.raises(ReadError, match=r"follow the end|damaged"):
        decoded(coding, packed, junk)


@pytest.mark.parametrize("coding", PACK)
def test_junk_is_an_error(coding: str) -> None:
    with pytest.raises(ReadError, match="content is damaged: "):
        decoded(coding, b"<html>this is no gzip</html>")


def test_a_wrong_check_sum_is_an_error() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1
    with pytest.raises(ReadError, match="the gzip content is damaged: incorrect data check"):
        decoded("gzip", bytes(packed))


@given(st.binary(min_size=1, max_size=60), st.sampled_from(["gzip", "deflate", "deflate, gzip"]))
def test_any_bytes_are_decoded_or_refused(data: bytes, coding: str) -> None:
    with contextlib.suppress(ReadError):
        assert len(decoded(coding, data, limit=10_000)) <= 10_000


# ---- limits


@pytest.mark.parametrize("coding", PACK)
def test_the_limit_counts_decoded_bytes(coding: str) -> None:
    packed = PACK[coding](bytes(1000))
    assert len(decoded(coding, packed, limit=1000)) == 1000
    with pytest.raises(ReadError, match="more than 999 bytes"):
        decoded(coding, packed, limit=999)


def test_a_bomb_is_cut_before_it_unfolds() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    found = made("gzip", 200_000)
    size = 0
    with pytest.raises(ReadError, match="more than 200000 bytes"):
        for piece in found.pieces(bomb):
            assert 0 < len(piece) <= decode.PIECE_BYTES
            size += len(piece)
    assert size <= 200_000


def test_a_bomb_within_a_bomb_is_cut_in_the_middle() -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)) * 20)
    with pytest.raises(ReadError, match="more than 100000 bytes"):
        decoded("gzip, gzip", bomb, limit=100_000)


def test_pieces_are_made_when_they_are_asked_for() -> None:
    pieces = made("gzip").pieces(gzip.compress(bytes(10_000_000)))
    assert len(next(pieces)) == decode.PIECE_BYTES
    assert sum(map(len, pieces)) == 10_000_000 - decode.PIECE_BYTES


def test_large_content_is_decoded_in_linear_time() -> None:
    noise = random.Random(1).randbytes(3_000_000)
    found = decoded("gzip", gzip.compress(noise, 1) + gzip.compress(bytes(30_000_000), 1) + gzip.compress(noise, 1))
    assert len(found) == 36_000_000
    assert found.endswith(noise)
