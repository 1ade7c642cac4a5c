"""Where `http.Client` leads in a harness: calls are noted, and answered with what the test has laid out."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any, Self

from siphon_http._core.message import Response
from siphon_http.client.api import ClientRequest, Clients, Transport
from siphon_http.client.outgoing import check_request
from siphon_http.config import ClientConfig
from siphon_http.testing.driver import received_answer

__all__ = ["HarnessClients", "Outbound"]

NOWHERE = "http://harness.invalid"
"""Stands for the base URL of a client that has none: in a harness a path is enough."""


class Outbound:
    """The recorder behind every client of one harness; a Transport (see client.api).

    An answer is the first that is left in the queue, else the one laid out for the path, else the default one, else 200
    without content. An exception in the place of an answer is raised in the script.

    sent_requests: one dict for each call: method, path (as the script gave it), url, name, base_url, params, headers,
    body.
    """

    def __init__(self) -> None:
        self.sent_requests: list[dict[str, Any]] = []
        self._queue: deque[Response | Exception] = deque()
        self._by_path: dict[str, Response | Exception] = {}
        self._default: Response | Exception | None = None

    def clear(self) -> None:
        """Forget what was sent, and every answer."""
        self.sent_requests.clear()
        self._queue.clear()
        self._by_path.clear()
        self._default = None

    def add_response(self, response: Response | Exception) -> None:
        """Answer the next call that is not answered yet with `response`."""
        self._queue.append(_checked(response))

    def set_response(self, path: str, response: Response | Exception) -> None:
        """Answer every call to `path`, as the script gives it, with `response` when the queue is empty."""
        self._by_path[path] = _checked(response)

    def set_default_response(self, response: Response | Exception) -> None:
        """Answer every other call with `response`, instead of 200 without content."""
        self._default = _checked(response)

    async def send(self, request: ClientRequest) -> Response:
        """Note the call and answer it (see Transport). What could not be sent is refused, as by the real client."""
        check_request(request, NOWHERE)
        headers: dict[str, str] = {}
        for name, value in request.pairs():
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        sent = {
            "method": request.method,
            "path": request.path,
            "url": _url(request),
            "name": request.name,
            "base_url": request.base_url,
            "params": request.params,
            "headers": headers,
            "body": await _collected(request.body),
        }
        self.sent_requests.append(sent)
        return await self._answer(request)

    async def _answer(self, request: ClientRequest) -> Response:
        if self._queue:
            found: Response | Exception | None = self._queue.popleft()
        else:
            found = self._by_path.get(request.path, self._default)
        if isinstance(found, Exception):
            raise found
        found = Response() if found is None else found
        fields = "".join(f"{name}: {value}\r\n" for name, value in found.headers.pairs()).encode("latin-1")
        body = b"" if request.method == "HEAD" else found.body
        content = _Pieces(body) if request.stream else await _collected(body)
        return received_answer(found.status, fields, content, request.stream, _Facts(request))

    async def close(self) -> None:
        """Nothing is open (see Transport)."""


class HarnessClients(Clients):
    """The clients of a harness. Where no configuration names any, every name is good: the answers are the test's."""

    def __init__(self, configs: Mapping[str, ClientConfig], outbound: Outbound) -> None:
        super().__init__(configs, lambda name, config: outbound)
        self._outbound = outbound
        self._any_name = not configs

    def named(self, name: str) -> tuple[ClientConfig, Transport]:
        """Return configuration and transport of a named client; ClientError when http.yaml has clients, but not it."""
        if self._any_name:
            return ClientConfig(), self._outbound
        return super().named(name)


def _checked(response: Any) -> Response | Exception:
    """Return what a test lays out as a Response of ours, the SDK's own kind included."""
    if isinstance(response, Response | Exception):
        return response
    try:
        return Response(response.status, dict(response.headers), response.body)
    except AttributeError:
        raise TypeError(f"an answer is a Response or an exception, not {type(response).__name__}") from None


async def _collected(body: Any) -> bytes:
    """Return content as bytes, whatever kind it is."""
    if body is None:
        return b""
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if isinstance(body, AsyncIterable | Iterable):
        return b"".join([piece async for piece in _each(body)])
    raise TypeError(f"a body is bytes or an iterator of bytes, not {type(body).__name__}")


async def _each(body: Any) -> AsyncIterator[bytes]:
    """Yield content in the pieces that it has."""
    if isinstance(body, AsyncIterable):
        async for piece in body:
            yield bytes(piece)
    elif isinstance(body, Iterable) and not isinstance(body, bytes):
        for piece in body:
            yield bytes(piece)
    elif body:
        yield body


class _Pieces:
    """The content of an answer that the script wants in pieces."""

    def __init__(self, body: Any) -> None:
        self._pieces: AsyncIterator[bytes] | None = _each(body)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces is None:
            raise StopAsyncIteration
        return await anext(self._pieces)

    def close(self) -> None:
        """Leave what is not read."""
        self._pieces = None


class _Facts:
    """What a Response of a client knows of its exchange."""

    http_version = "1.1"
    decoded = False

    def __init__(self, request: ClientRequest) -> None:
        self.method = request.method
        self.url = _url(request)

    def timings(self) -> dict[str, float]:
        """Nothing takes time here."""
        return dict.fromkeys(("total", "pool", "dns", "connect", "tls", "wait", "read"), 0.0)


def _url(request: ClientRequest) -> str:
    """Return where a request goes; without a base URL a path is all there is, and a harness asks for no more."""
    try:
        return request.url
    except ValueError:
        return request.path
