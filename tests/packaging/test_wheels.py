"""`make wheels` and setup.py: what they do on interpreters that are not the one at hand."""

from __future__ import annotations

import io
import runpy
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.packaging.loading import ROOT, loaded


@pytest.fixture(scope="module")
def wheels() -> ModuleType:
    return loaded("packaging/wheels.py")


@pytest.mark.parametrize("has_filters", [True, False])  # Debian 12's Python 3.11.2 has none
def test_the_suite_is_unpacked_without_the_package(
    wheels: ModuleType, has_filters: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdist = tmp_path / "thing-1.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ("siphon_http/a.py", "siphon-stubs/a.pyi", "tests/source/a.py", "tests/deploy/a.py", "tests/b.py"):
            member = tarfile.TarInfo(f"thing-1/{name}")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"pass"))
    if not has_filters:
        extract = tarfile.TarFile.extractall
        options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.setattr(tarfile.TarFile, "extractall", lambda archive, path: extract(archive, path, **options))
    monkeypatch.setattr(wheels, "WORK", tmp_path)
    tree = wheels.unpack_suite(sdist)
    assert [file.relative_to(tree).as_posix() for file in tree.rglob("*.py*")] == ["tests/b.py"]


INTERPRETER = """#!/bin/sh
case "$*" in
  *process_time*) echo 1 ;;
  *"import siphon_http"*) echo /site-packages/router.so ;;
  *pytest*) echo "$PYTHON_GIL" >gil; echo '<all><suite tests="3" skipped="1"/></all>' >../suite.xml ;;
esac
"""


@pytest.mark.parametrize("given,used", [(None, "1"), ("0", "0")])
def test_the_suite_of_a_wheel_runs_with_the_gil(
    wheels: ModuleType, given: str | None, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A free-threaded interpreter warns when it has to turn it on for us, and warnings are errors."""
    inside = tmp_path / "python"
    inside.write_text(INTERPRETER)
    inside.chmod(0o755)
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.setattr(wheels, "WORK", tmp_path)
    monkeypatch.setattr(wheels, "unpack_suite", lambda sdist: tree)
    monkeypatch.setattr(wheels, "environment", lambda *_, **__: inside)
    monkeypatch.delenv("PYTHON_GIL", raising=False)
    if given is not None:
        monkeypatch.setenv("PYTHON_GIL", given)
    verdict = wheels.judge(inside, tmp_path / "thing.whl", tmp_path / "thing.tar.gz", inside, suite=())
    assert (tree / "gil").read_text() == f"{used}\n"
    assert (verdict.tests, verdict.skipped, verdict.failed, verdict.is_good) == (3, 1, 0, True)


def test_a_process_that_translates_may_import_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes are not forked, it does so under this name (multiprocessing.spawn)."""
    pytest.importorskip("Cython", reason="wheels are judged where nothing can be built")
    monkeypatch.setattr("setuptools.setup", lambda **_: pytest.fail("it builds"))
    assert "extension" in runpy.run_path(str(ROOT / "setup.py"), run_name="__mp_main__")
