"""Header block: a lookup, the whole dict, checks, and the head of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from siphon_http._core.headers import check_name, check_value, serialise_head
from siphon_http._core.message import Request
from siphon_http.testing import ExchangeDriver, RecordingSink

BROWSER = (
    b"GET /orders/7?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n"
    b"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nPriority: u=0, i\r\n"
    b"Cookie: session=0123456789abcdef; theme=dark\r\nX-Request-Id: 4711\r\n\r\n"
)


@pytest.fixture
def request_of_a_browser() -> Request:
    """Return a request with 13 fields."""
    seen: list[Request] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        seen.append(request)

    RecordingSink(answer).receive(BROWSER)
    return seen[0]


@pytest.mark.parametrize("name", ["host", "cookie", "x-request-id", "x-missing"])
def test_header(benchmark: Any, request_of_a_browser: Request, name: str) -> None:
    value = benchmark(request_of_a_browser.header, name)
    assert (value is None) is (name == "x-missing")


def test_headers_as_a_dict(benchmark: Any) -> None:
    seen: list[int] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        seen.append(len(request.headers))

    def read() -> None:
        # The dict is kept once it was read, so each round has a request of its own.
        RecordingSink(answer).receive(BROWSER)

    benchmark(read)
    assert seen[-1] == 13


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "X-My-Own-Name"])
def test_check_name(benchmark: Any, name: str) -> None:
    assert benchmark(check_name, name) == name.lower()


def test_check_value(benchmark: Any) -> None:
    assert benchmark(check_value, "application/json; charset=utf-8").startswith("application")


@pytest.mark.parametrize("count", [0, 1, 10])
def test_serialise_head(benchmark: Any, count: int) -> None:
    fields = ["content-type", "application/json"] * count
    assert benchmark(serialise_head, 200, fields, 12).endswith(b"\r\n\r\n")
