"""HTTP/2 (RFC 9113) beside HTTP/1.1: the same routes, the same answers, and what only HTTP/2 has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http2_client import PREFACE

from .http2_wire import http2
from .launch import ROOT, Server, serving
from .test_tls import AUTHORITY, context, write
from .wire import PING, Wire, exchange, request

SCRIPT = """
from siphon import http


@http.route("/", methods=["GET", "POST"])
async def root(req):
    return http.Response(body=req.body() or b"hello there")
"""
SETTINGS = bytes.fromhex("000000040000000000")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/main.py: both protocols, one of each, and TLS."""
    folder = tmp_path_factory.mktemp("http2")
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    tls = write(AUTHORITY.issue_cert("localhost", "127.0.0.1"), folder, "server")
    listeners = {
        "plain": {},
        "tls": {"tls": tls},
        "one": {"http2": False},
        "two": {"http1": False, "tls": tls},
    }
    yield from serving(folder, "main.py", listeners)


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """SCRIPT, in cleartext and over TLS."""
    folder = tmp_path_factory.mktemp("h2spec")
    tls = write(AUTHORITY.issue_cert("localhost", "127.0.0.1"), folder, "server")
    listeners: dict[str, dict[str, object]] = {"plain": {}, "tls": {"tls": tls}, "only": {"http1": False}}
    listeners |= {f"{name}-h2": {**keys, "http2_through_h2": True} for name, keys in listeners.items()}
    yield from serving(folder, SCRIPT, listeners)


# ---- the same for both


@pytest.mark.parametrize(
    "method,path,body",
    [
        ("GET", "/", None),
        ("HEAD", "/", None),
        ("HEAD", "/head-get", None),
        ("GET", "/nowhere", None),
        ("DELETE", "/", None),
        ("OPTIONS", "/names/x", None),
        ("GET", "/names/a%20b", None),
        ("GET", "/names/%zz", None),
        ("POST", "/echo", b"some content"),
        ("POST", "/echo-sync", b"some content"),
        ("POST", "/tiny", b"more than ten bytes"),
        ("POST", "/stream", b"x" * 50_000),
        ("POST", "/stream-back", b"x" * 50_000),
        ("POST", "/stream-unread", b"x" * 50_000),
        ("GET", "/prec/a/end", None),
        ("GET", "/short/1000", None),
    ],
    ids=str,
)
def test_a_script_answers_both_protocols_alike(main: Server, method: str, path: str, body: bytes | None) -> None:
    with http2(main["plain"]) as wire:
        got = wire.get(path, method, body)
    old = request(main["plain"], path, method, body=body or b"")
    assert got.status == old.status
    if path != "/stream":  # it tells the pieces
        assert got.body == old.body
    for name in ("content-type", "content-length", "allow", "x-method"):
        if old.header("transfer-encoding") is None and path != "/stream":
            assert got.headers.get(name) == old.header(name), name
    assert not {"connection", "transfer-encoding", "keep-alive"} & set(got.headers)


def test_a_script_sees_the_same_request(main: Server) -> None:
    fields = [("x-multi", "1"), ("x-multi", "2"), ("cookie", "a=1"), ("cookie", "b=2")]
    with http2(main["plain"]) as wire:
        got = wire.get("/seen/n?a=1&a=2", "POST", b"content", *fields).json()
    assert got["http_version"] == "2"
    assert (got["host"], got["headers"]["host"], got["url"]) == ("t", "t", "http://t/seen/n?a=1&a=2")
    assert (got["x_multi"], got["cookies"]) == ("1, 2", {"a": "1", "b": "2"})
    assert got["headers"]["cookie"] == "a=1; b=2"
    assert (got["path_params"], got["query_list_a"], got["body"]) == ({"name": "n"}, ["1", "2"], "content")
    assert got["client"].startswith("127.0.0.1:")


def test_both_protocols_on_one_port_at_once(main: Server) -> None:
    with http2(main["plain"]) as wire, Wire(main["plain"]) as old:
        for _ in range(3):
            assert wire.get("/").body == b"ok"
            old.send(PING)
            assert old.read().body == b"ok"


def test_a_preface_byte_by_byte(main: Server) -> None:
    with http2(main["plain"]) as wire:
        id = wire.client.ask("/echo", "POST", b"abc")
        data = wire.client.take()
        wire.wire.send_pieces([data[n : n + 1] for n in range(len(data))])
        wire.until(lambda: wire.client.streams[id].over)
        assert wire.client.streams[id].body == b"abc"


def test_many_streams_at_once(main: Server) -> None:
    with http2(main["plain"]) as wire:
        slow = [wire.client.streams[wire.client.ask("/sleep/100")] for _ in range(50)]
        began = time.monotonic()
        assert wire.get("/").body == b"ok" and not any(one.over for one in slow)
        wire.until(lambda: all(one.over for one in slow))
        assert time.monotonic() - began < 2 and {one.body for one in slow} == {b"slept"}


@pytest.mark.parametrize("key,ends", [("wait", "cancelled"), ("finish", "done")])
def test_a_reset_stream_cancels_its_handler_unless_the_route_finishes(main: Server, key: str, ends: str) -> None:
    name = f"rst-{key}"
    with http2(main["plain"]) as wire:
        id = wire.client.ask(f"/{key}/{name}/200")
        while wire.get(f"/events/{name}").json() != ["start"]:
            pass
        wire.client.h2.reset_stream(id)
        deadline = time.monotonic() + 3
        while len(found := wire.get(f"/events/{name}").json()) < 2:
            assert time.monotonic() < deadline
    assert found == ["start", ends]


# ---- limits and time-outs, in tests/server for each; here: they reach HTTP/2


def test_limits_of_a_listener(main: Server) -> None:
    with http2(main["small"]) as wire:
        assert wire.get("/echo", "POST", b"x" * 1001).status == 413
        assert wire.get("/", "GET", None, ("x-long", "y" * 2500)).status == 431
        assert wire.get("/", "GET", None, *((f"x-{n}", "y") for n in range(20))).status == 431
        assert wire.get("/").status == 200


def test_time_outs_of_a_listener(main: Server) -> None:
    with http2(main["quick"]) as wire:
        got = wire.get("/sleep/2000")
        assert (got.status, got.body) == (504, b"gateway timeout\n")
        id = wire.client.ask("/echo", "POST", b"abc", end=False)
        wire.until(lambda: wire.client.streams[id].over)
        assert wire.client.streams[id].status == 408
        began = time.monotonic()
        wire.until(lambda: False)
        assert wire.client.goaways[-1][1] == 0 and time.monotonic() - began < 1.5


# ---- switches


def test_a_listener_without_http_2(both: Server) -> None:
    with Wire(both["one"]) as wire:
        wire.send(PREFACE + SETTINGS)
        assert wire.read().status == 505
    assert request(both["one"], "/").body == b"ok"


def test_a_listener_without_http_1(both: Server) -> None:
    with http2(both["two"], tls=context(alpn=["h2"])) as wire:
        assert wire.get("/").body == b"ok"
    assert exchange(both["two"], PING, tls=context())[0].status == 505


def test_the_start_up_lines_name_the_protocols(both: Server) -> None:
    log = both.log()
    for name, protocols in (("plain", "h2, http/1.1"), ("tls", "h2, http/1.1"), ("one", "http/1.1"), ("two", "h2")):
        port = both[name][1]
        assert f":{port} ({protocols})" in log


def test_h2_by_alpn(both: Server) -> None:
    with http2(both["tls"], tls=context(alpn=["h2", "http/1.1"])) as wire:
        body = os.urandom(60_000)
        assert wire.get("/echo", "POST", body).body == body
        assert wire.get("/seen").json()["scheme"] == "https"


# ---- other people's clients


def curl(*arguments: str) -> str:
    return subprocess.run(
        ["curl", "-sS", "--max-time", "10", *arguments], capture_output=True, text=True, check=True
    ).stdout


needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None
    or "HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True, text=True, check=False).stdout,
    reason="no curl with HTTP/2",
)


@needs_curl
def test_curl(both: Server) -> None:
    plain, tls = both["plain"][1], both["tls"][1]
    show = ["-w", " %{http_version} %{http_code}"]
    assert curl("--http2-prior-knowledge", *show, f"http://127.0.0.1:{plain}/") == "ok 2 200"
    assert curl(*show, f"http://127.0.0.1:{plain}/") == "ok 1.1 200"
    assert curl("--http2", *show, f"http://127.0.0.1:{plain}/") == "ok 1.1 200"  # Upgrade: h2c is passed over
    ca = ["--cacert", str(both.folder / "ca.pem")]
    assert curl(*ca, *show, f"https://127.0.0.1:{tls}/") == "ok 2 200"
    assert curl(*ca, "--http1.1", *show, f"https://127.0.0.1:{tls}/") == "ok 1.1 200"
    data = ["--data-binary", "x" * 100_000]
    assert curl("--http2-prior-knowledge", *data, f"http://127.0.0.1:{plain}/echo") == "x" * 100_000
    head = curl("--http2-prior-knowledge", "-I", f"http://127.0.0.1:{plain}/head-get")
    assert "content-length: 5" in head and head.startswith("HTTP/2 200")


@pytest.mark.skipif(shutil.which("nghttp") is None, reason="no nghttp")
def test_nghttp(both: Server) -> None:
    url = f"http://127.0.0.1:{both['plain'][1]}"
    done = subprocess.run(
        ["nghttp", "-m", "20", f"{url}/", f"{url}/head-get"], capture_output=True, timeout=10, check=True
    )
    assert done.stdout.count(b"ok") == 20 and done.stdout.count(b"12345") == 20


H2SPEC = ROOT / "build" / "h2spec"


@pytest.mark.skipif(not H2SPEC.exists(), reason="no build/h2spec: make h2spec builds it")
@pytest.mark.parametrize(
    "name,failed", [("plain", 1), ("tls", 0), ("only", 0), ("plain-h2", 1), ("tls-h2", 0), ("only-h2", 0)]
)
def test_h2spec(simple: Server, name: str, failed: int) -> None:
    """The one that a port shared with HTTP/1.1 cannot pass: garbage in place of a preface is answered in HTTP/1.1."""
    arguments = ["-t", "-k"] if name.startswith("tls") else []
    done = subprocess.run(
        [H2SPEC, "--strict", "-h", "127.0.0.1", "-p", str(simple[name][1]), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"146 tests, {146 - failed} passed, 0 skipped, {failed} failed" in done.stdout, done.stdout[-3000:]
    if failed:
        assert "Sends invalid connection preface" in done.stdout[done.stdout.index("Failures:") :]


# ---- the end


def test_drain_says_goodbye_and_lets_streams_finish(tmp_path: Path) -> None:
    for server in serving(tmp_path, "main.py", {"plain": {}}):
        with http2(server["plain"]) as wire:
            got = wire.client.streams[wire.client.ask("/sleep/700")]
            wire.get("/")
            server.signal(signal.SIGTERM)
            wire.until(lambda: len(wire.client.goaways) == 2)
            assert wire.client.goaways == [(2**31 - 1, 0), (3, 0)] and not got.over
            wire.until(lambda: got.over)
            assert got.body == b"slept"
            wire.until(lambda: False)
            wire.wire.__exit__()
        assert server.wait(5) == 0
        server.check_log()
        server.start()  # the fixture stops what runs


def test_json_is_what_it_was(main: Server) -> None:
    body = json.dumps({"a": [1, 2]}).encode()
    with http2(main["plain"]) as wire:
        assert wire.get("/json", "POST", body).json() == {"got": {"a": [1, 2]}}
