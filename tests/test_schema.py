"""The JSON schemas that editors read: current, and of the checker's opinion."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

import siphon_http

ROOT = Path(__file__).resolve().parents[1]
PLACE = Path(siphon_http.__file__).parent / "schema"
NAMES = ("http.schema.json", "siphon.schema.json")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schema_generate", ROOT / "schema" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def validator(name: str) -> Any:
    schema = json.loads((PLACE / name).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_what_the_dataclasses_say(name: str, generate: ModuleType) -> None:
    assert generate.text(name) == (PLACE / name).read_text(), "run: python schema/generate.py"


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_examples_are_valid(file: Path) -> None:
    name = f"{file.stem}.schema.json"
    if name not in NAMES:
        pytest.skip("no file of ours")
    assert list(validator(name).iter_errors(yaml.safe_load(file.read_text()))) == []


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
