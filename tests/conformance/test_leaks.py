"""Memory stays flat and file descriptors are given back. SIPHON_HTTP_LEAK_SCALE=10 asks ten times as much."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.linux import needs_proc, proc

from .launch import Server, serving
from .wire import PING, Wire, polite, request

pytestmark = needs_proc

SCALE = int(os.environ.get("SIPHON_HTTP_LEAK_SCALE", "1"))
TOLERANCE_KIB = 1536


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A process of its own: other tests would blur the figures."""
    for server in serving(tmp_path_factory.mktemp("leaks"), "main.py", {"plain": {}}):
        before = -1
        while before != (before := descriptors(server)):  # the watch of the script opens some, beside the start
            time.sleep(1.5)
        yield server


def descriptors(server: Server) -> int:
    """Return the number of open descriptors."""
    return len(list(proc(server.pid, "fd").iterdir()))


def settled(server: Server, wanted: int) -> int:
    """Return the number of open descriptors, once it is back at `wanted` or 3 s later."""
    deadline = time.monotonic() + 3
    while descriptors(server) > wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return descriptors(server)


MIX = (
    polite("/seen/a%20b?x=1&a=2", headers=[("X-A", "1"), ("Cookie", "a=1; b=2")])
    + polite("/echo", "POST", body=b"x" * 1000)
    + b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    + polite("/nothing-here")
    + polite("/teapot")
    + polite("/sleep/0")
    + polite("/block/0")
    + polite("/ticks/2/0")
    + polite("/seen/%zz")
    + PING
)
COUNT = 10


def requests(server: Server, rounds: int) -> None:
    """Send `rounds` times the mix, ten of them in flight."""
    with Wire(server["plain"], timeout=20) as wire:
        for _ in range(rounds // 10):
            wire.send(MIX * 10)
            for _ in range(10 * COUNT):
                wire.read()


def aborted(server: Server, count: int) -> None:
    """Reset connections in every state."""
    states = [
        b"",
        PING[:9],
        polite("/sleep/50"),
        polite("/echo", "POST", body=b"x" * 1000)[:-10],
        polite("/bulk/300000"),
    ]
    states.append(polite("/ticks/1000/1"))
    states.append(b"POST /stream HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
    for n in range(count):
        with Wire(server["plain"]) as wire:
            wire.send(states[n % len(states)])
            wire.abort()
    request(server["plain"], "/")


def short(server: Server, count: int) -> None:
    """Open, ask, close."""
    for _ in range(count):
        with Wire(server["plain"]) as wire:
            wire.send(PING)
            wire.read()


def refusals(server: Server, count: int) -> None:
    """Connections that end in an error of the peer."""
    for n in range(count):
        with Wire(server["plain"]) as wire:
            wire.send([b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03", b"GET /\r\n", PING + b"x y z\r\n\r\n"][n % 4])
            wire.read_all()


LOADS = {
    "requests": (requests, 1000),
    "aborted": (aborted, 500),
    "short connections": (short, 1000),
    "refusals": (refusals, 500),
}


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize("name", LOADS)
def test_memory_stays_flat(server: Server, name: str) -> None:
    """The same load again must not cost more memory than the first time left behind."""
    load, count = LOADS[name]
    before = descriptors(server)
    load(server, count)
    assert settled(server, before) <= before, "descriptors are not given back"
    base = server.rss_kib()
    load(server, 2 * count * SCALE)
    assert settled(server, before) <= before, "descriptors are not given back"
    grown = server.rss_kib() - base
    assert grown < TOLERANCE_KIB, f"{grown} KiB more after the same load"


def test_idle_connections_are_cheap(server: Server) -> None:
    """Issue 3: at most 4 KiB of memory for an idle connection; here with room for the allocator."""
    short(server, 100)
    before = server.rss_kib()
    wires = [Wire(server["plain"]) for _ in range(400)]
    try:
        for wire in wires:
            wire.send(PING)
            wire.read()
        assert (server.rss_kib() - before) / 400 < 8
    finally:
        for wire in wires:
            wire.sock.close()
