"""The benchmark's routes for granian, in its own interface (RSGI): the cheapest that it offers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

TEXT = [("content-type", "text/plain")]
JSON = [("content-type", "application/json")]
BYTES = [("content-type", "application/octet-stream")]
ORDER = re.compile(r"/users/([^/]+)/orders/([^/]+)")

Handler = Callable[[Any, Any], Awaitable[None]]


async def plaintext(scope: Any, proto: Any) -> None:
    proto.response_bytes(200, TEXT, b"Hello, World!")


async def params_json(scope: Any, proto: Any) -> None:
    found = ORDER.fullmatch(scope.path)
    if found is None:
        proto.response_empty(404, [])
        return
    user, order = found.groups()
    proto.response_str(200, JSON, json.dumps({"user": user, "order": order}))


async def echo(scope: Any, proto: Any) -> None:
    proto.response_bytes(200, BYTES, await proto())


async def one_header(scope: Any, proto: Any) -> None:
    proto.response_str(200, TEXT, scope.headers.get("user-agent"))


async def suspend(scope: Any, proto: Any) -> None:
    await asyncio.sleep(0)
    proto.response_bytes(200, TEXT, b"Hello, World!")


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "/"): plaintext,
    ("POST", "/echo"): echo,
    ("GET", "/headers"): one_header,
    ("GET", "/suspend"): suspend,
}


class App:
    """RSGI application: static paths from a table, the one pattern after them."""

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        await ROUTES.get((scope.method, scope.path), params_json)(scope, proto)


app = App()
