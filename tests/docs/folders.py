"""Folders as a reader of the pages makes them, and what he runs there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ..examples.serving import environment
from .reading import blocks


def write_site(folder: Path, siphon: str = "", http: str = "", script: str = "from siphon import http\n") -> None:
    """Write a folder that `siphon-http` can use, with every file that the YAML names."""
    siphon = siphon or "script: {path: routes.py}\nextensions: {http: http.yaml}\n"
    http = http or 'servers:\n  - listen: "127.0.0.1:${PORT:-8080}"\nclients: {api: {base_url: http://127.0.0.1:9}}\n'
    (folder / "siphon.yaml").write_text(siphon)
    (folder / "http.yaml").write_text(http)
    for name in re.findall(r"\b[\w-]+\.(?:pem|key|py|crt)\b", siphon + http):
        (folder / name).touch()
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "routes.py").write_text(script)


def pytest_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder, as a reader would."""
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", *options],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def shell(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """Run commands of a page; return what they printed."""
    if not all(map(shutil.which, ("bash", "curl", "openssl"))):
        pytest.skip("the commands of the page need bash, curl and openssl")
    siphon = (
        f'python() {{ "{sys.executable}" "$@"; }}\nsiphon-http() {{ python -m siphon_http "$@"; }}\nset -euo pipefail\n'
    )
    options = {"cwd": folder, "env": environment(environ), "timeout": 30, "text": True, "capture_output": True}
    done = subprocess.run(["bash", "-c", siphon + text], check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def commands(page: str, mark: str) -> str:
    """Return the commands of a page that have this mark."""
    return "".join(b.text for b in blocks("sh") if b.page == page and f"<!-- {mark}" in b.comments)


def exported(page: str) -> dict[str, str]:
    """Return the variables that the page tells its reader to export."""
    return dict(re.findall(r"(?m)^export (\w+)=(\S+)$", "".join(b.text for b in blocks("sh") if b.page == page)))


def written(page: str, folder: Path) -> Path:
    """Run the commands marked `run`, then write the named blocks where these have led; return that folder."""
    if setup := commands(page, "run"):
        folder = Path(shell(folder, setup + "\npwd").splitlines()[-1])
    if not (folder / "siphon.yaml").exists():
        (folder / "siphon.yaml").write_text("script: {path: routes.py}\nextensions: {http: http.yaml}\n")
    for block in blocks("python", "yaml"):
        if block.page == page and block.name:
            (folder / block.name).write_text(block.text)
    return folder
