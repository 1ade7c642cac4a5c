"""Imports programs of the repository that are in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def loaded(path: str) -> ModuleType:
    """Return the program at `path` (from the repository's root) as a module of its file's name."""
    file = ROOT / path
    # Two folders have a generate.py; the programs of packaging/ import each other by their names.
    name = file.stem if file.parent.name == "packaging" else f"{file.parent.name}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
