"""A line of an access log, the slow way: from the bytes of the head, one character after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping

from siphon_http.config_access import AccessFormat
from siphon_http.server.access import masked_url


def shown(value: bytes, style: str) -> str:
    """Return a value as a line has it: what is not plain escaped, "-" for nothing unless the line is JSON."""
    escape = "\\u00{:02x}" if style == "json" else "\\x{:02x}"
    text = "".join(chr(c) if 0x20 <= c < 0x7F and c not in b'"\\' else escape.format(c) for c in value)
    return text or ("" if style == "json" else "-")


def request_id(values: list[bytes]) -> bytes:
    """Return the client's id if there is one that can be kept."""
    return values[0] if values and 1 <= len(values[0]) <= 128 and all(0x21 <= c <= 0x7E for c in values[0]) else b""


def line(form: AccessFormat, head: bytes, known: Mapping[str, str]) -> str:
    """Return the line, without its newline. known: what the head does not tell, by name of the field."""
    first, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, protocol = first.split(b" ")
    absolute = re.match(rb"(?i)https?://([^/?]*)", target)
    authority = absolute[1] if absolute else b""
    fields: dict[bytes, list[bytes]] = {}
    for one in rest:
        name, _, value = one.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))

    def of(name: bytes) -> bytes:
        return fields.get(name, [b""])[0]

    values = {
        "method": method,
        "target": masked_url(target.decode("latin-1")).encode("latin-1"),
        "protocol": protocol,
        "host": authority or of(b"host"),
        "referer": masked_url(of(b"referer").decode("latin-1")).encode("latin-1"),
        "user_agent": of(b"user-agent"),
        "request_id": request_id(fields.get(b"x-request-id", [])),
    }
    line = ""
    for kind, word in form.parts:
        if kind == "text":
            line += word
        elif kind == "header":
            line += shown(of(word.encode()), form.style)
        else:
            line += known[word] if word in known else shown(values[word], form.style)
    return line
