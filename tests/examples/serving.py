"""A folder with siphon.yaml, served by a process of its own on a free port, and asked over plain sockets."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.linux import proc

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: names of header fields in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    started: tuple[str, ...]
    """The lines that it printed when it started."""

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def rss_kib(self) -> int:
        """Return the resident memory of the process, in KiB."""
        status = proc(self.process.pid, "status").read_text()
        return int(re.findall(r"VmRSS:\s+([0-9]+)", status)[0])


def command(
    folder: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `siphon-http ARGUMENTS` in `folder` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "siphon_http", *arguments],
        cwd=folder,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a server process: the repository is importable, and the port is a free one."""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(ROOT)]))
    return {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "PORT": "0", **(more or {})}


@contextmanager
def serving(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Start `siphon-http run` in `folder`; its only listener has port ${PORT}. It must end with 0 when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "siphon_http", "run", "siphon.yaml"],
        cwd=folder,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            started: list[str] = []
            for line in process.stdout:
                started.append(line.rstrip("\n"))
                if "ready in" in line:
                    break
            assert started and "ready in" in started[-1], "the server did not start; its message is in standard error"
            port = int(re.findall(r"https?://127\.0\.0\.1:([0-9]+)", "\n".join(started))[0])
            yield Served(process, port, tuple(started))
            process.terminate()
            assert process.wait(15) == 0
        finally:
            process.kill()
