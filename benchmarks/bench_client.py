"""The client without sockets: `http.Client.get` through pool, call and protocol, and the answer back. One round = 16 calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http2_frames import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame, opened

from siphon_http.client import connect
from siphon_http.client.api import Clients, client_class
from siphon_http.client.connection import ClientConnection
from siphon_http.client.pool import PoolTransport
from siphon_http.config import ClientConfig

CALLS = 16
CONTENT = b'{"id": 1347, "state": "open"}'
HTTP1_ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%b" % (len(CONTENT), CONTENT)
)
HTTP2_BLOCK = b"\x88\x5f\x10application/json\x0f\x0d\x02" + str(len(CONTENT)).encode()
"""`:status: 200`, content-type and content-length: literals that no table keeps."""


class Wire:
    """A transport whose peer answers each request in the next turn of the loop."""

    def __init__(self, protocol: ClientConnection, http2: bool) -> None:
        self.protocol = protocol
        self.http2 = http2
        self.loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        answer = self.http2_answer(data) if self.http2 else HTTP1_ANSWER
        if answer:
            self.loop.call_soon(self.protocol.data_received, answer)

    def http2_answer(self, data: bytes) -> bytes:
        greeting = frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0) if data.startswith(b"PRI") else b""
        return greeting + b"".join(
            frame(HEADERS, END_HEADERS, stream, HTTP2_BLOCK) + frame(DATA, END_STREAM, stream, CONTENT)
            for stream in opened(data)
        )

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        self.loop.call_soon(self.protocol.connection_lost, None)

    abort = close


class Connector:
    """Makes connections to nowhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Any) -> None:
        self.http2 = settings.http2_prior_knowledge

    def proxy_for(self, url: object) -> None:
        return None

    async def connect(self, origin: Any) -> None:
        made = ClientConnection(origin, self.http2)
        made.connection_made(Wire(made, self.http2))
        origin.connected(made)

    def close(self) -> None:
        pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Measure rounds of calls: `run(benchmark, http2=False, at_once=False)`."""
    monkeypatch.setattr(connect, "Connector", Connector)
    with asyncio.Runner() as runner:

        def run(benchmark: Any, one: Callable[[Any], Any], http2: bool = False, at_once: bool = False) -> None:
            config = ClientConfig(base_url="http://api.test/v1", http2_prior_knowledge=http2)
            clients = Clients({"api": config}, PoolTransport)
            client = client_class(clients)("api")

            async def calls() -> int:
                if at_once:
                    return sum(answer.status for answer in await asyncio.gather(*[one(client) for _ in range(CALLS)]))
                return sum([(await one(client)).status for _ in range(CALLS)])

            loop = runner.get_loop()
            assert loop.run_until_complete(calls()) == 200 * CALLS
            assert benchmark(lambda: loop.run_until_complete(calls())) == 200 * CALLS
            loop.run_until_complete(clients.close())
            loop.run_until_complete(asyncio.sleep(0))

        yield run


def get(client: Any) -> Any:
    return client.get("/orders/1347")


def get_with_params(client: Any) -> Any:
    return client.get("/orders", params={"page": 2, "state": "open"}, headers={"X-Request-Id": "4711"})


def post_json(client: Any) -> Any:
    return client.post("/orders", json={"id": 1347, "state": "open"})


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("call", [get, get_with_params, post_json], ids=lambda call: call.__name__)
def test_16_calls_one_by_one(benchmark: Any, run: Callable[..., None], call: Callable[[Any], Any], http2: bool) -> None:
    run(benchmark, call, http2=http2)


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_16_calls_at_once(benchmark: Any, run: Callable[..., None], http2: bool) -> None:
    run(benchmark, get, http2=http2, at_once=True)
