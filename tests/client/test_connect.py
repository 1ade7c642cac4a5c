"""From a connected socket to a connection in use: what may happen to it on the way."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import socket
import weakref
from typing import Any

import pytest
import uvloop

from siphon_http.client.connect import Connector, hand_over
from siphon_http.client.connection import ClientConnection
from siphon_http.client.pool import Origin
from siphon_http.errors import ConnectError
from siphon_http.testing.fakes import MemoryTransport
from tests.client.same_loop import running, the_pool


class Handing:
    """A loop of which `create_connection` ends as told, as uvloop's does: it has made the descriptor its own."""

    def __init__(self, outcome: BaseException | bool) -> None:
        self.outcome = outcome
        self.transport: Any = None

    async def create_connection(self, factory: Any, sock: socket.socket) -> tuple[Any, Any]:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        self.transport = MemoryTransport(factory())
        if self.outcome:
            self.transport.close()
        return self.transport, self.transport.protocol


class Protocol(asyncio.Protocol):
    """Does nothing."""


@pytest.mark.parametrize("outcome", [True, ConnectionError(), asyncio.CancelledError()])
async def test_a_descriptor_that_uvloop_has_closed_is_not_closed_again(outcome: Any) -> None:
    ours, theirs = socket.socketpair()
    fd = ours.fileno()
    with theirs:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await hand_over(Handing(outcome), ours, Protocol())  # type: ignore[arg-type]
        ours.close()
        os.fstat(fd)  # raises when it is closed: it could be anybody's by now
        os.close(fd)


async def test_a_socket_whose_connection_lives_stays_what_it_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await hand_over(Handing(False), ours, Protocol())  # type: ignore[arg-type]
        assert ours.fileno() >= 0


def test_servers_that_end_connections_at_once_leave_no_descriptor_to_be_closed_twice() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.transport.abort(), "127.0.0.1", 0)
        async with server, running() as (backend, api):
            gone = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for _ in range(60):
                outcome, *rest = await asyncio.gather(
                    api.get(gone), api.get("/"), api.get(gone.replace("http", "https")), return_exceptions=True
                )
                assert isinstance(outcome, Exception) and isinstance(rest[1], Exception) and rest[0].status == 200
            assert backend.connections == 1
        await asyncio.sleep(0.02)  # what is closed in a later turn of the loop is closed
        closed = [one for one in gc.get_objects() if type(one) is socket.socket and getattr(one, "_closed", False)]
        assert [one for one in closed if one.fileno() != -1] == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _ended(connection: ClientConnection) -> None:
    connection.eof_received()


def _spoken_to(connection: ClientConnection) -> None:
    connection.data_received(b"220 mail.example ESMTP\r\n")


def _lost(connection: ClientConnection) -> None:
    connection.connection_lost(None)


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_ended, "closed the connection"),
        (_spoken_to, "sent something before it was asked|the peer sent a frame of"),
        (_lost, "closed the connection"),
    ],
)
async def test_a_connection_that_has_ended_before_anything_was_asked_is_a_connect_error_at_once(
    happens: Any, reason: str, http2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stillborn(self: Connector, origin: Origin) -> None:
        connection = ClientConnection(origin, http2)
        MemoryTransport(connection)
        happens(connection)
        origin.connected(connection)

    async with running(max_connections=1, timeout_ms=2000) as (_, api):
        with monkeypatch.context() as patch:
            patch.setattr(Connector, "connect", stillborn)
            for _ in range(3):
                outcomes = await asyncio.gather(*[api.post("/", body=b"x") for _ in range(3)], return_exceptions=True)
                for outcome in outcomes:
                    with pytest.raises(ConnectError, match=reason):
                        raise outcome  # type: ignore[misc]
        assert the_pool(api).open_connections == 0
        assert (await api.get("/")).status == 200


async def test_a_connection_keeps_nothing_of_the_context_of_the_call_that_opened_it() -> None:
    class Session:
        pass

    kept: contextvars.ContextVar[Session] = contextvars.ContextVar("kept")
    async with running() as (backend, api):

        async def first() -> weakref.ref[Session]:
            session = Session()
            kept.set(session)
            await api.get("/")
            return weakref.ref(session)

        session = await asyncio.create_task(first())
        for _ in range(3):
            await api.get("/")
        gc.collect()
        assert session() is None and backend.connections == 1
