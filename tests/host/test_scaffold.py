import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from siphon_http.host.cli import main
from siphon_http.host.config import parse
from siphon_http.host.scaffold import create

FILES = ["http.yaml", "pyrightconfig.json", "routes.py", "siphon.yaml", "test_routes.py"]


def test_new_writes_the_files_and_says_what_comes_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "hello"]) == 0
    assert sorted(os.listdir(tmp_path / "hello")) == FILES
    assert capsys.readouterr().out.splitlines()[-1] == "next: cd hello && siphon-http run"


def test_new_takes_an_empty_folder_and_makes_missing_parents(tmp_path):
    (tmp_path / "empty").mkdir()
    create(tmp_path / "empty")
    create(tmp_path / "a" / "b")
    assert sorted(os.listdir(tmp_path / "empty")) == sorted(os.listdir(tmp_path / "a" / "b")) == FILES


@pytest.mark.parametrize("there", ["folder", "file"])
def test_new_never_overwrites(tmp_path, monkeypatch, capsys, there):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hello"
    if there == "folder":
        path.mkdir()
        path = path / "routes.py"
    path.write_text("mine")
    assert main(["new", "hello"]) == 2
    assert "hello: exists and is not empty; nothing was written" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert list(tmp_path.rglob("*.yaml")) == []


def test_the_files_are_good_configuration_and_good_python(tmp_path):
    for path in create(tmp_path):
        if path.suffix == ".py":
            compile(path.read_text(), path.name, "exec")
        else:
            yaml.safe_load(path.read_text())
    parsed = parse(tmp_path / "siphon.yaml")
    assert (parsed.problems, parsed.warnings) == ([], [])
    assert parsed.extensions == {"http": tmp_path / "http.yaml"}


@pytest.mark.wire
def test_what_new_writes_is_served_and_ends_as_soon_as_it_is_idle(project):
    project.install("http", "siphon_http.extension:extension")
    for path in create(project.folder / "hello"):
        project.write(path.name, path.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process, lines = project.serving(PORT=str(port))
    assert len(lines) <= 4
    assert f"curl http://127.0.0.1:{port}/hello/world" in "\n".join(lines)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}/hello/world", timeout=5) as answer:
        assert answer.read() == b"hi world"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "drained in 0." in out


@pytest.mark.wire
def test_the_test_that_new_writes_passes(tmp_path):
    create(tmp_path / "hello")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "hello")],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 passed" in result.stdout
