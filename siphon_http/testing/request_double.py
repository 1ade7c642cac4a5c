"""A real Request without a server, for tests that call a handler themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siphon_http._core.message import Peer, Request
from siphon_http.server.forwarded import format_client
from siphon_http.testing.driver import ExchangeDriver, prepare_request
from siphon_http.testing.fakes import RecordingSink
from siphon_http.testing.writing import Body, Fields, address_of, written

__all__ = ["make_request"]


def make_request(
    *,
    method: str = "GET",
    path: str = "/",
    path_params: Mapping[str, str] | None = None,
    query_params: Mapping[str, Any] | None = None,
    headers: Fields | None = None,
    client: str = "127.0.0.1:0",
    body: Body | None = b"",
) -> Request:
    """Return a Request as a handler gets it: `get_user(make_request(path="/users/42", path_params={"id": "42"}))`.

    body: bytes or str. Raises ValueError when the server would refuse the request.
    """
    received: list[Request] = []

    def keep(driver: ExchangeDriver, request: Request) -> None:
        received.append(request)

    request = written(method, path, headers=headers, query_params=query_params, body=body or None)
    if request.chunked or not isinstance(request.content, list | tuple):
        raise TypeError("the body of a request that is only made is bytes or str, and not chunked")
    sink = RecordingSink(keep, cap=2**40, max_header_bytes=2**20, max_headers=10_000)
    sink.receive(request.head + b"".join(request.content))
    if not received:
        reason = sink.written.partition(b"\r\n\r\n")[2].decode("latin-1").strip()
        raise ValueError(f"the server would refuse this request: {reason}")
    peer = Peer(format_client(*address_of(client)))
    prepare_request(received[0], peer, False, dict(path_params or {}))
    return received[0]
