"""Runs the cases of a script inside the real program, `siphon-http run`, against the backend."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.client.backend import Backend

SCRIPTS = Path(__file__).parent / "scripts"
ROOT = Path(__file__).parents[2]

# A case closes a loop of asyncio's own under a pooled connection; whether that is told depends on the garbage collector.
# The second is the line of asyncio that says it, which is shown below it.
_FOREIGN = re.compile(
    r"ResourceWarning: (unclosed transport <_SelectorSocketTransport|Enable tracemalloc)|^ +_warn\(f\"unclosed transport "
)
_LEFT = re.compile(r"unclosed transport <_SelectorSocketTransport (?:closing )?fd=(\d+)")
_NOISE = re.compile(r"Traceback|Warning|never retrieved|was destroyed|never awaited|Unclosed", re.IGNORECASE)


def case_names(script: str) -> list[str]:
    """Return `name/index` of every case of a script, without running it."""
    names: list[str] = []
    for node in ast.parse((SCRIPTS / f"{script}.py").read_text()).body:
        for mark in node.decorator_list if isinstance(node, ast.AsyncFunctionDef) else ():
            assert isinstance(node, ast.AsyncFunctionDef)
            text = ast.unparse(mark)
            if text == "book.case":
                names.append(f"{node.name}/0")
            elif text.startswith("book.cases("):
                assert isinstance(mark, ast.Call)
                names += [f"{node.name}/{i}" for i in range(len(mark.args))]
    assert len(names) == len(set(names)), "two cases have one name"
    return names


class Program:
    """One running program. `ask` runs a case; `errors` is what it wrote to stderr; `ports` are those of its listeners."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ports: list[int]) -> None:
        self.ports = ports
        self._process = process
        self._log = log

    def ask(self, case: str) -> None:
        """Run a case; raises AssertionError with what it says."""
        line = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=280)
        try:
            line.request("POST", f"/case/{case}", b"")
            answer = line.getresponse()
            text = answer.read().decode()
        finally:
            line.close()
        assert answer.status == 200, f"{text}\n{self.errors()[-2000:]}"

    def errors(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)


@contextmanager
def program(
    script: str, folder: Path, clients: dict[str, Any], backend: Backend, *listeners: dict[str, Any]
) -> Iterator[Program]:
    """Run a script with these clients; at its end it must stop with 0 and have complained of nothing.

    listeners: settings of each, a plain one by default. The storms run without asyncio's debug mode, which is slow.
    """
    (folder / "siphon.yaml").write_text(f"script: {{path: {SCRIPTS / script}.py}}\nextensions: {{http: http.yaml}}\n")
    servers = [{"listen": "127.0.0.1:0"} | settings for settings in listeners or ({},)]
    (folder / "http.yaml").write_text(json.dumps({"servers": servers, "clients": clients}))  # JSON is YAML
    environ = os.environ | {"BACKEND": backend.told(), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        environ.pop(name, None)
        environ.pop(name.upper(), None)
    log = folder / f"{script}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *(["-W", "default"] if "storm" in script else ["-X", "dev"]), "-m", "siphon_http", "run"],
            cwd=folder,
            env=environ,
            stdout=file,
            stderr=file,
        )
    try:
        made = Program(process, log, _ports_of(process, log, len(servers)))
        yield made
        status = made.stop()
    finally:
        process.kill()
        process.wait()
    assert (status, complaints(made.errors())) == (0, []), made.errors()[-5000:]


def complaints(log: str) -> list[str]:
    """Return the lines of what a program wrote that nobody wants to see."""
    lines = [line for line in log.splitlines() if _NOISE.search(line) and not _FOREIGN.search(line)]
    sockets = tuple(f"unclosed <socket.socket fd={left}," for left in _LEFT.findall(log))  # of the same connections
    return [line for line in lines if not any(one in line for one in sockets)]


def _ports_of(process: subprocess.Popen[bytes], log: Path, count: int) -> list[int]:
    """Return the ports that the program says it serves, once it is ready."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        text = log.read_text()
        found = re.findall(r"^https?://127\.0\.0\.1:(\d+)", text, re.MULTILINE)
        if len(found) == count and "ready in" in text:
            return [int(port) for port in found]
        assert process.poll() is None, f"the program ended:\n{text}"
        time.sleep(0.02)
    raise AssertionError(f"the program does not serve:\n{log.read_text()}")
