"""What it costs to see: access log and metrics, in CPU time of the server for each request.

    python benchmarks/load/seeing.py [--seconds 3] [--rounds 5] [--different] [--server-cpu N] [--load-cpu N]

One script, served in six ways, interleaved: nothing to see, each access log into a file, metrics that are scraped once a
second, and all together. wrk asks on 64 connections from another CPU. Printed: medians, and the difference to the first way,
smallest and largest of the rounds in parentheses. --different: no two requests in a row have the same target or agent.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from measure import LoadError, Server, free_port, run_wrk, two_cpus

ROOT = Path(__file__).parents[2]
SCRIPT = """
from siphon import http

@http.route("/hello/{name}")
async def hello(req):
    return http.Response(body=b"hello")
"""

DIFFERENT = """
local agents = {"curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"}
local n = 0
request = function()
  n = n + 1
  local fields = {["User-Agent"] = agents[n % 2 + 1], ["X-Tenant"] = "t" .. n % 97}
  return wrk.format("GET", "/hello/" .. n * 7919 % 1000003 .. "?page=" .. n % 100, fields)
end
"""


@dataclass(frozen=True)
class Way:
    """One way to serve. access_log: of the listener, "false" for none; metrics: whether there are any, and a scraper."""

    name: str
    access_log: str
    metrics: bool


WAYS = (
    Way("nothing", "false", False),
    Way("access log, combined", "combined", False),
    Way("access log, json", "json", False),
    Way("access log, own", "'{client} {method} {target} {status} {bytes_out} {duration_ms} {header:x-tenant}'", False),
    Way("metrics", "false", True),
    Way("json and metrics", "json", True),
)


def cost(way: Way, seconds: int, different: bool, server_cpus: set[int], load_cpus: set[int]) -> float:
    """Serve, load, stop; return CPU microseconds for each request. Raises LoadError."""
    port, metrics_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.py").write_text(SCRIPT)
        text = "script: {path: script.py, reload: off}\nextensions: {http: http.yaml}\nlog: {access_file: access.log}\n"
        if way.metrics:
            text += f"metrics: {{prometheus: {{listen: '127.0.0.1:{metrics_port}'}}}}\n"
        (folder / "siphon.yaml").write_text(text)
        (folder / "http.yaml").write_text(f"servers:\n- listen: '127.0.0.1:{port}'\n  access_log: {way.access_log}\n")
        environment = {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "siphon_http", "run"]
        server = Server(command, folder, environment, server_cpus, folder / "out")
        over = threading.Event()
        scraper = threading.Thread(target=scrape, args=(metrics_port, over))
        try:
            wait_for(server, folder / "out")
            if way.metrics:
                scraper.start()
            url = f"http://127.0.0.1:{port}/hello/world"
            wrk = ["wrk", "-t1", "-c64", "-H", "User-Agent: wrk/4.1.0"]
            if different:
                (folder / "different.lua").write_text(DIFFERENT)
                wrk += ["-s", str(folder / "different.lua")]
            run_wrk([*wrk, "-d1s", url], 1, load_cpus)
            before = server.cpu_seconds()
            loaded = run_wrk([*wrk, f"-d{seconds}s", url], seconds, load_cpus)
            spent = server.cpu_seconds() - before
        finally:
            over.set()
            server.stop()
            if scraper.ident is not None:
                scraper.join()
    if loaded.errors:
        raise LoadError(loaded.errors)
    return spent / loaded.requests * 1e6


def wait_for(server: Server, log: Path) -> None:
    """Wait until the server says that it is ready. Raises LoadError."""
    deadline = time.monotonic() + 10
    while "ready in" not in log.read_text():
        if not server.is_alive() or time.monotonic() > deadline:
            raise LoadError(f"the server did not start: {server.last_words()}")
        time.sleep(0.02)


def scrape(port: int, over: threading.Event) -> None:
    """Ask for the metrics once a second, as Prometheus would more seldom."""
    while not over.wait(1.0):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--different", action="store_true")
    parser.add_argument("--server-cpu", type=int)
    parser.add_argument("--load-cpu", type=int)
    arguments = parser.parse_args()
    server_cpus, load_cpus = two_cpus(arguments.server_cpu, arguments.load_cpu)
    figures: dict[str, list[float]] = {way.name: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            figures[way.name].append(cost(way, arguments.seconds, arguments.different, server_cpus, load_cpus))
    print("| seen | CPU us | more |")
    print("|---|---|---|")
    plain = figures[WAYS[0].name]
    for name, found in figures.items():
        more = [one / base - 1 for one, base in zip(found, plain, strict=True)]
        print(
            f"| {name} | {statistics.median(found):.2f} | {statistics.median(more):.1%} ({min(more):.1%} - {max(more):.1%}) |"
        )


if __name__ == "__main__":
    main()
