"""The PROXY protocol as its text says it, slow and obvious: a whole header, or a reason."""

from __future__ import annotations

import ipaddress
import re
import struct

V1 = re.compile(rb"PROXY (?:UNKNOWN(?: [^\n]*)?|TCP([46]) ([^ \n]+) ([^ \n]+) ([^ \n]+) ([^ \n]+))\r\n")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORT = re.compile(rb"0|[1-9][0-9]{0,4}")


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> str:
    mapped = getattr(address, "ipv4_mapped", None) or address
    return f"{mapped}:{port}" if mapped.version == 4 else f"[{mapped}]:{port}"


def whole(data: bytes) -> tuple[int, str | None]:
    """Return size and client of the header that `data` begins with. Raises ValueError: there is no whole, good one."""
    if data.startswith(SIGNATURE):
        return _version_2(data)
    match = V1.match(data[:107])
    if not match:
        raise ValueError("no header")
    if not match[1]:
        return match.end(), None
    kind = ipaddress.IPv4Address if match[1] == b"4" else ipaddress.IPv6Address
    addresses = [kind(match[i].decode("latin-1")) for i in (2, 3)]
    if any(b"%" in match[i] for i in (2, 3)):
        raise ValueError("a zone")
    ports = [match[i] for i in (4, 5)]
    if any(not PORT.fullmatch(port) or int(port) > 65535 for port in ports):
        raise ValueError("a port")
    return match.end(), _text(addresses[0], int(ports[0]))


def _version_2(data: bytes) -> tuple[int, str | None]:
    if len(data) < 16:
        raise ValueError("more is needed")
    command, kind, length = struct.unpack("!BBH", data[12:16])
    if command not in (0x20, 0x21) or kind >> 4 > 3 or kind & 15 > 2 or not 16 + length <= min(len(data), 4096):
        raise ValueError("no good header")
    size, block = 16 + length, data[16 : 16 + length]
    if command == 0x20 or kind & 15 != 1 or kind >> 4 == 0:
        return size, None
    if len(block) < {1: 12, 2: 36, 3: 216}[kind >> 4]:
        raise ValueError("addresses are cut")
    if kind >> 4 == 3:
        return size, "unix:"
    if kind >> 4 == 1:
        return size, _text(ipaddress.IPv4Address(block[:4]), struct.unpack("!H", block[8:10])[0])
    return size, _text(ipaddress.IPv6Address(block[:16]), struct.unpack("!H", block[32:34])[0])
