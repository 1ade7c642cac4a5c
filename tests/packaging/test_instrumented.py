"""`make fuzz`: how a target is started, without clang and libFuzzer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.packaging.loading import loaded


@pytest.fixture(scope="module")
def instrumented() -> ModuleType:
    loaded("packaging/covered_lines.py")  # it is imported by its name
    return loaded("packaging/instrumented.py")


@pytest.mark.parametrize("code", [0, 77])
def test_a_target_runs_with_the_sanitizer_and_the_programs_of_others_without(
    instrumented: ModuleType, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(words: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append((words, env))
        shown = "#2\tINITED cov: 5 ft: 6\n#9\tDONE   cov: 7 ft: 9\nstat::number_of_executed_units: 9\n"
        return subprocess.CompletedProcess(words, code, "", shown)

    monkeypatch.setattr(instrumented, "ROOT", tmp_path)
    monkeypatch.setattr(instrumented, "build", lambda *_, **__: None)
    monkeypatch.setattr(instrumented.shutil, "which", lambda name, path=None: f"/somewhere/{name}")
    monkeypatch.setattr(instrumented.subprocess, "check_output", lambda words, **_: "/atheris\n")
    monkeypatch.setattr(instrumented.subprocess, "run", run)
    assert instrumented.fuzz(tmp_path, 20, ["http1_server"]) == (code != 0)
    ((words, env),) = ran
    assert env["LD_PRELOAD"] == "/atheris/asan_with_fuzzer.so" and "-max_total_time=60" in words
    program = Path(env["PATH"].split(os.pathsep)[0], "curl")
    assert program.read_text() == '#!/bin/sh\nunset LD_PRELOAD\nexec /somewhere/curl "$@"\n'
    told = capsys.readouterr().out
    assert "http1_server: 9 inputs, edges 5 -> 7, features 6 -> 9, " + ("FAILED" if code else "no finding") in told
