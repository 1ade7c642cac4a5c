"""`siphon-http new NAME`: a folder with a server that runs, and its test."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["create"]

FILES: Mapping[str, str] = {
    "siphon.yaml": """\
# The process: which script, which extensions. Check it with `siphon-http check`.
script:
  path: routes.py

log:
  level: ${LOG_LEVEL:-info}

extensions:
  http: http.yaml
""",
    "http.yaml": """\
# The HTTP extension. Each listener has its own limits; what is left out has its default.
servers:
  - listen: "127.0.0.1:${PORT:-8080}"
    max_body_bytes: 1048576
    request_timeout_ms: 30000
""",
    "routes.py": '''\
"""The script: one function for each route."""

import json

from siphon import http, log


@http.on_startup
async def starting():
    log.info("the hello service starts")


@http.route("/hello/{name}")
async def hello(req):
    return http.Response(body=f"hi {req.path_params['name']}")


@http.route("/echo", methods=["POST"])
async def echo(req):
    headers = {"Content-Type": "application/json"}
    return http.Response(headers=headers, body=json.dumps({"bytes": len(req.body())}))
''',
    "test_routes.py": '''\
"""Run with `pytest`: starts the server on a free port and asks it."""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "siphon_http", "run", "siphon.yaml"]
    environment = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            started = any("ready in" in line for line in process.stdout)
            assert started, "the server did not start; its message is above"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_hello_names_the_caller(server):
    with DIRECT.open(f"{server}/hello/world", timeout=5) as answer:
        assert answer.status == 200
        assert answer.read() == b"hi world"


def test_echo_counts_the_bytes(server):
    with DIRECT.open(f"{server}/echo", data=b"12345", timeout=5) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.read() == b'{"bytes": 5}'
''',
}


def create(folder: Path) -> list[Path]:
    """Write the files into `folder`, which must not exist or be empty, and return their paths.

    Raises OSError, before anything is written, if something is there: nothing is ever overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(errno.EEXIST, "exists and is not empty; nothing was written", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, text in FILES.items():
        path = folder / name
        # O_EXCL: what appears meanwhile is not overwritten either.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
        written.append(path)
    return written
