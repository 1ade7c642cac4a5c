"""The image's recipe: its steps are run in a plain folder, and what it starts and asks is started and asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from siphon_http.host.config import ServerConfig
from tests.process_stage import free_port

from ..examples.serving import ROOT, command, environment
from .dockerfile import Run, Stage, parse

FOLDER = ROOT / "deploy" / "container"
PATHS = ["/src", "/wheels", "/opt/siphon-http", "/etc/siphon"]
WANTED = os.environ.get("SIPHON_HTTP_CI") or os.environ.get("SIPHON_HTTP_DEPLOY") == "1"


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return parse((FOLDER / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, object]:
    (service,) = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    assert isinstance(service, dict)
    return service


def is_healthy(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> bool:
    """Run HEALTHCHECK as Docker does."""
    return subprocess.run(words, cwd=folder, env=environ, stderr=subprocess.DEVNULL, check=False).returncode == 0


@contextmanager
def started(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            assert any("ready in" in line for line in process.stdout), "it did not start; see standard error"
            yield process
        finally:
            process.kill()


def test_it_runs_as_nobody_in_particular_and_is_told_to_stop_by_sigterm(stages: list[Stage]) -> None:
    last = stages[-1]
    assert last.last("USER") == "10001:10001"
    assert last.last("STOPSIGNAL") == "SIGTERM"
    assert last.command("ENTRYPOINT") == ["siphon-http"], "the exec form: a shell in between would keep the signal"
    assert last.command("CMD") == ["run", "/etc/siphon/siphon.yaml"]


def test_both_stages_have_the_same_interpreter(stages: list[Stage]) -> None:
    """The environment of the first is copied into the second."""
    assert stages[0].base == stages[-1].base
    assert "-slim-" in stages[-1].base


def test_the_folder_of_the_image_has_no_mistake() -> None:
    done = command(FOLDER / "app", "check", environ={"PORT": "8080"})
    assert (done.returncode, done.stderr) == (0, "")


def test_the_health_check_asks_where_the_admin_listener_is(stages: list[Stage]) -> None:
    port, admin = free_port(), free_port()
    # A proxy of the environment is none for the machine itself.
    environ = environment({"PORT": str(port), "ADMIN_PORT": str(admin), "http_proxy": "http://127.0.0.1:1"})
    asks = [sys.executable, *stages[-1].command("HEALTHCHECK")[1:]]
    assert stages[-1].command("HEALTHCHECK")[0] == "python"
    with started([sys.executable, "-m", "siphon_http", "run"], FOLDER / "app", environ) as process:
        assert is_healthy(asks, FOLDER, environ)
        process.terminate()
        assert process.wait(15) == 0
    assert not is_healthy(asks, FOLDER, environ)


def test_compose_builds_this_file_and_gives_the_drain_its_time(compose: dict[str, object]) -> None:
    build = compose["build"]
    assert isinstance(build, dict)
    context = (FOLDER / str(build["context"])).resolve()
    assert context == ROOT
    assert (context / str(build["dockerfile"])).resolve() == FOLDER / "Dockerfile"
    assert int(str(compose["stop_grace_period"]).removesuffix("s")) >= ServerConfig().drain_secs + 10
    assert compose["volumes"] == ["./app:/etc/siphon:ro"]
    assert compose["read_only"] is True


def test_the_ports_are_the_same_everywhere(stages: list[Stage], compose: dict[str, object]) -> None:
    http = yaml.safe_load((FOLDER / "app" / "http.yaml").read_text())
    assert http["servers"][0]["listen"] == "0.0.0.0:${PORT:-8080}"
    assert stages[-1].last("EXPOSE") == "8080"
    assert compose["ports"] == ["8080:8080"]
    siphon = yaml.safe_load((FOLDER / "app" / "siphon.yaml").read_text())
    assert siphon["admin"]["listen"] == "127.0.0.1:${ADMIN_PORT:-9090}"
    assert siphon["server"]["drain_secs"] == ServerConfig().drain_secs


@pytest.mark.skipif(not WANTED, reason="compiles every module, which takes minutes: SIPHON_HTTP_DEPLOY=1 runs it")
@pytest.mark.timeout(1800)
def test_the_steps_of_the_image_make_a_server(stages: list[Stage], tmp_path: Path) -> None:
    run = Run(ROOT, tmp_path, PATHS)
    run.all(stages)
    assert len(run.left_out) == 2, "compiler and user: all that only a machine of one's own can have"
    assert not (run.root / "src").exists()
    last, folder = stages[-1], run.root / "etc" / "siphon"
    port, admin = free_port(), free_port()
    environ = {**run.environ, "PORT": str(port), "ADMIN_PORT": str(admin)}
    binaries = run.root / "opt" / "siphon-http" / "bin"
    entry, asks = last.command("ENTRYPOINT"), last.command("HEALTHCHECK")
    words = [str(binaries / entry[0]), *(run.mapped(word) for word in last.command("CMD"))]
    with started(words, folder, environ) as process:
        assert is_healthy([str(binaries / asks[0]), *asks[1:]], folder, environ)
        deadline = time.monotonic() + 5
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=deadline - time.monotonic()) as answer:
            assert answer.read().startswith(b"siphon-http serves")
        process.terminate()
        assert process.wait(15) == 0
