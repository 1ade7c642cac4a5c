"""`make counts`: what it takes for slower code, and what it saves. Nothing is counted here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.loading import loaded

BASE = {"a": (1000, 10_000), "b": (0, 10_000)}


@pytest.fixture(name="counts")
def _counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    counts = loaded("benchmarks/counts.py")
    monkeypatch.setattr(counts, "BASE", tmp_path / "counts.json")
    monkeypatch.setattr(counts, "compiler", lambda: "this one")
    monkeypatch.setattr(counts.shutil, "which", lambda program: program)
    return counts


def run(counts: ModuleType, found: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Return the exit code of a run that counts `found`."""
    monkeypatch.setattr(counts, "measure", lambda chosen, tree=None: BASE if tree else found)
    monkeypatch.setattr(counts, "built", lambda revision: revision)
    monkeypatch.setattr(sys, "argv", ["counts.py", *words])
    return int(counts.main())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((1050, 11_500), ""),
        ((1051, 10_000), "a: 1051 instructions (ours), more than 3% above the base of 1000\n"),
        ((1000, 11_501), "a: 11501 instructions (all), more than 10% above the base of 10000\n"),
        ((1, 1), ""),
    ],
)
@pytest.mark.parametrize("words", [(), ("--against", "HEAD^")], ids=" ".join)
def test_more_instructions_of_ours_or_of_what_we_call_are_a_failure(
    counts: ModuleType,
    found: tuple[int, int],
    said: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(counts, BASE, monkeypatch, "--save") == 0
    assert run(counts, {**BASE, "a": found}, monkeypatch, *words) == bool(said)
    assert capsys.readouterr().err == said


def test_what_runs_no_code_of_ours_is_not_judged(counts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    run(counts, BASE, monkeypatch, "--save")
    assert run(counts, {**BASE, "b": (0, 99_999)}, monkeypatch) == 0
    assert run(counts, {**BASE, "b": (21, 10_000)}, monkeypatch) == 1  # now it does


def test_a_benchmark_without_a_base_fails_and_says_how_to_save_one(
    counts: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {**BASE, "c": (1, 1)}
    run(counts, BASE, monkeypatch, "--save")
    assert run(counts, more, monkeypatch) == 1
    assert "c: has no base; `" in (said := capsys.readouterr().err) and "counts.py --save` makes one" in said
    assert run(counts, {"c": (1, 1)}, monkeypatch, "--only", "c") == 1
    assert "--save --only 'c'`" in capsys.readouterr().err
    assert run(counts, more, monkeypatch, "--against", "HEAD^") == 0  # it cannot have had one there
    assert run(counts, {"c": (1, 1)}, monkeypatch, "--save", "--only", "c") == 0
    assert run(counts, more, monkeypatch) == 0


def test_a_base_whose_benchmark_is_gone_fails_unless_some_were_chosen(
    counts: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(counts, BASE, monkeypatch, "--save")
    assert run(counts, {"a": BASE["a"]}, monkeypatch, "--only", "a") == 0
    assert run(counts, {"a": BASE["a"]}, monkeypatch) == 1
    assert capsys.readouterr().err.startswith("b: has a base but was not run; `")


def test_where_another_interpreter_has_a_base_nothing_is_compared(
    counts: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(counts, BASE, monkeypatch, "--save")
    monkeypatch.setattr(counts, "compiler", lambda: "another")
    assert run(counts, {"a": (9999, 99_999)}, monkeypatch) == 0
    assert "nothing was compared: there is no base for another" in capsys.readouterr().out
    run(counts, BASE, monkeypatch, "--save")
    assert set(json.loads(counts.BASE.read_text())) == {"this one", "another"}
