"""What a client that opens a thousand streams and takes nothing can make the process keep."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.http2_client import PREFACE
from tests.http2_floods import head
from tests.http2_frames import frame

from .http2_wire import http2
from .launch import Server
from .wire import Wire

SCRIPT = """
import asyncio
from siphon import http

SIZE = 1048576


@http.route("/large")
async def large(req):
    return http.Response(body=b"x" * SIZE)


@http.route("/later")
async def later(req):
    await asyncio.sleep(0.01)
    return http.Response(body=b"x" * SIZE)


@http.route("/sync")
def sync(req):
    return http.Response(body=b"x" * SIZE)


@http.route("/flow")
async def flow(req):
    async def pieces():
        for _ in range(64):
            yield b"x" * 16384
    return http.Response(body=pieces())


@http.route("/slow", methods=["POST"], stream=True)
async def slow(req):
    await asyncio.sleep(20)
    return http.Response()


@http.route("/kept", methods=["POST"])
async def kept(req):
    return http.Response()


@http.route("/")
async def small(req):
    return http.Response(body=b"small")


# No test but one asks for these, each of a server of its own.
@http.route("/first/sync")
def first_sync(req):
    return http.Response(body=b"x" * SIZE)


@http.route("/first/{ms}")
async def first(req):
    await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    return http.Response(body=b"x" * SIZE)


polls = 0


@http.route("/poll")
async def poll(req):
    global polls
    polls += 1
    await asyncio.sleep(20)
    return http.Response()


@http.route("/polls")
async def count(req):
    return http.Response(body=str(polls))
"""
MIB = 1024  # KiB
STREAMS = 1000
WINDOW = 4  # SETTINGS_INITIAL_WINDOW_SIZE


@pytest.fixture(params=["hot", "h2"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """SCRIPT in a process of its own, warmed up: with 128 streams a connection, and with a thousand."""
    common = {"http2_through_h2": request.param == "h2"}
    listeners = {"plain": common, "wide": {**common, "max_concurrent_streams": STREAMS}}
    made = Server(tmp_path_factory.mktemp("memory"), SCRIPT, listeners).start()
    try:
        for path in ("/", "/large", "/later", "/sync", "/flow"):
            with http2(made["plain"]) as wire:
                assert wire.get(path).status == 200
        yield made
        made.check_log()
    finally:
        made.kill()


def ask(stream: int, path: str, method: bytes = b"\x82", flags: int = 5) -> bytes:
    """Return a request's HEADERS frame; nothing is added to the dynamic table."""
    return frame(1, flags, stream, head(path, method))


def update(stream: int, more: int) -> bytes:
    return frame(8, 0, stream, more.to_bytes(4, "big"))


def drain(wire: Wire, within: float = 0.05) -> None:
    """Read what is there, lest the transport is what holds the server up."""
    wire.sock.settimeout(within)
    with contextlib.suppress(TimeoutError):
        while wire.fill():
            wire.buffer = b""
    wire.sock.settimeout(5.0)


def peak(server: Server, before: int, seconds: float = 1.0) -> int:
    """Return by how many KiB the process has grown at most while we look, with another client being served."""
    most = 0
    end = time.monotonic() + seconds
    with http2(server["plain"]) as polite:
        while time.monotonic() < end:
            assert polite.get("/").body == b"small"
            most = max(most, server.rss_kib() - before)
            time.sleep(0.01)
    return most


@pytest.mark.parametrize("listener,connections", [("plain", 8), ("wide", 1)])
@pytest.mark.parametrize(
    "path,window,step",
    [
        *((path, window, step) for path in ("/large", "/later") for window in (0, 65535) for step in (0, 1)),
        *(
            ("/later", 1, 1),
            ("/later", 16384, 1),
            ("/sync", 0, 1),
            ("/sync", 65535, 1),
            ("/flow", 0, 1),
            ("/flow", 65535, 0),
        ),
    ],
)
def test_a_thousand_streams_that_take_nothing(
    server: Server, listener: str, connections: int, path: str, window: int, step: int
) -> None:
    """step: bytes that each stream, and the connection, is given now and then."""
    before = server.rss_kib()
    each = STREAMS // connections
    wires = [Wire(server[listener]) for _ in range(connections)]
    for wire in wires:
        wire.send(PREFACE + frame(4, 0, 0, WINDOW.to_bytes(2, "big") + window.to_bytes(4, "big")))
        wire.send(b"".join(ask(2 * n + 1, path) for n in range(each)))
    grown = peak(server, before, 0.4)
    for _ in range(2 if step else 0):
        for wire in wires:
            wire.send(update(0, step) + b"".join(update(2 * n + 1, step) for n in range(each)))
            drain(wire, 0.01)
        grown = max(grown, peak(server, before, 0.1))
    assert grown < 16 * MIB
    assert all(not wire.ended for wire in wires)
    for wire in wires:
        wire.abort()


@pytest.mark.parametrize("listener,connections", [("plain", 8), ("wide", 1)])
@pytest.mark.parametrize("path", ["/first/sync", "/first/10", "/first/100"])
@pytest.mark.parametrize("window", [65535, 1_048_576])
def test_a_thousand_streams_of_a_route_that_has_never_answered(
    server: Server, listener: str, connections: int, path: str, window: int
) -> None:
    """Nobody knows yet that it answers much, and its handlers suspend, or are on threads."""
    before = server.rss_kib()
    wires = [Wire(server[listener]) for _ in range(connections)]
    for wire in wires:
        wire.send(PREFACE + frame(4, 0, 0, WINDOW.to_bytes(2, "big") + window.to_bytes(4, "big")))
        wire.send(b"".join(ask(2 * n + 1, path) for n in range(STREAMS // connections)))
    assert peak(server, before, 0.6) < 16 * MIB
    for wire in wires:
        assert not wire.ended
        wire.abort()


def test_a_route_of_long_polls_runs_all_its_handlers_soon(server: Server) -> None:
    """... although it has never answered; another route does not wait for them."""
    with Wire(server["plain"]) as wire, http2(server["plain"]) as other:
        wire.send(PREFACE + frame(4, 0, 0) + b"".join(ask(2 * n + 1, "/poll") for n in range(120)) + ask(241, "/"))
        began = time.monotonic()
        while b"small" not in wire.buffer:
            assert wire.fill()
        assert time.monotonic() - began < 0.2
        while (running := int(other.get("/polls").body)) < 120:
            assert running >= 4 and time.monotonic() - began < 2.0
            time.sleep(0.05)


@pytest.mark.parametrize("path", ["/slow", "/kept"])
def test_a_thousand_uploads_that_nobody_reads(server: Server, path: str) -> None:
    """Windows of streams and of the connection bound what lies here; what is buffered has a bound of its own."""
    before = server.rss_kib()
    with Wire(server["wide"]) as wire:
        wire.send(PREFACE + frame(4, 0, 0))
        sent = 0
        for n in range(STREAMS):
            wire.send(ask(2 * n + 1, path, b"\x83", 4))
            for _ in range(4):
                if sent + 16000 < 8 * 1_048_576:
                    wire.send(frame(0, 0, 2 * n + 1, b"x" * 16000))
                    sent += 16000
        assert peak(server, before, 0.4) < 16 * MIB and not wire.ended
        drain(wire)
        wire.send(b"".join(frame(0, 0, 2 * n + 1, b"x" * 16000) for n in range(STREAMS - 10, STREAMS)))
        drain(wire, 0.5)
        assert wire.ended  # the window of the connection is used up
