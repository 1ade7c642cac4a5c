"""Types of the public API as tools see them: mypy reads reveal.py, and says what its comments expect."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="types are checked where the lint tools are installed")

ROOT = Path(__file__).resolve().parents[2]
REVEAL = Path(__file__).with_name("reveal.py")
MODULES = re.compile(r"\b(?:siphon_http\.[\w.]*|typing|builtins)\.(?=\w)")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def check(file: Path, cache: Path) -> tuple[dict[int, str], list[str]]:
    """Return what mypy reveals, types by line without their modules, and its errors."""
    arguments = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), "--no-error-summary"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    revealed = {}
    errors = done.stderr.splitlines()
    for line in done.stdout.splitlines():
        found = re.search(r':(\d+): note: Revealed type is "(.*)"$', line)
        if found:
            revealed[int(found[1])] = MODULES.sub("", found[2])
        else:
            errors.append(line)
    return revealed, errors


def test_types_are_what_the_comments_say(cache: Path) -> None:
    expected = {}
    for number, line in enumerate(REVEAL.read_text(encoding="utf-8").splitlines(), 1):
        if found := re.match(r"\s*reveal_type\(.*\)  # (.*)$", line):
            expected[number] = found[1]
    revealed, errors = check(REVEAL, cache)
    assert errors == []
    assert revealed == expected
    assert len(expected) > 40


def test_a_mistake_in_a_script_is_seen(cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "routes.py"
    script.write_text(
        "from siphon_http._core.message import Request, Response\n"
        "def hello(req: Request) -> Response:\n"
        "    reveal_type(req.path_params)\n"
        "    return Response(200, body=req.path_params)\n"
    )
    revealed, errors = check(script, cache)
    assert revealed == {3: "dict[str, str]"}
    assert [re.findall(r":(\d+): error", error) for error in errors] == [["4"]]
