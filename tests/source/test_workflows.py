"""The workflows of the public forge: what they start is there, is bounded, and is what was looked at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.source.reading import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = [path.read_text() for path in FILES]
JOBS = {f"{path.stem}.{name}": job for path in FILES for name, job in yaml.safe_load(path.read_text())["jobs"].items()}
HOSTED = {"make", "gcc", "libc6-dev", "python3", "python3-venv", "python3-dev"}
"""What the hosted machines have, by themselves or by setup-python."""


@pytest.mark.parametrize("name", ["ci.suite", "ci.deep"])
def test_tools_are_there_before_what_needs_them(name: str) -> None:
    """.ci/run installs them only as root, which it is not there, and fails."""
    asked = set(" ".join(re.findall(r"missing\+=\((.*)\)", (ROOT / ".ci" / "run").read_text())).split()) - HOSTED
    assert {"valgrind", "nginx-light", "redis-server"} <= asked
    tools = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["env"]["TOOLS"].split()
    install, start = [step["run"] for step in JOBS[name]["steps"] if "run" in step]
    assert asked <= set(tools) and install.startswith("sudo apt-get") and install.endswith(" $TOOLS")
    assert start in (".ci/run", "make ${{ matrix.target }}")


def test_every_target_of_the_matrix_is_one_of_make() -> None:
    rules = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {target.split()[0] for target in JOBS["ci.deep"]["strategy"]["matrix"]["target"]} <= rules


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("given,used", [({}, "1"), ({"PYTHON_GIL": "0"}, "0")])
def test_make_runs_everything_with_the_gil_unless_told(given: dict[str, str], used: str) -> None:
    """A free-threaded interpreter warns when it has to turn it on for us, and warnings are errors."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    words = ["make", "-s", "--eval", "shown: ; @echo $$PYTHON_GIL", "shown"]
    assert subprocess.run(words, cwd=ROOT, env=env | given, capture_output=True, text=True).stdout == f"{used}\n"


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_job_is_bounded_and_its_actions_are_pinned(job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 300
    used = [step for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]) for step in used)  # a tag can be moved
    for step in used:
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in FILES])
def test_a_workflow_reads_and_knows_no_secret(text: str) -> None:
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert "secrets." not in text and "pull_request_target" not in text
