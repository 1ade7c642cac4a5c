"""Several workers from outside, under load: reloads, replacements, deaths and the end."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.linux import needs_proc, proc
from tests.process_stage import free_port, wait_until

from .launch import Server
from .steady import Steady
from .test_reload import SCRIPT, listeners, said, write
from .wire import Wire, polite, request

pytestmark = needs_proc

Make = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make servers with two workers; end what is left of them."""
    made: list[Server] = []

    def build(settings: dict[str, object] | None = None, **siphon: object) -> Server:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        (folder / "helper.py").write_text("")
        more = {"log": {"level": "info"}, "workers": 2, **siphon}
        made.append(Server(folder, SCRIPT, {"plain": settings or {}}, more))
        return made[-1].start()

    yield build
    for server in made:
        left = workers(server) if server.alive() else []
        server.kill()
        for pid in left:
            wait_until(lambda pid=pid: not proc(pid, "exe").exists())


def workers(server: Server) -> list[int]:
    """Return the pids of the workers."""
    return [int(pid) for pid in proc(server.pid, "task", server.pid, "children").read_text().split()]


def waiting(server: Server) -> int:
    """Return how many requests for /wait have begun."""
    path = server.folder / "waits"
    return len(path.read_text()) if path.exists() else 0


def ready(server: Server) -> Server:
    wait_until(lambda: "2 workers - Ctrl-C stops" in server.log())
    return server


def pids_that_answer(server: Server, version: str) -> set[int]:
    """Return who answers 30 connections, each of which must be answered by `version`."""
    bodies = [request(server["plain"], "/version").body.decode().split() for _ in range(30)]
    assert {body[0] for body in bodies} == {version}
    return {int(body[1]) for body in bodies}


@pytest.mark.parametrize("reuse_port", [False, True])
def test_all_workers_serve_one_port_and_the_end_is_clean(make: Make, reuse_port: bool) -> None:
    server = ready(make({"reuse_port": reuse_port}))
    seen: set[int] = set()
    with Steady(server["plain"], "/version", kept=0, fresh=8).running() as load:
        wait_until(lambda: len(load.answers) == 2)
    seen = {int(body.split()[1]) for body in load.answers}
    assert load.failures == [] and seen == set(workers(server))
    server.stop()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reuse_port", [False, True])
def test_five_rolling_restarts_under_load_fail_no_request(make: Make, reuse_port: bool) -> None:
    server = ready(make({"reuse_port": reuse_port}))
    entry = {"listen": f"127.0.0.1:{server['plain'][1]}", "reuse_port": reuse_port}
    generations = []
    with Steady(server["plain"], "/version").running() as load:
        for n in range(5):
            load.more(30)
            generations.append(set(workers(server)))
            listeners(server, {**entry, "max_body_bytes": 1000 + n})
            server.signal(signal.SIGHUP)
            wait_until(lambda n=n: said(server, "2 workers replaced") == n + 1, 20)
            before = generations[-1]
            wait_until(lambda before=before: not before & set(workers(server)))
        load.more(30)
    assert load.failures == []
    answered = {int(body.split()[1]) for body in load.answers}
    assert all(answered & generation for generation in generations)
    server.stop()


@pytest.mark.timeout(120)
def test_edits_are_live_in_every_worker_and_fail_no_request(make: Make) -> None:
    server = ready(make())
    pids = set(workers(server))
    with Steady(server["plain"]).running() as load:
        for n in range(5):
            write(server, f"v{n}")
            wait_until(lambda n=n: said(server, "script reloaded in 2 workers") == n + 1)
            assert pids_that_answer(server, f"v{n}") <= pids
            load.more(20)
    assert load.failures == [] and set(workers(server)) == pids
    server.stop()


@pytest.mark.timeout(120)
def test_the_number_of_workers_changes_under_load(make: Make) -> None:
    server = ready(make())
    with Steady(server["plain"]).running() as load:
        for count in (3, 1, 2):
            text = (server.folder / "siphon.yaml").read_text()
            (server.folder / "siphon.yaml").write_text(re.sub("workers: .", f"workers: {count}", text))
            server.signal(signal.SIGHUP)
            wait_until(lambda count=count: said(server, f"{count} workers replaced"), 20)
            wait_until(lambda count=count: len(workers(server)) == count)
            load.more(30)
    assert load.failures == []
    server.stop()


def test_a_killed_worker_costs_its_own_requests_only(make: Make) -> None:
    server = ready(make())
    wires = [Wire(server["plain"]) for _ in range(12)]
    try:
        for wire in wires:
            wire.send(polite("/version"))
        owners = [int(wire.read().body.split()[1]) for wire in wires]
        victim = owners[0]
        for wire in wires:
            wire.send(polite("/wait"))
        wait_until(lambda: waiting(server) == len(wires))
        os.kill(victim, signal.SIGKILL)
        for wire, owner in zip(wires, owners, strict=True):
            if owner != victim:
                assert wire.read().body == b"VERSION"
        for _ in range(20):
            assert request(server["plain"], "/").status == 200
        wait_until(lambda: len(workers(server)) == 2 and victim not in workers(server))
    finally:
        for wire in wires:
            wire.sock.close()
    wait_until(lambda: said(server, " serves"))
    server.stop()


def test_a_stop_under_load_fails_no_request_that_was_accepted(make: Make) -> None:
    server = ready(make(server={"drain_secs": 3}))
    load = Steady(server["plain"], "/wait", kept=6, fresh=0)
    with load.running():
        wait_until(lambda: waiting(server) == 6)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert load.answers[b"VERSION"] == 6
    assert all("ConnectionRefused" in failure for failure in load.failures), load.failures[:3]
    assert "stopped by SIGTERM" in server.log()
    server.check_log()


def test_workers_that_have_served_enough_are_replaced_without_a_failed_request(make: Make) -> None:
    server = ready(make(worker_max_requests=200))
    first = set(workers(server))
    with Steady(server["plain"], "/version").running() as load:
        wait_until(lambda: not first & set(workers(server)), 20)
        load.more(20)
    assert load.failures == []
    assert said(server, "is replaced: it has served") >= 2
    server.stop()


def test_a_unix_socket_outlives_its_workers(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (tmp_path / "helper.py").write_text("")
    more = {"log": {"level": "info"}, "workers": 2}
    server = Server(tmp_path, SCRIPT, {"plain": {"listen": f"unix:{path}"}}, more).start()
    try:
        ready(server)
        (tmp_path / "http.yaml").write_text(yaml.safe_dump({"servers": [{"listen": f"unix:{path}", "max_headers": 9}]}))
        with Steady(str(path), kept=2, fresh=1).running() as load:
            load.more(10)
            server.signal(signal.SIGHUP)
            wait_until(lambda: said(server, "2 workers replaced"))
            load.more(10)
        assert load.failures == []
        server.stop()
        assert not path.exists()
    finally:
        server.kill()


STUCK = """
@http.route("/stuck")
async def stuck(req):
    while True:
        pass
"""


def test_a_worker_whose_loop_is_held_for_ever_is_replaced(make: Make) -> None:
    server = ready(make(script={"path": "script.py", "handler_stall_abort_secs": 3}))
    (server.folder / "script.py").write_text(SCRIPT + STUCK)
    wait_until(lambda: said(server, "script reloaded in 2 workers"))
    before = set(workers(server))
    with Wire(server["plain"]) as wire:
        wire.send(polite("/stuck"))
        wait_until(lambda: said(server, "ended with exit code 1, another one is started"), 20)
    line = (SCRIPT + STUCK).splitlines().index("        pass")
    assert re.search(
        rf"held for [\d.]+ s.*ends after 3 s\n.*script\.py\", line ({line}|{line + 1}), in stuck", server.log()
    )
    assert "Current thread 0x" in server.log(), "and what faulthandler says"
    wait_until(lambda: said(server, ") serves"))
    assert len(before & set(workers(server))) == 1
    assert len(pids_that_answer(server, "VERSION")) == 2
    server.stop()


def test_an_address_in_use_leaves_every_worker_and_their_successors_the_sockets(make: Make) -> None:
    server = ready(make())
    main = {"listen": f"127.0.0.1:{server['plain'][1]}"}
    with socket.create_server(("127.0.0.1", 0)) as holder, Steady(server["plain"], "/version").running() as load:
        listeners(server, main, {"listen": f"127.0.0.1:{holder.getsockname()[1]}"})
        server.signal(signal.SIGHUP)
        wait_until(lambda: said(server, f"cannot bind 127.0.0.1:{holder.getsockname()[1]}"))
        load.more(20)
        assert load.failures == []
    os.kill(workers(server)[0], signal.SIGKILL)
    wait_until(lambda: said(server, ") serves"))
    assert len(pids_that_answer(server, "VERSION")) == 2
    server.stop()


def test_a_worker_that_follows_another_has_the_configuration_that_is_in_use(make: Make) -> None:
    """An edit takes effect by a reload, in all workers: a half of it would leave connections to wait for nobody."""
    server = ready(make(worker_max_requests=100))
    main = {"listen": f"127.0.0.1:{server['plain'][1]}"}
    with Steady(server["plain"], "/version").running() as load:
        for edit in ({"listen": f"127.0.0.1:{free_port()}"}, {**main, "lisetn": 1}, None):
            before = set(workers(server))
            if edit is None:
                (server.folder / "http.yaml").unlink()
            else:
                listeners(server, edit)
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda before=before: not before & set(workers(server)), 20)  # the other one is recycled
    assert len(load.failures) <= 3 * 5, f"more than three deaths cost five clients: {load.failures[:3]}"
    assert said(server, "cannot be started") == 0
    listeners(server, {**main, "max_body_bytes": 3})
    server.signal(signal.SIGHUP)
    wait_until(lambda: said(server, "2 workers replaced"))
    assert {request(server["plain"], "/size", "POST", body=b"xxxx").status for _ in range(20)} == {413}
    server.stop()
