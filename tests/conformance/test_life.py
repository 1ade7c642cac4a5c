"""Life of a process (design section 6): start order, drain, signals, exit codes."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process_stage import wait_until

from .launch import Server
from .wire import PING, NoAnswerError, Wire, polite, request

SCRIPT = """
import asyncio
import time
from siphon import http, log

def note(text):
    with open("events", "a") as file:
        file.write(text + "\\n")

note("load")

@http.on_startup
async def first():
    note("startup 1 begins")
    await asyncio.sleep(0.3)
    note("startup 1 ends")

@http.on_startup
def second():
    note("startup 2")

@http.on_shutdown
async def last():
    await asyncio.sleep(0.05)
    note("shutdown 1")

@http.on_shutdown
def before_last():
    note("shutdown 2")

@http.route("/")
async def index(req):
    return http.Response(body=b"ok")

@http.route("/sleep/{ms}")
async def sleep(req):
    note("begins")
    try:
        await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    finally:
        note("ends")
    return http.Response(body=b"slept")

@http.route("/block/{ms}")
def block(req):
    note("begins")
    time.sleep(int(req.path_params["ms"]) / 1000)
    note("ends")
    return http.Response(body=b"blocked")

async def ticks():
    for n in range(8):
        await asyncio.sleep(0.05)
        yield b"tick"

@http.route("/ticks")
async def ticking(req):
    note("begins")
    return http.Response(body=ticks())
"""

FAILING = """
from siphon import http

@http.on_startup
async def bad():
    raise ValueError("cannot warm up")

@http.on_startup
async def good():
    open("good-ran", "w").close()

@http.on_shutdown
async def fine():
    open("fine-ran", "w").close()

@http.on_shutdown
async def bad_end():
    raise ValueError("cannot cool down")

@http.route("/")
async def index(req):
    return http.Response(body=b"ok")
"""

Make = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make servers of this module's scripts; end what is left of them."""
    made: list[Server] = []

    def build(script: str = SCRIPT, drain: float = 3, **siphon: object) -> Server:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Server(folder, script, {"plain": {}}, {"server": {"drain_secs": drain}, **siphon}))
        return made[-1]

    yield build
    for server in made:
        server.kill()


def events(server: Server) -> list[str]:
    """Return what the script noted so far."""
    path = server.folder / "events"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(server: Server, event: str, within: float = 5.0) -> None:
    """Wait until the script has noted `event`."""
    wait_until(lambda: event in events(server), within, lambda: f"{event} did not come: {events(server)}")


def accepts(server: Server) -> bool:
    """Whether the listener takes connections."""
    address = server["plain"]
    assert isinstance(address, tuple)
    try:
        socket.create_connection(address, 1).close()
        return True
    except OSError:
        return False


def test_nothing_is_accepted_before_on_startup_has_ended(make: Make) -> None:
    server = make()
    server.spawn()
    wait_for(server, "startup 1 begins")
    assert not accepts(server), "accepted while on_startup runs"
    wait_for(server, "startup 2")
    server.start_waiting()
    assert events(server) == ["load", "startup 1 begins", "startup 1 ends", "startup 2"]


def test_shutdown_hooks_run_once_in_reverse_order(make: Make) -> None:
    server = make().start()
    server.stop()
    assert events(server)[-2:] == ["shutdown 2", "shutdown 1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("target,body", [("/sleep/500", b"slept"), ("/block/500", b"blocked"), ("/ticks", b"tick" * 8)])
def test_a_request_in_flight_is_answered_before_the_end(make: Make, number: int, target: str, body: bytes) -> None:
    server = make().start()
    with Wire(server["plain"]) as wire:
        wire.send(polite(target))
        wait_for(server, "begins")
        server.signal(number)
        answer = wire.read()
        assert (answer.status, answer.body) == (200, body)
        if target != "/ticks":  # its head was on the wire before the signal
            assert answer.closes, "design section 6: connection: close while draining"
        wire.expect_end()
    assert server.wait() == 0
    if target != "/ticks":
        assert events(server)[-3:] == ["ends", "shutdown 2", "shutdown 1"], "hooks run after the last request"


def test_no_connection_is_accepted_while_draining(make: Make) -> None:
    server = make().start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/sleep/600"))
        wait_for(server, "begins")
        server.signal(signal.SIGTERM)
        wait_until(lambda: not accepts(server))
        assert wire.read().body == b"slept"
    assert server.wait() == 0


def test_idle_connections_are_closed_by_the_drain(make: Make) -> None:
    server = make().start()
    with Wire(server["plain"]) as silent, Wire(server["plain"]) as idle:
        idle.send(PING)
        assert idle.read().status == 200
        server.signal(signal.SIGTERM)
        start = time.monotonic()
        idle.expect_end(2)
        silent.expect_end(2)
        assert server.wait() == 0
        assert time.monotonic() - start < 1.5, "nothing was in flight"


def test_pipelined_requests_that_were_received_are_answered_or_cut_at_a_boundary(make: Make) -> None:
    """What is in flight is finished; what only waits may be dropped after a `close`, never half answered."""
    server = make().start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/sleep/300") * 3)
        wait_for(server, "begins")
        server.signal(signal.SIGTERM)
        answers = wire.read_all(4)
    assert [a.status for a in answers] in ([200], [200, 200], [200, 200, 200])
    assert answers[-1].closes
    assert server.wait() == 0


def test_the_drain_has_a_deadline(make: Make) -> None:
    server = make(drain=0.5).start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/sleep/20000"))
        wait_for(server, "begins")
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert 0.3 <= time.monotonic() - start < 2.5
    assert events(server)[-2:] == ["shutdown 2", "shutdown 1"]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_at_once(make: Make, second: int) -> None:
    server = make(drain=20).start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/sleep/20000"))
        wait_for(server, "begins")
        server.signal(signal.SIGTERM)
        wait_until(lambda: not accepts(server))
        assert server.alive()
        start = time.monotonic()
        server.signal(second)
        server.wait()
        assert time.monotonic() - start < 1.5


def test_a_second_signal_ends_at_once_behind_a_blocking_handler(make: Make) -> None:
    server = make(drain=20).start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/block/6000"))
        wait_for(server, "begins")
        server.signal(signal.SIGTERM)
        wait_until(lambda: not accepts(server))
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait()
        assert time.monotonic() - start < 1.5


def test_the_deadline_holds_behind_a_blocking_handler(make: Make) -> None:
    """A thread cannot be cancelled; the process ends all the same."""
    server = make(drain=0.5).start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/block/7000"))
        wait_for(server, "begins")
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - start < 3


def test_sighup_reloads_and_harms_nothing(make: Make) -> None:
    server = make(log={"level": "info"}).start()
    with Wire(server["plain"]) as wire:
        wire.send(polite("/sleep/200"))
        wait_for(server, "begins")
        server.signal(signal.SIGHUP)
        assert wire.read().body == b"slept"
        wire.expect_open()
    wait_for(server, "shutdown 1")
    assert events(server).count("load") == 2
    wait_until(lambda: "configuration reloaded in " in server.log())
    server.stop()
    assert events(server)[-2:] == ["shutdown 2", "shutdown 1"]


def test_a_startup_hook_that_raises_is_logged_and_the_rest_run(make: Make) -> None:
    server = make(FAILING).start()
    assert request(server["plain"], "/").body == b"ok"
    assert (server.folder / "good-ran").exists()
    wait_until(lambda: "cannot warm up" in server.log())  # a thread writes it
    assert "Traceback" in server.log()
    server.stop()
    assert (server.folder / "fine-ran").exists()
    assert "cannot cool down" in server.log()


def test_startup_errors_abort_stops_the_start_with_4(make: Make) -> None:
    server = make(FAILING)
    path = server.folder / "http.yaml"
    path.write_text(path.read_text() + "\nstartup_errors: abort\n")
    server.spawn()
    assert server.wait() == 4
    assert "cannot warm up" in server.log()


def test_the_start_prints_at_most_four_lines_and_a_url(make: Make) -> None:
    server = make().start()
    deadline = time.monotonic() + 2
    while "ready" not in server.log().lower():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.01)
    lines = server.log().strip().splitlines()
    assert len(lines) <= 4, lines
    host, port = server["plain"]
    assert f"http://{host}:{port}" in server.log()
    assert "\x1b" not in server.log(), "no colours where nobody sees them"
    server.stop()


def test_http_yaml_without_servers_keeps_the_process_up(make: Make) -> None:
    server = make()
    (server.folder / "http.yaml").write_text("clients: {}\n")
    server.spawn()
    wait_for(server, "load")
    wait_until(lambda: "ready in" in server.log())
    time.sleep(0.2)  # a process with nothing to do would end now
    assert server.alive(), server.log()
    server.stop()


def test_a_restart_on_the_same_port_works_at_once(make: Make) -> None:
    """SO_REUSEADDR: connections in TIME_WAIT do not block it."""
    server = make("""
from siphon import http

@http.route("/")
async def index(req):
    return http.Response(body=b"ok")
""").start()
    for _ in range(2):
        with Wire(server["plain"]) as wire:
            wire.send(PING)
            assert wire.read().status == 200
            server.signal(signal.SIGTERM)
            try:
                wire.read()
            except NoAnswerError:
                pass
        assert server.wait() == 0
        server.start()
    server.stop()
