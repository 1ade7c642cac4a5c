"""Trusted proxies and the client address that they tell: X-Forwarded-For, or Forwarded (RFC 7239)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, Protocol

__all__ = ["ClientAddress", "HasHeader", "entries_from_the_right", "format_client", "forwarded_for"]

Address = IPv4Address | IPv6Address
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PEERS_REMEMBERED = 4096


class HasHeader(Protocol):
    """What is asked of a request."""

    def header(self, name: str) -> str | None:
        """Return the value of a field, repeats joined."""
        ...


def format_client(host: str, port: int) -> str:
    """Return "ip:port", or "[v6]:port"; an IPv4-mapped address as the IPv4 address that it is."""
    address = _unmapped(host)
    text = host if address is None else str(address)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _unmapped(text: str) -> Address | None:
    """Parse an address without port; None when it is none. A zone is no part of an address that a peer may tell."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _node(text: str) -> tuple[Address, int] | None:
    """Parse `ip`, `ip:port`, `[v6]`, `[v6]:port` or a bare v6 address; None when it is none. No port is 0."""
    text = text.strip(" \t")
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        if port == ":" or ":" not in host:
            return None
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not port:
            return None
    address = _unmapped(host)
    if address is None or (port and not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535)):
        return None
    return address, int(port or 0)


def entries_from_the_right(value: str, separator: str = ",", *, quotes: bool = True) -> Iterator[str | None]:
    """Yield the parts of a list field, last first; None, as the end, for what has a quote without its pair.

    The right end is what a trusted proxy appended, the left is the client's: read from the right, no quote that the client
    left open can swallow the proxy's part (RFC 7239, section 8.1). quotes: separators inside of quoted strings are none.
    """
    end = at = len(value)
    comma = value.rfind(separator)
    quote = value.rfind('"') if quotes else -1
    while True:
        if quote > comma:
            at = _opening_quote(value, quote)
            if at < 0:
                yield None
                return
            quote = value.rfind('"', 0, at)
            if comma > at:
                comma = value.rfind(separator, 0, at)
        elif comma >= 0:
            yield value[comma + 1 : end]
            end = at = comma
            comma = value.rfind(separator, 0, at)
        else:
            yield value[:end]
            return


def _opening_quote(value: str, closing: int) -> int:
    """Return where the quoted string that ends at `closing` begins, or -1; quotes behind a backslash are part of it."""
    at = closing
    while (at := value.rfind('"', 0, at)) >= 0:
        slash = at
        while slash and value[slash - 1] == "\\":
            slash -= 1
        if (at - slash) % 2 == 0:
            return at
    return -1


def forwarded_for(element: str) -> str | None:
    """Return the `for` value of one element of a Forwarded field; None when it has none, or is broken (RFC 7239, 4)."""
    found: str | None = None
    named = False
    for pair in entries_from_the_right(element, ";"):
        name, sign, text = (pair or "").partition("=")
        if pair is None or (not sign and pair.strip(" \t")):
            return None
        if name.strip(" \t").lower() == "for":
            if named:
                return None
            named = True
            found = _unquoted(text.strip(" \t"))
    return found


def _unquoted(text: str) -> str | None:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if re.fullmatch(_QUOTED, text) else None
    return None if ":" in text or "[" in text else text  # these need quotes (RFC 7239, 4)


class ClientAddress:
    """Finds the client of a request that came through proxies.

    trusted: networks whose hosts are believed; header: which of the two fields is read, never both. Called for each
    request of a listener that has trusted proxies; belongs to one thread.
    """

    def __init__(
        self,
        trusted: Sequence[IPv4Network | IPv6Network],
        header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
    ) -> None:
        self._v4 = [network for network in trusted if network.version == 4]
        self._v6 = [network for network in trusted if network.version == 6]
        self._header = header
        self._peers: dict[str, bool] = {}

    def is_trusted(self, address: Address) -> bool:
        """Tell whether `address` is one of the trusted proxies."""
        networks = self._v4 if address.version == 4 else self._v6
        return any(address in network for network in networks)

    def __call__(self, request: HasHeader, peer: str) -> str | None:
        """Return the client as "ip:port", or None when the peer itself is it.

        The walk goes from the right, over trusted addresses, to the first untrusted one; an entry that is no address
        ends it at the last good one. peer: "ip:port"; a unix socket's peer counts as 127.0.0.1.
        """
        if not self.believes(peer):
            return None
        value = request.header(self._header)
        if not value:
            return None
        elements = self._header == "forwarded"
        found: tuple[Address, int] | None = None
        for entry in entries_from_the_right(value, quotes=elements):
            if entry is not None and not entry.strip(" \t"):
                continue  # an empty one is no entry (RFC 9110, 5.6.1)
            told = forwarded_for(entry) if elements and entry is not None else entry
            node = None if told is None else _node(told)
            if node is None:
                break
            found = node
            if not self.is_trusted(node[0]):
                break
        if found is None:
            return None
        return format_client(str(found[0]), found[1])

    def believes(self, peer: str) -> bool:
        """Tell whether `peer`, "ip:port" or "unix:", is a trusted proxy; remembered: it will have more requests."""
        believed = self._peers.get(peer)
        return self._decide(peer) if believed is None else believed

    def _decide(self, peer: str) -> bool:
        node = (IPv4Address("127.0.0.1"), 0) if peer.startswith("unix:") else _node(peer)
        if len(self._peers) >= _PEERS_REMEMBERED:
            self._peers.clear()
        self._peers[peer] = answer = node is not None and self.is_trusted(node[0])
        return answer
