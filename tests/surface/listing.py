"""What users build on, one line for each name: made of the build, and kept in surface.txt.

    python -m tests.surface        writes it anew

A name that goes, or a signature that changes, breaks somebody: the test beside this shows it before they see it.
"""

from __future__ import annotations

import ast
import dataclasses
import http.client
import importlib
import importlib.util
import inspect
import re
import signal
import socket
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from siphon_http._core.headers import Headers
from siphon_http.config import HttpConfig
from siphon_http.config_access import FIELDS
from siphon_http.host import cli
from siphon_http.host.builtin import Builtins
from siphon_http.host.config import SIP_ONLY, HostConfig
from siphon_http.host.metrics import Counter, Gauge, Histogram
from siphon_http.host.timer import TimerHandle
from siphon_http.settings import REQUIRED, Key, fields_of
from tests.examples.serving import serving

FILE = Path(__file__).with_name("surface.txt")

MODULES: dict[str, tuple[str, ...]] = {
    "siphon_http": (),
    "siphon_http.errors": (),
    "siphon_http.host.api": (),
    "siphon_http.settings": (),
    "siphon_http.testing": ("Exchange", "HttpTestHarness", "install_sdk_alias", "make_request"),
}
"""What other packages may import: extensions, and tests of scripts; no names: all of `__all__`. The rest may change."""

SPECIAL = {"__aenter__", "__aiter__", "__enter__", "__getitem__", "__iter__", "__len__", "__setitem__"}


def surface() -> str:
    """Return the whole text."""
    parts = {
        "siphon: what scripts import": namespaces(),
        "modules that other packages import": modules(),
        "siphon-http: commands and options": commands(),
        "exit codes": exit_codes(),
        "http.yaml": [*keys(HttpConfig, "")],
        "siphon.yaml": [*keys(HostConfig, "")],
        "siphon.yaml: taken, without effect": [
            f"{block}.{name}".strip(".") for block, names in SIP_ONLY.items() for name in names
        ],
        "access log: fields": [f"{{{name}}}" for name in FIELDS],
        "metrics": metrics(),
    }
    return "\n".join(f"[{title}]\n" + "".join(f"{line}\n" for line in sorted(lines)) for title, lines in parts.items())


# ---- names of Python


def stub_folder() -> Path:
    """Return where the stub package is: beside siphon_http, in the tree as in an environment."""
    spec = importlib.util.find_spec("siphon_http")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parents[1] / "siphon-stubs"


def stub_names(module: str) -> list[str]:
    """Return the public names that a file of the stub package declares."""
    found = []
    for node in ast.parse((stub_folder() / f"{module}.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found += [a.asname for a in node.names if a.asname]
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
    return sorted(name for name in found if not name.startswith("_"))


def script_namespaces() -> dict[str, Any]:
    """Return what the host offers to its script, by name."""
    from siphon_http.extension import HttpNamespace

    return {**Builtins().namespaces(), "http": HttpNamespace()}


def namespaces() -> Iterator[str]:
    """Yield what `from siphon import ...` gives: the names that the stub package declares, as they are at run time."""
    found = script_namespaces()
    for name, namespace in found.items():
        for one in stub_names(f"_{name}"):
            yield from described(f"{name}.{one}", getattr(namespace, one))
    for kind in (Headers, Counter, Gauge, Histogram, TimerHandle):  # what a script is given, but does not make
        yield from described(kind.__name__, kind, made=False)


def modules() -> Iterator[str]:
    """Yield the names of the modules."""
    for name, names in MODULES.items():
        module = importlib.import_module(name)
        for one in names or module.__all__:
            yield from described(f"{name}.{one}", getattr(module, one))


def described(name: str, thing: Any, *, made: bool = True) -> Iterator[str]:
    """Yield the line of a name and, of a class, those of its members. made: by its user, so that parameters count."""
    if not inspect.isclass(thing):
        yield f"{name}{signature(thing)}" if callable(thing) else name
        return
    stub = stub_of(thing)
    bases = [base.__name__ for base in thing.__bases__ if base is not object and base.__name__ != thing.__name__]
    takes = "" if not made or "Protocol" in bases else stub.get("__init__") or signature(thing)
    yield f"class {name}{takes}" + (f": {', '.join(bases)}" if bases else "")
    for member in sorted(members(thing)):
        value = inspect.getattr_static(thing, member)
        if isinstance(value, (int, str)):
            if made:
                yield f"{name}.{member} = {value!r}"
            continue
        value = getattr(value, "__func__", value)  # of a classmethod or staticmethod
        yield f"{name}.{member}" + stub.get(member, signature(value) if callable(value) else "")


def members(kind: type) -> set[str]:
    """Return the public names of a class that our own classes give it."""
    ours = [one for one in kind.__mro__ if one.__module__.startswith("siphon")]
    return {name for one in ours for name in vars(one) if not name.startswith("_") or name in SPECIAL}


def stub_of(kind: type) -> dict[str, str]:
    """Return what the stub says of a class of a Cython module, by member: Python cannot tell. stubtest holds it to the build."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        spec = importlib.util.find_spec(one.__module__) if one.__module__.startswith("siphon_http") else None
        file = Path(spec.origin or "").with_name(f"{one.__module__.rpartition('.')[2]}.pyi") if spec else None
        if file is None or not file.exists():
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == one.__name__:
                for member in node.body:
                    if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        found.setdefault(member.name, _stub_signature(member))
    return found


def _stub_signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return the parameters and the result of a function, or the type of a property."""
    result = "" if node.returns is None else ast.unparse(node.returns)
    if any(ast.unparse(one) == "property" for one in node.decorator_list):
        return f": {result}"
    first = node.args.posonlyargs or node.args.args
    del first[0]  # self
    return f"({ast.unparse(node.args)})" + _result(result, isinstance(node, ast.AsyncFunctionDef))


def _result(text: str, is_async: bool) -> str:
    words = ["await"] * is_async + [text] * (text not in {"", "None"})
    return " -> " + " ".join(words) if words else ""


def signature(thing: Callable[..., Any]) -> str:
    """Return the parameters and the result of a function or class as text; "" where Python cannot tell."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    words, star = [], False
    for one in found.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not star:
            words.append("*")
        star = star or one.kind in {one.KEYWORD_ONLY, one.VAR_POSITIONAL}
        words.append(_parameter(one))
        if one.kind is one.POSITIONAL_ONLY:
            words.append("/")
    if words == ["*args", "**kwargs"]:
        return ""  # what some versions of Python say of classes without an __init__ of their own
    result = "" if found.return_annotation is found.empty else str(found.return_annotation)
    return f"({', '.join(words)}){_result(result, inspect.iscoroutinefunction(thing))}"


def _parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    text = f"{stars}{one.name}" + ("" if one.annotation is one.empty else f": {one.annotation}")
    if one.default is one.empty:
        return text
    shown = repr(one.default) if isinstance(one.default, (str, bytes, int, float, tuple, type(None))) else "..."
    return f"{text} = {shown}" if ":" in text else f"{text}={shown}"


# ---- the command


class _Shown(Exception):
    """Carries the parser of a command that was about to parse."""


def commands() -> Iterator[str]:
    """Yield commands with their options, as their parsers take them."""

    def show(self: Any, args: Any) -> Any:
        raise _Shown(self)

    original = cli._Parser.parse
    cli._Parser.parse = show  # type: ignore[method-assign]
    try:
        for name, command in cli.COMMANDS.items():
            try:
                command([], 0.0)
            except _Shown as shown:
                for action in shown.args[0]._actions:
                    choices = "=" + "|".join(action.choices) if action.choices else ""
                    takes = "" if action.nargs == 0 else choices or "=..."
                    words = ", ".join(action.option_strings)
                    yield f"siphon-http {name} {words}{takes}" if words else f"siphon-http {name} [{action.dest}]"
    finally:
        cli._Parser.parse = original  # type: ignore[method-assign]
    yield "siphon-http --version"
    yield "siphon-http --help"


def exit_codes() -> Iterator[str]:
    """Yield the codes that the command ends with, as its help says them."""
    text = cli.HELP.partition("exit codes:\n")[2].partition("\n\n")[0]
    for codes, meaning in re.findall(r"(?:^|  +)(\d+(?:, \d+)?)  (\S.*?)(?=  +\d|$)", text, re.MULTILINE):
        yield f"{codes}: {meaning}"


# ---- files


def keys(schema: type, before: str) -> Iterator[str]:
    """Yield the keys of a block and of the blocks in it: path, type, limits, default."""
    written = {field.name: field.type for field in dataclasses.fields(schema)}
    for key in fields_of(schema):
        path = f"{before}{key.name}"
        limits = f" [{_number(key.low)}, {_number(key.high)}]" if key.low is not None else ""
        yield f"{path}: {written[key.name]}{limits}{_default(key)}"
        for inner, mark in _blocks(key.kind):
            yield from keys(inner, f"{path}{mark}.")


def _blocks(kind: Any) -> Iterator[tuple[type, str]]:
    """Yield the blocks in a key's type, each with what stands behind the key in a path."""
    origin = typing.get_origin(kind)
    mark = "[]" if origin is tuple else ".NAME" if inspect.isclass(origin) and issubclass(origin, Mapping) else ""
    for part in (kind, *typing.get_args(kind)):
        if dataclasses.is_dataclass(part) and isinstance(part, type) and any(key.doc for key in fields_of(part)):
            yield part, mark


def _number(value: float | None) -> str:
    return "" if value is None else str(value)


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return ", required"
    if dataclasses.is_dataclass(key.default) or key.default == {}:
        return ""
    return f" = {key.default!r}"


# ---- numbers

SITE = {
    "siphon.yaml": "script: {path: routes.py}\nextensions: {http: http.yaml}\nadmin: {listen: '127.0.0.1:${ADMIN_PORT}'}\n",
    "http.yaml": (
        'servers: [{listen: "127.0.0.1:${PORT:-8080}"}]\n'
        "clients: {api: {base_url: 'http://127.0.0.1:${ADMIN_PORT}', retries: 1}}\n"
    ),
    "routes.py": (
        "from siphon import http\n"
        "@http.route('/good')\nasync def good(req): return http.Response()\n"
        "@http.route('/bad')\nasync def bad(req): return None\n"
        "api = http.Client('api')\n"
        "@http.route('/calls')\nasync def calls(req):\n"
        "    await api.get('/admin/health')\n"
        "    try: await api.get('http://[::1]:1/')\n"
        "    except http.ClientError: return http.Response()\n"
    ),
}


def metrics() -> list[str]:
    """Return the names of everything that a process counts, with type and labels: a server is started and asked."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in SITE.items():
            (folder / file).write_text(text)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with serving(folder, {"ADMIN_PORT": str(port)}) as server:
            server.ask("/good")
            server.ask("/bad")
            server.ask("/calls")
            with socket.create_connection(("127.0.0.1", server.port)) as refused:
                refused.sendall(b"junk\r\n\r\n")
                refused.recv(1024)
            server.process.send_signal(signal.SIGHUP)
            return _scraped(port)


def _scraped(port: int) -> list[str]:
    """Return what the admin listener tells once the reload is counted."""
    deadline = time.monotonic() + 20
    text = ""
    while "siphon_reloads_total" not in text and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
    lines = set()
    for name, kind in re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text):
        labels = {
            label
            for found in re.findall(rf"(?m)^{name}(?:_bucket|_sum|_count)?{{(.*?)}} ", text)
            for label in re.findall(r'(\w+)="', found)
        }
        lines.add(f"{name} {kind} {' '.join(sorted(labels - {'le'}))}".rstrip())
    return sorted(lines)
