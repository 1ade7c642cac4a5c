"""mypy and pyright, run as their users run them: on files in a folder of their own, in this environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from siphon_http.host.scaffold import FILES

ROOT = Path(__file__).resolve().parents[2]


def environment(site: Path | None) -> dict[str, str]:
    """Return the environment in which the tree is installed, as a wheel would be; `site`: what is installed beside it."""
    path = os.pathsep.join(filter(None, [str(site or ""), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # A preloaded sanitizer is for our extension modules; nothing of them is run here.
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | {"PYTHONPATH": path}


def mypy(folder: Path, files: Iterable[Path], *options: str, site: Path | None = None) -> list[str]:
    """Return what mypy has to say, a line for each; places are `file.py:12`."""
    arguments = ["--cache-dir", str(folder / ".mypy_cache"), "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, *options, *map(str, files)],
        cwd=folder,
        env=environment(site),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if ": note: " not in line]


def pyright(folder: Path, files: Iterable[Path], *, site: Path | None = None, **options: object) -> list[str]:
    """Return what pyright has to say, as `file.py:12: level: text [rule]`; options are those of its configuration."""
    settings = {"include": [os.path.relpath(file, folder) for file in files], "pythonVersion": "3.11"}
    settings |= json.loads(FILES["pyrightconfig.json"]) | options  # what `siphon-http new` gives its users
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return pyright_in(folder, site)


def pyright_in(folder: Path, site: Path | None = None) -> list[str]:
    """Return the same for a folder that has its configuration: pyrightconfig.json or pyproject.toml."""
    pytest.importorskip("pyright", reason="types are checked where the lint tools are installed")
    arguments = ["--pythonpath", sys.executable, "--outputjson", "--project", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pyright", *arguments],
        cwd=folder,
        env=environment(site),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr + done.stdout
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert found["summary"]["filesAnalyzed"] > 0
    lines = []
    for one in found["generalDiagnostics"]:
        text = re.sub(r"\s+", " ", one["message"])
        place = f"{os.path.relpath(one['file'], folder)}:{one['range']['start']['line'] + 1}"
        lines.append(f"{place}: {one['severity']}: {text} [{one.get('rule', '')}]")
    return lines
