"""The server without sockets: bytes in at the connection, through protocol, router and dispatch to a handler, bytes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from http2_frames import GREETING, Requests

from siphon_http._core.message import Peer, Request, Response
from siphon_http.dispatch import Dispatcher
from siphon_http.registry import Registry
from siphon_http.server.endpoint import Endpoint, LoopState

POST = "POST /echo HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1024\r\n\r\n" + "x" * 1024
CASES = {
    "plaintext": ("GET /plain", 1),
    "plaintext_x16": ("GET /plain", 16),
    "params_and_json": ("GET /users/octocat/orders/1347?page=2", 1),
    "sync_handler": ("GET /sync", 1),
    "no_route": ("GET /wp-login.php", 1),
}


def registry(middleware: bool) -> Registry:
    """Return the routes; with `middleware` there is a guard and a wrap around each."""
    made = Registry()

    async def plain(req: Request) -> Response:
        return Response(200, {"content-type": "text/plain"}, b"hello")

    async def order(req: Request) -> Response:
        found = {**req.path_params, "page": req.query_params["page"]}
        return Response(200, {"content-type": "application/json"}, json.dumps(found))

    async def echo(req: Request) -> Response:
        return Response(200, None, req.body())

    def sync(req: Request) -> Response:
        return Response(200, None, b"hello")

    def guard(req: Request) -> None:
        return None

    async def wrap(req: Request, call_next: Callable[[Request], Any]) -> Response:
        response: Response = await call_next(req)
        return response

    made.add_route(plain, "/plain")
    made.add_route(order, "/users/{user}/orders/{order}")
    made.add_route(echo, "/echo", ["POST"])
    made.add_route(sync, "/sync", blocking=False)
    if middleware:
        made.add_middleware(guard)
        made.add_middleware(wrap)
    return made


class Sent:
    """A transport that counts what is sent, and forgets it."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.size = 0

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol  # it speaks HTTP/2

    def write(self, data: bytes) -> None:
        self.size += len(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


class Served:
    """Endpoint, dispatcher and loop of one process, and connections to it."""

    def __init__(self, middleware: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.dispatcher = Dispatcher(registry(middleware).freeze(), loop)
        self.state = LoopState(loop)
        self.endpoint = Endpoint(self.dispatcher, self.state, describe_peer=lambda transport: Peer("192.0.2.1:9"))
        self.transports: list[Sent] = []

    def connect(self) -> Sent:
        """Return the transport of a new connection."""
        transport = Sent(self.endpoint.connection())
        transport.protocol.connection_made(transport)
        self.transports.append(transport)
        return transport

    def close(self) -> None:
        for transport in self.transports:
            transport.protocol.connection_lost(None)
        self.state.close()
        self.dispatcher.close()


@pytest.fixture
def in_a_loop() -> Callable[..., None]:
    """Run a function inside a running loop; handlers that do not wait end within it."""

    def run(function: Callable[[Served], object], **options: bool) -> None:
        async def main() -> None:
            served = Served(**options)
            try:
                function(served)
            finally:
                served.close()

        with asyncio.Runner() as runner:
            runner.run(main())

    return run


def ask(benchmark: Any, served: Served, data: bytes) -> None:
    """Measure one read of an HTTP/1.1 connection that is kept alive."""
    transport = served.connect()
    transport.protocol.data_received(data)
    each = transport.size
    assert each
    benchmark(transport.protocol.data_received, data)
    assert transport.size % each == 0


@pytest.mark.parametrize("name", CASES)
def test_http1(benchmark: Any, in_a_loop: Callable[..., None], name: str) -> None:
    line, count = CASES[name]
    data = f"{line} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode() * count
    in_a_loop(lambda served: ask(benchmark, served, data))


def test_http1_echo_1_kib(benchmark: Any, in_a_loop: Callable[..., None]) -> None:
    in_a_loop(lambda served: ask(benchmark, served, POST.encode()))


def test_http1_behind_middleware(benchmark: Any, in_a_loop: Callable[..., None]) -> None:
    data = b"GET /plain HTTP/1.1\r\nHost: example.com\r\n\r\n"
    in_a_loop(lambda served: ask(benchmark, served, data), middleware=True)


def test_http1_connection_accepted_and_gone(benchmark: Any, in_a_loop: Callable[..., None]) -> None:
    def one(served: Served) -> None:
        served.connect().protocol.connection_lost(None)
        served.transports.clear()

    in_a_loop(lambda served: benchmark(one, served))


@pytest.mark.parametrize("streams", [1, 32])
@pytest.mark.parametrize("path", ["/plain", "/users/octocat/orders/1347?page=2"], ids=["plaintext", "params_and_json"])
def test_http2(benchmark: Any, in_a_loop: Callable[..., None], path: str, streams: int) -> None:
    talk(benchmark, in_a_loop, Requests(path), streams)


def test_http2_echo_1_kib(benchmark: Any, in_a_loop: Callable[..., None]) -> None:
    talk(benchmark, in_a_loop, Requests("/echo", "POST", b"x" * 1024), 1)


def talk(benchmark: Any, in_a_loop: Callable[..., None], requests: Requests, streams: int) -> None:
    """Measure one read of an HTTP/2 connection that holds `streams` requests."""

    def measured(served: Served) -> None:
        transport = served.connect()
        transport.protocol.data_received(GREETING + requests.take(1))
        receive = transport.protocol.data_received
        before = transport.size

        def one() -> None:
            receive(requests.take(streams))

        one()
        assert transport.size - before > 10 * streams
        benchmark(one)

    in_a_loop(measured)
