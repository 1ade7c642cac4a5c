"""YAML with marks -> checked values, for the host and for extensions alike.

A file's schema is a frozen dataclass. Types, defaults and limits of its fields say what is accepted, so that the checks,
the documentation and the JSON schema have one source:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Queue:
        \"\"\"One entry of `queues:`.\"\"\"
        name: str = required("how scripts call it")
        wait_ms: int = optional(500, "a full queue refuses after this time", low=1, high=60_000)

    problems: list[Problem] = []
    queue = read(load(Path("queue.yaml"), problems=problems), Queue, problems)

Nothing here stops at the first mistake: all of them are collected, each with file, line, column, reason and hint.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from siphon_http.errors import ConfigError, Problem
from siphon_http.records import dataclass
from siphon_http.settings_nodes import Document, MappingNode, Node, ScalarNode, SequenceNode

__all__ = [
    "REQUIRED",
    "Document",
    "Findings",
    "Key",
    "MappingNode",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "fields_of",
    "load",
    "optional",
    "options_of",
    "read",
    "required",
    "sorted_problems",
    "text_of",
    "where_else",
]

T = TypeVar("T")

REQUIRED: Final = object()  # instead of a default: the file must give it
_BAD: Final = object()  # a value that could not be read; its problem is already noted
_UNITS: Final = {"_ms": "milliseconds", "_secs": "seconds", "_bytes": "bytes"}
_SCALES: Final[Mapping[str, Mapping[str, float]]] = {
    "milliseconds": {"ms": 1, "s": 1000, "sec": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000},
    "seconds": {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600},
    "bytes": {
        "b": 1,
        "k": 1024,
        "kb": 1024,
        "kib": 1024,
        "m": 1 << 20,
        "mb": 1 << 20,
        "mib": 1 << 20,
        "g": 1 << 30,
        "gb": 1 << 30,
        "gib": 1 << 30,
    },
}


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one key.

    name: as in the file; kind: its type; doc: its effect in one line; default: REQUIRED if the file must give it;
    low, high: limits, both included; unit: of a number, or ""; parse: makes the value of a node, raises ConfigError
    (for a tuple: of each entry); is_file: the path must name a file that is there.
    """

    doc: str
    name: str = ""
    kind: Any = None
    default: Any = REQUIRED
    low: float | None = None
    high: float | None = None
    unit: str = ""
    parse: Callable[[Node], Any] | None = None
    is_file: bool = False


def load(
    path: Path,
    *,
    content: bytes | None = None,
    shown: str | None = None,
    environ: Mapping[str, str] = os.environ,
    problems: list[Problem] | None = None,
    warnings: list[str] | None = None,
) -> Node:
    """Read a YAML file, as `settings_yaml.load` does: a third of our import's cost is the YAML library, paid here."""
    from siphon_http import settings_yaml

    return settings_yaml.load(path, content=content, shown=shown, environ=environ, problems=problems, warnings=warnings)


def required(
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    parse: Callable[[Node], Any] | None = None,
    is_file: bool = False,
) -> Any:
    """Declare a dataclass field that the file must give. The arguments are those of Key."""
    checked = Key(doc, low=low, high=high, parse=parse, is_file=is_file)
    return dataclasses.field(metadata={"key": checked})


def optional(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    parse: Callable[[Node], Any] | None = None,
    is_file: bool = False,
) -> Any:
    """Declare a dataclass field that the file may leave out. default: the value, or `dict` for an empty mapping."""
    checked = Key(doc, low=low, high=high, parse=parse, is_file=is_file)
    if default is dict:
        return dataclasses.field(default_factory=dict, metadata={"key": checked})
    return dataclasses.field(default=default, metadata={"key": checked})


def fields_of(schema: type) -> tuple[Key, ...]:
    """Return the keys of a schema dataclass in their order, with types resolved."""
    hints = typing.get_type_hints(schema)
    keys: list[Key] = []
    for field in dataclasses.fields(schema):
        default = REQUIRED if field.default is dataclasses.MISSING else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        unit = next((unit for suffix, unit in _UNITS.items() if field.name.endswith(suffix)), "")
        declared: Key = field.metadata.get("key") or Key("")
        keys.append(dataclasses.replace(declared, name=field.name, kind=hints[field.name], default=default, unit=unit))
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found wrong (`problems`) or doubtful (`warnings`, one line each) so far."""

    problems: list[Problem]
    warnings: list[str]

    def refuse(self, node: Node, reason: str, hint: str = "") -> None:
        """Note a problem at `node`."""
        self.problems.append(node.problem(reason, hint))

    def warn(self, node: Node, text: str) -> None:
        """Note a warning at `node`."""
        self.warnings.append(f"{node.place}: {node.path}: {text}")


def sorted_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Return `problems` in the order of their places, files in the order of their first problem, each said once."""
    files = list(dict.fromkeys(p.file for p in problems))
    unique = {(p.file, p.line, p.column, p.reason): p for p in problems}
    return sorted(unique.values(), key=lambda p: (files.index(p.file), p.line, p.column))


def text_of(node: Node, expected: str) -> str:
    """Return the text of a scalar that is not empty; for `parse` functions. Raises ConfigError ("expected ...")."""
    if isinstance(node, ScalarNode) and node.text.strip() and node.value is not None:
        return node.text
    raise node.refusal(f"expected {expected}, got {_got(node)}")


def read(node: Node, schema: type[T], problems: list[Problem], warnings: list[str] | None = None) -> T | None:
    """Return an instance of the dataclass `schema` made of `node`, or None; what is wrong is appended to `problems`.

    A static method `check_settings(node, values, findings)` of a schema is called after its fields were read, for what
    concerns more than one of them; `values` holds those that could be read, and the defaults of those
    that are not given.
    """
    value = _Reader(Findings(problems, [] if warnings is None else warnings)).mapping_as(node, schema)
    return None if value is _BAD else typing.cast(T, value)


def _got(node: Node) -> str:
    if isinstance(node, ScalarNode) and node.text == "" and node.variables:
        names = " and ".join(f"${{{name}}}" for name in node.variables)
        return f"nothing ({names} is empty)"
    return node.got()


def options_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type alone."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return typing.get_args(kind)
    return (kind,)


def _either(words: Sequence[object]) -> str:
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _expected(kind: Any, unit: str) -> str:
    """Say what `kind` accepts, for a sentence that begins with "expected"."""
    origin = typing.get_origin(kind) or kind
    of_unit = f" of {unit}" if unit else ""
    if origin is Literal:
        return _either(typing.get_args(kind))
    words = {bool: "true or false", int: f"a whole number{of_unit}", float: f"a number{of_unit}", str: "text"}
    words |= {Path: "a path", tuple: "a list", ScalarNode: "a single value", SequenceNode: "a list"}
    return words.get(origin, "a mapping (`key: value` lines)")


def _fits(node: Node, kind: Any) -> bool:
    """Whether `node` is meant as a `kind`, if a union offers it."""
    origin = typing.get_origin(kind) or kind
    if isinstance(node, ScalarNode):
        if origin is Literal:
            return node.text in typing.get_args(kind)
        if origin is int:
            return isinstance(node.value, int) and not isinstance(node.value, bool)
        if origin is float:
            return isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
        if origin is bool:
            return isinstance(node.value, bool)
        return origin in {str, Path, ScalarNode, Node} and isinstance(node.value, str)
    if isinstance(node, SequenceNode):
        return origin in {tuple, SequenceNode, Node}
    return origin not in {tuple, SequenceNode, ScalarNode, str, Path, int, float, bool, Literal}


def _number_hint(node: ScalarNode, unit: str) -> str:
    """Say what to write where text stands and a number was meant, or ""."""
    text = node.text.strip().replace("_", "").lower()
    if node.is_secret:
        return ""
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        if node.quoted and node.variables:
            return "remove the quotes: a quoted ${...} stays text"
        return f"write {int(text)}" + (" without quotes" if node.quoted else "")
    if re.fullmatch(r"0x[0-9a-f]{1,15}|0o[0-7]{1,20}", text):
        return f"write {int(text, 0)}"
    if isinstance(node.value, float) and node.value.is_integer() and abs(node.value) < 1e15:
        return f"write {int(node.value)}"
    scaled = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([a-z]{1,3})", text)
    scale = _SCALES.get(unit, {}).get(scaled[2]) if scaled else None
    return f"write {float(scaled[1]) * scale:.10g}" if scaled and scale else ""


class _Reader:
    """Reads nodes as the types of a schema; holds the resolved fields of the schemas that it met."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._fields: dict[type, tuple[Key, ...]] = {}

    def _refuse(self, node: Node, reason: str, hint: str = "") -> Any:
        self._findings.refuse(node, reason, hint)
        return _BAD

    def _refuse_type(self, node: Node, kind: Any, about: Key, hint: str = "") -> Any:
        expected = _either(
            [_expected(option, about.unit) for option in options_of(kind) if option is not types.NoneType]
        )
        if isinstance(node, ScalarNode) and node.value is None and about.default is not REQUIRED:
            hint = hint or f"leave the key out for its default, {_yaml_of(about.default)}"
        return self._refuse(node, f"expected {expected}, got {_got(node)}", hint)

    def _known(self, schema: type) -> tuple[Key, ...]:
        if schema not in self._fields:
            self._fields[schema] = fields_of(schema)
        return self._fields[schema]

    def mapping_as(self, node: Node, schema: type) -> Any:
        """Return an instance of `schema`, or _BAD."""
        if isinstance(node, ScalarNode) and node.value is None:
            node = MappingNode(node.document, node.line, node.column, node.path)
        known = {about.name: about for about in self._known(schema)}
        if not isinstance(node, MappingNode):
            first = re.match(r"\w+", node.text) if isinstance(node, ScalarNode) else None
            hint = f"write `{first[0]}: ` with a colon and a space" if first and first[0] in known else ""
            return self._refuse_type(node, schema, Key(""), hint)
        before = len(self._findings.problems)
        meant = {self._refuse_unknown(node, name, schema) for name in node if name not in known}
        values: dict[str, Any] = {}
        for name, about in known.items():
            if name in node:
                value = self.value(node[name], about.kind, about)
                if value is not _BAD:
                    values[name] = value
            elif about.default is REQUIRED and name not in meant:
                self._refuse(node, f"`{name}` is missing", f"`{name}:` {about.doc}")
        check = getattr(schema, "check_settings", None)
        if check is not None:
            defaults = {
                n: about.default for n, about in known.items() if n not in node and about.default is not REQUIRED
            }
            check(node, defaults | values, self._findings)
        return _BAD if len(self._findings.problems) > before else schema(**values)

    def _refuse_unknown(self, node: MappingNode, name: str, schema: type) -> str:
        """Note that `name` is no key of `schema`; return the key that may have been meant, or ""."""
        import difflib

        names = [about.name for about in self._known(schema)]
        close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
        inside = self._below(schema, name)
        if name.startswith("${"):
            hint = "keys are not expanded"
        elif close:
            hint = f"did you mean `{close[0]}`?"
        elif inside:
            hint = f"`{name}` belongs below `{inside}:`"
        else:
            hint = f"allowed here: {', '.join(names)}"
        where = f"{node.path}: " if node.path else ""
        problem = node.key(name).problem("", hint)
        problem.reason = f"{where}unknown key `{name}`"
        self._findings.problems.append(problem)
        return str(close[0]) if close and close[0] not in node else ""

    def _below(self, schema: type, name: str) -> str:
        """Return the key of `schema` one level below which `name` would be known, or ""."""
        for about in self._known(schema):
            for option in options_of(about.kind):
                for part in (option, *typing.get_args(option)):
                    if dataclasses.is_dataclass(part) and any(
                        k.name == name for k in self._known(typing.cast(type, part))
                    ):
                        return about.name
        return ""

    def value(self, node: Node, kind: Any, about: Key) -> Any:
        """Return `node` as a `kind`, or _BAD."""
        options = options_of(kind)
        if isinstance(node, ScalarNode) and node.value is None and types.NoneType in options:
            # `tls:` above lines that were commented out must not mean "no TLS"; null, ~ and ${VAR:-} are meant.
            if node.text or node.variables or not (about.is_file or any(map(dataclasses.is_dataclass, options))):
                return None
            if about.is_file:
                return self._refuse(node, "has no value", "write a path, or null for none")
        options = tuple(option for option in options if option is not types.NoneType)
        if about.parse is not None and not any(typing.get_origin(option) is tuple for option in options):
            return self._parsed(node, about.parse)
        if len(options) > 1:
            options = tuple(option for option in options if _fits(node, option))[:1]
        if not options:
            return self._refuse_type(node, kind, about)
        return self._single(node, options[0], about)

    def _parsed(self, node: Node, parse: Callable[[Node], Any]) -> Any:
        try:
            return parse(node)
        except ConfigError as exc:
            self._findings.problems.extend(exc.problems)
            return _BAD

    def _single(self, node: Node, kind: Any, about: Key) -> Any:
        origin = typing.get_origin(kind) or kind
        if origin is Any:
            return node.plain()
        if isinstance(origin, type) and issubclass(origin, Node):
            return node if isinstance(node, origin) else self._refuse_type(node, kind, about)
        if origin is tuple:
            return self._entries(node, typing.get_args(kind)[0], kind, about)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._named(node, typing.get_args(kind)[1], kind, about)
        if dataclasses.is_dataclass(origin):
            return self.mapping_as(node, typing.cast(type, origin))
        if not isinstance(node, ScalarNode):
            return self._refuse_type(node, kind, about)
        if origin is Literal:
            return self._choice(node, kind, about)
        if origin is bool:
            return self._boolean(node, about)
        if origin is int or origin is float:
            return self._number(node, origin, about)
        return self._text(node, origin, about)

    def _entries(self, node: Node, entry: Any, kind: Any, about: Key) -> Any:
        if isinstance(node, ScalarNode) and node.value is None:
            return ()
        if not isinstance(node, SequenceNode):
            hint = "begin each entry with `- `"
            if isinstance(node, ScalarNode):
                hint = "write a list: [a, b], or one `- ` line each"
            return self._refuse_type(node, kind, about, hint)
        values = [self.value(item, entry, about) for item in node.items]
        return _BAD if any(value is _BAD for value in values) else tuple(values)

    def _named(self, node: Node, entry: Any, kind: Any, about: Key) -> Any:
        if isinstance(node, ScalarNode) and node.value is None:
            return {}
        if not isinstance(node, MappingNode):
            return self._refuse_type(node, kind, about)
        values = {name: self.value(item, entry, about) for name, item in node.items()}
        return _BAD if any(value is _BAD for value in values.values()) else values

    def _choice(self, node: ScalarNode, kind: Any, about: Key) -> Any:
        choices = typing.get_args(kind)
        for choice in choices:
            if node.text == choice if isinstance(choice, str) else node.value == choice:
                return choice
        import difflib

        close = difflib.get_close_matches(node.text.lower(), [str(c) for c in choices], n=1, cutoff=0.5)
        return self._refuse_type(node, kind, about, f"did you mean {close[0]}?" if close else "")

    def _boolean(self, node: ScalarNode, about: Key) -> Any:
        if isinstance(node.value, bool):
            return node.value
        word = {"yes": "true", "on": "true", "y": "true", "1": "true", "true": "true"}
        word |= {"no": "false", "off": "false", "n": "false", "0": "false", "false": "false"}
        meant = word.get(node.text.strip().lower(), "")
        hint = f"write {meant}" + (" without quotes" if node.quoted and not node.variables else "") if meant else ""
        return self._refuse_type(node, bool, about, hint)

    def _number(self, node: ScalarNode, kind: type, about: Key) -> Any:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
            return self._refuse_type(node, kind, about, _number_hint(node, about.unit))
        low, high = about.low, about.high
        if (low is None or value >= low) and (high is None or value <= high):
            return kind(value)
        unit = f" {about.unit}" if about.unit else ""
        if low is not None and high is not None:
            limits = f"between {low} and {high}{unit}"
        else:
            limits = f"at least {low}{unit}" if low is not None else f"at most {high}{unit}"
        never = value == 0 and about.unit in {"milliseconds", "seconds"}
        hint = f"a time-out cannot be switched off; the longest is {high}" if never and high is not None else ""
        return self._refuse(node, f"must be {limits}, got {node.shown()}", hint)

    def _text(self, node: ScalarNode, kind: type, about: Key) -> Any:
        # A variable's value must not change what is accepted: a token of digits is text where text is asked for.
        if not isinstance(node.value, str) and not node.variables:
            hint = "" if node.value is None or node.is_secret else f'put it in quotes: "{node.text}"'
            return self._refuse_type(node, kind, about, hint)
        if kind is not Path:
            return node.text
        if not node.text.strip() or "\0" in node.text:
            return self._refuse_type(node, kind, about)
        path = node.relative(node.text)
        return self._file(node, path) if about.is_file else path

    def _file(self, node: ScalarNode, path: Path) -> Any:
        """Return `path` if a file, pipe or device is there. Whether it can be read is seen when it is."""
        shown = node.shown() if node.is_secret else str(path)
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            hint = "" if node.is_secret else where_else(node, path)
            return self._refuse(node, f"file {shown} does not exist", hint)
        except OSError as exc:
            return self._refuse(node, f"file {shown} cannot be reached: {exc.strerror}")
        return self._refuse(node, f"{shown} is a folder, not a file") if stat.S_ISDIR(mode) else path


def where_else(node: ScalarNode, path: Path) -> str:
    """Return what may help who names a file that is not there."""
    if os.path.isfile(node.text):  # below the working directory, where the original host looks
        here = os.path.relpath(node.text, node.document.directory)
        return f"paths begin at the folder of the file that names them: write {here}"
    missing = next((p for p in reversed(path.parents) if not p.exists()), None)
    return "" if missing is None else f"the folder {missing} does not exist either"


def _yaml_of(value: object) -> str:
    """Return a default as one would write it in the file."""
    words = {None: "none", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
