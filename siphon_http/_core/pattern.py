"""Path patterns of routes: text -> static parts and parameters, with the offset of every mistake.

A pattern is a path in which whole segments may be parameters: `{id}` is one non-empty segment, `{*rest}` one or more
characters to the end of the path. Its static parts are kept canonical (urldecode.canonical), as requests are before they
are matched: "/café", "/caf%C3%A9" and "/caf%c3%a9" are one pattern.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from siphon_http._core.urldecode import canonical, decode_path
from siphon_http.errors import RouteSyntaxError
from siphon_http.records import dataclass

__all__ = ["MAX_PARAMETERS", "Pattern", "Slot", "parse_pattern"]

MAX_PARAMETERS: Final = 16
"""Most parameters that one pattern may have; as many pairs of offsets does a match have room for."""

_BAD_ESCAPE: Final = r"%(?![0-9A-Fa-f]{2})"
_REFUSED: Final = r"[?#\x00-\x20\x7f\ud800-\udfff]"
_REFUSED_ASCII: Final = r"[?#\x00-\x20\x7f]"  # compiled at a tenth of the cost
_REASONS: Final = {
    "?": "'?' begins the query, which routes do not match: read req.query_params, or write %3F",
    "#": "'#' begins the fragment, which clients do not send: write %23",
    " ": "a space cannot be in a path: write %20",
}


class Slot(Enum):
    """The two kinds of parameter."""

    SEGMENT = "{}"
    REST = "{*}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern that was read without mistake.

    text: as written; parts: canonical static bytes and slots, in order, the first one static; names: of the slots, in
    order.
    """

    text: str
    parts: tuple[bytes | Slot, ...]
    names: tuple[str, ...]

    @property
    def shape(self) -> str:
        """The pattern without its names: two routes of one shape and one method cannot both be reached.

        A brace of a static part is shown as its escape, so that it is no slot.
        """
        static = (p if isinstance(p, Slot) else p.replace(b"{", b"%7B").replace(b"}", b"%7D") for p in self.parts)
        return "".join(p.value if isinstance(p, Slot) else p.decode("ascii") for p in static)


def parse_pattern(text: str) -> Pattern:
    """Read `text`.

    Raises:
        RouteSyntaxError: with the reason, what to write instead, and the offset in `text`, from 0.
    """
    if not text.startswith("/"):
        raise RouteSyntaxError("a path must begin with '/'", text, 0)
    parts: list[bytes | Slot] = []
    names: list[str] = []
    at = 0
    while at < len(text):
        brace = text.find("{", at)
        end = len(text) if brace < 0 else brace
        if end > at:
            parts.append(_static(text, at, end))
        if brace < 0:
            break
        slot, name, at = _parameter(text, brace)
        if name in names:
            raise RouteSyntaxError(f"a second parameter is called {name!r}", text, brace)
        if len(names) == MAX_PARAMETERS:
            raise RouteSyntaxError(f"more than {MAX_PARAMETERS} parameters", text, brace)
        parts.append(slot)
        names.append(name)
    return Pattern(text, tuple(parts), tuple(names))


def _static(text: str, start: int, end: int) -> bytes:
    """Return text[start:end] as canonical path bytes."""
    part = text[start:end]
    if (brace := part.find("}")) >= 0:
        raise RouteSyntaxError("'}' without a '{' before it", text, start + brace)
    if found := re.search(_REFUSED_ASCII if part.isascii() else _REFUSED, part):
        reason = _REASONS.get(found[0], f"{found[0]!r} cannot be in a path")
        raise RouteSyntaxError(reason, text, start + found.start())
    if "%" in part and (found := re.search(_BAD_ESCAPE, part)):
        reason = "'%' must be followed by two hex digits (a percent sign is %25)"
        raise RouteSyntaxError(reason, text, start + found.start())
    raw = part.encode()
    try:
        decode_path(raw)
    except ValueError as error:
        raise RouteSyntaxError("the escapes are no UTF-8", text, start + part.index("%")) from error
    return canonical(raw)


def _parameter(text: str, brace: int) -> tuple[Slot, str, int]:
    """Read the parameter that begins at `brace`; return its kind, its name and the offset behind it."""
    close = text.find("}", brace)
    if close < 0:
        raise RouteSyntaxError("'{' is never closed", text, brace)
    inner = text[brace + 1 : close]
    slot = Slot.REST if inner.startswith("*") else Slot.SEGMENT
    name = inner.removeprefix("*")
    if not name:
        raise RouteSyntaxError("the parameter has no name", text, brace)
    if not name.isidentifier():
        raise RouteSyntaxError(
            f"{name!r} is no name: use letters, digits and '_'", text, brace + len(inner) - len(name) + 1
        )
    if text[brace - 1] != "/":
        raise RouteSyntaxError("a parameter is a whole segment: there is text before '{'", text, brace)
    after = close + 1
    if after < len(text) and text[after] != "/":
        raise RouteSyntaxError("a parameter is a whole segment: there is text after '}'", text, after)
    if slot is Slot.REST and after < len(text):
        raise RouteSyntaxError(f"'{{*{name}}}' takes everything to the end: nothing may follow", text, after)
    return slot, name, after
