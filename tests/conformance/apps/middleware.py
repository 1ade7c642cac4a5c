"""Guards and wraps, mixed; one of them is registered after the routes."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading

from siphon import http

visible = contextvars.ContextVar("visible", default="unset")
ran: list[str] = []


@http.middleware
async def outer(req, call_next):
    """A wrap: first in, last out."""
    req.state["trail"] = ["outer"]
    ran.append(req.path)
    try:
        res = await call_next(req)
    except LookupError as exc:
        return http.Response(status=409, body=f"outer saw {type(exc).__name__}")
    res.headers["x-outer"] = "seen"
    if req.header("x-change"):
        res.status = 299
    return res


@http.middleware
async def token(req):
    """A guard."""
    req.state["trail"].append("guard")
    visible.set("by guard")
    if req.header("x-deny"):
        return http.Response(status=401, body=b"unauthorized")
    return None


@http.middleware
def sync_guard(req):
    req.state["trail"].append("sync")
    if req.header("x-junk"):
        return {"0": 0, "false": False, "text": "text", "true": True, "dict": {}}[req.header("x-junk")]
    if req.header("x-guard-raises"):
        raise ValueError("secret-detail")
    if req.header("x-guard-exits"):
        raise SystemExit(2)


@http.middleware(blocking=True)
def thread_guard(req):
    req.state["trail"].append("thread")
    req.state["thread"] = threading.get_ident()


@http.route("/")
async def index(req):
    return http.Response(body=b"ok")


@http.route("/trail/{x}")
async def trail(req):
    return http.Response(body=json.dumps(req.state["trail"]))


@http.route("/trail-sync")
def trail_sync(req):
    return http.Response(body=json.dumps(req.state["trail"]))


@http.route("/visible")
async def see(req):
    return http.Response(body=visible.get())


@http.route("/visible-thread")
def see_thread(req):
    return http.Response(body=visible.get())


@http.route("/visible-late")
async def see_late(req):
    await asyncio.sleep(0)
    return http.Response(body=visible.get())


@http.route("/threads")
async def threads(req):
    return http.Response(body=str(req.state["thread"] != threading.get_ident()))


@http.route("/raise-lookup")
async def raise_lookup(req):
    raise KeyError("secret-detail")


@http.route("/raise-lookup-late")
async def raise_lookup_late(req):
    await asyncio.sleep(0)
    raise KeyError("secret-detail")


@http.route("/raise-lookup-thread")
def raise_lookup_thread(req):
    raise KeyError("secret-detail")


@http.route("/raise-value")
async def raise_value(req):
    raise ValueError("secret-detail")


@http.route("/none")
async def none(req):
    return None


@http.route("/ran")
async def what_ran(req):
    return http.Response(body=json.dumps(ran))


@http.route("/wait")
async def wait(req):
    await asyncio.sleep(5)  # beyond its time-out, or until its client leaves
    return http.Response(body=b"late")


@http.route("/params/{a}", methods=["GET", "POST"])
async def params(req):
    return http.Response(body=json.dumps([req.path_params, req.body().decode(), req.state["trail"]]))


async def parts():
    yield b"a"
    await asyncio.sleep(0)
    yield b"b"


@http.route("/streamed")
async def streamed(req):
    return http.Response(body=parts())


@http.middleware
async def inner(req, call_next):
    """Registered after the routes, and applied to them all the same; innermost."""
    req.state["trail"].append("inner")
    if req.header("x-inner-short"):
        return http.Response(status=418, body=b"inner")
    if req.header("x-inner-none"):
        await call_next(req)
        return None
    if req.header("x-inner-twice"):
        await call_next(req)
    res = await call_next(req)
    if req.header("x-inner-raises"):
        raise ValueError("secret-detail")
    if req.header("x-replace"):
        return http.Response(status=203, body=b"replaced")
    return res
