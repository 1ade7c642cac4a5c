"""What the repository has is listed in several places: for the sdist, for wheels, for instrumented copies, for style."""

from __future__ import annotations

import subprocess
import tomllib

import pytest

from tests.packaging.loading import loaded
from tests.source.reading import ROOT
from tests.source.test_style import FOLDERS

FORGE = {".github"}
"""Of use to the forge alone."""
PRODUCT = {"siphon_http", "siphon-stubs"}
"""Where a wheel is judged, these are installed, and must not lie beside it."""
MACHINES = {".ci", "MANIFEST.in"} | FORGE
"""Of use where sources are, which only tests/source reads."""


@pytest.fixture(scope="module")
def tree() -> set[str]:
    """Return what is copied to be built with instruments."""
    loaded("packaging/covered_lines.py")  # it is imported by its name
    return set(loaded("packaging/instrumented.py").TREE)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone: what is here was listed to get here")
def test_every_folder_is_looked_at() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert {file.partition("/")[0] for file in files if "/" in file} == set(FOLDERS)


def test_the_sdist_has_every_folder() -> None:
    words = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines()]
    held = {rule[1] for rule in words if rule and rule[0] in ("graft", "recursive-include")}
    assert held == set(FOLDERS) - FORGE


def test_an_instrumented_copy_has_every_folder(tree: set[str]) -> None:
    assert {name for name in tree if (ROOT / name).is_dir()} == set(FOLDERS)
    assert all((ROOT / name).exists() for name in tree)


def test_a_wheel_is_judged_with_all_but_the_product_itself(tree: set[str]) -> None:
    judged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]["test-sources"]
    assert set(judged) == tree - PRODUCT - MACHINES
