"""What `_core/url` must do, slow and obvious; the standard library reads what comes out of it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

STAYS = set(b"!$&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~")
ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")


def encode(text: str, *, fragment: bool) -> bytes:
    """Return `text` as it stands in a target. Raises ValueError for control characters and halves of pairs."""
    raw = text.encode("utf-8")
    if fragment:
        raw = raw.partition(b"#")[0]
    if any(byte < 32 or byte == 127 for byte in raw):
        raise ValueError("a control character")
    return b"".join(
        raw[at : at + 1] if byte in STAYS or ESCAPE.match(raw, at) else b"%%%02X" % byte for at, byte in enumerate(raw)
    )


def parts(text: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and target of an absolute URL that is known to be good."""
    read = urlsplit(text)
    target = text.partition("://")[2][len(read.netloc) :]
    return read.scheme, read.hostname or "", read.port or (443 if read.scheme == "https" else 80), target


def query_pairs(query: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a query that was made of str alone."""
    return parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query))
