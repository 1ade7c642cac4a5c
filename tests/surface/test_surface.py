"""What users build on does not change by accident: the build is compared with the list in surface.txt."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys

import pytest

from tests.linux import IS_LINUX
from tests.surface.listing import FILE, MODULES, script_namespaces, stub_folder, stub_names, surface

pytestmark = pytest.mark.wire

HOSTS_OWN = {
    "cache": {"close", "close_old", "configure"},
    "http": set(),
    "log": {"sources"},
    "metrics": set(),
    "timer": {"explain", "load_begins", "load_ends", "start", "stop"},
}
"""What the host calls: no part of what scripts may use, so that the stub package is silent about it."""

HOW_TO_ACCEPT = """
The public surface has changed. If that is meant: `python -m tests.surface` writes the list anew. What was taken away or
changed breaks somebody: docs/ says what to do instead, and the commit says why.
"""


def test_the_public_surface_is_the_listed_one() -> None:
    before, now = FILE.read_text(encoding="utf-8"), surface()
    if not IS_LINUX:  # what the kernel tells of processes comes from there
        before = re.sub(r"(?m)^process_.*\n", "", before)
    difference = "\n".join(
        difflib.unified_diff(before.splitlines(), now.splitlines(), "listed", "built", "", "", 0, "")
    )
    assert before == now, HOW_TO_ACCEPT + difference


@pytest.mark.parametrize("name", HOSTS_OWN)
def test_the_stub_package_has_every_name_that_scripts_may_use(name: str) -> None:
    namespace = script_namespaces()[name]
    public = {one for one in dir(namespace) if not one.startswith("_")}
    assert set(stub_names(f"_{name}")) == public - HOSTS_OWN[name]


def test_the_stub_package_has_every_namespace() -> None:
    assert set(script_namespaces()) == HOSTS_OWN.keys()
    assert {file.stem for file in stub_folder().glob("_[a-z]*.pyi")} == {f"_{name}" for name in HOSTS_OWN}
    assert (stub_folder() / "py.typed").read_text() == "partial\n"


def test_the_stub_package_makes_no_module_that_can_be_imported() -> None:
    path = os.pathsep.join([str(stub_folder().parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "import siphon"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModuleNotFoundError: No module named 'siphon'" in done.stderr


def test_modules_that_others_import_say_what_is_public() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert [module for module in MODULES if f" {module}." not in text and f"\n{module}." not in text] == []
