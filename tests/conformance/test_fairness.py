"""A stream that never suspends must not hold the loop (design section 1: it never blocks). A process of its own: it may hang."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from .launch import Server
from .wire import Wire, polite, request


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/main.py in a process for one test."""
    server = Server(tmp_path_factory.mktemp("alone"), "main.py", {"plain": {}})
    server.start()
    try:
        yield server
        server.check_log()
    finally:
        server.kill()


def test_an_endless_stream_to_clients_that_left_ends(alone: Server) -> None:
    """The generator yields without ever waiting; the reset is seen only if the server lets the loop run."""
    for _ in range(20):
        with Wire(alone["plain"]) as wire:
            wire.send(polite("/endless/left"))
            wire.abort()
    start = time.monotonic()
    assert request(alone["plain"], "/").body == b"ok"
    assert time.monotonic() - start < 2
    deadline = time.monotonic() + 3
    while b"start" in (left := request(alone["plain"], "/events/left").body) and left.count(b"start") != left.count(
        b"closed"
    ):
        assert time.monotonic() < deadline, "generators of clients that left were not closed"
        time.sleep(0.02)


def test_a_client_that_reads_an_endless_stream_starves_nobody(alone: Server) -> None:
    stop, reading = threading.Event(), threading.Event()

    def read() -> None:
        with Wire(alone["plain"]) as wire, contextlib.suppress(OSError):
            wire.send(polite("/endless/read"))
            while not stop.is_set() and wire.sock.recv(262_144):
                reading.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert reading.wait(5)
        for _ in range(10):
            start = time.monotonic()
            assert request(alone["plain"], "/").body == b"ok"
            assert time.monotonic() - start < 0.5
    finally:
        stop.set()
        reader.join(10)
