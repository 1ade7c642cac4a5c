"""The values of a YAML file as nodes that know their place; `settings_yaml` makes them, `settings` checks them.

Scalars are typed by the core schema of YAML 1.2, cut down to what cannot surprise: `yes`, `010`, `0x10`, `1_000` and
`12:30` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from siphon_http.errors import ConfigError, Problem

__all__ = ["Document", "MappingNode", "Node", "ScalarNode", "SequenceNode", "path_below"]

_LINE_SHOWN = 160  # characters of a source line in a message
# Patterns are compiled when they are first asked for: most are for messages.
_INT = r"[-+]?(?:0|[1-9][0-9]{0,29})"
_FLOAT = r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?|[0-9]+[eE][-+]?[0-9]{1,4})"
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

_SECRET = r"(?i)token|secret|passw"
_SECRET_EXPANDED = r"(?i)token|secret|passw|key"  # `key: a.pem` is a path, ${API_KEY} rarely is
_NAMES_A_FILE = r"(?i)(?:path|file|dir)$"
_SECRET_LINE = r"(?i)((?:token|secret|passw)[\w-]*[\"']?\s*:\s+)(?!\$\{|[|>{\[])\S.*"
_USERINFO = r"://[^/@\s\"']+@"


def _redacted(text: str) -> str:
    """Return `text` without the userinfo of URLs and without the values of keys that name secrets."""
    return re.sub(_SECRET_LINE, r"\1***", re.sub(_USERINFO, "://***@", text))


class Document:
    """One file. shown: its name in messages; directory: where relative paths in it begin; lines: its text."""

    __slots__ = ("directory", "lines", "shown")

    def __init__(self, shown: str, directory: Path, lines: Sequence[str]) -> None:
        self.shown = shown
        self.directory = directory
        self.lines = lines

    def problem(self, line: int, column: int, reason: str, hint: str = "") -> Problem:
        """Return a Problem at `line` and `column`, both from 1; secrets in the line shown are hidden."""
        source = _redacted(self.lines[line - 1]) if 0 < line <= len(self.lines) else ""
        if len(source) > _LINE_SHOWN:
            source = source[: _LINE_SHOWN - 3] + "..." if column < _LINE_SHOWN - 3 else ""
        return Problem(self.shown, line, column, source, reason, hint)


class Node:
    """A value of the file and its place.

    document: its file; line, column: from 1; path: `servers[0].listen`, or "" for the whole file.
    """

    __slots__ = ("column", "document", "line", "path")
    kind: ClassVar[Literal["scalar", "sequence", "mapping"]]

    def __init__(self, document: Document, line: int, column: int, path: str) -> None:
        self.document = document
        self.line = line
        self.column = column
        self.path = path

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path or '.'} at {self.file}:{self.line}:{self.column}>"

    @property
    def file(self) -> str:
        """Name of the file, as messages show it."""
        return self.document.shown

    @property
    def source(self) -> str:
        """Text of the line on which the value begins, as it is in the file, without secrets."""
        return self.problem("").source

    @property
    def place(self) -> str:
        """`http.yaml:7:5`."""
        return f"{self.file}:{self.line}:{self.column}"

    def problem(self, reason: str, hint: str = "") -> Problem:
        """Return a Problem at this place; `reason` is led by the path of the value."""
        return self.document.problem(self.line, self.column, f"{self.path}: {reason}" if self.path else reason, hint)

    def refusal(self, reason: str, hint: str = "") -> ConfigError:
        """Return (not raise) a ConfigError with one problem at this place."""
        return ConfigError([self.problem(reason, hint)])

    def relative(self, name: str) -> Path:
        """Return `name` as an absolute path; relative ones begin at the folder of the file that names them."""
        return self.document.directory / name

    def got(self) -> str:
        """Say what was found, for a sentence that ends in "got ..."."""
        raise NotImplementedError

    def plain(self) -> Any:
        """Return the value as plain Python: dict, list, str, int, float, bool, None."""
        raise NotImplementedError

    def moved(self, path: str, spend: Callable[[], None]) -> Node:
        """Return a copy of this node, and of all below it, under `path`; `spend` is called for each and may raise."""
        raise NotImplementedError


class ScalarNode(Node):
    """A single value.

    text: after expansion; quoted: it stays text; variables: names in its `${...}`; value: None, bool, int, float or str.
    """

    __slots__ = ("quoted", "text", "value", "variables")
    kind = "scalar"

    def __init__(
        self,
        document: Document,
        line: int,
        column: int,
        path: str,
        text: str,
        *,
        quoted: bool,
        variables: tuple[str, ...],
    ) -> None:
        super().__init__(document, line, column, path)
        self.text = text
        self.quoted = quoted
        self.variables = variables
        self.value = text if quoted else _typed(text)

    @property
    def is_secret(self) -> bool:
        """Whether the key or a variable has the name of a secret, so that no message may show the value."""
        pattern = _SECRET_EXPANDED if self.variables else _SECRET
        name = self.path.rpartition(".")[2].partition("[")[0]
        return any(re.search(pattern, n) and not re.search(_NAMES_A_FILE, n) for n in (name, *self.variables))

    def problem(self, reason: str, hint: str = "") -> Problem:
        """As Node.problem; a secret that the file holds in clear is cut from the line."""
        problem = super().problem(reason, hint)
        if self.is_secret and not self.variables:
            problem.source = problem.source[: self.column - 1] + "***"
        return problem

    def shown(self) -> str:
        """Return the value for a message: shortened, quoted if text, with its variables, never a secret."""
        origin = ", ".join(f"${{{name}}}" for name in self.variables)
        if self.is_secret:
            return f"the value of {origin}" if origin else "a value that is not shown"
        if isinstance(self.value, str):
            text = _redacted(self.value)
            shown = repr(text if len(text) <= 80 else text[:77] + "...")
        else:
            shown = self.text
        return f"{shown} (from {origin})" if origin else shown

    def got(self) -> str:
        """See Node."""
        if self.value is None:
            return "nothing"
        if self.is_secret or isinstance(self.value, bool):
            return self.shown()
        return f"{'text' if isinstance(self.value, str) else 'number'} {self.shown()}"

    def plain(self) -> bool | int | float | str | None:
        """See Node."""
        return self.value

    def moved(self, path: str, spend: Callable[[], None]) -> Node:
        """See Node."""
        spend()
        at = (self.document, self.line, self.column)
        return ScalarNode(*at, path, self.text, quoted=self.quoted, variables=self.variables)


class SequenceNode(Node):
    """A list of nodes, `items`."""

    __slots__ = ("items",)
    kind = "sequence"

    def __init__(self, document: Document, line: int, column: int, path: str, items: Sequence[Node] = ()) -> None:
        super().__init__(document, line, column, path)
        self.items = items

    def got(self) -> str:
        """See Node."""
        return "a list"

    def plain(self) -> list[Any]:
        """See Node."""
        return [item.plain() for item in self.items]

    def moved(self, path: str, spend: Callable[[], None]) -> Node:
        """See Node."""
        spend()
        items = [item.moved(f"{path}[{i}]", spend) for i, item in enumerate(self.items)]
        return SequenceNode(self.document, self.line, self.column, path, items)


class MappingNode(Node, Mapping[str, Node]):
    """A mapping of names to nodes, in the order of the file; `key(name)` is the node of the name itself."""

    __slots__ = ("_entries",)
    kind = "mapping"

    def __init__(
        self,
        document: Document,
        line: int,
        column: int,
        path: str,
        entries: Mapping[str, tuple[ScalarNode, Node]] | None = None,
    ) -> None:
        super().__init__(document, line, column, path)
        self._entries = entries or {}

    def __getitem__(self, name: str) -> Node:
        return self._entries[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, name: str) -> ScalarNode:
        """Return the node of the key `name`: where it stands in the file."""
        return self._entries[name][0]

    def got(self) -> str:
        """See Node."""
        return "a mapping"

    def plain(self) -> dict[str, Any]:
        """See Node."""
        return {name: node.plain() for name, node in self.items()}

    def moved(self, path: str, spend: Callable[[], None]) -> Node:
        """See Node."""
        spend()
        entries = {
            name: (key, node.moved(path_below(path, name), spend)) for name, (key, node) in self._entries.items()
        }
        return MappingNode(self.document, self.line, self.column, path, entries)


def path_below(path: str, name: str) -> str:
    """Return the path of the entry `name` of the mapping at `path`."""
    return f"{path}.{name}" if path else name


def _typed(text: str) -> bool | int | float | str | None:
    """Return the value of an unquoted scalar (YAML 1.2, 10.3.2, without octal, hexadecimal, infinities and NaN)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if re.fullmatch(_INT, text):
        return int(text)
    if re.fullmatch(_FLOAT, text) and math.isfinite(float(text)):
        return float(text)
    return text
