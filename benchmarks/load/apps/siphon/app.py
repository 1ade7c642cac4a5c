"""The benchmark's routes as a siphon script."""

from __future__ import annotations

import asyncio
import json

from siphon import http

TEXT = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}


@http.route("/")
async def plaintext(req: http.Request) -> http.Response:
    return http.Response(status=200, headers=TEXT, body=b"Hello, World!")


@http.route("/users/{user}/orders/{order}")
async def params_json(req: http.Request) -> http.Response:
    params = req.path_params
    body = json.dumps({"user": params["user"], "order": params["order"]})
    return http.Response(status=200, headers=JSON, body=body)


@http.route("/echo", methods=["POST"])
async def echo(req: http.Request) -> http.Response:
    return http.Response(status=200, headers=BYTES, body=req.body())


@http.route("/headers")
async def one_header(req: http.Request) -> http.Response:
    return http.Response(status=200, headers=TEXT, body=req.header("user-agent"))


@http.route("/suspend")
async def suspend(req: http.Request) -> http.Response:
    await asyncio.sleep(0)
    return http.Response(status=200, headers=TEXT, body=b"Hello, World!")


@http.route("/threads")
def in_a_thread(req: http.Request) -> http.Response:
    return http.Response(status=200, headers=TEXT, body=b"Hello, World!")


@http.route("/direct", blocking=False)
def on_the_loop(req: http.Request) -> http.Response:
    return http.Response(status=200, headers=TEXT, body=b"Hello, World!")
