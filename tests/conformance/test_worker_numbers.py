"""What operators see of several workers: calls of clients summed, restarts, who runs, whether anybody serves."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.linux import needs_proc, proc
from tests.process_stage import free_port, wait_until

from .launch import Server
from .steady import Steady
from .test_reload import listeners, said
from .test_workers import workers
from .wire import request as ask

pytestmark = needs_proc

SCRIPT = """
import os
from siphon import http, metrics

asked = metrics.counter("asked_total", "Who \\\\ was asked.", ["by"])
sizes = metrics.histogram("sizes", "Sizes.", buckets=(1, 2.5, 1000))
waiting = metrics.gauge("waiting", "Waiting.")
own = http.Client("own")

@http.route("/who")
async def who(req):
    asked.labels(by='a "client"\\\\ \\n').inc()
    sizes.observe(2)
    waiting.set(3)
    return http.Response(body=str(os.getpid()))

@http.route("/ask")
async def ask(req):
    answer = await own.get("/who")
    return http.Response(body=f"{os.getpid()} {answer.text}")
"""


class Watched:
    """A server with two workers, and its numbers."""

    def __init__(self, folder: Path, **siphon: object) -> None:
        self.admin = free_port()
        more = {**siphon, "log": {"level": "info"}, "workers": 2, "admin": {"listen": f"127.0.0.1:{self.admin}"}}
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
def watched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A server with two workers; the parameter, if there is one, has more for siphon.yaml."""
    made = Watched(tmp_path, **getattr(request, "param", {}))
    yield made
    left = workers(made.server) if made.server.alive() else []
    made.server.kill()
    for pid in left:
        wait_until(lambda pid=pid: not proc(pid, "exe").exists())


def test_calls_of_clients_are_summed_over_workers_and_outlive_them(watched: Watched) -> None:
    server = watched.server
    calls = 'siphon_http_client_calls_total{client="own",method="GET",code="2xx"}'
    answered = set()
    asked = 0
    while len(answered) < 2 or asked < 20:  # on new connections, until both workers have called
        answered.add(ask(server["plain"], "/ask").body.split()[0])
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
    assert ask(server["plain"], "/ask").status == 200
    server.stop()


def families(watched: Watched) -> dict[str, Metric]:
    """Return what Prometheus' own parser makes of the numbers."""
    found = list(text_string_to_metric_families(watched.get("/metrics")[1]))
    assert len({one.name for one in found}) == len(found), "a family stands in one place"
    return {one.name: one for one in found}


def samples(found: dict[str, Metric], *kinds: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of all families of `kinds`."""
    all_of_them = [one for family in found.values() if family.type in kinds for one in family.samples]
    by_name = {(one.name, tuple(sorted(one.labels.items()))): one.value for one in all_of_them}
    assert len(by_name) == len(all_of_them), "no sample stands there twice"
    return by_name


def total(found: dict[str, Metric], family: str, sample: str, **labels: str) -> float:
    return sum(
        one.value for one in found[family].samples if one.name == sample and labels.items() <= one.labels.items()
    )


def test_every_family_is_whole_for_the_parser_of_prometheus(watched: Watched) -> None:
    server = watched.server
    for _ in range(10):
        ask(server["plain"], "/ask")
    found = families(watched)
    assert {one.type for one in found.values()} == {"counter", "gauge", "histogram"}
    assert all(one.documentation for one in found.values())
    assert (found["asked"].type, found["asked"].documentation) == ("counter", "Who \\ was asked.")
    assert total(found, "asked", "asked_total", by='a "client"\\ \n') == 10
    assert {one.labels["worker"] for one in found["waiting"].samples} <= {"0", "1"}
    for name, family in found.items():
        assert all(one.name.endswith("_total") for one in family.samples) or family.type != "counter", name
    for family in (one for one in found.values() if one.type == "histogram"):
        series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for one in family.samples:
            labels = tuple(sorted(item for item in one.labels.items() if item[0] != "le"))
            if one.name.endswith("_bucket"):
                series.setdefault(labels, []).append((float(one.labels["le"]), one.value))
        assert series, family.name
        for labels, buckets in series.items():
            assert buckets == sorted(buckets) and buckets[-1][0] == float("inf")
            assert [count for _, count in buckets] == sorted(count for _, count in buckets)
            assert total(found, family.name, f"{family.name}_count", **dict(labels)) == buckets[-1][1]
    assert dict(samples(found, "histogram"))["sizes_bucket", (("le", "1"),)] == 0
    assert dict(samples(found, "histogram"))["sizes_bucket", (("le", "2.5"),)] == 10
    server.stop()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("watched", [{"worker_max_requests": 300}], indirect=True)
def test_sums_never_go_back_while_workers_are_killed_and_recycled(watched: Watched) -> None:
    server = watched.server
    scrapes = [families(watched)]

    def recycled() -> float:
        scrapes.append(families(watched))
        return total(scrapes[-1], "siphon_worker_restarts", "siphon_worker_restarts_total", reason="recycled")

    with Steady(server["plain"], "/who").running() as load:
        wait_until(lambda: recycled() >= 1, 20)
        assert load.failures == []
        os.kill(max(workers(server)), signal.SIGKILL)
        wait_until(lambda: recycled() >= 3, 20)
    scrapes.append(families(watched))
    for before, after in pairwise(scrapes):
        now = samples(after, "counter", "histogram")
        for (name, labels), value in samples(before, "counter", "histogram").items():
            if not name.startswith("process_"):  # each process's own
                assert now[name, labels] >= value, (name, labels)
    asked = sum(load.answers.values())
    at_most = asked + len(load.failures)  # what the killed worker did not get to say
    requests = total(scrapes[-1], "siphon_http_requests", "siphon_http_requests_total", route="/who", code="200")
    assert asked <= requests <= at_most
    assert asked <= total(scrapes[-1], "asked", "asked_total") <= at_most
    assert asked <= total(scrapes[-1], "sizes", "sizes_count") <= at_most
    assert len(load.failures) <= 5
    server.stop()
