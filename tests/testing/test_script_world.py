"""What a harness brings into the interpreter, and that nothing of it stays or meets another's."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from siphon_http.testing import HttpTestHarness

from .scripts import EVERYTHING

SCRIPT = """
import helper
from siphon import http


@http.route("/name")
async def name(req):
    import lazy_helper

    return http.Response(body=f"{helper.NAME} {lazy_helper.NAME}")
"""


def stage(folder: Path, name: str) -> Path:
    """Write a script with two helpers, one of which is imported by its handler."""
    folder.mkdir()
    for module in ("helper", "lazy_helper"):
        (folder / f"{module}.py").write_text(f"from siphon import http\nNAME = '{name}'\n")
    (folder / "routes.py").write_text(SCRIPT)
    return folder / "routes.py"


def state() -> tuple[set[str], list[str], list[object], int]:
    """Return what a harness might leave behind."""
    ours = {"siphon", "_siphon_registry", "siphon_user_script", "helper", "lazy_helper"}
    return ours & set(sys.modules), list(sys.path), list(sys.meta_path), threading.active_count()


def test_nothing_is_left_after_close(tmp_path: Path) -> None:
    before = state()
    with HttpTestHarness() as harness:
        harness.load_script(stage(tmp_path / "a", "A"))
        assert harness.request("GET", "/name").text == "A A"
        assert "helper" in sys.modules
    assert state() == before == (set(), before[1], before[2], before[3])


def test_nothing_is_left_of_a_load_that_failed(tmp_path: Path) -> None:
    before = state()
    with HttpTestHarness() as harness:
        path = stage(tmp_path / "a", "A")
        path.write_text("import helper\n1 / 0\n")
        with pytest.raises(Exception, match="ZeroDivisionError"):
            harness.load_script(path)
    assert state() == before


def test_two_harnesses_at_once_have_their_own_siphon_and_helpers(tmp_path: Path) -> None:
    before = state()
    with HttpTestHarness() as one, HttpTestHarness() as two:
        one.load_script(stage(tmp_path / "a", "A"))
        two.load_script(stage(tmp_path / "b", "B"))
        for _ in range(3):
            assert one.request("GET", "/name").text == "A A"
            assert two.request("GET", "/name").text == "B B"
        one.load_source(EVERYTHING)
        assert one.request("GET", "/lazy").text == "True"
        assert two.request("GET", "/name").text == "B B"
        two.close()
        assert one.request("GET", "/lazy").text == "True"
    assert state() == before


def test_helpers_are_imported_anew_by_the_next_load(tmp_path: Path) -> None:
    path = stage(tmp_path / "a", "A")
    with HttpTestHarness() as harness:
        harness.load_script(path)
        assert harness.request("GET", "/name").text == "A A"
        (path.parent / "helper.py").write_text("NAME = 'another'\n")
        harness.load_script(path)
        assert harness.request("GET", "/name").text == "another A"


def test_further_folders_of_helpers(tmp_path: Path) -> None:
    path = stage(tmp_path / "a", "A")
    stage(tmp_path / "b", "B")
    (path.parent / "helper.py").unlink()
    with HttpTestHarness() as harness:
        harness.load_script(path, include_paths=[tmp_path / "b"])
        assert harness.request("GET", "/name").text == "B A"


def test_a_helper_that_the_test_itself_has_imported_is_the_script_s_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stage(tmp_path / "a", "A")
    (path.parent / "helper.py").write_text("NAME = 'A'\n")
    monkeypatch.syspath_prepend(str(path.parent))
    import helper  # type: ignore[import-not-found]

    try:
        with HttpTestHarness() as harness:
            harness.load_script(path)
            monkeypatch.setattr(helper, "NAME", "patched")
            assert harness.request("GET", "/name").text == "patched A"
        assert sys.modules["helper"] is helper
        assert str(path.parent) in sys.path
    finally:
        sys.modules.pop("helper", None)


def test_a_siphon_that_was_there_before_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("siphon")
    monkeypatch.setitem(sys.modules, "siphon", other)
    with HttpTestHarness() as harness:
        harness.load_source(EVERYTHING)
        assert sys.modules["siphon"] is not other
    assert sys.modules["siphon"] is other


def test_what_the_original_s_decorators_need_is_there() -> None:
    with HttpTestHarness() as harness:
        harness.load_source("import _siphon_registry\n_siphon_registry.register('sip.x', None, print, False, None)\n")
        assert len(sys.modules["_siphon_registry"].entries()) == 1
