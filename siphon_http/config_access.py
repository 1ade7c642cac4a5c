"""What `access_log` of a listener says: a form by name, or a line with fields in braces.

access_log: json
access_log: '{client} "{method} {target} {protocol}" {status} {bytes_out} {duration_ms} {header:x-tenant}'
"""

from __future__ import annotations

import re
from typing import Literal

from siphon_http.records import dataclass
from siphon_http.settings import Node, ScalarNode

__all__ = ["COMBINED", "FIELDS", "JSON", "AccessFormat", "parse_access_log"]

FIELDS = {
    "bytes_in": "content of the request, bytes",
    "bytes_out": "content of the answer, bytes",
    "client": "address of the client, as `req.client`",
    "duration_ms": "from the complete head to the end of the answer, milliseconds",
    "host": "the authority that was asked for",
    "listener": "address of the listener",
    "method": "method",
    "protocol": "`HTTP/1.1`, `HTTP/2.0`",
    "referer": "header field Referer",
    "request_id": "id of the request: the client's X-Request-ID, or the new one that somebody asked for",
    "route": "pattern of the route",
    "scheme": "`http` or `https`",
    "status": "status of the answer; 499: the client left before it",
    "target": "path and query as sent, secrets masked",
    "time": "when the answer ended, UTC",
    "user_agent": "header field User-Agent",
}
"""What a format may name, and what it is."""

MOST_PARTS, MOST_HEADERS = 128, 12

_HEADER = r"header:([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_SECRET = r"(?i)authorization|cookie|token|secret|password|api-?key"


@dataclass(frozen=True, slots=True)
class AccessFormat:
    """How a line is made. parts: ("text", literal), ("field", name of FIELDS) or ("header", name in lower case)."""

    style: Literal["text", "json"]
    parts: tuple[tuple[str, str], ...]
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def clock(self) -> Literal["combined", "iso"]:
        """How `time` is written."""
        return "combined" if self.name == "combined" else "iso"


def _json() -> AccessFormat:
    parts = [("text", '{"timestamp":"'), ("field", "time"), ("text", '","level":"INFO","target":"siphon_http.access"')]
    numbers = {"status", "bytes_in", "bytes_out", "duration_ms"}
    wanted = "client method target:path route status bytes_in bytes_out duration_ms protocol request_id host referer"
    for word in [*wanted.split(), "user_agent"]:
        name, _, shown = word.partition(":")
        quote = "" if name in numbers else '"'
        # `target` is the logger in the log's JSON lines, as the original host has it.
        parts += [("text", f',"{shown or name}":{quote}'), ("field", name), ("text", quote)]
    return AccessFormat("json", (*parts, ("text", "}")), "json")


def _text(line: str, name: str) -> AccessFormat:
    """Return the format of `line`. Raises ValueError with the reason and a hint."""
    parts: list[tuple[str, str]] = []
    rest = line
    while rest:
        text, brace, rest = rest.partition("{")
        word, end, rest = rest.partition("}")
        if "}" in text or "{" in word or (brace and not end):
            raise ValueError("a brace stands alone", "fields are written {status}")
        parts.append(("text", text))
        if word in FIELDS:
            parts.append(("field", word))
        elif header := re.fullmatch(_HEADER, word):
            if re.search(_SECRET, header[1]):
                raise ValueError(f"{{{word}}} would write secrets into the log", "leave it out")
            parts.append(("header", header[1].lower()))
        elif brace:
            import difflib  # only for the one who needs the hint

            close = difflib.get_close_matches(word, FIELDS, 1)
            hint = f"did you mean {{{close[0]}}}?" if close else f"there are {', '.join(FIELDS)} and header:NAME"
            raise ValueError(f"there is no field {{{word}}}", hint)
    whole = tuple(part for part in parts if part[1])
    if len(whole) > MOST_PARTS or len({text for kind, text in whole if kind == "header"}) > MOST_HEADERS:
        raise ValueError(
            "the line is too long", f"at most {MOST_PARTS // 2} fields, {MOST_HEADERS} of them header:NAME"
        )
    return AccessFormat("text", whole, name)


JSON = _json()
COMBINED = _text(
    '{client} - - [{time}] "{method} {target} {protocol}" {status} {bytes_out} "{referer}" "{user_agent}"', "combined"
)


def parse_access_log(node: Node) -> AccessFormat | None:
    """Return the format that `access_log` names; None for false. Raises ConfigError."""
    if isinstance(node, ScalarNode):
        if node.value is None or node.value is False:
            return None
        if node.value is True or node.text == "json":
            return JSON
        if node.text == "combined":
            return COMBINED
        if any(ord(c) < 32 or ord(c) > 126 for c in node.text):
            raise node.refusal("a format is one line of ASCII")
        if "{" in node.text:
            try:
                return _text(node.text, node.text)
            except ValueError as error:
                raise node.refusal(*error.args) from None
    raise node.refusal(
        f"expected false, json, combined or a line with fields, got {node.got()}", "a line: '{client} {status}'"
    )
