"""Host (RFC 9110, 7.2; RFC 9112, 3.2; design section 5: exactly one valid Host on 1.1)."""

from __future__ import annotations

import pytest

from .launch import Server
from .wire import one, refused

AFTER = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"

REFUSED_FIELDS = {
    "none": b"",
    "none but another field": b"X-Host: t\r\n",
    "two equal": b"Host: t\r\nHost: t\r\n",
    "two different": b"Host: t\r\nHost: u\r\n",
    "two in different case": b"Host: t\r\nhOST: t\r\n",
    "two, apart": b"Host: t\r\nX-A: b\r\nHost: t\r\n",
    "two, the second empty": b"Host: t\r\nHost:\r\n",
    "two, the first empty": b"Host:\r\nHost: t\r\n",
    "three": b"Host: t\r\nHost: t\r\nHost: t\r\n",
    "space before the colon": b"Host : t\r\n",
    "tab before the colon": b"Host\t: t\r\n",
    "leading space": b" Host: t\r\n",
    "folded": b"Host:\r\n t\r\n",
    "folded behind": b"Host: t\r\n u\r\n",
    "NUL in the name": b"Ho\0st: t\r\n",
}


@pytest.mark.parametrize("name", REFUSED_FIELDS)
def test_anything_but_one_host_is_answered_400(main: Server, name: str) -> None:
    refused(main["plain"], b"GET / HTTP/1.1\r\n" + REFUSED_FIELDS[name] + b"\r\n" + AFTER)


INVALID = {
    "space inside": b"a b",
    "tab inside": b"a\tb",
    "two names": b"a, b",
    "user": b"user@a",
    "user and password": b"user:pw@a",
    "path": b"a/b",
    "only a slash": b"/",
    "scheme": b"http://a",
    "query": b"a?b",
    "fragment": b"a#b",
    "backslash": b"a\\b",
    "quote": b'a"b',
    "less than": b"<a>",
    "braces": b"{a}",
    "pipe": b"a|b",
    "caret": b"a^b",
    "back-tick": b"a`b",
    "port of letters": b"a:http",
    "port with a sign": b"a:+80",
    "port with minus": b"a:-80",
    "port with space": b"a: 80",
    "port with a letter": b"a:80x",
    "two ports": b"a:80:80",
    "address 6 without brackets": b"::1",
    "address 6 without end": b"[::1",
    "address 6 without start": b"::1]",
    "address 6 with junk behind": b"[::1]x",
    "address 6 with a port of letters": b"[::1]:x",
    "brackets with a name": b"[localhost]",
    "brackets with junk": b"[zz::1]",
    "brackets, empty": b"[]",
    "brackets in brackets": b"[[::1]]",
    "bracket inside": b"a[b",
    "control byte": b"a\x01b",
    "delete": b"a\x7fb",
    "NUL": b"a\0b",
    "latin-1": b"\xe4",
    "UTF-8": "ä".encode(),
    "bare CR": b"a\rb",
    "percent without digits": b"a%zz",
    "percent at the end": b"a%",
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_host_is_answered_400(main: Server, name: str) -> None:
    refused(main["plain"], b"GET / HTTP/1.1\r\nHost: " + INVALID[name] + b"\r\n\r\n" + AFTER)


VALID = {
    "name": b"example.com",
    "name and port": b"example.com:8080",
    "empty port": b"example.com:",
    "trailing dot": b"example.com.",
    "digits": b"123",
    "hyphen": b"a-b.c",
    "underscore": b"my_host",
    "tilde": b"a~b",
    "upper case": b"EXAMPLE.COM",
    "address 4": b"127.0.0.1",
    "address 4 and port": b"127.0.0.1:80",
    "address 6": b"[::1]",
    "address 6 and port": b"[::1]:8080",
    "address 6 in full": b"[2001:db8:0:0:0:0:0:1]",
    "address 6 with 4": b"[::ffff:127.0.0.1]",
    "one letter": b"t",
    "long name": b"a" * 63 + b"." + b"b" * 63,
    "white space around": b" \t t \t ",
}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_host_is_served(main: Server, name: str) -> None:
    answer = one(main["plain"], b"GET / HTTP/1.1\r\nHost:" + VALID[name] + b"\r\n\r\n")
    assert answer.status == 200


DEBATABLE = {
    # Valid by RFC 3986, 3.2.2 (sub-delims, pct-encoded), or left open; many servers refuse them: both are right.
    "sub-delims": b"a!b",
    "comma": b"a,b",
    "star": b"*",
    "percent": b"%41.example",
    "zone": b"[fe80::1%25eth0]",
    "future address": b"[v1.x]",
    "port too large": b"a:99999",
    "only a port": b":80",
    "empty": b"",
}


@pytest.mark.parametrize("name", DEBATABLE)
def test_a_debatable_host_is_served_or_refused_cleanly(main: Server, name: str) -> None:
    answer = one(main["plain"], b"GET / HTTP/1.1\r\nHost: " + DEBATABLE[name] + b"\r\n\r\n")
    assert answer.status in (200, 400)


def test_http_1_0_needs_no_host(main: Server) -> None:
    assert one(main["plain"], b"GET / HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("fields", [b"Host: t\r\nHost: t\r\n", b"Host: a b\r\n", b"Host: t/x\r\n"], ids=repr)
def test_http_1_0_with_a_bad_host_is_refused(main: Server, fields: bytes) -> None:
    """RFC 9112, 3.2: any request message with more than one Host, or an invalid one."""
    refused(main["plain"], b"GET / HTTP/1.0\r\n" + fields + b"\r\n")


def test_the_host_of_an_absolute_target_wins(main: Server) -> None:
    """RFC 9112, 3.2.2."""
    answer = one(main["plain"], b"GET http://first.example/seen HTTP/1.1\r\nHost: second.example\r\n\r\n")
    assert answer.status == 200
    assert b'"host": "first.example"' in answer.body


def test_an_absolute_target_does_not_replace_the_host_field(main: Server) -> None:
    refused(main["plain"], b"GET http://t/ HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("name", ["space inside", "user", "path", "port of letters", "address 6 without end", "NUL"])
def test_an_invalid_host_beside_an_absolute_target_is_refused(main: Server, name: str) -> None:
    """RFC 9112, 3.2 makes no exception for it."""
    refused(main["plain"], b"GET http://t/ HTTP/1.1\r\nHost: " + INVALID[name] + b"\r\n\r\n" + AFTER)


def test_host_is_found_wherever_it_stands(main: Server) -> None:
    many = b"".join(b"X-%d: y\r\n" % n for n in range(60))
    assert one(main["plain"], b"GET / HTTP/1.1\r\n" + many + b"hOsT: t\r\n\r\n").status == 200
