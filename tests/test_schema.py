"""The JSON schemas that editors read: current, and of the checker's opinion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import siphon_http

from .packaging.loading import ROOT, loaded

GENERATE = loaded("schema/generate.py")
PLACE = Path(siphon_http.__file__).parent / "schema"
NAMES = ("http.schema.json", "siphon.schema.json")
EXAMPLES = [file for file in sorted(ROOT.glob("examples/**/*.yaml")) if f"{file.stem}.schema.json" in NAMES]


def validator(name: str) -> Any:
    schema = json.loads((PLACE / name).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_what_the_dataclasses_say(name: str) -> None:
    assert GENERATE.text(name) == (PLACE / name).read_text(), "run: python schema/generate.py"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_examples_are_valid(file: Path) -> None:
    schema = validator(f"{file.stem}.schema.json")
    assert list(schema.iter_errors(yaml.safe_load(file.read_text()))) == []


WRONG = {
    "an unknown key": ("http.schema.json", {"servers": [{"listen": "127.0.0.1:1", "lisen": 1}]}),
    "a missing key": ("http.schema.json", {"servers": [{}]}),
    "a word for a number": ("http.schema.json", {"servers": [{"listen": "127.0.0.1:1", "max_headers": "many"}]}),
    "a number out of range": ("http.schema.json", {"servers": [{"listen": "127.0.0.1:1", "max_headers": 0}]}),
    "a word that is no choice": ("http.schema.json", {"startup_errors": "maybe"}),
    "a list for a mapping": ("http.schema.json", {"clients": []}),
    "an unknown key of the process": ("siphon.schema.json", {"script": {"path": "a.py"}, "extension": {}}),
    "no script": ("siphon.schema.json", {"extensions": {}}),
}


@pytest.mark.parametrize("name, content", WRONG.values(), ids=WRONG.keys())
def test_mistakes_are_seen(name: str, content: dict[str, Any]) -> None:
    assert list(validator(name).iter_errors(content)) != []


RIGHT = {
    "variables for numbers": (
        "http.schema.json",
        {"servers": [{"listen": "127.0.0.1:${PORT:-80}", "max_headers": "${MAX:-9}"}]},
    ),
    "no listeners": ("http.schema.json", {}),
    "keys of the original host": (
        "siphon.schema.json",
        {"script": {"path": "a.py"}, "listen": {"udp": ["x"]}, "nat": {}},
    ),
    "workers by word": ("siphon.schema.json", {"script": {"path": "a.py"}, "workers": "auto"}),
    "an inline extension": (
        "siphon.schema.json",
        {"script": {"path": "a.py"}, "extensions": {"http": {"servers": []}}},
    ),
}


@pytest.mark.parametrize("name, content", RIGHT.values(), ids=RIGHT.keys())
def test_what_the_checker_takes_is_valid(name: str, content: dict[str, Any]) -> None:
    assert list(validator(name).iter_errors(content)) == []
