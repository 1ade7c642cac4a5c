"""Floods against the server as it runs: ended or survived, cheap, and felt by nobody else (CVE-2023-44487 and its kin)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.http2_client import PREFACE
from tests.http2_floods import FLOODS
from tests.http2_frames import frame
from tests.linux import proc

from .http2_wire import Http2Wire, http2
from .launch import Server, serving
from .wire import Wire

ATTACKS = 3  # connections, one after another
FRAMES = 5000  # of each
CHUNK = 65_536
TICK = os.sysconf("SC_CLK_TCK")
IS_INSTRUMENTED = "SIPHON_HTTP_INSTRUMENTED" in os.environ
"""Sanitizers judge what the floods do to memory; what they cost is several times as much there, and not judged."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/main.py, with the hot path and with every frame through h2."""
    yield from serving(tmp_path_factory.mktemp("floods"), "main.py", {"hot": {}, "h2": {"http2_through_h2": True}})


def cpu_seconds(server: Server) -> float:
    """Return the processor time that the process has used."""
    fields = proc(server.pid, "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def goaways(data: bytes) -> list[int]:
    """Return the error codes of the GOAWAY frames."""
    codes = []
    while len(data) >= 9:
        if data[3] == 7:
            codes.append(int.from_bytes(data[13:17], "big"))
        data = data[9 + int.from_bytes(data[:3], "big") :]
    return codes


class Attacker(threading.Thread):
    """Sends one flood as fast as it is taken, on one connection after another; notes how each ended."""

    def __init__(self, server: Server, listener: str, name: str) -> None:
        super().__init__()
        self.address = server[listener]
        self.data = PREFACE + frame(4, 0, 0) + b"".join(FLOODS[name].each(n) for n in range(FRAMES))
        self.is_ended = FLOODS[name].code is not None
        self.attacks = ATTACKS if self.is_ended else 1
        self.codes: list[int | None] = []

    def run(self) -> None:
        for _ in range(self.attacks):
            with Wire(self.address, timeout=5 if self.is_ended else 0.3) as wire:
                with contextlib.suppress(OSError):
                    for at in range(0, len(self.data), CHUNK):
                        wire.sock.sendall(self.data[at : at + CHUNK])
                with contextlib.suppress(TimeoutError):
                    while wire.fill():
                        pass
                self.codes.append((goaways(wire.buffer) or [None])[-1] if not wire.was_reset else -1)


def waits(server: Server, listener: str, attacker: Attacker) -> list[float]:
    """Return how long a polite client waited for each of its answers while the attack went on."""
    found = []
    with http2(server[listener]) as polite:
        polite.get("/")
        attacker.start()
        while attacker.is_alive() or len(found) < 20:
            found.append(wait_for_one(polite))
        attacker.join()
    return sorted(found)


def wait_for_one(polite: Http2Wire) -> float:
    """Return how long one answer takes, after a moment's pause."""
    time.sleep(0.001)  # one more client, and no flood
    began = time.monotonic()
    assert polite.get("/").body == b"ok"
    return time.monotonic() - began


def quiet(server: Server, listener: str) -> float:
    """Return the longest of some waits without any attack: what the machine itself, and others on it, make it."""
    with http2(server[listener]) as polite:
        return max(wait_for_one(polite) for _ in range(30))


@pytest.mark.parametrize("listener", ["hot", "h2"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_ended_cheaply_and_hurts_nobody_else(server: Server, name: str, listener: str) -> None:
    before = server.rss_kib()
    for attempt in range(3):  # the machine may be busy with other things
        attacker = Attacker(server, listener, name)
        limit = 0.1 + 2 * quiet(server, listener)
        spent = cpu_seconds(server)
        slow = waits(server, listener, attacker)
        spent = cpu_seconds(server) - spent
        if slow[int(len(slow) * 0.99) - 1] <= limit or attempt == 2 or IS_INSTRUMENTED:
            break
    code = FLOODS[name].code
    assert set(attacker.codes) <= {code, -1}  # a reset may overtake the GOAWAY
    if IS_INSTRUMENTED:
        return
    assert slow[int(len(slow) * 0.99) - 1] <= limit
    assert spent < (0.3 if code is not None else 1.5) * attacker.attacks
    assert server.rss_kib() - before < 16 * 1024


def test_clients_that_take_nothing_slow_nobody_down(server: Server) -> None:
    """Windows of zero on a hundred streams of eight connections, for as long as the test likes."""
    settings = PREFACE + frame(4, 0, 0, b"\0\4\0\0\0\0")
    asks = b"".join(frame(1, 5, 2 * n + 1, bytes.fromhex("828487") + b"\x41\x01t") for n in range(100))
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(Wire(server["hot"])).send(settings + asks)
        with http2(server["hot"]) as polite:
            for _ in range(50):
                began = time.monotonic()
                assert polite.get("/").body == b"ok"
                assert time.monotonic() - began < 0.5


def test_nothing_of_a_flood_is_left(server: Server) -> None:
    """Handlers whose streams were reset have ended: the streams of a new client are all its own."""
    with Wire(server["hot"], timeout=1) as wire:
        wire.send(PREFACE + frame(4, 0, 0) + b"".join(FLOODS["rapid reset"].each(n) for n in range(300)))
        with http2(server["hot"]) as polite:
            ids = [polite.client.ask("/sleep/20") for _ in range(128)]
            polite.until(lambda: all(polite.client.streams[id].over for id in ids))
            assert {polite.client.streams[id].body for id in ids} == {b"slept"}
