"""URLs: parsed, joined, encoded and refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon_http._core.url import encode_query, join_url, parse_url, shown_url

PARSED = {
    "http://example.com": (b"http", "example.com", 80, b"example.com", b"/"),
    "https://example.com/": (b"https", "example.com", 443, b"example.com", b"/"),
    "HTTP://EXAMPLE.com:80/A": (b"http", "example.com", 80, b"example.com", b"/A"),
    "https://example.com:80/": (b"https", "example.com", 80, b"example.com:80", b"/"),
    "http://example.com:/x": (b"http", "example.com", 80, b"example.com", b"/x"),
    "http://127.0.0.1:8080/x?y#z": (b"http", "127.0.0.1", 8080, b"127.0.0.1:8080", b"/x?y"),
    "http://[::1]": (b"http", "::1", 80, b"[::1]", b"/"),
    "https://[2001:DB8:0::1]:8443/x": (b"https", "2001:db8::1", 8443, b"[2001:db8::1]:8443", b"/x"),
    "http://a_b.example/?q": (b"http", "a_b.example", 80, b"a_b.example", b"/?q"),
    "http://example.com?q=1": (b"http", "example.com", 80, b"example.com", b"/?q=1"),
    "http://example.com#f": (b"http", "example.com", 80, b"example.com", b"/"),
    " http://example.com/ ": (b"http", "example.com", 80, b"example.com", b"/"),
}


@pytest.mark.parametrize("text", PARSED)
def test_a_url_is_parsed(text: str) -> None:
    url = parse_url(text)
    assert (url.scheme, url.host, url.port, url.authority, url.target) == PARSED[text]


REFUSED = {
    "": "no http",
    "example.com": "no http",
    "ftp://example.com/": "no http",
    "//example.com/": "no http",
    "http://": "no host",
    "http:///x": "no host",
    "http://:80/": "no host",
    "http://user@example.com/": "credentials",
    "http://user:pw@example.com/": "credentials",
    "http://a:0/": "port",
    "http://a:65536/": "port",
    "http://a:8x/": "port",
    "http://a:٣/": "port",
    "http://a:-1/": "port",
    "http://::1/": "brackets",
    "http://[::1/": "IPv6",
    "http://[::1]x/": "IPv6",
    "http://[fe80::1%25eth0]/": "IPv6",
    "http://[1.2.3.4]/": "IPv6",
    "http://a b/": "cannot be part of a host",
    "http://a%20b/": "cannot be part of a host",
    "http://a\nb/": "cannot be part of a host",
    "http://exämple.com/": "not ASCII",
    "http://a/\r\nx": "control character",
    "http://a/\x00": "control character",
    "http://a/\x7f": "control character",
    "http://a/\ud800": "surrogate",
    "http://a\\@b/": "no such thing",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_url_is_refused_with_its_reason(text: str) -> None:
    if REFUSED[text] == "no such thing":
        assert parse_url(text).host == "a", "a backslash ends the host, as browsers read it"
        return
    with pytest.raises(ValueError, match=REFUSED[text]) as caught:
        parse_url(text)
    assert "pw" not in str(caught.value)


def test_a_host_beyond_ascii_is_for_the_caller_to_encode() -> None:
    assert (
        parse_url("http://BÜCHER.example/", lambda host: host.encode("idna").decode()).host == "xn--bcher-kva.example"
    )
    with pytest.raises(ValueError, match="cannot be part of a host"):
        parse_url("http://ü/", lambda host: "a/b")


JOINED = [
    ("http://a", "", b"/"),
    ("http://a/", "", b"/"),
    ("http://a/v1", "", b"/v1"),
    ("http://a/v1/", "", b"/v1/"),
    ("http://a/v1", "x", b"/v1/x"),
    ("http://a/v1/", "x", b"/v1/x"),
    ("http://a/v1/", "/x", b"/v1/x"),
    ("http://a", "/x", b"/x"),
    ("http://a", "x", b"/x"),
    ("http://a/v1", "//x", b"/v1//x"),
    ("http://a/v1", "?q", b"/v1?q"),
    ("http://a/v1", "a/../b", b"/v1/a/../b"),
    ("http://a", "/a b", b"/a%20b"),
    ("http://a", "/ü€😀", b"/%C3%BC%E2%82%AC%F0%9F%98%80"),
    ("http://a", "/%41%zz%", b"/%41%25zz%25"),
    ("http://a", "/#31#", b"/%2331%23"),
    ("http://a", "/*21*100#?x=#", b"/*21*100%23?x=%23"),
    ("http://a", '/"<>\\^`{|}', b"/%22%3C%3E%5C%5E%60%7B%7C%7D"),
    ("http://a", "/-._~:/?@!$&'()*+,;=[]", b"/-._~:/?@!$&'()*+,;=[]"),
    ("http://a", "/sip:alice@example.com;tag=1", b"/sip:alice@example.com;tag=1"),
]


@pytest.mark.parametrize("base, path, target", JOINED)
def test_a_path_is_joined(base: str, path: str, target: bytes) -> None:
    assert parse_url(base).join(path) == target


@pytest.mark.parametrize("path", ["/a\rb", "/a\nb", "/\x00", "/\x1f", "/\x7f", "/\udfff", "x\ny", "?\n"])
def test_a_path_with_control_characters_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"control character|surrogate"):
        parse_url("http://a/").join(path)


def test_an_absolute_path_replaces_the_base() -> None:
    assert join_url("http://a/v1", "https://b/x", {"y": 1}) == "https://b/x?y=1"
    assert join_url("http://a/v1", "x?y", [("z", "1")]) == "http://a/v1/x?y&z=1"
    assert join_url("http://a/v1", "tel:+1", None) == "http://a/v1/tel:+1"
    with pytest.raises(ValueError):
        join_url("", "/x")


QUERIES: list[tuple[Any, bytes]] = [
    ({}, b""),
    ({"a": "b"}, b"a=b"),
    ({"a": ["1", 2], "b": None, "c": True, "d": 1.5, "e": b"\xff"}, b"a=1&a=2&c=true&d=1.5&e=%FF"),
    ([("a", "1"), ("a", "2")], b"a=1&a=2"),
    ({"a b": "c&d=e+f"}, b"a%20b=c%26d%3De%2Bf"),
    ({"ü": "€"}, b"%C3%BC=%E2%82%AC"),
]


@pytest.mark.parametrize("params, query", QUERIES)
def test_params_become_a_query(params: Any, query: bytes) -> None:
    assert encode_query(params) == query


@pytest.mark.parametrize("params", [{"a": object()}, {"a": {}}, {1j: "a"}, ["a"], [("a", "b", "c")]])
def test_params_of_another_type_are_refused(params: Any) -> None:
    with pytest.raises(TypeError):
        encode_query(params)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4))
def test_a_query_reads_back_as_it_was_given(params: dict[str, str]) -> None:
    query = encode_query(params).decode()
    assert dict(parse_qsl(query, keep_blank_values=True)) == params


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_a_joined_target_is_visible_ascii_and_encoding_is_done_once(path: str) -> None:
    target = parse_url("http://a/b").join(path)
    assert all(0x21 <= byte <= 0x7E and byte != 0x23 for byte in target) and target.startswith(b"/b")
    assert parse_url("http://a").join(target.decode()) == target
    assert urlsplit("http://a" + target.decode()).netloc == "a"


def test_a_url_for_a_message_has_neither_userinfo_nor_query() -> None:
    assert shown_url("http://u:p@h/x?token=1") == "http://***@h/x?..."
    assert shown_url("/x") == "/x"
    assert repr(parse_url("http://a/x")) == "<Url http://a/x>"
