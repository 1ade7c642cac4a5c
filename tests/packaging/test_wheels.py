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
    return loaded("wheels")


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


def test_a_process_that_translates_may_import_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes are not forked, it does so under this name (multiprocessing.spawn)."""
    pytest.importorskip("Cython", reason="wheels are judged where nothing can be built")
    monkeypatch.setattr("setuptools.setup", lambda **_: pytest.fail("it builds"))
    assert "extension" in runpy.run_path(str(ROOT / "setup.py"), run_name="__mp_main__")
