"""What urldecode must do, slow and obvious."""

from __future__ import annotations

import re

ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
DELIMITERS = b"%/?#:@!$&'()*+,;="  # printable characters whose escape is not the same as the character


def unescape(raw: bytes) -> bytes:
    return ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), raw)


def decode_path(raw: bytes) -> str:
    """Strict; ValueError for a bad escape or bad UTF-8."""
    if BAD_ESCAPE.search(raw):
        raise ValueError("bad escape")
    return unescape(raw).decode("utf-8")


def is_valid(raw: bytes) -> bool:
    try:
        decode_path(raw)
    except ValueError:
        return False
    return True


def canonical(raw: bytes) -> bytes:
    if not is_valid(raw):
        return raw

    def spell(match: re.Match[bytes]) -> bytes:
        byte = int(match[1], 16) if match[1] else match[0][0]
        same = 0x21 <= byte <= 0x7E and byte not in DELIMITERS
        return bytes([byte]) if same else b"%%%02X" % byte

    return re.sub(rb"%([0-9A-Fa-f]{2})|[\x80-\xff]", spell, raw)


def decode_form(raw: bytes) -> str:
    return unescape(raw.replace(b"+", b" ")).decode("utf-8", "replace")


def parse_query_pairs(raw: bytes) -> list[tuple[str, str]]:
    pairs = (pair.partition(b"=") for pair in raw.split(b"&") if pair)
    return [(decode_form(name), decode_form(value)) for name, _, value in pairs]
