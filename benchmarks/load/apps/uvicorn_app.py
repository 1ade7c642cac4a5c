"""The benchmark's routes as a raw ASGI application for uvicorn and hypercorn: no framework between."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

TEXT = b"text/plain"
JSON = b"application/json"
BYTES = b"application/octet-stream"
ORDER = re.compile(r"/users/([^/]+)/orders/([^/]+)")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer(send: Send, content_type: bytes, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def plaintext(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, TEXT, b"Hello, World!")


async def params_json(scope: Scope, receive: Receive, send: Send) -> None:
    found = ORDER.fullmatch(scope["path"])
    if found is None:
        await answer(send, TEXT, b"", 404)
        return
    user, order = found.groups()
    await answer(send, JSON, json.dumps({"user": user, "order": order}).encode())


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    body = message["body"]
    while message.get("more_body", False):
        message = await receive()
        body += message["body"]
    await answer(send, BYTES, body)


async def one_header(scope: Scope, receive: Receive, send: Send) -> None:
    value = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    await answer(send, TEXT, value)


async def suspend(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0)
    await answer(send, TEXT, b"Hello, World!")


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "/"): plaintext,
    ("POST", "/echo"): echo,
    ("GET", "/headers"): one_header,
    ("GET", "/suspend"): suspend,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await ROUTES.get((scope["method"], scope["path"]), params_json)(scope, receive, send)
