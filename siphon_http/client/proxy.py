"""HTTP proxies: which origin goes through one, and the tunnel to it (RFC 9110, 9.3.6).

The proxy itself comes from the configuration only. `http_proxy`, `https_proxy` and `all_proxy` of the environment are not
read: a process on the path of calls must not change its route by a variable that it inherits. `no_proxy` is read, because
all that it can do is to take the direct way.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from siphon_http.errors import ConfigError

__all__ = ["Proxy", "ProxySettings", "TunnelError", "open_tunnel"]

HEAD_LIMIT: Final = 16_384
"""Bytes of all that a proxy may say before the tunnel is open."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy.

    host: name or IP address without brackets; authorization: value of Proxy-Authorization, or None.
    """

    host: str
    port: int
    authorization: bytes | None = None

    def __repr__(self) -> str:
        return f"Proxy({self})"

    def __str__(self) -> str:
        """Return `host:port`, never the credentials."""
        return authority(self.host, self.port)


@dataclass(frozen=True, slots=True)
class _Exception:
    """One entry of `no_proxy`: a network, or a domain with all below it; port None: any."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    domain: str
    port: int | None


class ProxySettings:
    """The proxy of a client, and the origins that are reached without it. Immutable, so that threads may share it."""

    __slots__ = ("_all_direct", "_exceptions", "proxy")

    def __init__(self, proxy: Proxy | None, exceptions: Iterable[str] = ()) -> None:
        entries = [entry.strip() for entry in exceptions if entry.strip()]
        self.proxy = proxy
        self._all_direct = proxy is None or "*" in entries
        self._exceptions = tuple(_exception(entry) for entry in entries if entry != "*")

    @classmethod
    def from_config(
        cls, url: str | None, no_proxy: Iterable[str] = (), environ: Mapping[str, str] = os.environ
    ) -> ProxySettings:
        """Return the settings of a client.

        url: `http://[user:password@]host[:port]`, None for no proxy; no_proxy: its list, to which `no_proxy` of `environ`
        (or `NO_PROXY`, where that is missing) is added.

        Raises ConfigError: `url` names no HTTP proxy.
        """
        inherited = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        return cls(None if url is None else _proxy(url), [*no_proxy, *re.split(r"[,\s]+", inherited)])

    def for_origin(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for an origin, None for the direct way. host: name, or IP address without brackets.

        Names are compared as they are written: nothing is looked up. `https` needs a tunnel (`open_tunnel`); requests of
        `http` go to the proxy with their target in absolute form (RFC 9112, 3.2.2).
        """
        if self._all_direct:
            return None
        name = host.lower().rstrip(".")
        address = _ip_address(name)
        for entry in self._exceptions:
            if entry.port not in {None, port}:
                continue
            if entry.network is not None:
                if address is not None and address in entry.network:
                    return None
            elif name == entry.domain or name.endswith(f".{entry.domain}"):
                return None
        return self.proxy


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _exception(entry: str) -> _Exception:
    """Read `example.com`, `.example.com`, `*.example.com`, an address, a network, each but a network with a port."""
    try:
        return _Exception(ipaddress.ip_network(entry.strip("[]"), strict=False), "", None)
    except ValueError:
        pass
    host, colon, port = entry.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        host, port = entry, ""
    address = _ip_address(host.strip("[]"))
    number = int(port) if port else None
    if address is not None:
        return _Exception(ipaddress.ip_network(address), "", number)
    return _Exception(None, host.lower().removeprefix("*").strip("."), number)


def _proxy(url: str) -> Proxy:
    """Return the proxy that `url` names. Raises ConfigError, without what may be a password."""
    expected = "expected a proxy URL such as http://proxy.example.com:3128"
    scheme = url.partition("://")[0].lower()
    if scheme == "https":
        raise ConfigError("the proxy must be http://: TLS to the proxy itself is not supported (TLS to origins is)")
    if scheme != "http":
        raise ConfigError(f"{expected}, got {'another scheme' if '://' in url else 'one without a scheme'}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", 80 if parts.port is None else parts.port
    except ValueError:
        raise ConfigError(f"{expected}: its host or port cannot be read") from None
    if not host or not port or parts.path not in {"", "/"} or parts.query or parts.fragment or not url.isprintable():
        raise ConfigError(f"{expected}, with a host and nothing after the port")
    credentials, at, _ = parts.netloc.rpartition("@")
    if not at:
        return Proxy(host, port)
    name, _, password = credentials.partition(":")
    plain = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return Proxy(host, port, b"Basic " + base64.b64encode(plain))  # RFC 7617, section 2


class TunnelError(OSError):
    """A proxy opened no tunnel; `status` is its answer, or 0 if it gave none."""

    def __init__(self, reason: str, status: int = 0) -> None:
        self.status = status
        super().__init__(reason)


def authority(host: str, port: int) -> str:
    """Return `host:port`, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask `proxy`, at the other end of the non-blocking `sock`, for a tunnel to `host` (without brackets) and `port`.

    When it returns, the next byte on `sock` is the origin's. Closing `sock` after an error is the caller's.

    Raises TunnelError: it refused, broke HTTP, or left; no text holds credentials.
    """
    target = authority(host, port).encode("ascii")
    lines = [b"CONNECT %b HTTP/1.1" % target, b"host: %b" % target]
    if proxy.authorization is not None:
        lines.append(b"proxy-authorization: %b" % proxy.authorization)
    try:
        await loop.sock_sendall(sock, b"\r\n".join([*lines, b"", b""]))
        status, rest = await _read_answer(loop, sock, proxy)
    except TunnelError:
        raise
    except OSError as exc:
        raise TunnelError(f"proxy {proxy}: {(exc.strerror or str(exc)).lower()}") from exc
    if not 200 <= status <= 299:
        raise TunnelError(f"proxy {proxy} answered {status}{_meaning(status, proxy, authority(host, port))}", status)
    if rest:
        # The origin speaks second here: bytes that are there already are the proxy's, and would pass as the origin's.
        raise TunnelError(f"proxy {proxy} sent {len(rest)} bytes after its answer to CONNECT", status)


async def _read_answer(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy) -> tuple[int, bytes]:
    """Return the status of the final answer, and what came after its head."""
    data = b""
    received = 0
    while True:
        end = _HEAD_END.search(data)
        if end is None:
            if received >= HEAD_LIMIT:
                raise TunnelError(f"proxy {proxy} sent a head of more than {HEAD_LIMIT} bytes")
            piece = await loop.sock_recv(sock, HEAD_LIMIT - received)
            if not piece:
                raise TunnelError(
                    f"proxy {proxy} closed the connection " + ("within" if data else "before") + " its answer"
                )
            received += len(piece)
            data += piece
            if not b"HTTP/1.".startswith(data[:7]):
                raise TunnelError(f"proxy {proxy} speaks no HTTP/1.1: it sent {data[:20]!r}")
            continue
        line = _STATUS_LINE.match(data)
        if line is None:
            raise TunnelError(f"proxy {proxy} sent a status line that cannot be read: {data[:40]!r}")
        status = int(line[1])
        data = data[end.end() :]
        if status >= 200 or status == 101:
            return status, data


def _meaning(status: int, proxy: Proxy, target: str) -> str:
    if status == 407:
        given = proxy.authorization is not None
        return (
            ": it does not take the user and password of its URL"
            if given
            else ": it wants user and password in its URL"
        )
    if status in {403, 405}:
        return f": it does not allow CONNECT to {target}"
    return f" to CONNECT {target}"
