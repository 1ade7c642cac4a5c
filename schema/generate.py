"""Write the JSON schemas of siphon.yaml and http.yaml, for editors: from the same dataclasses that check the files.

    python schema/generate.py          rewrite siphon_http/schema/*.schema.json, which are part of the package

The checker knows more than a schema can say (files that must exist, keys that contradict each other); what a schema
refuses, the checker refuses too. tests/test_schema.py fails when the files are not what this program would write.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from siphon_http import config as http
from siphon_http import config_access as http_access
from siphon_http.host import config as host
from siphon_http.host import config_admin as admin
from siphon_http.settings import REQUIRED, Key, Node, fields_of, options_of

PLACE = Path(http.__file__).parent / "schema"
SCHEMAS: dict[str, tuple[type, str]] = {
    "http.schema.json": (http.HttpConfig, "http.yaml of siphon-http: listeners and named clients"),
    "siphon.schema.json": (host.HostConfig, "siphon.yaml: the process, its script and its extensions"),
}

VARIABLE: dict[str, Any] = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
"""A scalar that an environment variable fills, `${PORT:-8080}`: typed only once it is expanded."""

SIMPLE: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string", "minLength": 1},
    http.Address: {
        "type": "string",
        "minLength": 1,
        "examples": ["127.0.0.1:8080", "[::]:8080", "unix:/run/http.sock"],
    },
    admin.Endpoint: {
        "type": "string",
        "minLength": 1,
        "examples": ["127.0.0.1:9090", "[::1]:9090", "unix:/run/siphon-admin.sock"],
    },
}


def schema_of(kind: Any, title: str) -> dict[str, Any]:
    """Return the schema of a whole file."""
    found = block(kind)
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **found}


def block(kind: type) -> dict[str, Any]:
    """Return the schema of a mapping that a dataclass describes."""
    keys = fields_of(kind)
    properties = {key.name: described(key) for key in keys}
    if kind is host.HostConfig:
        properties |= {name: {"description": "Without effect: this host speaks no SIP."} for name in host.SIP_ONLY[""]}
    for name, inner in host.SIP_ONLY.items():
        if name and (kind, name) in {(host.ScriptConfig, "script"), (host.ServerConfig, "server")}:
            properties |= {one: {"description": "Without effect: this host speaks no SIP."} for one in inner}
    found: dict[str, Any] = {
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "additionalProperties": False,
    }
    needed = sorted(key.name for key in keys if key.default is REQUIRED)
    return {**found, "required": needed} if needed else found


def described(key: Key) -> dict[str, Any]:
    """Return the schema of one key, with its effect, and its default where JSON can hold it."""
    kinds = options_of(key.kind)
    choices = [choice for kind in kinds for choice in value(kind, key)]
    found: dict[str, Any] = choices[0] if len(choices) == 1 else {"anyOf": choices}
    found = {"description": key.doc[0].upper() + key.doc[1:] + ".", **found}
    if isinstance(key.default, (bool, int, float, str)):
        found["default"] = key.default
    return found


def value(kind: Any, key: Key) -> list[dict[str, Any]]:
    """Return the ways to write a value of `kind`."""
    origin = typing.get_origin(kind) or kind
    if kind is types.NoneType:
        return [{"type": "null"}]
    if origin is Literal:
        return [{"enum": list(typing.get_args(kind))}, VARIABLE]
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        items = block(inner) if dataclasses.is_dataclass(inner) and key.parse is None else {"type": "string"}
        return [{"type": "array", "items": items}]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = typing.get_args(kind)[1]
        entries = block(inner) if dataclasses.is_dataclass(inner) else {"type": ["string", "object"]}
        return [{"type": "object", "additionalProperties": entries}]
    if origin is Node:
        return [{"type": ["object", "array", "string"]}]
    if dataclasses.is_dataclass(origin) and origin not in SIMPLE and key.parse is None:
        return [block(typing.cast("type", origin))]
    if origin is http_access.AccessFormat:
        return [{"enum": [True, False, "json", "combined"]}, {"type": "string", "pattern": r"\{"}]
    if key.parse is not None and origin not in {http.Address, admin.Endpoint}:
        return [{"type": ["string", "integer"] if origin is int else "string"}]
    found = dict(SIMPLE[origin])
    if origin in {int, float}:
        found |= {"minimum": key.low} if key.low is not None else {}
        found |= {"maximum": key.high} if key.high is not None else {}
    return [found] if found["type"] == "string" else [found, VARIABLE]


def text(name: str) -> str:
    """Return what the file `name` must hold."""
    kind, title = SCHEMAS[name]
    return json.dumps(schema_of(kind, title), indent=2, sort_keys=False, ensure_ascii=False) + "\n"


def main() -> None:
    """Rewrite what has changed."""
    for name in SCHEMAS:
        file = PLACE / name
        if not file.exists() or file.read_text(encoding="utf-8") != text(name):
            file.write_text(text(name), encoding="utf-8")
            sys.stdout.write(f"{name}: rewritten\n")


if __name__ == "__main__":
    main()
