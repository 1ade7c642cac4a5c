"""Routes for what a request looks like to a script, and for limits and time-outs."""

from __future__ import annotations

import asyncio
import json
import time

from siphon import http

events: dict[str, list[str]] = {}


def note(key, what):
    events.setdefault(key, []).append(what)


def as_json(value, status=200):
    return http.Response(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(value))


def seen(req):
    """All that a script can read of a request."""
    raw = req.raw_path
    return as_json(
        {
            "method": req.method,
            "path": req.path,
            "raw_path": raw.decode("latin-1") if isinstance(raw, bytes) else raw,
            "path_params": req.path_params,
            "query_params": req.query_params,
            "query_list_a": list(req.query_list("a")),
            "headers": req.headers,
            "x_multi": req.header("X-Multi"),
            "missing": req.header("x-missing"),
            "cookies": req.cookies,
            "client": req.client,
            "scheme": req.scheme,
            "host": req.host,
            "url": str(req.url),
            "http_version": req.http_version,
            "route": req.route,
            "state": req.state,
            "body": req.body().decode("latin-1"),
            "types": [type(req.body()).__name__, type(req.headers).__name__, type(req.state).__name__],
            "peer_certificate": req.peer_certificate is not None,
        }
    )


EVERY = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@http.route("/")
async def index(req):
    return http.Response(body=b"ok")


@http.route("/seen", methods=EVERY)
@http.route("/seen/{name}", methods=EVERY)
@http.route("/two/{first}/{second}", methods=EVERY)
@http.route("/rest/{*rest}", methods=EVERY)
async def look(req):
    return seen(req)


@http.route("/echo", methods=["POST", "PUT"])
async def echo(req):
    return http.Response(body=req.body())


@http.route("/echo-sync", methods=["POST"])
def echo_sync(req):
    return http.Response(body=req.body())


@http.route("/big", methods=["POST"], max_body_bytes=5000)
async def big(req):
    return http.Response(body=str(len(req.body())))


@http.route("/tiny", methods=["POST"], max_body_bytes=10)
async def tiny(req):
    note("tiny", "ran")
    return http.Response(body=str(len(req.body())))


@http.route("/json", methods=["POST"])
async def read_json(req):
    return as_json({"got": req.json()})


@http.route("/text", methods=["POST"])
async def read_text(req):
    return http.Response(body=req.text())


@http.route("/stream", methods=["POST"], stream=True)
async def stream(req):
    sizes = []
    async for chunk in req.stream():
        sizes.append(len(chunk))
    return as_json({"total": sum(sizes), "parts": len(sizes)})


@http.route("/stream-back", methods=["POST"], stream=True)
async def stream_back(req):
    return http.Response(body=req.stream())


@http.route("/stream-unread", methods=["POST"], stream=True)
async def stream_unread(req):
    return http.Response(status=403, body=b"no")


@http.route("/stream-one", methods=["POST"], stream=True, max_body_bytes=100_000_000)
async def stream_one(req):
    async for chunk in req.stream():
        return http.Response(body=b"first")
    return http.Response(body=b"none")


@http.route("/stream-slow", methods=["POST"], stream=True, max_body_bytes=100_000_000)
async def stream_slow(req):
    async for _ in req.stream():
        await asyncio.sleep(30)  # until its client is gone
    return http.Response(body=b"all")


@http.route("/stream-capped", methods=["POST"], stream=True, max_body_bytes=100)
async def stream_capped(req):
    total = 0
    async for chunk in req.stream():
        total += len(chunk)
    note("stream-capped", "ended")
    return http.Response(body=str(total))


async def upload(req):
    key = req.path_params["key"]
    try:
        async for _ in req.stream():
            note(key, "start")
    except BaseException as error:
        note(key, type(error).__name__)
        raise
    return http.Response(body=b"whole")


http.route("/upload-cancel/{key}", methods=["POST"], stream=True)(upload)
http.route("/upload-finish/{key}", methods=["POST"], stream=True, on_disconnect="finish")(upload)


@http.route("/prec/static")
async def prec_static(req):
    return http.Response(body=b"static")


@http.route("/prec/{x}")
async def prec_param(req):
    return http.Response(body=b"param")


@http.route("/prec/{*rest}")
async def prec_rest(req):
    return http.Response(body=b"rest")


@http.route("/prec/{x}/end")
async def prec_end(req):
    return http.Response(body=b"end")


@http.route("/names/{a}")
async def names_get(req):
    return as_json(req.path_params)


@http.route("/names/{b}", methods=["POST"])
async def names_post(req):
    return as_json(req.path_params)


@http.route("/put-only", methods=["put"])
async def put_only(req):
    return http.Response(body=req.method)


@http.route("/head", methods=["HEAD", "GET"])
async def own_head(req):
    return http.Response(headers={"x-method": req.method}, body=b"12345")


@http.route("/head-only", methods=["HEAD"])
async def head_only(req):
    return http.Response(headers={"x-method": req.method})


@http.route("/head-get")
async def head_get(req):
    return http.Response(headers={"x-method": req.method}, body=b"12345")


@http.route("/options", methods=["GET", "OPTIONS"])
async def own_options(req):
    return http.Response(body=req.method)


@http.route("/sleep/{ms}")
async def sleep(req):
    await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    return http.Response(body=b"slept")


@http.route("/block/{ms}")
def block(req):
    time.sleep(int(req.path_params["ms"]) / 1000)
    return http.Response(body=b"blocked")


@http.route("/short/{ms}", timeout_ms=150)
async def short(req):
    key = "short"
    try:
        await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    except asyncio.CancelledError:
        note(key, "cancelled")
        raise
    return http.Response(body=b"slept")


@http.route("/long/{ms}", timeout_ms=5000)
async def long(req):
    await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    return http.Response(body=b"slept")


@http.route("/stubborn", timeout_ms=150)
async def stubborn(req):
    """Answers although it was cancelled: too late."""
    try:
        await asyncio.sleep(5)  # beyond its time-out
    except asyncio.CancelledError:
        pass
    return http.Response(body=b"late")


@http.route("/wait/{key}/{ms}", methods=["GET", "POST"])
async def wait(req):
    key = req.path_params["key"]
    note(key, "start")
    try:
        await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    except asyncio.CancelledError:
        note(key, "cancelled")
        raise
    note(key, "done")
    return http.Response(body=b"done")


@http.route("/finish/{key}/{ms}", on_disconnect="finish")
async def finish(req):
    key = req.path_params["key"]
    note(key, "start")
    try:
        await asyncio.sleep(int(req.path_params["ms"]) / 1000)
    except asyncio.CancelledError:
        note(key, "cancelled")
        raise
    note(key, "done")
    return http.Response(body=b"done")


@http.route("/events/{key}")
async def show_events(req):
    return as_json(events.get(req.path_params["key"], []))


@http.route("/count/{key}/{n}")
async def count(req):
    note(req.path_params["key"], req.path_params["n"])
    await asyncio.sleep(0)
    return http.Response(body=req.path_params["n"])


@http.route("/bulk/{n}")
async def bulk(req):
    return http.Response(body=b"x" * int(req.path_params["n"]))


async def ticks(count, seconds):
    for n in range(count):
        await asyncio.sleep(seconds)
        yield b"tick%d" % n


@http.route("/ticks/{count}/{ms}")
async def ticking(req):
    return http.Response(body=ticks(int(req.path_params["count"]), int(req.path_params["ms"]) / 1000))


async def endless(key):
    note(key, "start")
    try:
        while True:
            yield b"x" * 65536
    finally:
        note(key, "closed")


@http.route("/endless/{key}")
async def endless_answer(req):
    return http.Response(body=endless(req.path_params["key"]))


@http.route("/teapot")
async def teapot(req):
    return http.Response(status=418, body=b"short and stout")


@http.route("/smuggled", methods=EVERY)
async def smuggled(req):
    """Never asked for by an honest test."""
    note("smuggled", req.method)
    return http.Response(body=b"smuggled")
