"""Scripts that tests of the harness load."""

from __future__ import annotations

EVERYTHING = """
import asyncio
import contextvars
import threading
import time

from siphon import http, log

tasks = set()


@http.route("/hello/{name}")
async def hello(req):
    return http.Response(body=f"hi {req.path_params['name']}", headers={"X-Client": req.client})


@http.route("/seen", methods=["GET", "POST", "PUT"])
async def seen(req):
    lines = [f"{req.method} {req.raw_path}?{req.query_string}"]
    lines += [f"{name}: {value}" for name, value in req.headers.items()]
    return http.Response(body="\\n".join([*lines, "", req.text()]))


@http.route("/thread", methods=["GET", "HEAD"])
def thread(req):
    return http.Response(body=threading.current_thread().name, headers={"x-method": req.method})


@http.route("/upload", methods=["POST"], stream=True, timeout_ms=60)
async def upload(req):
    sizes = [len(piece) async for piece in req.stream()]
    return http.Response(body=str(sum(sizes)))


@http.route("/small", methods=["POST"], max_body_bytes=10, timeout_ms=60)
async def small(req):
    return http.Response(body=str(len(req.body())))


@http.route("/pieces")
async def pieces(req):
    async def generate():
        for number in range(int(req.query_params.get("count", "3"))):
            log.info(f"piece {number}")
            yield b"%d" % number * int(req.query_params.get("size", "1"))

    return http.Response(body=generate())


@http.route("/breaks")
async def breaks(req):
    async def generate():
        yield b"half"
        raise ValueError("no more")

    return http.Response(body=generate())


@http.route("/sleeps", timeout_ms=60)
async def sleeps(req):
    await asyncio.sleep(10)


@http.route("/holds")
async def holds(req):
    time.sleep(0.3)


@http.route("/waits")
async def waits(req):
    log.info("waiting")
    try:
        await asyncio.sleep(10)
    finally:
        log.info("left")


@http.route("/finishes", on_disconnect="finish")
async def finishes(req):
    await asyncio.sleep(0.01)
    log.info("finished")
    return http.Response()


@http.route("/raises")
async def raises(req):
    raise KeyError("who")


@http.route("/junk")
async def junk(req):
    return "no Response"


@http.route("/background")
async def background(req):
    async def later():
        await asyncio.sleep(0.01)
        log.info("in the background")

    tasks.add(asyncio.create_task(later()))
    return http.Response(status=202)


@http.route("/lazy")
async def lazy(req):
    from siphon import http as again

    return http.Response(body=str(again is http))
"""

HOOKS = """
from siphon import http, log


@http.on_startup
async def first():
    log.info("first")


@http.on_startup
def second():
    log.info("second")
    raise ValueError("not now")


@http.on_startup
async def third():
    log.warning("third")


@http.on_shutdown
async def opened_first():
    log.info("closed last")


@http.on_shutdown
async def opened_last():
    log.info("closed first")
"""

MIDDLEWARE = """
from siphon import http


@http.middleware
async def token(req):
    return None if req.header("authorization") == "Bearer t" else http.Response(status=401, body=b"who are you?")


@http.middleware
async def stamp(req, call_next):
    response = await call_next(req)
    response.headers["x-stamp"] = "1"
    return response


@http.route("/inside")
async def inside(req):
    return http.Response(body="in")
"""

NAMESPACES = """
from siphon import cache, http, log, metrics, timer

asked = metrics.counter("asked_total", "Questions.")


@timer.every(0.01)
async def tick():
    log.info("tick")


@http.route("/names/{id}")
async def name(req):
    asked.inc()
    timer.set("key", 1, lambda key: log.info(f"once {key}"))
    found = await cache.fetch("names", req.path_params["id"])
    stored = await cache.store("names", "last", "x")
    return http.Response(body=f"{found} {stored} {await cache.fetch('unknown', 'x')}")


"""

CALLS_OUT = """
from siphon import http

api = http.Client("api")


@http.route("/ask", methods=["POST"])
async def ask(req):
    try:
        answer = await api.post("/v1/things", body=req.body(), headers={"X-Trace": "7"}, params={"a": "b c"})
    except http.ReadTimeout as error:
        return http.Response(status=504, body=str(error))
    return http.Response(status=answer.status, headers={"x-kind": answer.header("x-kind") or ""}, body=answer.body)


@http.route("/json")
async def json(req):
    answer = await api.put("/v1/json", json={"a": 1})
    return http.Response(body=str(answer.json()))


@http.route("/streams", methods=["POST"], stream=True)
async def streams(req):
    answer = await api.post("/v1/stream", body=req.stream(), stream=True)
    return http.Response(status=answer.status, body=answer.stream())


@http.route("/forwards")
async def forwards(req):
    return await api.get("/v1/forward", stream="stream" in req.query_params)


@http.route("/facts")
async def facts(req):
    async with http.Client(base_url="http://things.test") as client:
        answer = await client.get("/x", params={"a": 1}, stream=True)
        content = await answer.read()
        async with await client.get("/y", stream=True) as left:
            assert [piece async for piece in left.stream()] == []
    return http.Response(body=f"{answer.url} {answer.http_version} {sum(answer.timings.values())} {content.decode()}")


@http.route("/inline")
async def inline(req):
    async with http.Client(base_url="http://things.test/base/") as client:
        await client.get("things", headers={"Accept": "text/plain"})
        answer = await client.request("HEAD", "http://other.test/x")
    return http.Response(body=answer.body)
"""
