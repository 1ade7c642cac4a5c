"""A YAML file -> nodes.

    bytes -> text -> masked text -> libyaml's events -> nodes (scalars expanded, then typed)

The events are composed here and not by the YAML library: that is the only way to see duplicate keys and tags, to bound
what aliases may multiply, and to expand `${VAR}` where it can no longer change the structure of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from siphon_http.errors import ConfigError, Problem
from siphon_http.settings_nodes import Document, MappingNode, Node, ScalarNode, SequenceNode, path_below

__all__ = ["load"]

_FILE_LIMIT = 1_048_576  # bytes; also ends a read of /dev/zero
_NODE_LIMIT = 20_000  # nodes after aliases are followed: a "billion laughs" file stops here
_DEPTH_LIMIT = 32

_LINE_BREAK = "\r\n|[\n\r\x85\u2028\u2029]"  # what libyaml counts as one, so that its line numbers are ours
_NOT_TEXT = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]"
_NOT_TEXT_ASCII = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"  # compiled at a tenth of the cost
_ONE_LINE_EXPANSION = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}\r\n]*)?\}")
_EXPANSION = re.compile(r"\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
# What would end a plain scalar is replaced, inside `${...}` only and by as many characters, while the YAML is parsed, so
# that `[${PEER:-10.0.0.0/8, x}]` is a list of one. Quotes and backslashes keep their meaning.
_MASK = {ord(c): 0xE100 + i for i, c in enumerate("{}[],:#")}
_UNMASK = {mask: char for char, mask in _MASK.items()}
_MASK_CHARACTER = re.compile("[\ue100-\ue106]")

# libyaml's words -> (ours, what to do)
_SYNTAX: Mapping[str, tuple[str, str]] = {
    "mapping values are not allowed in this context": (
        "a second ': ' on one line, or a wrong indentation",
        "put the value in quotes if it contains ': '",
    ),
    "did not find expected key": (
        "not expected here: the indentation, or a quote before it, is wrong",
        "align the line with its neighbours",
    ),
    "found a tab character that violates indentation": ("a tab in the indentation", "use spaces"),
    "found unknown escape character": ("an unknown escape after \\", "use single quotes, in which \\ means itself"),
    "did not find expected '-' indicator": ("this line does not fit the list around it", "begin each entry with '- '"),
    "could not find expected ':'": ("a key without ': ' after it", "write `key: value`"),
    "found undefined alias": (
        "an alias (*name) without an anchor (&name) before it",
        "put text beginning with * in quotes",
    ),
}


class _Composer:
    """Makes nodes of libyaml's events; what can be read past is collected in `problems`."""

    def __init__(self, document: Document, events: Iterator[Any], environ: Mapping[str, str], *, masked: bool) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._document = document
        self._events = events
        self._environ = environ
        self._masked = masked
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def root(self) -> Node:
        """Return the node of the whole file; an empty file is an empty mapping."""
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._stop(event, "a second document begins here", "one file holds one document: remove this line")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, "", 0)
        if root is None or (isinstance(root, ScalarNode) and root.value is None):
            return MappingNode(self._document, 1, 1, "")
        return root

    def _place(self, event: Any) -> tuple[Document, int, int]:
        return self._document, event.start_mark.line + 1, event.start_mark.column + 1

    def _problem(self, event: Any, reason: str, hint: str = "") -> Problem:
        _, line, column = self._place(event)
        return self._document.problem(line, column, reason, hint)

    def _stop(self, event: Any, reason: str, hint: str = "") -> NoReturn:
        raise ConfigError([*self.problems, self._problem(event, reason, hint)])

    def _spend(self, event: Any) -> None:
        self._count += 1
        if self._count > _NODE_LIMIT:
            self._stop(event, f"more than {_NODE_LIMIT} values, counting each use of an alias", "write fewer aliases")

    def _node(self, event: Any, path: str, depth: int) -> Node:
        self._spend(event)
        if depth > _DEPTH_LIMIT:
            self._stop(event, f"more than {_DEPTH_LIMIT} levels of nesting")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            hint = "write the value without it; quotes make a value text"
            self.problems.append(self._problem(event, f"tags are not accepted, found {tag}", hint))
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, path, depth)
        else:
            node = self._mapping(event, path, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, path: str) -> Node:
        if event.anchor not in self._anchors:
            reason = f"alias *{event.anchor} has no anchor &{event.anchor} that is complete before it"
            self._stop(event, reason, "put text beginning with * in quotes")
        return self._anchors[event.anchor].moved(path, lambda: self._spend(event))

    def _sequence(self, start: Any, path: str, depth: int) -> SequenceNode:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return SequenceNode(*self._place(start), path, items)

    def _mapping(self, start: Any, path: str, depth: int) -> MappingNode:
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            name = key.text if key else "?"
            node = self._node(next(self._events), path_below(path, name), depth + 1)
            if key is None:
                continue
            if name in entries:
                first = entries[name][0]
                reason = f"{path_below(path, name)}: given twice, first in line {first.line}"
                self.problems.append(self._problem(event, reason, "remove one of the two"))
            elif name == "<<" and not key.quoted:
                reason = "merge keys (<<) are not accepted: they are no part of YAML 1.2"
                self.problems.append(
                    self._problem(event, reason, "write the keys out, or use an alias for a whole value")
                )
            else:
                entries[name] = (key, node)
        return MappingNode(*self._place(start), path, entries)

    def _key(self, event: Any, path: str, depth: int) -> ScalarNode | None:
        """Return the node of a key, which is never expanded; None, with a problem, for one that is no text."""
        if isinstance(event, yaml.ScalarEvent) and event.tag is None and event.anchor is None:
            text = event.value.translate(_UNMASK) if self._masked else event.value
            return ScalarNode(*self._place(event), path, text, quoted=bool(event.style), variables=())
        self._node(event, path_below(path, "?"), depth + 1)
        self.problems.append(self._problem(event, "a key must be text, without anchor, alias or tag"))
        return None

    def _scalar(self, event: Any, path: str) -> ScalarNode:
        text = event.value.translate(_UNMASK) if self._masked else event.value
        names: list[str] = []
        quoted = bool(event.style)
        if "${" in text:
            unset: list[str] = []
            text = self._expanded(event, text, names, unset)
            # An unset variable is the empty string, not null: a missing setting must not look like one left out.
            quoted = quoted or (bool(unset) and not text)
        return ScalarNode(*self._place(event), path, text, quoted=quoted, variables=tuple(dict.fromkeys(names)))

    def _expanded(self, event: Any, text: str, names: list[str], unset: list[str]) -> str:
        """Return `text` with each `${VAR}` replaced; what it named goes into `names`, what was not there into `unset`."""

        def replaced(match: re.Match[str]) -> str:
            name, default = match.groups()
            if name is None or "${" in (default or ""):
                reason = "malformed ${...}" if name is None else "${...} inside ${...}"
                hint = "write ${NAME} or ${NAME:-default}; a default ends at the first }"
                self.problems.append(self._problem(event, reason, hint))
                return match.group()
            names.append(name)
            value = self._environ.get(name)
            if value is None and default is None:
                unset.append(name)
                _, line, column = self._place(event)
                where = f"{self._document.shown}:{line}:{column}"
                self.warnings.append(f"{where}: ${{{name}}} is not set and has no default; it is empty")
            return value or default or ""

        return _EXPANSION.sub(replaced, text)


def _content(path: Path, shown: str) -> bytes:
    """Return what is in the file at `path`, up to more than may be. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError([Problem(shown, 0, 0, "", "does not exist", f"looked for {path.absolute()}")]) from None
    except OSError as exc:
        reason = f"cannot be read: {exc.strerror or exc}"
        hint = f"this process runs as user id {os.geteuid()}" if isinstance(exc, PermissionError) else ""
        raise ConfigError([Problem(shown, 0, 0, "", reason, hint)]) from exc


def _text(data: bytes, shown: str) -> str:
    """Return the text of a file that holds `data`. Raises ConfigError."""
    if len(data) > _FILE_LIMIT:
        reason = f"is larger than {_FILE_LIMIT} bytes, the most that a configuration file may have"
        raise ConfigError([Problem(shown, 0, 0, "", reason)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8-sig")
        lines = re.split(_LINE_BREAK, before)
        reason = f"byte 0x{data[exc.start]:02x} is not UTF-8"
        problem = Problem(shown, len(lines), len(lines[-1]) + 1, lines[-1], reason, "save the file as UTF-8")
        raise ConfigError([problem]) from exc
    bad = re.search(_NOT_TEXT_ASCII if text.isascii() else _NOT_TEXT, text)
    if bad:
        lines = re.split(_LINE_BREAK, text[: bad.start()])
        reason = f"control character 0x{ord(bad.group()):02x} is not allowed"
        problem = Problem(shown, len(lines), len(lines[-1]) + 1, lines[-1], reason, "remove it")
        raise ConfigError([problem])
    return text


def _syntax_problem(document: Document, exc: yaml.YAMLError) -> Problem:
    """Return libyaml's complaint in our words, where the cause is rather than where the parser gave up."""
    mark = getattr(exc, "problem_mark", None)
    if mark is None:
        return Problem(document.shown, 0, 0, "", f"is not valid YAML: {exc}")
    said = str(getattr(exc, "problem", "") or "")
    context = str(getattr(exc, "context", "") or "")
    opened = getattr(exc, "context_mark", None)
    line, column = mark.line + 1, mark.column + 1
    source = document.lines[mark.line] if mark.line < len(document.lines) else ""
    at = source[mark.column : mark.column + 1]
    reason, hint = _SYNTAX.get(said.split(", but found", maxsplit=1)[0], (f"not valid YAML: {said}", ""))
    if context == "while scanning a simple key" and opened is not None:
        line, column = opened.line + 1, opened.column + 1
    elif "quoted scalar" in context and "end of stream" in said and opened is not None:
        line, column = opened.line + 1, opened.column + 1
        reason, hint = "the quote that opens here is never closed", ""
    elif context == "while parsing a flow node" and said == "did not find expected node content":
        reason, hint = "not expected inside [ ] or { }", "put text with any of [ ] { } , : in quotes"
    elif "flow" in context and opened is not None:
        bracket = "[" if "sequence" in context else "{"
        reason = f"not valid inside the {bracket} of line {opened.line + 1}, or that {bracket} is not closed"
        hint = "put text with any of [ ] { } , : in quotes"
    elif "cannot start any token" in said:
        reason = "a tab in the indentation" if at == "\t" else f"a value cannot begin with {at}"
        hint = "use spaces" if at == "\t" else "put the value in quotes"
    return document.problem(line, column, reason, hint)


def load(
    path: Path,
    *,
    content: bytes | None = None,
    shown: str | None = None,
    environ: Mapping[str, str] = os.environ,
    problems: list[Problem] | None = None,
    warnings: list[str] | None = None,
) -> Node:
    """Read the YAML file at `path` and return its root, with `${VAR}` and `${VAR:-default}` expanded from `environ`.

    content: what was read of it before. shown: the file's name in messages (default: `path`). warnings: one line for each
    variable that is not set is appended. problems: what is wrong but can be read past (duplicate keys, tags, malformed
    `${`) is appended, so that it is reported together with what `read` finds; without it, such problems are raised.

    Raises ConfigError: the file is missing, unreadable, larger than 1 MiB, not UTF-8, not YAML, or more than one document.
    """
    name = str(path) if shown is None else shown
    text = _text(_content(path, name) if content is None else content, name)
    # What splitlines takes for a line's end beyond libyaml's is no text, and was refused.
    document = Document(name, path.absolute().parent, text.splitlines())
    masked = not _MASK_CHARACTER.search(text)
    if masked:
        text = _ONE_LINE_EXPANSION.sub(lambda match: match.group().translate(_MASK), text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events = yaml.parse(text, Loader=loader)
    composer = _Composer(document, events, environ, masked=masked)
    try:
        root = composer.root()
    except yaml.YAMLError as exc:
        raise ConfigError([*composer.problems, _syntax_problem(document, exc)]) from exc
    if warnings is not None:
        warnings += composer.warnings
    if problems is not None:
        problems += composer.problems
    elif composer.problems:
        raise ConfigError(composer.problems)
    return root
