"""PROXY protocol, versions 1 and 2: what a load balancer says of a connection before the connection itself begins.

    uvloop transport -> HeaderReader until the header is whole, then Connection, or SecureTransport when there is TLS

Source: "The PROXY protocol", HAProxy, versions 1 and 2. A header is required: what does not begin with one is closed,
since it did not come through the load balancer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

from siphon_http.errors import RemoteProtocolError
from siphon_http.server.endpoint import Endpoint
from siphon_http.server.forwarded import format_client

__all__ = ["MAX_V1_BYTES", "MAX_V2_BYTES", "HeaderReader", "ProxiedFactory", "ProxyHeader", "parse_header"]

MAX_V1_BYTES = 107
"""Longest line of version 1, with its CR LF."""
MAX_V2_BYTES = 4096
"""Longest header of version 2 that is read: addresses take 232 bytes at most, what follows them is passed over."""
WARN_EVERY_SECONDS = 60.0

_log = logging.getLogger("siphon_http.server")

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16  # signature, version and command, family and transport, length
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}  # by address family
_FAMILIES: dict[str, type[IPv4Address] | type[IPv6Address]] = {"TCP4": IPv4Address, "TCP6": IPv6Address}


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header: its bytes on the wire, and the client that it tells, or None when the peer itself is the client."""

    size: int
    client: str | None


def parse_header(data: bytes) -> ProxyHeader | None:
    """Return the header that `data` begins with, None when more is needed.

    Raises:
        RemoteProtocolError: there is none, it is malformed, or it is too long.
    """
    if data.startswith(_V2[: len(data)]):
        return None if len(data) < _V2_FIXED else _version_2(data)
    if data.startswith(_V1[: len(data)]):
        return _version_1(data)
    raise RemoteProtocolError(f"no PROXY header but {data[:16]!r}")


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, MAX_V1_BYTES)
    if end < 0:
        if len(data) >= MAX_V1_BYTES:
            raise RemoteProtocolError(f"a PROXY line of more than {MAX_V1_BYTES} bytes")
        return None
    line = data[:end]
    if not line.endswith(b"\r"):
        raise RemoteProtocolError(f"a PROXY line without CR LF: {line!r}")
    words = line[:-1].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(end + 1, None)
    family = _FAMILIES.get(words[1])
    if family is None or len(words) != 6:
        raise RemoteProtocolError(f"a malformed PROXY line: {line!r}")
    try:
        client = format_client(_address(words[2], family), _port(words[4]))
        _address(words[3], family)
        _port(words[5])
    except ValueError as error:
        raise RemoteProtocolError(f"a malformed PROXY line: {line!r}") from error
    return ProxyHeader(end + 1, client)


def _address(text: str, family: type[IPv4Address] | type[IPv6Address]) -> str:
    address = family(text)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("a zone means nothing elsewhere")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or text != str(int(text[:6])) or int(text) > 65535:
        raise ValueError("not a port")
    return int(text)


def _version_2(data: bytes) -> ProxyHeader | None:
    command = data[12]
    family, transport = data[13] >> 4, data[13] & 15
    length = int.from_bytes(data[14:16], "big")
    size = _V2_FIXED + length
    if command not in (_LOCAL, _PROXY):
        raise RemoteProtocolError(f"a PROXY header with version and command 0x{command:02x}")
    if family not in _ADDRESS_BYTES or transport > 2:
        raise RemoteProtocolError(f"a PROXY header with family and transport 0x{data[13]:02x}")
    if size > MAX_V2_BYTES:
        raise RemoteProtocolError(f"a PROXY header of {size} bytes, more than {MAX_V2_BYTES}")
    told = command == _PROXY and transport == 1  # a stream: other transports do not end here
    if told and length < _ADDRESS_BYTES[family]:
        raise RemoteProtocolError(f"a PROXY header whose {length} bytes are too few for its addresses")
    if len(data) < size:
        return None
    block = data[_V2_FIXED:size]
    if not told or family == 0:
        return ProxyHeader(size, None)
    if family == 1:
        return ProxyHeader(size, format_client(str(IPv4Address(block[:4])), int.from_bytes(block[8:10], "big")))
    if family == 2:
        return ProxyHeader(size, format_client(str(IPv6Address(block[:16])), int.from_bytes(block[32:34], "big")))
    return ProxyHeader(size, "unix:")


class Proxied(Protocol):
    """What takes a connection over: a Connection or a SecureTransport."""

    told_client: str | None

    def connection_made(self, transport: Any, /) -> object:
        """Begin."""
        ...

    def data_received(self, data: bytes, /) -> object:
        """Take what followed the header."""
        ...


class ProxiedFactory:
    """Makes what reads the header of each accepted connection of one listener.

    make: makes what takes the connection over. believes: callable(peer address) -> whether it may tell an address;
    None: everybody may. A unix socket's peer always may.
    """

    def __init__(
        self, endpoint: Endpoint, make: Callable[[], Proxied], believes: Callable[[str], bool] | None = None
    ) -> None:
        self.endpoint = endpoint
        self.make = make
        self._believes = believes
        self._silent_until = float("-inf")
        self._unsaid = 0

    def __call__(self) -> HeaderReader:
        return HeaderReader(self)

    def believes(self, peer: str) -> bool:
        """Tell whether `peer` may say who the client is."""
        return self._believes is None or peer.startswith("unix:") or self._believes(peer)

    def refused(self, peer: str, reason: object) -> None:
        """Count and log a connection that was closed; warn at most once a minute."""
        self.endpoint.count_refusal()
        now = asyncio.get_running_loop().time()
        if now < self._silent_until:
            self._unsaid += 1
            _log.debug("proxy_protocol: connection of %s closed: %s", peer, reason)
            return
        more = f" ({self._unsaid} more in the last minute)" if self._unsaid else ""
        _log.warning("proxy_protocol: connection of %s closed: %s%s", peer, reason, more)
        self._silent_until = now + WARN_EVERY_SECONDS
        self._unsaid = 0


class HeaderReader(asyncio.Protocol):
    """Reads the header of one connection within the listener's header time-out, and hands the transport on."""

    def __init__(self, factory: ProxiedFactory) -> None:
        self._factory = factory
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._peer = ""
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header, unless the peer may not send one or the listener is full."""
        endpoint = self._factory.endpoint
        self._transport = transport
        self._peer = endpoint.describe_peer(transport).client
        if not self._factory.believes(self._peer):
            self._refuse("it is not in trusted_proxies")
        elif not endpoint.admit(self, True):
            self.abort()
        else:
            self._timer = endpoint.state.loop.call_later(endpoint.header_timeout, self._time_out)

    def data_received(self, data: bytes) -> None:
        """Look for the end of the header."""
        if self._transport is None:
            return
        self._data += data
        try:
            header = parse_header(self._data)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        if header is not None:
            self._hand_on(header)

    def eof_received(self) -> bool:
        """The peer has sent its last byte, and no header: a probe of the port."""
        _log.debug("proxy_protocol: %s left before its header was whole", self._peer)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        self._leave()

    def abort(self) -> None:
        """Reset the connection."""
        transport = self._transport
        self._leave()
        if transport is not None:
            transport.abort()

    def _hand_on(self, header: ProxyHeader) -> None:
        transport, rest = self._transport, self._data[header.size :]
        self._leave()
        taker = self._factory.make()
        taker.told_client = header.client
        transport.set_protocol(taker)
        taker.connection_made(transport)
        if rest and not transport.is_closing():
            taker.data_received(rest)

    def _time_out(self) -> None:
        self._refuse("its header did not come in time")

    def _refuse(self, reason: object) -> None:
        self._factory.refused(self._peer, reason)
        self.abort()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._factory.endpoint.handshakes.discard(self)
        self._transport = None
        self._data = b""
