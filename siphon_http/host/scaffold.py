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
async def starting() -> None:
    log.info("the hello service starts")


@http.route("/hello/{name}")
async def hello(req: http.Request) -> http.Response:
    return http.Response(body=f"hi {req.path_params['name']}")


@http.route("/echo", methods=["POST"])
async def echo(req: http.Request) -> http.Response:
    headers = {"Content-Type": "application/json"}
    return http.Response(headers=headers, body=json.dumps({"bytes": len(req.body())}))
''',
    # `siphon` is made when the script runs: editors know its types, and need not warn that it has no source file.
    "pyrightconfig.json": '{ "reportMissingModuleSource": false }\n',
    "test_routes.py": '''\
"""Run with `pytest`: the script is asked as the server would ask it, without a port."""

from pathlib import Path

import pytest

from siphon_http.testing import HttpTestHarness

HERE = Path(__file__).parent


@pytest.fixture
def harness():
    with HttpTestHarness(HERE / "http.yaml") as harness:
        harness.load_script(HERE / "routes.py")
        harness.run_startup()
        yield harness


def test_hello_names_the_caller(harness):
    answer = harness.request("GET", "/hello/world")
    assert (answer.status, answer.text) == (200, "hi world")


def test_echo_counts_the_bytes(harness):
    answer = harness.request("POST", "/echo", body=b"12345")
    assert answer.header("content-type") == "application/json"
    assert answer.json() == {"bytes": 5}


def test_the_start_is_logged(harness):
    assert ("info", "the hello service starts") in harness.log.messages
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
