"""A project in a folder of its own, with the fake extension installed beside it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from siphon_http.host.log import ACCESS_LOGGER, LineWriter
from siphon_http.host.namespace import Namespaces

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


class Project:
    """siphon.yaml, fake.yaml and routes.py in `folder`; `run` starts `python -m siphon_http` there."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self.journal = folder.parent / "journal"
        self._site = site
        self._running: list[subprocess.Popen[str]] = []
        self.write("siphon.yaml", "script:\n  path: routes.py\nextensions:\n  fake: fake.yaml\n")
        self.write("fake.yaml", "")
        self.write("routes.py", 'from siphon import fake, log\nfake.note("script")\n')

    def write(self, name: str, text: str) -> Path:
        """Write one file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def install(self, name: str, value: str) -> None:
        """Install a package whose entry point `name` is `value`."""
        info = self._site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[siphon.extensions]\n{name} = {value}\n")

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of the processes: the repository, the fake extension and its installation."""
        path = os.pathsep.join(map(str, (REPOSITORY, HERE, self._site)))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NO_COLOR"))}
        return {**clean, "PYTHONPATH": path, "FAKE_JOURNAL": str(self.journal), **more}

    def start(self, *args: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command and return its process; the fixture ends it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "siphon_http", *args],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        process = self.start(*args, **environment)
        out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def serving(self, *args: str, **environment: str) -> tuple[subprocess.Popen[str], list[str]]:
        """Start `run` and return its process and the lines that it printed until it was ready."""
        process = self.start("run", *args, **environment)
        lines: list[str] = []
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "ready in" in line:
                return process, lines
        raise AssertionError(f"it did not get ready: {process.stderr.read()}")

    def notes(self) -> list[str]:
        """Return the journal's lines."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def end(self) -> None:
        """End what still runs."""
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project that starts, with the fake extension installed."""
    folder = tmp_path / "project"
    folder.mkdir()
    made = Project(folder, tmp_path / "site")
    made.install("fake", "fake_extension:Fake")
    yield made
    made.end()


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, with this process in its folder and the fake extension found: for commands called in-process."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("FAKE_JOURNAL", str(project.journal))
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(project._site))
    return project


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    """Put back what the host changes in its process: modules, paths, log handlers and levels."""
    root, host = logging.getLogger(), logging.getLogger("siphon_http.host")
    modules, path, meta, levels = set(sys.modules), list(sys.path), list(sys.meta_path), (root.level, host.level)
    yield
    for logger in (root, logging.getLogger(ACCESS_LOGGER)):
        for handler in [h for h in logger.handlers if isinstance(h, LineWriter)]:
            logger.removeHandler(handler)
            handler.close()
        logger.propagate = True
    root.setLevel(levels[0])
    host.setLevel(levels[1])
    sys.meta_path[:] = [f for f in meta if not isinstance(f, Namespaces)]
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if name.startswith(("siphon.", "siphon_user")) or name in {"siphon", "_siphon_registry"} or "pytest-" in file:
            del sys.modules[name]
