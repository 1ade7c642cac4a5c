"""Reloading under load, from outside: nothing is refused, nothing fails, nothing piles up."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from tests.process_stage import free_port, wait_until

from .launch import Server
from .steady import Steady
from .test_leaks import descriptors
from .wire import Wire, polite, request

SOAK = int(os.environ.get("SIPHON_HTTP_SOAK_SCALE", "1"))
"""10: 200 reloads and 200,000 requests; 100: ten times as many of both."""

SCRIPT = """
import asyncio, gc, os, threading
from siphon import http
import helper

PADDING = b"x" * 100_000

@http.on_startup
async def up():
    await asyncio.sleep(0.01)

@http.route("/")
async def index(req):
    return http.Response(body=b"ok")

@http.route("/version")
async def version(req):
    return http.Response(body=f"VERSION {os.getpid()}")

@http.route("/wait")
async def wait(req):
    with open("waits", "a") as file:
        file.write("x")
    await asyncio.sleep(1.0)
    return http.Response(body="VERSION")

@http.route("/thread")
def thread(req):
    return http.Response(body="VERSION")

@http.route("/left")
async def left(req):
    gc.collect()
    return http.Response(body=f"{len(asyncio.all_tasks())} tasks, {threading.active_count()} threads")

@http.route("/size", methods=["POST"])
async def size(req):
    return http.Response(body=str(len(req.body())))
"""

Make = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make servers of this module's script; end what is left of them."""
    made: list[Server] = []

    def build(listeners: dict[str, object] | None = None, **siphon: object) -> Server:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        (folder / "helper.py").write_text("")
        made.append(Server(folder, SCRIPT, listeners or {"plain": {}}, {"log": {"level": "info"}, **siphon}))
        return made[-1]

    yield build
    for server in made:
        server.kill()


def write(server: Server, version: str) -> None:
    """Put another version of the script into the place of the old one, as editors do."""
    new = server.folder / "script.new"
    new.write_text(SCRIPT.replace("VERSION", version))
    new.replace(server.folder / "script.py")


def body(server: Server, target: str = "/version", name: str = "plain") -> str:
    return request(server[name], target).body.decode()


def listeners(server: Server, *entries: dict[str, object]) -> None:
    """Write http.yaml."""
    (server.folder / "http.yaml").write_text(yaml.safe_dump({"servers": list(entries)}))


def accepts(port: int) -> bool:
    """Whether a connection to `port` is taken."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def said(server: Server, text: str) -> int:
    return server.log().count(text)


@pytest.mark.timeout(120)
def test_twenty_edits_under_load_fail_no_request(make: Make) -> None:
    server = make().start()
    with Steady(server["plain"]).running() as load:
        load.more(50)
        waits = []
        for n in range(20):
            write(server, f"v{n}")
            waits.append(wait_until(lambda n=n: body(server).startswith(f"v{n} ")))
            load.more(20)
    assert load.failures == []
    assert sorted(waits)[len(waits) // 2] < 1.0, "half a second on a quiet machine"
    wait_until(lambda: said(server, "script reloaded in") == 20)  # the line of the last one may come behind its answer
    server.stop()


def test_a_request_ends_on_the_code_that_it_began_with(make: Make) -> None:
    server = make().start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/wait"))
        wait_until((server.folder / "waits").exists)
        write(server, "new")
        wait_until(lambda: body(server).startswith("new"))
        assert wire.read().body == b"VERSION"
        wire.send(polite("/thread"))
        assert wire.read().body == b"new", "the connection goes on, with the new code"
    server.stop()


def test_a_broken_edit_is_said_once_and_the_old_code_serves(make: Make) -> None:
    server = make().start()
    (server.folder / "script.py").write_text("from siphon import http\n\ndef broken(:\n")
    wait_until(lambda: said(server, "SyntaxError"))
    time.sleep(0.8)  # the watch has looked again
    assert said(server, "SyntaxError") == 1 and said(server, "script.py:3:") == 1
    assert body(server).startswith("VERSION ")
    (server.folder / "helper.py").write_text("1 / 0")
    write(server, "x")
    wait_until(lambda: said(server, "ZeroDivisionError"))
    assert body(server).startswith("VERSION ")
    (server.folder / "helper.py").write_text("")
    wait_until(lambda: body(server).startswith("x "))
    server.stop()


def test_sighup_opens_changes_and_closes_listeners_under_load(make: Make) -> None:
    server = make().start()
    main = {"listen": f"127.0.0.1:{server['plain'][1]}"}
    other = free_port()
    with Steady(server["plain"]).running() as load:
        load.more(20)
        listeners(server, {**main, "max_body_bytes": 10}, {"listen": f"127.0.0.1:{other}"})
        server.signal(signal.SIGHUP)
        wait_until(lambda: said(server, "configuration reloaded") == 1)
        assert request(("127.0.0.1", other), "/size", "POST", body=b"x" * 20).body == b"20"
        assert request(server["plain"], "/size", "POST", body=b"x" * 20).status == 413
        listeners(server, main)
        server.signal(signal.SIGHUP)
        wait_until(lambda: said(server, "configuration reloaded") == 2)
        wait_until(lambda: not accepts(other))
        assert request(server["plain"], "/size", "POST", body=b"x" * 20).body == b"20"
        (server.folder / "http.yaml").write_text("servers: [{listne: x}]\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: said(server, "did you mean `listen`?"))
        load.more(20)
    assert load.failures == []
    server.stop()


class Certificates:
    """Certificates of one authority, put where the listener looks."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.context = ssl.create_default_context()
        self.authority.configure_trust(self.context)
        self.put("first")

    def put(self, name: str) -> None:
        leaf = self.authority.issue_cert("localhost", common_name=name)
        leaf.private_key_pem.write_to_path(self.key)
        leaf.cert_chain_pems[0].write_to_path(self.cert)

    def shown(self, server: Server) -> str:
        """Return the name in the certificate that a new connection gets."""
        with Wire(server["tls"], tls=self.context) as wire:
            assert isinstance(wire.sock, ssl.SSLSocket)
            found = wire.sock.getpeercert()
        assert found is not None
        return str(dict(pair for pairs in found["subject"] for pair in pairs)["commonName"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
def test_certificates_change_without_a_failed_request_and_a_bad_one_changes_nothing(
    make: Make, tmp_path: Path, workers: int
) -> None:
    files = Certificates(tmp_path)
    tls = {"tls": {"cert_path": str(files.cert), "key_path": str(files.key)}}
    server = make({"plain": {}, "tls": tls}, workers=workers).start()
    with Steady(server["plain"], kept=1, fresh=1).running() as load, Wire(server["tls"], tls=files.context) as kept:
        for n in range(5):
            files.put(f"number {n}")
            wait_until(lambda n=n: {files.shown(server) for _ in range(24)} == {f"number {n}"})
            kept.send(polite("/thread"))
            assert kept.read().status == 200
        files.cert.write_text("junk")
        wait_until(lambda: said(server, "the changed certificate cannot be used, the old one stays in use") == workers)
        server.signal(signal.SIGHUP)  # which finds that the file is bad, before anything is changed
        wait_until(lambda: said(server, "configuration not reloaded"))
        assert files.shown(server) == "number 4"
    assert load.failures == []
    server.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_log_files_that_were_moved_away_are_opened_anew(make: Make, workers: int) -> None:
    """By SIGUSR1, and by SIGHUP also when the reload fails."""
    logs = {"level": "info", "file": "app.log", "access_file": "access.log"}
    server = make({"plain": {"access_log": "{target}"}}, log=logs, workers=workers).start()
    wait_until(lambda: said(server, "ready in"))  # all workers serve
    names = ("app.log", "access.log")

    def rotate(number: int) -> None:
        for name in names:
            (server.folder / name).replace(server.folder / f"{name}.1")
        server.signal(number)
        wait_until(lambda: all((server.folder / name).exists() for name in names))
        time.sleep(0.1)  # the other worker
        asked = [f"/version?{number}{n}" for n in range(8)]
        for target in asked:
            body(server, target)
        wait_until(lambda: {*asked} <= {*(server.folder / "access.log").read_text().splitlines()})

    rotate(signal.SIGUSR1)
    (server.folder / "http.yaml").write_text("servers: [")
    rotate(signal.SIGHUP)
    wait_until(lambda: "configuration not reloaded" in (server.folder / "app.log").read_text())
    server.stop()


def test_log_files_are_opened_anew_where_reloading_is_off(make: Make) -> None:
    script = {"path": "script.py", "reload": "off"}
    server = make(log={"level": "info", "file": "app.log"}, script=script).start()
    (server.folder / "app.log").unlink()
    server.signal(signal.SIGHUP)
    wait_until(lambda: (server.folder / "app.log").exists())
    server.stop()


@pytest.mark.timeout(60 + 60 * SOAK)
def test_memory_and_descriptors_stay_flat_over_reloads(make: Make) -> None:
    """Small here; SIPHON_HTTP_SOAK_SCALE=100 has 2,000 reloads under 2,000,000 requests."""
    server = make().start()
    time.sleep(1.5)  # then the watch of the script has opened what it needs

    def reload(count: int) -> None:
        for _ in range(count):
            done = said(server, "configuration reloaded")
            server.signal(signal.SIGHUP)
            wait_until(lambda done=done: said(server, "configuration reloaded") > done)

    def ask(count: int) -> None:
        with Wire(server["plain"], timeout=20) as wire:
            for _ in range(count // 50):
                wire.send(polite("/") * 40 + polite("/thread") * 9 + polite("/size", "POST", body=b"x" * 500))
                for _ in range(50):
                    assert wire.read().status == 200

    for _ in range(4):
        reload(5)
        ask(500)
    left = body(server, "/left")
    base, files = server.rss_kib(), descriptors(server)
    for _ in range(5 * SOAK):
        reload(4)
        ask(4000)
    grown = server.rss_kib() - base
    assert grown < 2048, f"{grown} KiB more after {20 * SOAK} reloads: the script alone holds 100 KB"
    wait_until(lambda: descriptors(server) <= files)
    assert body(server, "/left") == left, "tasks or threads are left behind"
    server.stop()
