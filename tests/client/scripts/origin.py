"""An origin that speaks HTTP/2: our own server, with what the cases of client_http2.py ask for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from siphon import http


@http.route("/echo", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
async def echo(req: Any) -> Any:
    told = {"method": req.method, "version": req.http_version, "client": req.client, "headers": req.headers}
    return http.Response(body=json.dumps(told | {"body": req.body().decode("latin-1")}), headers={"x-one": ["1", "2"]})


@http.route("/delay/{ms}")
async def delay(req: Any) -> Any:
    await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    return http.Response(body=req.client)


@http.route("/bytes/{size}")
async def content(req: Any) -> Any:
    return http.Response(body=b"x" * int(req.path_params["size"]))


@http.route("/status/{code}")
async def status(req: Any) -> Any:
    return http.Response(status=int(req.path_params["code"]))


@http.route("/sink", methods=["POST"], max_body_bytes=100_000_000)
async def sink(req: Any) -> Any:
    return http.Response(body=json.dumps({"size": len(req.body())}))


@http.route("/small", methods=["POST"], max_body_bytes=1000)
async def small(req: Any) -> Any:
    return http.Response(body=b"small")


@http.route("/pieces/{count}")
async def pieces(req: Any) -> Any:
    async def made() -> Any:
        for _ in range(int(req.path_params["count"])):
            yield b"p" * 1000
            await asyncio.sleep(0)

    return http.Response(body=made())


@http.route("/redirect")
async def redirect(req: Any) -> Any:
    return http.Response(status=302, headers={"location": "/echo"})
