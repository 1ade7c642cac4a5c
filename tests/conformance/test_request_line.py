"""The request line (RFC 9112, 2.2 and 3; design section 5)."""

from __future__ import annotations

import pytest

from .launch import Server
from .wire import Wire, exchange, one, refused

HOST = b"Host: t\r\n\r\n"
AFTER = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"

MALFORMED = {
    "two spaces after the method": b"GET  / HTTP/1.1\r\n",
    "two spaces after the target": b"GET /  HTTP/1.1\r\n",
    "tab after the method": b"GET\t/ HTTP/1.1\r\n",
    "tab after the target": b"GET /\tHTTP/1.1\r\n",
    "vertical tab between": b"GET\x0b/ HTTP/1.1\r\n",
    "form feed between": b"GET\x0c/ HTTP/1.1\r\n",
    "leading space": b" GET / HTTP/1.1\r\n",
    "leading tab": b"\tGET / HTTP/1.1\r\n",
    "trailing space": b"GET / HTTP/1.1 \r\n",
    "trailing tab": b"GET / HTTP/1.1\t\r\n",
    "no target": b"GET HTTP/1.1\r\n",
    "empty target": b"GET  HTTP/1.1\r\n",
    "no version": b"GET /\r\n",
    "no version, trailing space": b"GET / \r\n",
    "method only": b"GET\r\n",
    "space inside the target": b"GET /a b HTTP/1.1\r\n",
    "space before a query": b"GET / ?a HTTP/1.1\r\n",
    "lower-case protocol": b"GET / http/1.1\r\n",
    "mixed-case protocol": b"GET / Http/1.1\r\n",
    "another protocol": b"GET / RTSP/1.0\r\n",
    "another protocol, ICE": b"GET / ICE/1.0\r\n",
    "protocol without slash": b"GET / HTTP 1.1\r\n",
    "protocol without name": b"GET / /1.1\r\n",
    "protocol without version": b"GET / HTTP/\r\n",
    "version without dot": b"GET / HTTP/11\r\n",
    "version without minor": b"GET / HTTP/1.\r\n",
    "version without major": b"GET / HTTP/.1\r\n",
    "version with comma": b"GET / HTTP/1,1\r\n",
    "version with junk": b"GET / HTTP/1.1x\r\n",
    "version with a letter": b"GET / HTTP/1.x\r\n",
    "version with a sign": b"GET / HTTP/+1.1\r\n",
    "version with minus": b"GET / HTTP/1.-1\r\n",
    "version with space inside": b"GET / HTTP/ 1.1\r\n",
    "version with space before dot": b"GET / HTTP/1 .1\r\n",
    "version with NUL": b"GET / HTTP/1.1\0\r\n",
    "two versions": b"GET / HTTP/1.1 HTTP/1.1\r\n",
    "method with a colon": b"GE:T / HTTP/1.1\r\n",
    "method with a parenthesis": b"GE(T / HTTP/1.1\r\n",
    "method with an at sign": b"GE@T / HTTP/1.1\r\n",
    "method with a bracket": b"G[T / HTTP/1.1\r\n",
    "method with NUL": b"GE\0T / HTTP/1.1\r\n",
    "method with a high byte": b"G\xc9T / HTTP/1.1\r\n",
    "method with a control byte": b"GE\x01T / HTTP/1.1\r\n",
    "method starts with a colon": b":GET / HTTP/1.1\r\n",
    "method starts with a slash": b"/ GET HTTP/1.1\r\n",
    "header instead of a request line": b"Host: t\r\n",
    "bare CR inside": b"GET /\rHTTP/1.1\r\n",
    "bare CR in the target": b"GET /a\rb HTTP/1.1\r\n",
    "CR before CRLF": b"GET / HTTP/1.1\r\r\n",
    "LF only": b"GET / HTTP/1.1\n",
    "LF in the target": b"GET /a\nb HTTP/1.1\r\n",
    "NUL in front": b"\0GET / HTTP/1.1\r\n",
    "byte order mark in front": b"\xef\xbb\xbfGET / HTTP/1.1\r\n",
    "CR in front": b"\rGET / HTTP/1.1\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_line_is_answered_400_and_closed(main: Server, name: str) -> None:
    refused(main["plain"], MALFORMED[name] + HOST + AFTER)


@pytest.mark.parametrize("byte", [*range(0x20), 0x7F], ids=lambda b: f"0x{b:02x}")
def test_a_control_byte_in_the_target_is_answered_400(main: Server, byte: int) -> None:
    """Design section 5: control bytes in a target."""
    refused(main["plain"], b"GET /seen/a" + bytes([byte]) + b"b HTTP/1.1\r\n" + HOST + AFTER)


@pytest.mark.parametrize("byte", [*range(1, 0x20), 0x7F], ids=lambda b: f"0x{b:02x}")
def test_a_control_byte_in_the_query_is_answered_400(main: Server, byte: int) -> None:
    refused(main["plain"], b"GET /seen?a=" + bytes([byte]) + b"b HTTP/1.1\r\n" + HOST + AFTER)


VERSIONS = {
    # RFC 9110, 15.6.6: 505 is for versions that are understood and refused; 400 is what our design names.
    "0.9": (b"HTTP/0.9", {400, 505}),
    "2.0": (b"HTTP/2.0", {400, 505}),
    "2": (b"HTTP/2", {400, 505}),
    "3.0": (b"HTTP/3.0", {400, 505}),
    "0.0": (b"HTTP/0.0", {400, 505}),
    "9.9": (b"HTTP/9.9", {400, 505}),
    "1.10": (b"HTTP/1.10", {400, 505}),
    "1.01": (b"HTTP/1.01", {400, 505}),
    "01.1": (b"HTTP/01.1", {400, 505}),
    "11.1": (b"HTTP/11.1", {400, 505}),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_that_is_not_ours_is_refused(main: Server, name: str) -> None:
    version, allowed = VERSIONS[name]
    refused(main["plain"], b"GET / " + version + b"\r\n" + HOST + AFTER, allowed)


def test_a_higher_minor_version_is_served_or_refused(main: Server) -> None:
    """RFC 9110, 2.5 lets us treat it as 1.1; httptools does not know it."""
    with Wire(main["plain"]) as wire:
        wire.send(b"GET / HTTP/1.2\r\nHost: t\r\nConnection: close\r\n\r\n")
        assert [a.status for a in wire.read_all()] in ([200], [400], [505])


UNKNOWN = [b"FOO", b"get", b"Get", b"GETX", b"GE", b"X-Y_Z", b"!#$%&'*+-.^_`|~", b"G" * 50, b"123"]


@pytest.mark.parametrize("method", UNKNOWN, ids=lambda m: m.decode())
def test_an_unknown_method_is_refused(main: Server, method: bytes) -> None:
    """RFC 9110, 9.1: 501 if unknown, 405 if known and not allowed; httptools itself calls it malformed (400)."""
    with Wire(main["plain"]) as wire:
        wire.send(method + b" / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        assert [a.status for a in wire.read_all()] in ([400], [405], [501])


@pytest.mark.parametrize("lead", [b"\r\n", b"\r\n\r\n"], ids=["one", "two"])
def test_empty_lines_before_a_request_are_ignored(main: Server, lead: bytes) -> None:
    """RFC 9112, 2.2: at least one."""
    assert one(main["plain"], lead + b"GET / HTTP/1.1\r\n" + HOST).status == 200


def test_an_empty_line_after_a_request_is_ignored(main: Server) -> None:
    """As clients of old send after a POST (RFC 9112, 2.2)."""
    post = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab\r\n"
    assert [a.body for a in exchange(main["plain"], post + post, ("POST", "POST"))] == [b"ab", b"ab"]


def test_a_flood_of_empty_lines_is_not_read_for_ever(main: Server) -> None:
    with Wire(main["quick"]) as wire:
        wire.send(b"\r\n" * 50_000)
        wire.sock.settimeout(3)
        try:
            while wire.fill():
                pass
        except TimeoutError:
            pytest.fail("100 KiB of empty lines kept a connection open beyond its header time-out")


@pytest.mark.parametrize("start", [b"\x16\x03\x01\x02\x00\x01", b"\x00", b"\xff\xff", b"{", b"\x05\x01\x00"], ids=repr)
def test_what_is_no_http_is_refused_at_once(main: Server, start: bytes) -> None:
    """A first byte that starts no method: 400 without waiting for a line."""
    refused(main["plain"], start)


def test_http_1_0_is_served_and_closed(main: Server) -> None:
    answer = one(main["plain"], b"GET / HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.body, answer.closes) == (200, b"ok", True)


def test_http_1_0_with_keep_alive_goes_on(main: Server) -> None:
    ask = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answers = exchange(main["plain"], ask + ask, ("GET", "GET"))
    assert [a.status for a in answers] == [200, 200]
    assert "keep-alive" in (answers[0].header("connection") or "").lower(), "RFC 9112, 9.3: 1.0 must be told"


CONNECTION = {
    # RFC 9112, 9.3 and 9.6: `close` is an option in a list, case-insensitive; keep-alive does not undo it.
    "close": (b"close", True),
    "Close": (b"Close", True),
    "CLOSE": (b"CLOSE", True),
    "in a list": (b"foo, close", True),
    "in a list without space": (b"foo,close,bar", True),
    "with keep-alive": (b"keep-alive, close", True),
    "with tabs": (b"\tclose\t", True),
    "keep-alive": (b"keep-alive", False),
    "something else": (b"foo", False),
    "closed": (b"closed", False),
    "empty": (b"", False),
}


@pytest.mark.parametrize("name", CONNECTION)
def test_the_connection_field_is_obeyed(main: Server, name: str) -> None:
    value, closes = CONNECTION[name]
    answer = one(main["plain"], b"GET / HTTP/1.1\r\nHost: t\r\nConnection: " + value + b"\r\n\r\n")
    assert (answer.status, answer.closes) == (200, closes)


def test_close_in_a_second_connection_field_is_obeyed(main: Server) -> None:
    data = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: foo\r\nConnection: close\r\n\r\n"
    assert one(main["plain"], data).closes


def test_nothing_is_answered_after_a_request_that_closes(main: Server) -> None:
    """RFC 9112, 9.6: no requests are processed after one with close."""
    with Wire(main["plain"]) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" + AFTER)
        assert [a.status for a in wire.read_all()] == [200]


UPGRADES = {
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "without connection": b"Upgrade: foo\r\n",
    "unknown": b"Connection: upgrade\r\nUpgrade: foo/2\r\n",
}


@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_that_is_not_offered_is_ignored(main: Server, name: str) -> None:
    """RFC 9110, 7.8: a server may ignore it."""
    get = b"GET / HTTP/1.1\r\nHost: t\r\n" + UPGRADES[name] + b"\r\n"
    assert [a.body for a in exchange(main["plain"], get + get, ("GET", "GET"))] == [b"ok", b"ok"]


@pytest.mark.parametrize("name", UPGRADES)
def test_the_body_of_a_request_with_upgrade_is_no_second_request(main: Server, name: str) -> None:
    """httptools ends such a message at its head (refs: seams, section 4)."""
    body = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
    post = b"POST /echo HTTP/1.1\r\nHost: t\r\n" + UPGRADES[name] + b"Content-Length: %d\r\n\r\n" % len(body)
    assert [a.body for a in exchange(main["plain"], (post + body) * 2, ("POST", "POST"))] == [body, body]


@pytest.mark.parametrize("name", UPGRADES)
def test_the_chunked_body_of_a_request_with_upgrade_is_read(main: Server, name: str) -> None:
    post = (
        b"POST /echo HTTP/1.1\r\nHost: t\r\n"
        + UPGRADES[name]
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    assert [a.body for a in exchange(main["plain"], post * 2, ("POST", "POST"))] == [b"abc", b"abc"]
