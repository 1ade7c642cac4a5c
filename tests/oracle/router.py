"""What the router must do, slow and obvious: try every pattern as a regular expression, take the most specific one."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.oracle.urldecode import canonical

STATIC, SEGMENT, REST = range(3)


class Entry(NamedTuple):
    regex: re.Pattern[bytes]
    key: tuple[int, ...]  # one of the three kinds for each segment: the smallest key wins
    route: object


def compile_entry(text: str, route: object) -> Entry:
    regex, key = [], []
    for segment in text.split("/"):
        if segment.startswith("{*"):
            regex.append(b"(.+)")
            key.append(REST)
        elif segment.startswith("{"):
            regex.append(b"([^/]+)")
            key.append(SEGMENT)
        else:
            regex.append(re.escape(canonical(segment.encode())))
            key.append(STATIC)
    return Entry(re.compile(b"/".join(regex), re.DOTALL), tuple(key), route)


def find(entries: list[Entry], path: bytes) -> tuple[object, list[tuple[int, int]]] | None:
    """Return the route and the places of its parameters in the canonical path."""
    fits = [(e.key, m, e.route) for e in entries if (m := e.regex.fullmatch(canonical(path)))]
    if not fits:
        return None
    _, match, route = min(fits, key=lambda fit: fit[0])
    return route, [match.span(i + 1) for i in range(match.re.groups)]
