"""The pages of the documentation, and every fenced block in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..examples.serving import ROOT
from ..packaging.loading import loaded

DOCS = ROOT / "docs"
GENERATE = loaded("docs/generate.py")
PAGES: list[Path] = sorted(GENERATE.pages())
FENCE = re.compile(
    r"(?P<asks>(?:[ \t>]*<!-- .*? -->\n+)*)"
    r"(?P<indent>[ \t>]*(?:[-*+] +|\d+[.)] +)?)(?P<fence>```+|~~~+)(?P<info>[^\n`]*)\n"
    r"(?P<text>.*?)(?:^[ \t>]*(?P=fence)[ \t]*$|\Z(?P<open>))",
    re.DOTALL | re.MULTILINE,
)
"""A block in any language or none, in a list or a quotation too; `open` when it has no end."""
ASK = re.compile(r"<!-- ask: (?P<method>[A-Z]+) (?P<path>\S+)(?: (?P<body>.*?))? -> (?P<status>\d+) ?(?P<has>.*?) -->")
NAME = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")
SERVED = re.compile(r"<!-- served: (?P<says>.*?) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it is, its language, its text, and the comments before it."""

    place: str
    language: str
    text: str
    comments: str
    is_generated: bool
    """Whether it shows a mistake or what is said about it: docs/generate.py runs those."""

    def __str__(self) -> str:
        return self.place

    @property
    def page(self) -> str:
        """The name of its page."""
        return self.place.partition(":")[0]

    @property
    def name(self) -> str:
        """The file that its first line names, or ""."""
        match = NAME.match(self.text)
        return match[1] if match else ""

    @property
    def is_test(self) -> bool:
        """Whether it is a file of tests, for the script of its page."""
        return "<!-- pytest -->" in self.comments


def fences_of(name: str, text: str) -> list[Block]:
    """Return every block of a page. Raises ValueError: one has no end."""
    generated = [match.span() for match in GENERATE.WRONG.finditer(text)]
    found = []
    for match in FENCE.finditer(text):
        at = match.start("fence")
        place = f"{name}:{text.count(chr(10), 0, at) + 1}"
        if match["open"] is not None:
            raise ValueError(f"{place}: the block has no end")
        content = re.sub(rf"(?m)^[ \t>]{{0,{len(match['indent'])}}}", "", match["text"])
        is_generated = any(start <= at < end for start, end in generated)
        found.append(Block(place, match["info"].strip(), content, match["asks"], is_generated))
    return found


@cache
def fences() -> tuple[Block, ...]:
    """Return every block of every page."""
    return tuple(block for page in PAGES for block in fences_of(page.name, page.read_text()))


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages, without those that show mistakes."""
    return [block for block in fences() if block.language in languages and not block.is_generated]


def projects() -> list[str]:
    """Return the pages whose named blocks are the files of one folder: those that name a test."""
    return sorted({b.page for b in blocks("python") if b.name.startswith("test_")})


def alone(*languages: str) -> list[Block]:
    """Return the blocks that are not a file of their page's project, and have no test of their own."""
    return [b for b in blocks(*languages) if not (b.name and b.page in projects()) and "<!-- test: " not in b.comments]


def scripts(asked: bool) -> list[Block]:
    """Return the python blocks that are scripts of siphon: those with questions, or those without."""
    return [b for b in alone("python") if not b.is_test and bool(ASK.search(b.comments)) is asked]


def files() -> list[Block]:
    """Return the files of projects that something uses: siphon, pytest, or another block that imports them."""
    found = [b for b in blocks("python", "yaml") if b.name and b.page in projects()]
    imported = {(b.page, f"{name}.py") for b in found for name in re.findall(r"(?m)^(?:from|import) (\w+)", b.text)}
    used = {"siphon.yaml", "http.yaml", "routes.py"}
    return [b for b in found if b.name in used or b.name.startswith("test_") or (b.page, b.name) in imported]


def setups() -> list[Block]:
    """Return the commands that are run before the named blocks of their page are written."""
    return [b for b in blocks("sh") if "<!-- run -->" in b.comments and b.page in {*projects(), "editors.md"}]


def answered() -> list[Block]:
    """Return the commands that get an answer from the server of their page."""
    return [b for b in blocks("sh") if SERVED.search(b.comments)]
