"""What is loaded, and what is not: each module costs every start and every import its share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOUNDATION = (
    "argparse, asyncio, contextlib, copy, dataclasses, errno, fnmatch, functools, httptools, inspect, ipaddress, json, logging, "
    "math, pathlib, re, resource, socket, stat, threading, typing, urllib.parse, uvloop, weakref"
)
"""What our modules stand on, whatever these import in their turn on one Python or another."""

OURS = """
    _core _core.client_traffic _core.counters _core.deadlines _core.exchange _core.headers _core.message _core.pattern
    _core.request_id _core.response _core.router _core.traffic _core.url _core.urldecode
    client client.api client.request config config_access config_inline dispatch dispatch_routes dispatch_streams
    dispatch_words errors extension extension_namespace host host.api protocol protocol.sink records registry
    server server.access server.endpoint server.forwarded server.lag server.lifecycle server.limits server.listener
    settings settings_nodes task task_probe task_resume threads
"""
"""All that an import of the extension loads of ours: no h2, no TLS, no client's pool, no connection, no YAML."""

NOT_AT_START = """
    bz2 difflib email encodings.idna h2 hashlib hpack http importlib.abc importlib.metadata importlib.resources lzma random
    shlex shutil sysconfig tempfile
    siphon_http.certs siphon_http.client.connection siphon_http.client.pool siphon_http.extension_doctor
    siphon_http.host.admin siphon_http.host.doctor siphon_http.host.supervisor siphon_http.protocol.http2_server
    siphon_http.server.http2_connection siphon_http.server.proxy_protocol siphon_http.server.secure siphon_http.server.tls
    siphon_http.testing
"""
"""What a plain listener on a numeric address does without."""

SCRIPT = """\
import os, signal, sys
from siphon import http

@http.route("/orders/{id}")
async def order(req):
    return http.Response(200)

@http.on_startup
def told():
    print("LOADED", *sys.modules)
    os.kill(os.getpid(), signal.SIGTERM)
"""


def output(*args: str, folder: Path | None = None) -> str:
    """Return what a new interpreter prints."""
    done = subprocess.run([sys.executable, *args], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_extension_loads_what_is_listed_and_nothing_else() -> None:
    code = f"import sys, {FOUNDATION}; before = set(sys.modules); import siphon_http.extension"
    loaded = output("-c", f"{code}; print(*(set(sys.modules) - before))").split()
    ours = {"siphon_http", *(f"siphon_http.{name}" for name in OURS.split())}
    assert {name for name in loaded if not name.startswith("_cython_")} - {"__future__"} == ours


def test_a_plain_start_leaves_out_what_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "routes.py").write_text(SCRIPT)
    (tmp_path / "siphon.yaml").write_text(
        "script: {path: routes.py}\nextensions:\n  http: {servers: [{listen: '127.0.0.1:0'}]}\n"
    )
    lines = output("-m", "siphon_http", "run", "siphon.yaml", folder=tmp_path).splitlines()
    loaded = set(next(line for line in lines if line.startswith("LOADED")).split())
    assert "siphon_http.server.listener" in loaded
    foundation = output("-c", f"import sys, faulthandler, yaml, {FOUNDATION}; print(*sys.modules)").split()
    assert sorted(loaded & set(NOT_AT_START.split()) - set(foundation)) == []
