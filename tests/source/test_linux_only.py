"""Tests that need Linux say so, so that the wheels of other systems can be judged by the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.source.reading import ROOT

FILES = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path.name not in ("linux.py", Path(__file__).name)]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_who_reads_proc_says_so(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    raw = [line for line in lines if any(f"{quote}/proc" in line for quote in "\"'")]
    assert not raw or "@needs_proc" in lines, "tests/linux.py has `proc`, and `needs_proc` for what a child reads"
