"""Write the parts of docs/*.md that come from the code: tables of keys, and what mistakes look like.

    python docs/generate.py            rewrite them

In a page, `<!-- keys: ServerConfig -->` and `<!-- names: SIP_ONLY -->` are followed by what is made here, up to
`<!-- end -->`; `<!-- wrong: http.yaml exit 2 -->` stands before a code block with a mistake and a `console` block with
what the command prints about it. tests/test_docs.py fails when a page is not what this program would write.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from siphon_http import config as http
from siphon_http.config_access import FIELDS
from siphon_http.host import config as host
from siphon_http.host import config_admin as admin
from siphon_http.settings import REQUIRED, Key, Node, fields_of, options_of

HERE = Path(__file__).parent
SCHEMAS: dict[str, type] = {
    "HttpConfig": http.HttpConfig,
    "ServerConfig": http.ServerConfig,
    "TlsConfig": http.TlsConfig,
    "ClientConfig": http.ClientConfig,
    "RetryConfig": http.RetryConfig,
    "HostConfig": host.HostConfig,
    "ScriptConfig": host.ScriptConfig,
    "LogConfig": host.LogConfig,
    "ProcessConfig": host.ServerConfig,
    "AdminConfig": admin.AdminConfig,
    "AdminAuth": admin.AdminAuth,
    "MetricsConfig": admin.MetricsConfig,
    "PrometheusConfig": admin.PrometheusConfig,
    "CacheConfig": admin.CacheConfig,
}
"""Every block of both files; ProcessConfig is `server:` of siphon.yaml."""

PLAIN = {
    "siphon.yaml": "script:\n  path: routes.py\nextensions:\n  http: http.yaml\n",
    "http.yaml": "servers:\n  - listen: 127.0.0.1:8080\n",
    "routes.py": "from siphon import http\n",
}
"""Files around a mistake, unless the mistake is in them."""

_KEYS = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NAMES = re.compile(r"(<!-- names: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FIELDS = re.compile(r"(<!-- fields: access -->\n).*?(<!-- end -->)", re.DOTALL)
WRONG = re.compile(
    r"(<!-- wrong: (?P<file>\S+) exit (?P<code>\d) -->\n+```\w+\n(?P<text>.*?)```\n+)```console\n.*?```", re.DOTALL
)


def rendered(page: str) -> str:
    """Return `page` with its generated parts as they should be."""
    page = _KEYS.sub(lambda m: m[1] + table(SCHEMAS[m[2]]) + m[3], page)
    page = _FIELDS.sub(lambda m: m[1] + fields() + m[2], page)
    page = _NAMES.sub(lambda m: m[1] + names(getattr(host, m[2])) + m[3], page)
    return WRONG.sub(lambda m: m[1] + f"```console\n{output(m['file'], m['text'], int(m['code']))}```", page)


def table(schema: type) -> str:
    """Return the markdown table of a schema's keys."""
    lines = ["| key | value | default | effect |", "|---|---|---|---|"]
    for key in fields_of(schema):
        doc = key.doc[0].upper() + key.doc[1:] if key.doc.split()[0].rstrip(",;").isalpha() else key.doc
        lines.append(f"| `{key.name}` | {_value(key)} | {_default(key)} | {doc}. |")
    return "\n".join(lines) + "\n"


def fields() -> str:
    """Return the markdown table of what a line of an access log may name."""
    rows = [f"| `{{{name}}}` | {doc} |" for name, doc in sorted(FIELDS.items())]
    return "\n".join(["| field | |", "|---|---|", *rows]) + "\n"


def names(blocks: Mapping[str, frozenset[str]]) -> str:
    """Return keys by block as a markdown list."""
    lines = [
        f"- {f'`{block}:`' if block else 'top level'}: {', '.join(f'`{name}`' for name in sorted(found))}"
        for block, found in blocks.items()
    ]
    return "\n".join(lines) + "\n"


def _value(key: Key) -> str:
    kinds = [kind for kind in options_of(key.kind) if kind is not types.NoneType]
    text = " or ".join(_kind(kind, key) for kind in kinds)
    if key.low is not None and key.high is not None:
        text += f", {key.low} to {key.high}"
    elif key.low is not None:
        text += f", from {key.low}"
    return text


def _kind(kind: Any, key: Key) -> str:
    """Say what is written for one type."""
    origin = typing.get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(f"`{word}`" for word in typing.get_args(kind))
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        if inner is str:
            return "list of methods" if key.name == "methods" else "list of domains, IP addresses and networks"
        words = {http.ServerConfig: "listeners", admin.CacheConfig: "caches", Path: "paths", int: "whole numbers"}
        return f"list of {words.get(inner, 'IP addresses and networks')}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping of names to blocks" if typing.get_args(kind)[1] is http.ClientConfig else "mapping"
    if key.name == "access_log":
        return "`true`, `false`, `json`, `combined` or a line with fields"
    if dataclasses.is_dataclass(origin) and key.parse is None:
        return "block"
    if key.name == "unix_mode":
        return "octal mode, such as `0660`"
    if origin is str:
        return "URL" if key.parse else "text"
    words = {bool: "`true` or `false`", int: "whole number", float: "number", http.Address: "address"}
    words |= {admin.Endpoint: "address", Node: "anything"}
    words[Path] = "path of a file" if key.is_file else "path"
    return words.get(origin, "block") + (f" of {key.unit}" if key.unit and origin in {int, float} else "")


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    if key.default is None or key.default in ((), {}):
        return "none"
    if dataclasses.is_dataclass(key.default):
        return "its defaults"
    if isinstance(key.default, tuple):
        return f"`[{', '.join(map(str, key.default))}]`"
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"


def output(wrong: str, text: str, code: int) -> str:
    """Return a console block's text: what `siphon-http check` prints when the file `wrong` holds `text`.

    Raises RuntimeError: it does not exit with `code`.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (PLAIN | {wrong: text}).items():
            Path(folder, name).write_text(content, encoding="utf-8")
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(HERE.parent)]))
        environ = {k: v for k, v in os.environ.items() if k != "PORT"}
        done = subprocess.run(
            [sys.executable, "-m", "siphon_http", "check"],
            cwd=folder,
            env={**environ, "PYTHONPATH": path, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != code:
            raise RuntimeError(f"{wrong}: exit code {done.returncode}, not {code}:\n{text}\n{done.stderr}")
        printed = (done.stdout + done.stderr).replace(os.path.realpath(folder) + "/", "").replace(f"{folder}/", "")
        printed = re.sub(r"^\S+Z +(WARN)", r"2026-11-21T09:47:23.437658Z  \1", printed, flags=re.MULTILINE)
        return f"$ siphon-http check\n{printed.replace(sys.executable, 'python3')}$ echo $?\n{code}\n"


def pages() -> Iterator[Path]:
    """Yield every page of the documentation, the README too."""
    yield HERE.parent / "README.md"
    yield from sorted(HERE.rglob("*.md"))


def main() -> None:
    """Rewrite what has changed."""
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = rendered(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.name}: rewritten\n")


if __name__ == "__main__":
    main()
