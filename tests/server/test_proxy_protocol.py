"""PROXY protocol 1 and 2: the header alone, and in front of connections of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from siphon_http._core.message import Response
from siphon_http.config import TlsConfig
from siphon_http.errors import RemoteProtocolError
from siphon_http.server.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES, ProxyHeader, parse_header
from tests.http2_client import Got
from tests.server.http2_talk import Talk
from tests.stage import Line, Site, said, unix, until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET / HTTP/1.1\r\nhost: t\r\n\r\n"
V1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"


def v2(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(block)) + block


def v4(source: str, port: int) -> bytes:
    return ipaddress.IPv4Address(source).packed + bytes([192, 0, 2, 1]) + struct.pack("!HH", port, 443)


def v6(source: str, port: int) -> bytes:
    return ipaddress.IPv6Address(source).packed + bytes(16) + struct.pack("!HH", port, 443)


TLV = b"\x04\x00\x03abc"

GOOD: dict[str, tuple[bytes, str | None]] = {
    "TCP4": (V1, "203.0.113.9:4711"),
    "TCP6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n", "[2001:db8::9]:4711"),
    "TCP6 mapped": (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n", "203.0.113.9:1"),
    "ports": (b"PROXY TCP4 203.0.113.9 192.0.2.1 0 65535\r\n", "203.0.113.9:0"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "UNKNOWN with addresses": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "v2 TCP4": (v2(0x21, 0x11, v4("203.0.113.9", 4711)), "203.0.113.9:4711"),
    "v2 TCP6": (v2(0x21, 0x21, v6("2001:db8::9", 4711)), "[2001:db8::9]:4711"),
    "v2 TCP6 mapped": (v2(0x21, 0x21, v6("::ffff:203.0.113.9", 1)), "203.0.113.9:1"),
    "v2 TLVs": (v2(0x21, 0x11, v4("203.0.113.9", 4711) + TLV * 20), "203.0.113.9:4711"),
    "v2 unix": (v2(0x21, 0x31, b"/run/a".ljust(216, b"\0")), "unix:"),
    "v2 LOCAL": (v2(0x20, 0x00, b""), None),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, v4("203.0.113.9", 4711)), None),
    "v2 LOCAL cut": (v2(0x20, 0x11, b"abc"), None),
    "v2 unspecified": (v2(0x21, 0x00, TLV), None),
    "v2 datagram": (v2(0x21, 0x12, v4("203.0.113.9", 4711)), None),
    "v2 longest": (v2(0x21, 0x11, v4("203.0.113.9", 1).ljust(MAX_V2_BYTES - 16, b"\0")), "203.0.113.9:1"),
}

BAD = {
    "http": GET,
    "tls": b"\x16\x03\x01\x02\x00",
    "lower case": b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "bare LF": V1.replace(b"\r\n", b"\n"),
    "empty": b"PROXY \n",
    "nothing told": b"PROXY \r\n",
    "two spaces": V1.replace(b"TCP4 ", b"TCP4  "),
    "words after": V1.replace(b"\r\n", b" 1\r\n"),
    "few words": b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
    "no family": b"PROXY UDP4 203.0.113.9 192.0.2.1 4711 443\r\n",
    "UNKNOWN and more": b"PROXY UNKNOWNS\r\n",
    "v6 as TCP4": b"PROXY TCP4 ::1 ::1 4711 443\r\n",
    "v4 as TCP6": b"PROXY TCP6 203.0.113.9 192.0.2.1 4711 443\r\n",
    "octal": b"PROXY TCP4 203.0.113.09 192.0.2.1 4711 443\r\n",
    "zone": b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
    "bad destination": b"PROXY TCP4 203.0.113.9 192.0.2 4711 443\r\n",
    "large port": b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n",
    "huge port": b"PROXY TCP4 203.0.113.9 192.0.2.1 1 " + b"9" * 40 + b"\r\n",
    "signed port": b"PROXY TCP4 203.0.113.9 192.0.2.1 +1 443\r\n",
    "odd digits": "PROXY TCP4 203.0.113.9 192.0.2.1 \u00b2 443\r\n".encode("latin-1"),
    "zero before a port": b"PROXY TCP4 203.0.113.9 192.0.2.1 080 443\r\n",
    "too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "endless": b"PROXY " + b"f" * 200,
    "v2 version 1": v2(0x11, 0x11, v4("203.0.113.9", 1)),
    "v2 command 2": v2(0x22, 0x11, v4("203.0.113.9", 1)),
    "v2 family 4": v2(0x21, 0x41, bytes(216)),
    "v2 transport 3": v2(0x21, 0x13, bytes(216)),
    "v2 short TCP4": v2(0x21, 0x11, v4("203.0.113.9", 1)[:11]),
    "v2 short TCP6": v2(0x21, 0x21, v6("::1", 1)[:35]),
    "v2 too long": v2(0x21, 0x11, v4("203.0.113.9", 1).ljust(MAX_V2_BYTES - 15, b"\0")),
    "v2 signature": SIGNATURE[:-1] + b"X\x21\x11\x00\x00",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_tells_the_client_however_much_follows_and_not_before_it_is_whole(name: str) -> None:
    data, client = GOOD[name]
    assert parse_header(data) == parse_header(data + GET) == ProxyHeader(len(data), client)
    assert {parse_header(data[:cut]) for cut in range(len(data))} == {None}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_header(BAD[name])


def test_a_header_is_refused_as_soon_as_it_cannot_become_one() -> None:
    for data in (b"G", b"PROXx", SIGNATURE[:5] + b"x", b"PROXY " + b"f" * (MAX_V1_BYTES - 6)):
        with pytest.raises(RemoteProtocolError):
            parse_header(data)
        assert parse_header(data[:-1]) is None
    with pytest.raises(RemoteProtocolError):
        parse_header(v2(0x21, 0x11, bytes(5000))[:16])


# ---- over the wire


def site(**settings: Any) -> Site:
    made = Site(proxy_protocol=True, **settings)

    @made.route("/")
    async def client(req: Any) -> Response:
        return Response(200, None, f"{req.client} {req.scheme} {req.http_version}")

    return made


async def told(line: Line, header: bytes) -> str:
    """Send `header` with a request behind it; return what the handler saw."""
    await line.send(header + GET)
    return (await line.answer()).body.decode()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["TCP4", "TCP6", "v2 TCP4", "v2 TLVs", "v2 unix"])
def test_the_client_is_the_one_that_the_header_tells(loop: str, name: str) -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        header, client = GOOD[name]
        assert await told(line, header) == f"{client} http 1.1"
        assert await told(line, b"") == f"{client} http 1.1"

    made.play(scenario, loop)


@pytest.mark.parametrize("name", ["UNKNOWN", "v2 LOCAL"])
def test_a_header_that_tells_nobody_keeps_the_peer(name: str) -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        port = line.writer.get_extra_info("sockname")[1]
        assert await told(line, GOOD[name][0]) == f"127.0.0.1:{port} http 1.1"

    made.play(scenario)


@pytest.mark.parametrize("name", ["TCP4", "v2 TCP6"])
def test_a_header_may_come_byte_by_byte(name: str) -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        header, client = GOOD[name]
        for at in range(len(header)):
            await line.send(header[at : at + 1])
            await asyncio.sleep(0.001)  # each in a read of its own
        assert await told(line, b"") == f"{client} http 1.1"

    made.play(scenario)


@pytest.mark.parametrize("name", ["http", "bare LF", "v2 family 4", "endless"])
def test_a_connection_without_a_good_header_is_closed_without_an_answer(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = site()

    async def scenario() -> None:
        for _ in range(5):
            line = await made.line()
            await line.send(BAD[name] + GET)
            assert await line.rest() == b""
        assert made.endpoint.refused_count == 5 and made.endpoint.requests == 0
        assert not made.endpoint.handshakes

    made.play(scenario)
    warnings = said(caplog, logging.WARNING)
    assert len(warnings) == 1 and "proxy_protocol: connection of 127.0.0.1" in warnings[0]


def test_a_header_has_the_time_of_a_head() -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        for start in (b"", V1[:10], SIGNATURE):
            line = await made.line()
            await line.send(start)
            assert await line.rest() == b""
        await until(lambda: not made.endpoint.handshakes)
        line = await made.line()
        await line.send(V1 + b"GET / HT")
        assert b" 408 " in await line.rest()

    made.play(scenario)


@pytest.mark.parametrize("proxies, answered", [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_only_trusted_proxies_may_tell_when_there_are_any(proxies: str, answered: bool) -> None:
    made = site(trusted_proxies=(ipaddress.ip_network(proxies),))

    async def scenario() -> None:
        line = await made.line()
        if answered:
            assert await told(line, V1) == "203.0.113.9:4711 http 1.1"
            await line.send(GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"))
            assert (await line.answer()).body == b"203.0.113.9:4711 http 1.1"  # which is no trusted proxy
            again = await made.line()
            await again.send(b"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n")
            await again.send(GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"))
            assert (await again.answer()).body == b"1.2.3.4:0 http 1.1"
        else:
            await line.send(V1 + GET)
            assert await line.rest() == b""

    made.play(scenario)


def test_a_peer_on_a_unix_socket_may_always_tell(tmp_path: Path) -> None:
    made = site(listen=unix(tmp_path / "s"), trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))

    async def scenario() -> None:
        assert await told(await made.line(), V1) == "203.0.113.9:4711 http 1.1"
        assert await told(await made.line(), b"PROXY UNKNOWN\r\n") == "unix: http 1.1"

    made.play(scenario)


def test_connections_over_the_limit_are_answered_503_or_reset() -> None:
    made = site(max_connections=2)

    async def scenario() -> None:
        lines = [await made.line() for _ in range(2)]
        for line in lines:
            await told(line, V1)
        line = await made.line()
        await line.send(V1 + GET)
        assert b" 503 " in await line.rest()
        assert await told(lines[0], b"") == "203.0.113.9:4711 http 1.1"

    made.play(scenario)


def test_a_drain_resets_who_has_sent_no_header() -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        await until(lambda: len(made.endpoint.handshakes) == 1)
        made.endpoint.drain()
        assert await line.rest() == b""
        await until(lambda: not made.endpoint.handshakes)

    made.play(scenario)


def test_a_probe_that_leaves_without_a_word_is_not_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        line.writer.write_eof()
        assert await line.rest() == b""
        await until(lambda: not made.endpoint.handshakes)

    made.play(scenario)
    assert said(caplog, logging.WARNING) == []


# ---- before TLS, and before HTTP/2


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> TlsConfig:
    folder = tmp_path_factory.mktemp("tls")
    pair = authority.issue_cert("localhost")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    return TlsConfig(cert_path=folder / "cert.pem", key_path=folder / "key.pem")


@contextlib.asynccontextmanager
async def secured(made: Site, authority: trustme.CA, header: bytes, alpn: str) -> AsyncIterator[Line]:
    """Connect, send `header` in cleartext, then speak TLS."""
    sock = socket.create_connection(("127.0.0.1", made.server.listeners[0].port))
    sock.sendall(header)
    sock.setblocking(False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols([alpn])
    authority.configure_trust(context)
    line = Line(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost"))
    try:
        yield line
    finally:
        line.writer.transport.abort()


@pytest.mark.parametrize("name", ["TCP4", "v2 TLVs"])
def test_the_header_comes_before_tls(authority: trustme.CA, tls: TlsConfig, name: str) -> None:
    made = site(tls=tls)

    async def scenario() -> None:
        header, client = GOOD[name]
        async with secured(made, authority, header, "http/1.1") as line:
            assert await told(line, b"") == f"{client} https 1.1"

    made.play(scenario)


def test_tls_without_a_header_is_closed(authority: trustme.CA, tls: TlsConfig) -> None:
    made = site(tls=tls)

    async def scenario() -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with secured(made, authority, b"", "http/1.1"):
                pass
        await until(lambda: not made.endpoint.handshakes)

    made.play(scenario)


def test_http2_comes_behind_the_header_with_tls(authority: trustme.CA, tls: TlsConfig) -> None:
    made = site(tls=tls)

    async def scenario() -> None:
        async with secured(made, authority, V1, "h2") as line:
            got: Got = await Talk(line).get("/")
            assert bytes(got.body) == b"203.0.113.9:4711 https 2"

    made.play(scenario)


@pytest.mark.parametrize("name", ["TCP4", "v2 TCP6", "UNKNOWN"])
def test_http2_comes_behind_the_header_in_cleartext(name: str) -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        header, client = GOOD[name]
        line.writer.write(header)
        got: Got = await Talk(line).get("/")
        peer = line.writer.get_extra_info("sockname")
        assert bytes(got.body).decode() == f"{client or f'127.0.0.1:{peer[1]}'} http 2"

    made.play(scenario)
