"""Server processes of the suite: write the configuration, start, wait until it answers, stop, look at the exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.linux import proc
from tests.process_stage import free_port

from .wire import PING, Address, Wire

APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).parents[2]
CRASHES = (
    "Fatal error",
    "Fatal Python error",
    "Segmentation fault",
    "Exception in callback",
    "Exception ignored in",
    "Task was destroyed",
    "was never awaited",
    "was never retrieved",
    "unhandled exception",
    "SystemError",
)
"""Words that no request may bring into the log."""


def environment() -> dict[str, str]:
    """Return the environment of a server process: the repository is importable from any folder."""
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
    env["PYTHONFAULTHANDLER"] = "1"
    env["NO_COLOR"] = "1"
    return env


def command(folder: Path, *arguments: str, timeout: float = 15.0) -> subprocess.CompletedProcess[str]:
    """Run `python -m siphon_http ARGUMENTS` in `folder` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "siphon_http", *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def addressed(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Address]:
    """Return listener settings with a free port in `listen`, and the address to connect to."""
    settings = dict(settings)
    listen = settings.setdefault("listen", "127.0.0.1:{port}")
    if listen.startswith("unix:"):
        return settings, listen.removeprefix("unix:")
    host = listen.rpartition(":")[0].strip("[]")
    port = free_port("::1" if ":" in host else "127.0.0.1")
    settings["listen"] = listen.format(port=port)
    connect = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return settings, (connect, port)


class Server:
    """One `siphon_http run` process with its listeners, by name."""

    def __init__(
        self, folder: Path, script: str, listeners: Mapping[str, Any], siphon: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.addresses: dict[str, Address] = {}
        servers = []
        for name, settings in listeners.items():
            settings, self.addresses[name] = addressed(settings)
            servers.append(settings)
        self.secure = {n for n, s in listeners.items() if "tls" in s or "proxy_protocol" in s}
        main = {
            "script": {"path": "script.py"},
            "extensions": {"http": "http.yaml"},
            "server": {"drain_secs": 5},
            **(siphon or {}),
        }
        source = APPS / script if script.endswith((".py", ".txt")) else None
        (folder / "script.py").write_text(source.read_text() if source else script)
        (folder / "siphon.yaml").write_text(yaml.safe_dump(main))
        (folder / "http.yaml").write_text(yaml.safe_dump({"servers": servers}))
        self.process: subprocess.Popen[bytes] | None = None

    def __getitem__(self, name: str) -> Address:
        return self.addresses[name]

    @property
    def pid(self) -> int:
        """Process id."""
        assert self.process is not None
        return self.process.pid

    def spawn(self) -> None:
        """Start the process; its output goes to files beside its configuration."""
        with open(self.folder / "stdout", "wb") as out, open(self.folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "siphon_http", "run", "siphon.yaml"],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def start(self, within: float = 15.0) -> Server:
        """Spawn, and return when every listener accepts and the plain ones answer."""
        self.spawn()
        return self.start_waiting(within)

    def start_waiting(self, within: float = 15.0) -> Server:
        """Return when every listener of the spawned process accepts and the plain ones answer."""
        deadline = time.monotonic() + within
        for name in self.addresses:
            while not self.answers(name):
                if not self.alive():
                    raise RuntimeError(f"server exited with {self.exit_code()}:\n{self.log()}")
                if time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"listener {name!r} does not answer:\n{self.log()}")
                time.sleep(0.01)
        return self

    def answers(self, name: str) -> bool:
        """Whether a listener answers now (for TLS or a PROXY header: accepts)."""
        try:
            with Wire(self.addresses[name], timeout=2.0) as wire:
                if name not in self.secure:
                    wire.send(PING)
                    wire.read()
            return True
        except (OSError, AssertionError):
            return False

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: int) -> None:
        """Send a signal to this process only."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, within: float = 8.0) -> int:
        """Wait for the exit, return its code."""
        assert self.process is not None
        return self.process.wait(within)

    def kill(self) -> None:
        """End the process without ceremony."""
        if self.process is not None and self.alive():
            self.process.kill()
            self.process.wait(5)

    def log(self) -> str:
        """Return what was printed so far, both streams."""
        return "".join((self.folder / n).read_text(errors="replace") for n in ("stdout", "stderr"))

    def rss_kib(self) -> int:
        """Return the resident set size in KiB."""
        for line in proc(self.pid, "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def stop(self) -> None:
        """SIGTERM; the process must end with 0 and its log must show no crash."""
        if not self.alive():
            raise AssertionError(f"the server is gone, exit code {self.exit_code()}:\n{self.log()[-4000:]}")
        self.signal(signal.SIGTERM)
        try:
            code = self.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server does not stop on SIGTERM") from None
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.log()[-4000:]}"
        self.check_log()

    def check_log(self) -> None:
        """Assert that the log shows no crash."""
        text = self.log()
        found = [word for word in CRASHES if word in text]
        at = text.find(found[0]) if found else 0
        assert not found, f"{found} in the log:\n{text[max(0, at - 1500) : at + 2500]}"


def serving(
    folder: Path, script: str, listeners: Mapping[str, Any], siphon: Mapping[str, Any] | None = None
) -> Iterator[Server]:
    """Yield a running server; stop and check it afterwards. A port that somebody took meanwhile is tried again."""
    for attempt in range(3):
        server = Server(folder, script, listeners, siphon)
        try:
            server.start()
            break
        except RuntimeError:
            code = server.exit_code()
            server.kill()
            if code != 3 or attempt == 2:
                raise
    try:
        yield server
    finally:
        try:
            server.stop()
        finally:
            server.kill()
