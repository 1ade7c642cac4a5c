"""Processes and what they cost: start and stop, CPU time and memory of a process tree, pinning, ports, load generators."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Interrupts", "LoadError", "Loaded", "Server", "free_port", "pinned", "run_generator", "run_wrk", "two_cpus"]

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds in one clock tick of /proc/PID/stat
REQUESTS = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),", re.MULTILINE)
REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
SOCKETS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
UNIT_SECS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
STOP_SECS = 5.0  # a contender that has not ended by then is killed
GRACE_SECS = 20  # a load generator is ended when it runs so much longer than it was told


class LoadError(Exception):
    """A load gave no figure: the load generator failed, or the server did."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What one line of /proc/PID/stat says. cpu: seconds, user and system, of all its threads and reaped children."""

    parent: int
    session: int
    cpu: float
    started: int  # clock ticks since boot; with the process id it names one process for good


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load generator reports. errors: wrong statuses, broken requests and connections; "" for none."""

    requests: int
    seconds: float
    errors: str


def stat(pid: int) -> Stat | None:
    """Return what the kernel says of a process, or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the program's name in parentheses, may hold anything; the rest is numbers.
    fields = text.rpartition(")")[2].split()
    return Stat(
        parent=int(fields[1]), session=int(fields[3]), cpu=sum(map(int, fields[11:15])) * TICK, started=int(fields[19])
    )


def tree(pid: int) -> dict[int, Stat]:
    """Return what lives of the session that `pid` leads, and all descendants; `pid` itself may be gone already."""
    known = {int(p): s for p in os.listdir("/proc") if p.isdigit() and (s := stat(int(p))) is not None}
    members = [p for p, s in known.items() if pid in {p, s.session}]
    for member in members:
        members += [p for p, s in known.items() if s.parent == member and p not in members]
    return {p: known[p] for p in members}


def resident_bytes(pid: int) -> int:
    """Return the resident set size of one process; exact where smaps_rollup can be read, else what statm has."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def two_cpus(server: int | None, load: int | None) -> tuple[set[int], set[int]]:
    """Return the CPUs for servers and for the load: the first two that we may use, unless named. Raises LoadError."""
    allowed = sorted(os.sched_getaffinity(0))
    chosen = (
        allowed[0] if server is None else server,
        allowed[min(1, len(allowed) - 1)] if load is None else load,
    )
    wrong = [cpu for cpu in chosen if cpu not in allowed]
    if wrong:
        raise LoadError(f"CPU {wrong[0]} is not ours to use; these are: {allowed}")
    if chosen[0] == chosen[1]:
        raise LoadError("server and load need a CPU each; this process may use one only")
    return {chosen[0]}, {chosen[1]}


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP as one KeyboardInterrupt, held back where a process could be lost by it.

    The first signal counts; later ones are ignored, so that ending the servers is never cut short.
    """

    def __init__(self) -> None:
        self._arrived = False
        self._is_held = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: object) -> None:
        if self._arrived:
            return
        self._arrived = True
        if not self._is_held:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal that arrives inside off to the end. Not to be nested."""
        known = self._arrived
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._arrived and not known:
            raise KeyboardInterrupt


@contextlib.contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """Keep this thread, and what it starts, on `cpus`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    It lies below the range that the kernel gives to outgoing connections: inside it, one of those could take the port, or
    somebody who waits for the server could by chance connect to himself.
    """
    low = 32768
    with contextlib.suppress(OSError):
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = random.randrange(10240, low) if low > 11000 else random.randrange(1024, 65536)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise LoadError("no free port found")


class Server:
    """One contender's process and its descendants; whoever makes it calls `stop`."""

    def __init__(
        self, arguments: list[str], folder: Path, environment: dict[str, str], cpus: set[int], log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as out, pinned(cpus):
            # The affinity is set before it exists, so that no thread of it can escape. A session of its own keeps a Ctrl-C
            # from reaching it before we have asked it to stop.
            self.began = time.perf_counter()
            self._process = subprocess.Popen(
                arguments,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_alive(self) -> bool:
        """Whether the process that we started still runs."""
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree since it started."""
        return sum(s.cpu for s in tree(self._process.pid).values())

    def resident_bytes(self) -> int:
        """Resident set size, summed over the tree."""
        return sum(resident_bytes(pid) for pid in tree(self._process.pid))

    def last_words(self) -> str:
        """Return the end of what it printed, in one line."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-4:])[-400:] or "it printed nothing"

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL whatever of its tree is left then. Safe to call twice."""
        members = tree(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid, then in members.items():
            now = stat(pid)
            if now is not None and now.started == then.started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def read_report(text: str) -> Loaded:
    """Read what wrk printed. Raises LoadError when it holds no figures."""
    found = REQUESTS.search(text)
    if found is None:
        raise LoadError(f"wrk reported nothing: {text.strip()[-200:] or 'no output'}")
    errors = []
    if refused := REFUSED.search(text):
        errors.append(f"{refused[1]} answers were no 2xx")
    if sockets := SOCKETS.search(text):
        names = ("connect", "read", "write", "timeout")
        errors += [
            f"{count} {name} errors" for name, count in zip(names, sockets.groups(), strict=True) if count != "0"
        ]
    return Loaded(int(found[1]), float(found[2]) * UNIT_SECS[found[3]], ", ".join(errors))


def run_generator(name: str, command: list[str], seconds: int, cpus: set[int]) -> str:
    """Run a load generator on `cpus`; `seconds` is what `command` tells it to take. Return its report. Raises LoadError."""
    with pinned(cpus):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_SECS, check=False)
        except subprocess.TimeoutExpired:
            raise LoadError(f"{name} did not end {GRACE_SECS} s after its time") from None
    if done.returncode:
        raise LoadError(f"{name}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def run_wrk(command: list[str], seconds: int, cpus: set[int]) -> Loaded:
    """Run wrk on `cpus`; `seconds` is what `command` tells it to take. Raises LoadError."""
    return read_report(run_generator("wrk", command, seconds, cpus))
