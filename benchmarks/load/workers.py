"""Workers that share one listening socket against workers with one each (SO_REUSEPORT), and against one process.

    python benchmarks/load/workers.py [--seconds 5] [--rounds 3] [--connections 8,64,256]

wrk shares the machine with what it measures, as the clients of a small box do. Printed for each way, medians over the
rounds: requests/s, latencies, CPU microseconds of the server for each request, and how the connections spread over two
workers: the share of the busier one, 50 % is even; worst round in parentheses. `close` asks once on each connection.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = """
from siphon import http

@http.route("/")
async def index(req):
    return http.Response(body=b"hello")
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """One way to serve. workers: processes; reuse_port: each with sockets of its own."""

    name: str
    workers: int
    reuse_port: bool


WAYS = (
    Way("one process", 1, False),
    Way("2, shared socket", 2, False),
    Way("2, SO_REUSEPORT", 2, True),
)


@dataclass(frozen=True)
class Figure:
    """What one round gave. busier: share of connections that the busier worker had, 0.5 to 1."""

    rate: float
    p50: float
    p99: float
    cpu: float
    busier: float


class Running:
    """A server in a folder of its own."""

    def __init__(self, way: Way, folder: Path) -> None:
        self.port = free_port()
        (folder / "script.py").write_text(SCRIPT)
        (folder / "siphon.yaml").write_text(
            f"script: {{path: script.py, reload: off}}\nextensions: {{http: http.yaml}}\nworkers: {way.workers}\n"
        )
        reuse = "true" if way.reuse_port else "false"  # the default is one of both, see server/listener.py
        (folder / "http.yaml").write_text(f"servers: [{{listen: '127.0.0.1:{self.port}', reuse_port: {reuse}}}]\n")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "siphon_http", "run"]
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "ready in" in line:
                break
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pids = [int(pid) for pid in children] or [self.process.pid]

    def cpu(self) -> float:
        """Return the CPU seconds of those that serve."""
        total = 0.0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:13])) * TICK
        return total

    def sockets(self) -> list[int]:
        """Return how many sockets each of those that serve holds."""
        counts = []
        for pid in self.pids:
            count = 0
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):  # closed meanwhile
                    count += os.readlink(entry).startswith("socket:")
            counts.append(count)
        return counts

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=40)


def milliseconds(text: str, percent: str) -> float:
    """Return a percentile that wrk printed."""
    found = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    return float("nan") if found is None else float(found[1]) * UNITS[found[2]]


def measured(way: Way, connections: int, seconds: int, close: bool) -> Figure:
    """Start, load, stop."""
    with tempfile.TemporaryDirectory() as name:
        running = Running(way, Path(name))
        try:
            idle = running.sockets()
            before = running.cpu()
            header = ["-H", "Connection: close"] if close else []
            command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *header]
            wrk = subprocess.Popen([*command, f"http://127.0.0.1:{running.port}/"], stdout=subprocess.PIPE, text=True)
            looks = []
            while wrk.poll() is None:
                time.sleep(seconds / 20)
                looks.append([now - base for now, base in zip(running.sockets(), idle, strict=True)])
            text = wrk.communicate()[0]
            spent = running.cpu() - before
        finally:
            running.stop()
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if requests is None or rate is None or "Socket errors" in text:
        raise SystemExit(f"wrk failed:\n{text}")
    shares = [max(look) / sum(look) for look in looks if sum(look) >= connections / 2]
    busier = statistics.median(shares) if shares else float("nan")
    return Figure(
        rate=float(rate[1]),
        p50=milliseconds(text, "50"),
        p99=milliseconds(text, "99"),
        cpu=spent / int(requests[1]) * 1e6,
        busier=busier,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="8,64,256")
    arguments = parser.parse_args()
    loads = [(int(count), False) for count in arguments.connections.split(",")]
    loads += [(64, True)]
    print("| load | way | requests/s | p50 ms | p99 ms | CPU us | busier worker |")
    print("|---|---|---|---|---|---|---|")
    for connections, close in loads:
        figures: dict[str, list[Figure]] = {way.name: [] for way in WAYS}
        for _ in range(arguments.rounds):  # interleaved: what else the machine does hits all alike
            for way in WAYS:
                figures[way.name].append(measured(way, connections, arguments.seconds, close))
        for way in WAYS:
            some = figures[way.name]
            rate, p50, p99, cpu = (
                statistics.median(getattr(one, name) for one in some) for name in ("rate", "p50", "p99", "cpu")
            )
            spread = "-"
            if way.workers > 1:
                shares = [one.busier for one in some]
                spread = f"{statistics.median(shares):.0%} ({max(shares):.0%})"
            load = f"{connections} close" if close else str(connections)
            print(f"| {load} | {way.name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {cpu:.1f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
