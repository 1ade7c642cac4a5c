"""Percent-decoding and queries, each with the call from Python (about 20 ns, shown by `call_only`)."""

from __future__ import annotations

import pytest

from siphon_http._core.urldecode import canonical, decode_path, is_valid, parse_query, parse_query_list

COMPONENTS = {
    "call_only": b"",
    "plain": b"hello-world",
    "one_word_escaped": b"J%C3%BCrg",
    "48_escapes": b"%D0%9F%D1%80%D0%B8" * 8,
    "4_KiB": b"abcdefg%20" * 410,
}
PATHS = {
    "plain": b"/repos/octocat/hello-world/issues/1347",
    "escaped": b"/users/J%C3%BCrg/orders/%E2%82%AC",
    "other_spelling": b"/users/J%c3%bcrg/%6frders/1",
}
QUERIES = {
    "empty": b"",
    "one": b"page=2",
    "four": b"page=2&per_page=50&sort=created&direction=desc",
    "escaped": b"q=J%C3%BCrg+M%C3%BCller&city=K%C3%B6ln&from=2024-01-01T00%3A00%3A00Z",
    "hundred": b"&".join(b"key%d=value%d" % (i, i) for i in range(100)),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_decode_path(benchmark, name):
    raw = COMPONENTS[name]
    assert len(benchmark(decode_path, raw)) <= len(raw)


@pytest.mark.parametrize("name", PATHS)
def test_is_valid(benchmark, name):
    assert benchmark(is_valid, PATHS[name])


@pytest.mark.parametrize("name", PATHS)
def test_canonical(benchmark, name):
    assert benchmark(canonical, PATHS[name]).startswith(b"/")


@pytest.mark.parametrize("name", QUERIES)
def test_parse_query(benchmark, name):
    raw = QUERIES[name]
    assert len(benchmark(parse_query, raw)) == raw.count(b"=")


def test_parse_query_list(benchmark):
    assert benchmark(parse_query_list, b"tag=a&page=2&tag=b%20c&sort=x&tag=d", "tag") == ["a", "b c", "d"]
