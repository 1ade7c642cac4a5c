from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siphon_http._core import urldecode
from siphon_http._core.urldecode import (
    canonical,
    decode_path,
    is_valid,
    parse_query,
    parse_query_list,
    parse_query_pairs,
)
from tests.oracle import urldecode as oracle

PIECES = st.sampled_from(
    b"% %4 %z1 %41 %2F %2f %25 %00 %7C %C3 %A9 %c3%bc \xc3\xbc \xff %ED%A0%80 %C0%80 %E2%82%AC %F4%90%80%80".split(b" ")
    + b"%F0%9F%98%80 + & = ; / abcdefgh".split(b" ")
)
RAW = st.lists(PIECES | st.binary(max_size=12), max_size=12).map(b"".join)


def outcome(function, raw):
    try:
        return function(raw)
    except ValueError:
        return ValueError


@given(RAW)
@example(b"")
@example(b"%")
@example(b"1234567%")
@example(b"12345678%4")
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_a_path_decodes_as_the_oracle_says(raw):
    assert outcome(decode_path, raw) == outcome(oracle.decode_path, raw)
    assert is_valid(raw) == oracle.is_valid(raw)


@given(RAW)
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_the_canonical_path_is_the_oracles_and_means_the_same(raw):
    path = canonical(raw)
    assert path == oracle.canonical(raw)
    assert canonical(path) == path
    assert outcome(decode_path, path) == outcome(decode_path, raw)
    assert path.count(b"/") == raw.count(b"/")


@given(RAW)
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_a_query_is_read_as_the_oracle_says(raw):
    pairs = oracle.parse_query_pairs(raw)
    assert parse_query_pairs(raw) == pairs
    assert parse_query(raw) == dict(pairs)
    for name in {name for name, _ in pairs} | {"absent"}:
        assert parse_query_list(raw, name) == [value for n, value in pairs if n == name]


def test_random_bytes_never_crash_and_agree_with_the_oracle():
    rng = random.Random(20240)
    for _ in range(3000):
        raw = rng.randbytes(rng.choice((3, 8, 9, 40, 300)))
        if rng.random() < 0.5:
            raw = raw.translate(bytes(b"%%%09afAFgZ/+&=.\xc3\xa9\xed"[i % 19] for i in range(256)))
        assert outcome(decode_path, raw) == outcome(oracle.decode_path, raw)
        assert is_valid(raw) == oracle.is_valid(raw)
        assert canonical(raw) == oracle.canonical(raw)
        assert parse_query_pairs(raw) == oracle.parse_query_pairs(raw)


@pytest.mark.parametrize("position", range(17))
@pytest.mark.parametrize("odd", [b"%", b"\xff", b"\x80"])
def test_one_odd_byte_is_seen_at_every_position(position, odd):
    raw = b"a" * position + odd + b"a" * (16 - position)
    assert not is_valid(raw)


@pytest.mark.parametrize("byte", sorted(set(range(0x80)) - {0x25}))
def test_every_ascii_byte_but_percent_is_valid_as_it_stands(byte):
    raw = bytes([byte]) * 11
    assert is_valid(raw)
    assert decode_path(raw) == raw.decode("ascii")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"a+b", "a+b"),
        (b"J%C3%BCrg", "Jürg"),
        (b"%2525", "%25"),
        (b"a%2Fb", "a/b"),
        (b"%F0%9F%98%80", "\U0001f600"),
        (b"%00", "\0"),
        (b"\xc3\xbc%C3%BC", "üü"),
        (b"x" * 1000 + b"%41", "x" * 1000 + "A"),
    ],
)
def test_a_path_is_decoded_exactly_once_and_plus_stays(raw, text):
    assert decode_path(raw) == text


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"%", "bad escape at offset 0"),
        (b"ab%z1", "bad escape at offset 2"),
        (b"%41%4", "bad escape at offset 3"),
        (b"%4\xc3", "bad escape at offset 0"),
        (b"%C3%zz", "bad escape at offset 3"),
        (b"a%ff", "bad UTF-8 at offset 1"),
        (b"a\xff", "bad UTF-8 at offset 1"),
        (b"%41%C0%80", "bad UTF-8 at offset 3"),
        (b"%E0%80%80", "bad UTF-8 at offset 0"),
        (b"%F0%80%80%80", "bad UTF-8 at offset 0"),
        (b"%ED%A0%80", "bad UTF-8 at offset 0"),
        (b"%F4%90%80%80", "bad UTF-8 at offset 0"),
        (b"abc%E2%82", "bad UTF-8 at offset 3"),
        (b"x" * 400 + b"%E2x", "bad UTF-8 at offset 400"),
    ],
)
def test_a_bad_path_is_refused_with_its_offset(raw, message):
    with pytest.raises(ValueError, match=message):
        decode_path(raw)
    assert not is_valid(raw)


def test_every_code_point_survives_and_every_surrogate_is_refused():
    for code in [*range(0x3000), *range(0xD700, 0xE100), *range(0xFFF0, 0x10010), *range(0x10FF00, 0x110000)]:
        raw = b"".join(b"%%%02x" % b for b in chr(code).encode("utf-8", "surrogatepass"))
        if 0xD800 <= code <= 0xDFFF:
            assert not is_valid(raw)
        else:
            assert is_valid(raw)
            assert decode_path(raw) == chr(code)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/hello", b"/hello"),
        (b"/hell%6f", b"/hello"),
        (b"/%7euser/%2D", b"/~user/-"),
        (b"/a%2fb%3f", b"/a%2Fb%3F"),
        (b"/caf\xc3\xa9", b"/caf%C3%A9"),
        (b"/caf%c3%a9", b"/caf%C3%A9"),
        (b"/a%20b%25%2B", b"/a%20b%25%2B"),
        (b"/a%7Cb%22", b'/a|b"'),
        (b"/%zz%6f", b"/%zz%6f"),
    ],
)
def test_equivalent_spellings_have_one_canonical_form(raw, path):
    assert canonical(raw) == path


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", []),
        (b"&&", []),
        (b"a=1&b=2", [("a", "1"), ("b", "2")]),
        (b"flag&flag=", [("flag", ""), ("flag", "")]),
        (b"=", [("", "")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a;b=1;c=2", [("a;b", "1;c=2")]),
        (b"q=a+b%2Bc%20d", [("q", "a b+c d")]),
        (b"a%3Db=%26", [("a=b", "&")]),
        (b"x=100%&y=%zz%4", [("x", "100%"), ("y", "%zz%4")]),
        (b"x=%FF&y=\xff", [("x", "\ufffd"), ("y", "\ufffd")]),
        (b"x=%ED%A0%80", [("x", "\ufffd\ufffd\ufffd")]),
        (b"x=" + b"+" * 700, [("x", " " * 700)]),
    ],
)
def test_a_query_is_lenient(raw, pairs):
    assert parse_query_pairs(raw) == pairs


def test_the_last_of_duplicates_wins_in_the_dict_and_the_list_has_all():
    raw = b"a=1&b=x&a=2&%61=3"
    assert parse_query(raw) == {"a": "3", "b": "x"}
    assert parse_query_list(raw, "a") == ["1", "2", "3"]
    assert parse_query_list(raw, "c") == []


@pytest.mark.parametrize("name", urldecode.__all__)
def test_none_is_refused(name):
    arguments = (None, "a") if name == "parse_query_list" else (None,)
    with pytest.raises(TypeError):
        getattr(urldecode, name)(*arguments)
