"""The benchmark's routes for aiohttp, on uvloop. Arguments: port, and for TLS the certificate's and the key's file."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

import uvloop
from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/")
async def plaintext(request: web.Request) -> web.Response:
    return web.Response(body=b"Hello, World!", content_type="text/plain")


@routes.get("/users/{user}/orders/{order}")
async def params_json(request: web.Request) -> web.Response:
    params = request.match_info
    body = json.dumps({"user": params["user"], "order": params["order"]})
    return web.Response(body=body.encode(), content_type="application/json")


@routes.post("/echo")
async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), content_type="application/octet-stream")


@routes.get("/headers")
async def one_header(request: web.Request) -> web.Response:
    return web.Response(body=request.headers["user-agent"].encode(), content_type="text/plain")


@routes.get("/suspend")
async def suspend(request: web.Request) -> web.Response:
    await asyncio.sleep(0)
    return web.Response(body=b"Hello, World!", content_type="text/plain")


def main(port: str, *material: str) -> None:
    context = None
    if material:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*material)
    app = web.Application()
    app.add_routes(routes)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main(*sys.argv[1:])
