"""How the source tests read files: Python, Cython and stubs alike, by lines, without what stands in strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "siphon_http"

_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|[^\\])*?"""'
    r"|'''(?:\\.|[^\\])*?'''"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
    r"|\#[^\n]*",
    re.DOTALL,
)
_IMPORT = re.compile(
    r"(?:^|[;:])[ \t]*(?:"
    r"from[ \t]+(?P<module>[\w.]+)[ \t]+c?import[ \t]*(?P<names>\([^)]*\)|[^\n;]+)"
    r"|c?import[ \t]+(?P<modules>[^\n;]+))",
    re.MULTILINE,
)
_FUNCTION = re.compile(r"^([ \t]*)(?P<kind>(?:async[ \t]+)?def|cdef|cpdef)[ \t][^=(\n]*?(?P<name>\w+)[ \t]*\(")
_CLASS = re.compile(r"^([ \t]*)(?:cdef[ \t]+)?class[ \t]+(?P<name>\w+)")


def package_files(*suffixes: str) -> list[Path]:
    """Return the files of the package with one of `suffixes`, sorted, relative to the repository."""
    return sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*") if path.suffix in suffixes)


def bare(text: str) -> str:
    """Return `text` with strings and comments blanked; every line keeps its number, and strings leave their quotes."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        if found.startswith("#"):
            return ""
        *before, last = found.split("\n")
        return '"' + "\n" * len(before) + " " * (len(last) - len(last.lstrip())) + '"'

    return _STRING_OR_COMMENT.sub(blank, text)


def imports(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (module, names) of every import and cimport, wherever it stands; no names for `import module`."""
    joined = bare(text).replace("\\\n", " ")
    for match in _IMPORT.finditer(joined):
        if match["module"]:
            names = (part.split()[0] for part in match["names"].strip("() \n").split(",") if part.strip())
            yield match["module"], tuple(names)
        else:
            for part in match["modules"].split(","):
                yield part.split()[0], ()


@dataclass(frozen=True)
class Block:
    """A class or function of a Cython file. Lines count from 1."""

    kind: str  # "class", "def", "async def", "cdef" or "cpdef"
    name: str
    first: int
    last: int
    depth: int  # indentation of its first line
    body: int  # line where its body begins
    inside: str  # kind of the block around it, or ""
    decorators: str


def blocks(text: str) -> list[Block]:
    """Return the classes and functions of a Cython file, by indentation."""
    lines = bare(text).split("\n")
    found: list[Block] = []
    for number, line in enumerate(lines):
        match = _CLASS.match(line) or _FUNCTION.match(line)
        if match is None:
            continue
        end = _header_end(lines, number)
        if end is None:
            continue
        depth = len(match[1])
        last = _body_end(lines, end, depth)
        kind = "class" if match.re is _CLASS else " ".join(match["kind"].split())
        around = [one for one in found if one.depth < depth and one.first <= number + 1 <= one.last]
        inside = around[-1].kind if around else ""
        found.append(
            Block(kind, match["name"], number + 1, last + 1, depth, end + 2, inside, _decorators(lines, number))
        )
    return found


def _header_end(lines: list[str], start: int) -> int | None:
    """Return the index of the line whose colon ends the header that begins at `start`; None when it is no header."""
    level = 0
    for index in range(start, len(lines)):
        level += sum(lines[index].count(sign) for sign in "([{") - sum(lines[index].count(sign) for sign in ")]}")
        if level <= 0 and not lines[index].rstrip().endswith("\\"):
            return index if lines[index].rstrip().endswith(":") else None
    return None


def _body_end(lines: list[str], header: int, depth: int) -> int:
    """Return the index of the last line of code that is deeper than `depth`."""
    last = header
    for index in range(header + 1, len(lines)):
        line = lines[index]
        if line.strip():
            if len(line) - len(line.lstrip()) <= depth:
                break
            last = index
    return last


def _decorators(lines: list[str], number: int) -> str:
    """Return the decorator lines just above a header, joined."""
    first = number
    while first > 0 and lines[first - 1].lstrip().startswith("@"):
        first -= 1
    return " ".join(line.strip() for line in lines[first:number])
