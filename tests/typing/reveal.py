"""What tools make of the public API: each `reveal_type` with the type that scripts' authors are to see.

Never run: test_types.py gives it to mypy. `type: ignore` marks what must be refused; one that is not needed is an
error, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import reveal_type

from siphon_http._core.headers import Headers
from siphon_http._core.message import Peer, Request, Response
from siphon_http.extension import HttpNamespace
from siphon_http.testing import HttpTestHarness, make_request

http = HttpNamespace()


# ---- decorators give back the function that they were given


@http.route("/orders/{id}", methods=["GET", "DELETE"], max_body_bytes=0, timeout_ms=100, name="order")
async def order(req: Request) -> Response:
    return Response(body=req.path_params["id"])


@http.route("/report", blocking=True, on_disconnect="finish")
def report(req: Request) -> Response:
    return Response(200)


@http.middleware
def guard(req: Request) -> Response | None:
    return None


@http.middleware(blocking=True)
def slow_guard(req: Request) -> Response | None:
    return None


@http.on_startup
async def begin() -> None: ...


@http.on_shutdown
def finish() -> None: ...


reveal_type(order)  # def (req: Request) -> Coroutine[Any, Any, Response]
reveal_type(report)  # def (req: Request) -> Response
reveal_type(guard)  # def (req: Request) -> Response | None
reveal_type(slow_guard)  # def (req: Request) -> Response | None
reveal_type(begin)  # def () -> Coroutine[Any, Any, None]
reveal_type(finish)  # def ()

http.route("/x", on_disconnect="stop")  # type: ignore[arg-type]
http.route("/x", methods=[1])  # type: ignore[list-item]
http.route()  # type: ignore[call-arg]


# ---- a request


async def every_attribute(req: Request) -> None:
    reveal_type(req.method)  # str
    reveal_type(req.path)  # str
    reveal_type(req.raw_path)  # str
    reveal_type(req.query_string)  # str
    reveal_type(req.path_params)  # dict[str, str]
    reveal_type(req.query_params)  # dict[str, str]
    reveal_type(req.query_list("tag"))  # list[str]
    reveal_type(req.headers)  # dict[str, str]
    reveal_type(req.header("accept"))  # str | None
    reveal_type(req.cookies)  # dict[str, str]
    reveal_type(req.client)  # str
    reveal_type(req.scheme)  # str
    reveal_type(req.host)  # str
    reveal_type(req.url)  # str
    reveal_type(req.http_version)  # Literal['1.0'] | Literal['1.1'] | Literal['2']
    reveal_type(req.route)  # str | None
    reveal_type(req.state)  # dict[str, Any]
    reveal_type(req.peer_certificate)  # dict[str, Any] | None
    reveal_type(req.body())  # bytes
    reveal_type(req.text())  # str
    reveal_type(req.json())  # Any
    async for chunk in req.stream():
        reveal_type(chunk)  # bytes
    req.method = "PUT"  # type: ignore[misc]
    req.nothing  # type: ignore[attr-defined]


# ---- a response


async def pieces() -> AsyncIterator[bytes]:
    yield b"piece"


def every_way_to_make_one(res: Response) -> None:
    Response()
    Response(201, {"location": "/orders/1"}, b"made")
    Response(headers={"set-cookie": ["a=1", "b=2"]}, body="text")
    Response(headers=[("vary", "accept"), ("vary", "cookie")], body=bytearray(b"x"))
    Response(headers=res.headers, body=memoryview(b"x"))
    Response(body=pieces())
    Response(body=(piece for piece in [b"a", b"b"]))
    Response("200")  # type: ignore[arg-type]
    Response(body={"not": "encoded"})  # type: ignore[dict-item]
    Response(body=1)  # type: ignore[arg-type]
    Response(headers={"x-count": 1})  # type: ignore[dict-item]


def every_attribute_of_one(res: Response) -> None:
    reveal_type(res.status)  # int
    reveal_type(res.headers)  # Headers
    reveal_type(res.header("date"))  # str | None
    reveal_type(res.header_list("set-cookie"))  # list[str]
    reveal_type(res.text)  # str
    reveal_type(res.json())  # Any
    reveal_type(res.raise_for_status())  # Response
    if isinstance(res.body, bytes):
        reveal_type(res.body)  # bytes
    res.status = 204
    res.headers = {"x-served-by": "a"}
    res.headers = None
    res.body = "text"
    res.body = None
    res.status = "204"  # type: ignore[assignment]


def headers_are_a_mapping(headers: Headers) -> None:
    reveal_type(headers["x"])  # str
    reveal_type(headers.get("x"))  # str | None
    reveal_type(headers.get("x", "y"))  # str
    reveal_type(headers.get("x", 1))  # str | int
    reveal_type(headers.getlist("x"))  # list[str]
    reveal_type(headers.pairs())  # list[tuple[str, str]]
    reveal_type(headers.pop("x"))  # str
    reveal_type(dict(headers))  # dict[str, str]
    for name in headers:
        reveal_type(name)  # str
    headers["x"] = "y"
    headers["x"] = ["y", "z"]
    headers["x"] = 1  # type: ignore[assignment]
    headers.add("x", "y")
    headers.update({"x": "y"}, z=["1", "2"])


def who_is_there(peer: Peer) -> None:
    reveal_type(peer.client)  # str
    reveal_type(peer.certificate)  # dict[str, Any] | None


# ---- errors, and what the namespace carries

reveal_type(http.Request())  # Request
reveal_type(http.Response(404))  # Response
reveal_type(http.HttpStatusError(404).status)  # int


# ---- tests of scripts


async def a_harness_gives_what_a_server_sends(harness: HttpTestHarness) -> None:
    reveal_type(harness.request("GET", "/", headers={"x": "y"}, body=b"", json=None))  # Response
    reveal_type(harness.request("POST", body=iter([b"piece"])))  # Response
    reveal_type(await harness.arequest())  # Response
    reveal_type(harness.log.messages)  # list[tuple[str, str]]
    reveal_type(harness.sent_requests)  # list[dict[str, Any]]
    reveal_type(harness.errors)  # list[BaseException]
    reveal_type(make_request(path="/"))  # Request
    harness.add_response(Response(404))
    harness.add_response(http.ReadTimeout("late"))
    harness.add_response(404)  # type: ignore[arg-type]
    with harness.open("GET", "/") as exchange:
        reveal_type(exchange.status)  # int
        reveal_type(exchange.response())  # Response
        for piece in exchange:
            reveal_type(piece)  # bytes
    async with harness.open("GET", "/") as exchange:
        reveal_type(await exchange.aresponse())  # Response
        async for piece in exchange:
            reveal_type(piece)  # bytes
