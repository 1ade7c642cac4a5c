"""Header fields, cookies and the id of a request, and fields that a script sets: the slow way."""

from __future__ import annotations

import re
import string

TOKEN = set("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters)  # RFC 9110, 5.6.2
CONTROLS = {chr(c) for c in (*range(0x20), 0x7F)} - {"\t"}


def pairs(lines: list[bytes]) -> list[tuple[str, str]]:
    """Return name in lower case and value of each field line, which a parser has taken (RFC 9112, 5)."""
    out = []
    for line in lines:
        name, _, value = line.partition(b":")
        out.append((name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")))
    return out


def joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Return what reads as one value (RFC 9110, 5.3; RFC 9113, 8.2.3)."""
    names = dict.fromkeys(name for name, _ in fields)
    return {
        name: ("; " if name == "cookie" else ", ").join(value for one, value in fields if one == name) for name in names
    }


def cookies(value: str) -> dict[str, str]:
    """Return the cookies of a field, the first of each name (RFC 6265, 5.4)."""
    out = {}
    for pair in reversed(value.split(";")):
        if "=" in pair:
            name, value = (side.strip(" \t") for side in pair.split("=", 1))
            if re.fullmatch('".*"', value, re.DOTALL):
                value = value[1:-1]
            if name:
                out[name] = value
    return out


def kept_id(value: str | None) -> str | None:
    """Return the id of a client if it can be kept: 1 to 128 visible characters."""
    return value if value and len(value) <= 128 and all("!" <= c <= "~" for c in value) else None


def checked(name: str, value: str) -> tuple[str, str] | None:
    """Return a field as an answer may have it, or None (RFC 9110, 5.1 and 5.5)."""
    if not name or set(name) - TOKEN or set(value) & CONTROLS or any(c > "\xff" for c in value):
        return None
    return name.lower(), value.strip(" \t")
