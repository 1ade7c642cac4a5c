"""Requests through Http1ServerConnection; the sink is a Python object, which costs most of a microsecond of each."""

from __future__ import annotations

from typing import Any

import pytest

from siphon_http._core.exchange import Exchange
from siphon_http._core.message import Request, Response
from siphon_http.protocol.http1_server import Http1ServerConnection
from siphon_http.protocol.sink import PySink
from siphon_http.testing import BufferDriver, ExchangeDriver

GET = b"GET /plain HTTP/1.1\r\nHost: example.com\r\n\r\n"
FIELDS = GET[:-2] + b"".join(b"X-Field-%d: some value of a field\r\n" % i for i in range(12)) + b"\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024
CHUNKED = (
    b"POST /echo HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"
    + b"x" * 1024
    + b"\r\n0\r\n\r\n"
)


class NullSink:
    """Answers every request at once and forgets what is sent."""

    def __init__(self) -> None:
        self.requests = 0
        self.connection = Http1ServerConnection(PySink(self), BufferDriver().buffer)
        self.driver = ExchangeDriver(self.connection)
        self.response = Response(200, {"content-type": "text/plain"}, b"hello")

    def head_received(self, request: Request) -> int:
        return 1_048_576

    def request_received(self, exchange: Exchange, request: Request) -> None:
        self.requests += 1
        self.driver.respond(request, self.response)

    def request_ended(self, request: Request) -> None: ...
    def request_abandoned(self, request: Request) -> None: ...
    def refused(self, status: int) -> None: ...
    def write(self, data: bytes) -> None: ...
    def hold(self, stop: bool) -> None: ...
    def close(self, linger: bool) -> None: ...
    def abort(self) -> None: ...


@pytest.mark.parametrize(
    "data, count",
    [
        pytest.param([GET], 1, id="get"),
        pytest.param([FIELDS], 1, id="get_13_fields"),
        pytest.param([GET * 16], 16, id="pipelined_x16"),
        pytest.param([POST], 1, id="post_1KiB"),
        pytest.param([POST[:80], POST[80:]], 1, id="post_1KiB_in_two_reads"),
        pytest.param([CHUNKED], 1, id="chunked_1KiB"),
        pytest.param([GET.replace(b"GET", b"BREW")], 1, id="unknown_method"),
    ],
)
def test_request(benchmark: Any, data: list[bytes], count: int) -> None:
    sink = NullSink()
    receive = sink.connection.receive_data

    def one() -> None:
        for piece in data:
            receive(piece)

    one()
    assert sink.requests == count
    benchmark(one)


def test_connection_made_and_gone(benchmark: Any) -> None:
    buffer = BufferDriver().buffer
    sink = PySink(NullSink())

    def one() -> None:
        Http1ServerConnection(sink, buffer).detach()

    benchmark(one)
