"""How continuous integration comes by h2spec, and what it says when it does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.source.reading import ROOT

TOOLS = ("bash", "dirname", "id", "make", "timeout", "touch", "mkdir", "sh", "env")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed, and the script and its make rule run it: {', '.join(MISSING)}"
)


def get(folder: Path, go: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/get-h2spec in a copy of what it reads, for a user who may not install, with `go` as a shell script."""
    (folder / "bin").mkdir()
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(shutil.which(tool) or "")
    (folder / "bin" / "id").unlink()
    scripts = {"id": "echo 1000"} | ({"go": go} if go is not None else {})
    for name, script in scripts.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    (folder / "build").mkdir()
    rule = (ROOT / "Makefile").read_text().split("\nbuild/h2spec:")[1].split("\n\n")[0]
    (folder / "Makefile").write_text("build/h2spec:" + rule + "\n")
    return subprocess.run(
        ["bash", ".ci/get-h2spec"],
        cwd=folder,
        env={"PATH": str(folder / "bin"), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_is_built_where_it_is_looked_for(tmp_path: Path) -> None:
    done = get(tmp_path, 'test "$2" = -o && echo x > "$3"', SIPHON_HTTP_CI="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "build" / "h2spec").read_text() == "x\n"


def test_a_machine_without_go_goes_on_and_says_so(tmp_path: Path) -> None:
    done = get(tmp_path, None, SIPHON_HTTP_CI="1")
    assert done.returncode == 0 and done.stderr.startswith("h2spec not available: there is no go (Debian:")


def test_a_machine_without_a_way_to_the_modules_goes_on_and_says_so(tmp_path: Path) -> None:
    done = get(tmp_path, "echo 'dial tcp: lookup proxy: no such host' >&2; exit 1", SIPHON_HTTP_CI="1")
    assert done.returncode == 0 and "h2spec not available: go cannot fetch its modules" in done.stderr


@pytest.mark.parametrize("ci,code", [({"SIPHON_HTTP_CI": "1"}, 1), ({}, 0)])
def test_what_cannot_be_built_fails_where_ci_is_set(tmp_path: Path, ci: dict[str, str], code: int) -> None:
    done = get(tmp_path, "echo 'syntax error' >&2; exit 1", **ci)
    assert done.returncode == code and "syntax error" in done.stderr
    assert done.stderr.endswith("h2spec not available: go cannot build it\n")
