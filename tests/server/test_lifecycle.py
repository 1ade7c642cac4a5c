"""Start, drain and stop of listeners."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.config import ServerConfig
from siphon_http.errors import BindError
from siphon_http.server import lifecycle
from siphon_http.server.lifecycle import Server
from tests.stage import Line, Site, on_each_loop, play, tcp, until


class Gate:
    """Handlers that wait: `/wait` until opened, `/finish` the same with on_disconnect="finish"."""

    def __init__(self) -> None:
        self.site = Site()
        self.entered = 0
        self.ended: list[str] = []
        self.open = asyncio.Event()
        for path, policy in (("/wait", "cancel"), ("/finish", "finish")):
            self.site.route(path, ["GET", "POST"], on_disconnect=policy)(self.handler)

    async def handler(self, req: Any) -> Response:
        self.entered += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        return Response(200, None, b"late")

    @contextlib.asynccontextmanager
    async def asked(self) -> AsyncIterator[tuple[Site, Line]]:
        """Serve, with one request that waits, and its connection."""
        async with self.site.serving() as site:
            line = await site.line()
            await line.send(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
            await until(lambda: self.entered)
            yield site, line


def test_a_bind_error_leaves_nothing_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        server = Server([ServerConfig(listen=tcp()), ServerConfig(listen=tcp(port=holder.getsockname()[1]))])
        with pytest.raises(BindError):
            server.bind()
    assert [one.port for one in server.listeners] == [0, 0]
    server.close()


def test_close_may_come_at_any_time() -> None:
    server = Server([ServerConfig(listen=tcp())])
    server.close()
    server.bind()
    assert server.listeners[0].port != 0
    server.close()
    server.close()
    assert server.listeners[0].port == 0


@on_each_loop
def test_a_drain_with_nothing_open_is_over_at_once_and_refuses_connections(loop: str) -> None:
    site = Site()

    async def scenario() -> None:
        port = site.server.listeners[0].port
        assert await site.server.drain(5, site.dispatcher.when_idle)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    site.play(scenario, loop)


@on_each_loop
def test_a_drain_gives_idle_connections_a_moment_for_a_request_that_is_on_its_way(loop: str) -> None:
    site = Site()

    async def scenario() -> None:
        talks, idle = await site.line(), await site.line()
        for line in (talks, idle):
            assert (await line.ask("GET", "/")).headers.get("connection") is None
        began = time.monotonic()
        draining = asyncio.ensure_future(site.server.drain(5))
        await until(lambda: site.endpoint.draining)
        answer = await talks.ask("GET", "/")
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert await idle.rest() == b""
        assert await draining
        assert 0.2 < time.monotonic() - began < 1

    site.play(scenario, loop)


@on_each_loop
def test_a_drain_gives_a_connection_that_was_silent_so_far_a_moment(loop: str) -> None:
    site = Site()

    async def scenario() -> None:
        talks, silent = await site.line(), await site.line()
        await until(lambda: site.server.open_connections == 2)
        draining = asyncio.ensure_future(site.server.drain(5))
        await until(lambda: site.endpoint.draining)
        answer = await talks.ask("GET", "/")
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert await silent.rest() == b""
        assert await draining

    site.play(scenario, loop)


@on_each_loop
def test_a_request_that_was_sent_just_before_the_drain_is_answered(loop: str) -> None:
    site = Site()

    async def scenario() -> None:
        with socket.create_connection(("127.0.0.1", site.server.listeners[0].port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert await site.server.drain(5)
            assert b" 404 " in sock.recv(4096)

    site.play(scenario, loop)


@on_each_loop
def test_what_waits_in_the_kernel_when_a_listener_closes_is_answered(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "TURNS_TO_ACCEPT", 0)  # all of them come after the last one
    site = Site()

    async def scenario() -> None:
        port = site.server.listeners[0].port
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        clients[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients.pop(1).close()  # a reset
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await site.server.drain(5)
        for client in clients:
            assert b" 404 " in client.recv(4096)
            client.close()

    site.play(scenario, loop)


@on_each_loop
def test_what_is_in_flight_is_finished_and_its_connection_closes(loop: str) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with gate.site.serving() as site:
            line = await site.line()
            asking = asyncio.ensure_future(line.ask("GET", "/wait"))
            await until(lambda: gate.entered)
            draining = asyncio.ensure_future(site.server.drain(5, site.dispatcher.when_idle))
            await until(lambda: site.endpoint.draining)
            assert not draining.done()
            gate.open.set()
            answer = await asking
            assert (answer.body, answer.headers["connection"]) == (b"late", "close")
            assert await line.rest() == b""
            assert await draining

    play(scenario, loop)


def test_a_request_that_is_being_read_is_answered() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        async with gate.site.serving() as site:
            head, body = await site.line(), await site.line()
            await head.send(b"GET /wait HT")
            await body.send(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na")
            await until(lambda: site.endpoint.requests)
            draining = asyncio.ensure_future(site.server.drain(5, site.dispatcher.when_idle))
            await until(lambda: site.endpoint.draining)
            await head.send(b"TP/1.1\r\nhost: x\r\n\r\n")
            await body.send(b"bc")
            for line in (head, body):
                answer = await line.answer()
                assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await draining

    play(scenario)


def test_a_streamed_answer_that_began_before_the_drain_ends_its_connection() -> None:
    # Its head said keep-alive; nobody must wait for the idle time-out.
    site = Site()
    more = asyncio.Event()

    @site.route("/")
    async def streamed(req: Any) -> Response:
        async def pieces() -> Any:
            yield b"a"
            await more.wait()
            yield b"b"

        return Response(200, None, pieces())

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await line.reader.readuntil(b"\r\n\r\n")
        draining = asyncio.ensure_future(site.server.drain(5, site.dispatcher.when_idle))
        await until(lambda: site.endpoint.draining)
        more.set()
        assert (await line.rest()).endswith(b"1\r\nb\r\n0\r\n\r\n")
        began = time.monotonic()
        assert await draining
        assert time.monotonic() - began < 1

    site.play(scenario)


@on_each_loop
def test_the_deadline_ends_a_drain_and_leaves_what_still_runs(loop: str) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with gate.asked() as (site, _):
            assert not await site.server.drain(0.05, site.dispatcher.when_idle)
            assert site.server.open_connections == 1 and not gate.ended

    play(scenario, loop)


def test_handlers_that_outlive_their_clients_are_waited_for() -> None:
    async def scenario() -> None:
        gate = Gate()
        async with gate.site.serving() as site:
            line = await site.line()
            # The handler begins after the drain has begun, and its client leaves: no connection is left.
            await line.send(b"POST /finish HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na")
            await until(lambda: site.endpoint.requests)
            draining = asyncio.ensure_future(site.server.drain(5, site.dispatcher.when_idle))
            await until(lambda: site.endpoint.draining)
            await line.send(b"bc")
            await until(lambda: gate.entered)
            line.reset()
            await until(lambda: not site.server.open_connections)
            await asyncio.sleep(0.01)  # the drain would be over by now
            assert not draining.done()
            gate.open.set()
            assert await draining
            assert gate.ended == ["done"]

    play(scenario)


def test_a_thread_that_was_given_up_on_is_waited_for() -> None:
    import threading

    site = Site(request_timeout_ms=40)
    release, ended = threading.Event(), []

    @site.middleware
    async def around(req: Any, call_next: Any) -> Any:
        return await call_next(req)

    @site.route("/")
    def blocks(req: Any) -> Response:
        release.wait(5)
        ended.append(1)
        return Response(200)

    async def scenario() -> None:
        assert (await site.ask("GET", "/")).status == 504
        draining = asyncio.ensure_future(site.server.drain(5, site.dispatcher.when_idle))
        await asyncio.sleep(0.05)  # the drain would be over by now
        assert not draining.done()
        release.set()
        assert await draining
        assert ended == [1]

    site.play(scenario)


@on_each_loop
def test_close_resets_what_is_left_and_cancels_its_handler(loop: str) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with gate.asked() as (site, line):
            site.server.close()
            assert await line.rest() == b""
            await until(lambda: gate.ended == ["cancelled"])

    play(scenario, loop)
