"""`make fuzz`: how a target is started, without clang and libFuzzer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.packaging.loading import loaded


@pytest.fixture(scope="module")
def instrumented() -> ModuleType:
    loaded("packaging/covered_lines.py")  # it is imported by its name
    return loaded("packaging/instrumented.py")


@pytest.fixture
def fuzzed(
    instrumented: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[str], dict[str, str]]]:
    """Run a target that ends with a code and a report; return what came of it, its words and its environment."""

    def play(code: int, report: str = "") -> tuple[int, list[str], dict[str, str]]:
        ran: list[tuple[list[str], dict[str, str]]] = []

        def run(words: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
            ran.append((words, env))
            shown = "#2\tINITED cov: 5 ft: 6\n#9\tDONE   cov: 7 ft: 9\nstat::number_of_executed_units: 9\n"
            return subprocess.CompletedProcess(words, code, "", shown + report)

        with monkeypatch.context() as patch:
            patch.setattr(instrumented, "ROOT", tmp_path)
            patch.setattr(instrumented, "build", lambda *_, **__: None)
            patch.setattr(instrumented.shutil, "which", lambda name, path=None: f"/somewhere/{name}")
            patch.setattr(instrumented.subprocess, "check_output", lambda words, **_: "/atheris\n")
            patch.setattr(instrumented.subprocess, "run", run)
            result = instrumented.fuzz(tmp_path, 20, ["http1_server"])
        ((words, env),) = ran
        return result, words, env

    return play


@pytest.mark.parametrize("code", [0, 77])
def test_a_target_runs_with_the_sanitizer_and_the_programs_of_others_without(
    fuzzed: Any, code: int, capsys: Any
) -> None:
    result, words, env = fuzzed(code)
    assert result == (code != 0)
    assert env["LD_PRELOAD"] == "/atheris/asan_with_fuzzer.so" and "-max_total_time=60" in words
    program = Path(env["PATH"].split(os.pathsep)[0], "curl")
    assert program.read_text() == '#!/bin/sh\nunset LD_PRELOAD\nexec /somewhere/curl "$@"\n'
    told = capsys.readouterr().out
    assert "http1_server: 9 inputs, edges 5 -> 7, features 6 -> 9, " + ("FAILED" if code else "no finding") in told


def test_a_long_report_is_shown_from_its_first_line_to_its_last(fuzzed: Any, capsys: Any) -> None:
    fuzzed(77, "a.c:1:2: runtime error: overflow\n" + "    #1 frame\n" * 5000 + "Test unit written to crash-1\n")
    told = capsys.readouterr().out
    assert "a.c:1:2: runtime error: overflow" in told and "Test unit written to crash-1" in told and len(told) < 20_000


def test_undefined_behaviour_ends_a_target_with_a_failure(fuzzed: Any, tmp_path: Path) -> None:
    source, program = tmp_path / "overflow.c", tmp_path / "overflow"
    source.write_text("#include <limits.h>\nint main(int count, char **words) { return INT_MAX + count == 0; }\n")
    plain = {"PATH": os.environ.get("PATH", os.defpath)}  # the compiler itself runs without sanitizers
    built = [shutil.which("cc") or "", "-fsanitize=undefined", "-o", program, source]
    if not built[0] or subprocess.run(built, env=plain, capture_output=True, check=False).returncode:
        pytest.skip("no C compiler here that has the undefined-behaviour sanitizer")
    passed = subprocess.run([program], env=plain, capture_output=True, text=True, check=False)
    assert passed.returncode == 0 and "signed integer overflow" in passed.stderr  # it is told, and that is all
    _, _, env = fuzzed(0)
    options = {name: value for name, value in env.items() if name.endswith("SAN_OPTIONS")}
    assert subprocess.run([program], env=plain | options, capture_output=True, check=False).returncode != 0
