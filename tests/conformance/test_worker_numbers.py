"""What operators see of several workers: calls of clients summed, restarts, who runs, whether anybody serves."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .launch import Server, free_port
from .test_reload import listeners, said, wait_until
from .test_workers import workers
from .wire import request

SCRIPT = """
import os
from siphon import http

own = http.Client("own")

@http.route("/who")
async def who(req):
    return http.Response(body=str(os.getpid()))

@http.route("/ask")
async def ask(req):
    answer = await own.get("/who")
    return http.Response(body=f"{os.getpid()} {answer.text}")
"""


class Watched:
    """A server with two workers, and its numbers."""

    def __init__(self, folder: Path) -> None:
        self.admin = free_port()
        more = {"log": {"level": "info"}, "workers": 2, "admin": {"listen": f"127.0.0.1:{self.admin}"}}
        self.server = Server(folder, SCRIPT, {"plain": {"reuse_port": False}}, more)
        listen = self.server["plain"][1]
        http = folder / "http.yaml"
        self.clients = {"own": {"base_url": f"http://127.0.0.1:{listen}"}}
        http.write_text(yaml.safe_dump({**yaml.safe_load(http.read_text()), "clients": self.clients}))
        self.server.start()
        wait_until(lambda: "2 workers - Ctrl-C stops" in self.server.log())

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def number(self, series: str) -> float:
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    left = workers(made.server) if made.server.alive() else []
    made.server.kill()
    for pid in left:
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}/exe").exists())


def test_calls_of_clients_are_summed_over_workers_and_outlive_them(watched: Watched) -> None:
    server = watched.server
    calls = 'siphon_http_client_calls_total{client="own",method="GET",code="2xx"}'
    answered = set()
    asked = 0
    while len(answered) < 2 or asked < 20:  # on new connections, until both workers have called
        answered.add(request(server["plain"], "/ask").body.split()[0])
        asked += 1
        assert asked < 2000
    assert watched.number(calls) == asked
    assert watched.number('siphon_http_client_call_duration_seconds_count{client="own"}') == asked
    assert watched.number('siphon_http_client_connections_open{client="own"}') >= 2
    os.kill(workers(server)[0], signal.SIGKILL)
    wait_until(lambda: " serves" in server.log())
    assert watched.number(calls) == asked
    server.stop()


@pytest.mark.timeout(120)
def test_restarts_are_counted_by_their_reason_and_health_tells_who_runs(watched: Watched) -> None:
    server = watched.server
    assert watched.number("siphon_workers_running") == 2
    assert 'siphon_worker_restarts_total{reason="recycled"} 0' in watched.get("/metrics")[1]
    os.kill(workers(server)[0], signal.SIGKILL)
    wait_until(lambda: " serves" in server.log())
    assert watched.number('siphon_worker_restarts_total{reason="died"}') == 1
    listeners(server, {"listen": f"127.0.0.1:{server['plain'][1]}", "max_body_bytes": 1000})
    text = yaml.safe_load((server.folder / "http.yaml").read_text())
    (server.folder / "http.yaml").write_text(yaml.safe_dump({**text, "clients": watched.clients}))
    server.signal(signal.SIGHUP)
    wait_until(lambda: said(server, "2 workers replaced"), 20)
    assert watched.number('siphon_worker_restarts_total{reason="reload"}') == 2
    assert json.loads(watched.get("/admin/health")[1])["workers"] == {"running": 2, "wanted": 2}
    assert watched.get("/admin/ready")[0] == 200
    server.stop()


@pytest.mark.timeout(120)
def test_without_a_worker_that_serves_it_is_not_ready_and_a_mended_script_is_tried_at_once(watched: Watched) -> None:
    server = watched.server
    script = server.folder / "script.py"
    text = script.read_text()
    script.write_text("1 / 0\n")
    wait_until(lambda: "script not reloaded" in server.log())
    for pid in workers(server):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: watched.get("/admin/ready") == (503, '{"status": "starting"}\n'))
    assert watched.number("siphon_workers_running") == 0
    wait_until(lambda: watched.number('siphon_worker_restarts_total{reason="died"}') >= 10, 30)  # they wait for seconds
    script.write_text(text)
    assert wait_until(lambda: watched.get("/admin/ready")[0] == 200) < 5
    assert request(server["plain"], "/ask").status == 200
    server.stop()
