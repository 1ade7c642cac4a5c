"""HTTP/2 under the pool: one connection for many calls, by ALPN and by prior knowledge, and its ends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import h2.config
import h2.connection
import h2.events
import pytest
import trustme

from siphon_http.config import ClientConfig
from siphon_http.errors import ReadError, TotalTimeout
from tests.client.same_loop import clients_for, the_pool


class Http2Backend(asyncio.Protocol):
    """Answers every stream with its path; /silent never; /bye with GOAWAY below it; /goaway after its answer."""

    made: ClassVar[list[Http2Backend]] = []  # of the test that runs
    deaf = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.paths: dict[int, str] = {}
        self.seen: list[str] = []
        self.made.append(self)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.paths[event.stream_id] = dict(event.headers)[b":path"].decode()
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id)
        self.flush()

    def answer(self, stream: int) -> None:
        path = self.paths[stream]
        self.seen.append(path)
        if path == "/silent":
            return
        if path == "/bye":
            self.h2.close_connection(last_stream_id=stream - 2)
            self.flush()
            self.transport.close()
            return
        content = self.bodies[stream] or path.encode()
        self.h2.send_headers(stream, [(":status", "200"), ("content-length", str(len(content)))])
        self.h2.send_data(stream, content, end_stream=True)
        if path == "/goaway":
            self.h2.close_connection(last_stream_id=stream)


@contextlib.asynccontextmanager
async def running(tls: bool, folder: Path, **more: Any) -> AsyncIterator[tuple[list[Http2Backend], Any]]:
    """Give the connections that a backend has accepted, and a client for it."""
    Http2Backend.made.clear()
    context = None
    if tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        more["verify"] = folder / "ca.pem"
    server = await asyncio.get_running_loop().create_server(Http2Backend, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    config = ClientConfig(base_url=f"http{'s' * tls}://localhost:{port}", http2_prior_knowledge=not tls, **more)
    made = clients_for(api=config)
    try:
        yield Http2Backend.made, made("api")
    finally:
        await made._clients.close()
        server.close()
        for connection in Http2Backend.made:
            connection.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [True, False], ids=["alpn", "prior knowledge"])
async def test_first_calls_at_once_share_one_connect_and_one_connection(tls: bool, tmp_path: Path) -> None:
    async with running(tls, tmp_path) as (connections, api):
        answers = await asyncio.gather(*[api.get(f"/{number}") for number in range(50)])
        assert [answer.text for answer in answers] == [f"/{number}" for number in range(50)]
        assert {answer.http_version for answer in answers} == {"2"}
        assert (await api.post("/", body=b"x" * 16_000)).body == b"x" * 16_000
        assert (await api.post("/", body=iter([b"ab", b"cd"]))).body == b"abcd"
        assert len(connections) == 1
        (origin,) = the_pool(api).origins.values()
        assert origin.idle_count == 1 and len(origin.connections) == 1


async def test_a_cancelled_call_leaves_the_connection_to_the_others(tmp_path: Path) -> None:
    async with running(False, tmp_path) as (connections, api):
        silent = asyncio.create_task(api.get("/silent"))
        assert (await api.get("/x")).text == "/x"
        silent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await silent
        assert (await api.get("/y")).text == "/y" and len(connections) == 1
        (origin,) = the_pool(api).origins.values()
        assert origin.idle_count == 1


async def test_what_a_goaway_says_was_not_processed_is_sent_again_whatever_its_method(tmp_path: Path) -> None:
    async with running(False, tmp_path) as (connections, api):
        await api.get("/x")
        with pytest.raises(ReadError):
            await api.post("/bye", body=b"once")
        assert [connection.seen for connection in connections] == [["/x", "/bye"], ["/bye"]], "once more, and no more"


async def test_after_a_goaway_calls_go_over_a_new_connection(tmp_path: Path) -> None:
    async with running(False, tmp_path) as (connections, api):
        assert (await api.get("/goaway")).text == "/goaway"
        await asyncio.sleep(0.01)  # GOAWAY may come behind the answer, in a read of its own
        assert (await api.get("/x")).text == "/x" and len(connections) == 2


async def test_a_peer_that_has_fallen_silent_is_left_after_two_calls(tmp_path: Path) -> None:
    async with running(False, tmp_path) as (connections, api):
        await api.get("/x")
        connections[0].deaf = True
        for _ in range(2):
            with pytest.raises(TotalTimeout):
                await api.get("/y", timeout_ms=30)
        assert (await api.get("/z")).text == "/z" and len(connections) == 2
