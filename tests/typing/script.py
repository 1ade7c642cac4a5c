"""A script as its author writes it, and what checkers make of it: mypy --strict and pyright, both strict.

Never run. `assert_type` says what a thing is; `type: ignore` marks what must be refused, and is an error where nothing
is. The names of `siphon` come from the stub package, found as an installed one is.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Literal, assert_type

from siphon import cache, http, log, metrics, timer

# ---- handlers: whatever gives a Response


@http.route("/orders/{id}", methods=["GET", "DELETE"], max_body_bytes=0, timeout_ms=100, name="order")
@http.route("/o/{id}", ("GET",))
async def order(req: http.Request) -> http.Response:
    return http.Response(body=req.path_params["id"])


@http.route("/report", {"GET"}, blocking=False, on_disconnect="finish")
def report(req: http.Request) -> http.Response:
    return http.Response(200)


@http.route("/upload", methods=["PUT"], stream=True)
async def upload(req: http.Request) -> http.Response:
    async for piece in req.stream():
        assert_type(piece, bytes)
    return http.Response(201)


@http.route("/later")
def later(req: http.Request) -> Awaitable[http.Response]:
    return order(req)


class Greeter:
    def __init__(self, word: str) -> None:
        self.word = word

    async def greet(self, req: http.Request) -> http.Response:
        return http.Response(body=self.word)

    def __call__(self, req: http.Request) -> http.Response:
        return http.Response(body=self.word)


def echo(word: str, req: http.Request) -> http.Response:
    return http.Response(body=word)


http.route("/a")(Greeter("a").greet)
http.route("/b")(Greeter("b"))
http.route("/c")(functools.partial(echo, "c"))


async def handlers_keep_their_types(req: http.Request) -> None:
    assert_type(await order(req), http.Response)
    assert_type(report(req), http.Response)
    await order()  # type: ignore[call-arg]
    report("no request")  # type: ignore[arg-type]


@http.route("/text")  # type: ignore[type-var]
async def returns_text(req: http.Request) -> str:
    return "text"


@http.route("/nothing")  # type: ignore[type-var]
def returns_nothing(req: http.Request) -> None: ...


@http.route("/maybe")  # type: ignore[type-var]
async def returns_nothing_sometimes(req: http.Request) -> http.Response | None:
    return None


@http.route("/none")  # type: ignore[type-var]
async def takes_nothing() -> http.Response:
    return http.Response()


@http.route("/two")  # type: ignore[type-var]
async def takes_a_parameter_of_the_path(req: http.Request, id: str) -> http.Response:
    return http.Response()


@http.route("/thread", stream=True)  # type: ignore[type-var]
def streams_on_a_thread(req: http.Request) -> http.Response:
    return http.Response()


@http.route  # type: ignore[call-overload]
async def has_no_path(req: http.Request) -> http.Response:
    return http.Response()


http.route("/x", on_disconnect="stop")  # type: ignore[call-overload]
http.route("/x", methods=[1])  # type: ignore[list-item]
http.route("/x", methods="GET")  # type: ignore[call-overload]
http.route("/x", timeout_ms="1s")  # type: ignore[call-overload]
http.route("/x", timeout=1)  # type: ignore[call-overload]
http.route()  # type: ignore[call-overload]


# ---- middleware: one parameter or two


@http.middleware
def guard(req: http.Request) -> http.Response | None:
    return None


@http.middleware
async def guard_that_waits(req: http.Request) -> http.Response | None:
    return None


@http.middleware
async def guard_that_only_looks(req: http.Request) -> None:
    log.info(req.path)


@http.middleware
async def wrap(req: http.Request, call_next: http.CallNext) -> http.Response:
    response = await call_next(req)
    assert_type(response, http.Response)
    return response


@http.middleware
async def wrap_of_an_older_hand(
    req: http.Request, call_next: Callable[[http.Request], Awaitable[http.Response]]
) -> http.Response:
    return await call_next(req)


@http.middleware(blocking=True)
def slow_guard(req: http.Request) -> http.Response | None:
    return None


async def middleware_keeps_its_type(req: http.Request) -> None:
    assert_type(guard(req), http.Response | None)
    assert_type(await guard_that_waits(req), http.Response | None)
    assert_type(await wrap(req, order), http.Response)
    assert_type(slow_guard(req), http.Response | None)


@http.middleware  # type: ignore[type-var]
async def guard_that_says_yes(req: http.Request) -> bool:
    return True


@http.middleware  # type: ignore[type-var]
async def wrap_that_forgets(req: http.Request, call_next: http.CallNext) -> None:
    await call_next(req)


@http.middleware  # type: ignore[type-var]
async def takes_three(req: http.Request, call_next: http.CallNext, more: str) -> http.Response:
    return await call_next(req)


@http.middleware(blocking=True)  # type: ignore[type-var]
def wrap_on_a_thread(req: http.Request, call_next: http.CallNext) -> http.Response:
    return http.Response()


# ---- hooks


@http.on_startup
async def begin() -> None: ...


@http.on_shutdown
def finish() -> int:
    return 0


async def hooks_keep_their_types() -> None:
    assert_type(await begin(), None)
    assert_type(finish(), int)


@http.on_startup  # type: ignore[type-var]
def hook_with_a_parameter(app: object) -> None: ...


# ---- requests


async def every_attribute(req: http.Request) -> None:
    assert_type(req.method, str)
    assert_type(req.path, str)
    assert_type(req.raw_path, str)
    assert_type(req.query_string, str)
    assert_type(req.path_params, dict[str, str])
    assert_type(req.query_params, dict[str, str])
    assert_type(req.query_list("tag"), list[str])
    assert_type(req.headers, dict[str, str])
    assert_type(req.header("accept"), str | None)
    assert_type(req.cookies, dict[str, str])
    assert_type(req.client, str)
    assert_type(req.scheme, str)
    assert_type(req.host, str)
    assert_type(req.url, str)
    assert_type(req.http_version, Literal["1.0", "1.1", "2"])
    assert_type(req.route, str | None)
    assert_type(req.request_id, str)
    assert_type(req.state, dict[str, Any])
    assert_type(req.peer_certificate, dict[str, Any] | None)
    assert_type(req.body(), bytes)
    assert_type(req.text(), str)
    assert_type(req.json(), Any)
    assert_type(req.stream(), AsyncIterator[bytes])
    req.method = "PUT"  # type: ignore[misc]
    req.match_info  # type: ignore[attr-defined]
    req.body.decode()  # type: ignore[attr-defined]


# ---- responses


async def pieces() -> AsyncIterator[bytes]:
    yield b"piece"


def lines() -> Iterator[bytes]:
    yield b"line"


def every_way_to_make_one(res: http.Response) -> None:
    http.Response()
    http.Response(201, {"location": "/orders/1"}, b"made")
    http.Response(headers={"set-cookie": ["a=1", "b=2"]}, body="text")
    http.Response(headers=[("vary", "accept"), ("vary", "cookie")], body=bytearray(b"x"))
    http.Response(headers=res.headers, body=memoryview(b"x"))
    http.Response(status=res.status, headers=res.headers, body=res.body)
    http.Response(body=pieces())
    http.Response(body=lines())
    http.Response("200")  # type: ignore[arg-type]
    http.Response(body={"not": "encoded"})  # type: ignore[dict-item]
    http.Response(body=1)  # type: ignore[arg-type]
    http.Response(headers={"x-count": 1})  # type: ignore[dict-item]
    http.Response(json={"a": 1})  # type: ignore[call-arg]


def every_attribute_of_one(res: http.Response) -> None:
    assert_type(res.status, int)
    assert_type(res.header("date"), str | None)
    assert_type(res.header_list("set-cookie"), list[str])
    assert_type(res.headers["date"], str)
    assert_type(res.headers.get("date"), str | None)
    assert_type(res.text, str)
    assert_type(res.json(), Any)
    assert_type(res.raise_for_status(), http.Response)
    assert_type(res.url, str | None)
    assert_type(res.timings, dict[str, float])
    res.body.decode()
    res.status = 204
    res.headers["x"] = ["y", "z"]
    res.headers = {"x-served-by": "a"}
    res.body = "text"
    res.status = "204"  # type: ignore[assignment]
    res.headers["x"] = 1  # type: ignore[assignment]


# ---- clients

api = http.Client("api")
inline = http.Client(
    base_url="https://api.example.com",
    verify="ca.pem",
    cert=("client.pem", "client.key"),
    timeout_ms=500,
    retries={"attempts": 2, "backoff_ms": 50},
    no_proxy=["localhost"],
)

http.Client("api", timeout_ms=500)  # type: ignore[call-overload]
http.Client(base_url=1)  # type: ignore[call-overload]
http.Client(timeout="1s")  # type: ignore[call-overload]
http.Client(pool_size="8")  # type: ignore[call-overload]
http.Client(verify=False)  # type: ignore[call-overload]


async def every_call() -> None:
    assert_type(api, http.Client)
    assert_type(await api.get("/x", params={"a": [1, 2], "b": None}, timeout_ms=100), http.Response)
    assert_type(await api.head("/x"), http.Response)
    assert_type(await api.options("/x"), http.Response)
    assert_type(await api.post("/x", json={"a": 1}, headers={"x": ["y", "z"]}), http.Response)
    assert_type(await api.put("/x", body=pieces()), http.Response)
    assert_type(await api.patch("/x", body="text"), http.Response)
    assert_type(await api.delete("/x", follow_redirects=False), http.Response)
    assert_type(await api.request("PURGE", "/x", params=[("a", "b")]), http.Response)
    async with http.Client("api") as client:
        assert_type(client, http.Client)
    async with await api.get("/large", stream=True) as answer:
        assert_type(answer, http.Response)
        async for piece in answer.stream():
            assert_type(piece, bytes)
    assert_type(await answer.read(), bytes)
    await inline.close()
    await api.get("/x", {"a": "b"})  # type: ignore[call-arg]
    await api.get("/x", timeout=1)  # type: ignore[call-arg]
    await api.get("/x", body=b"")  # type: ignore[call-arg]
    await api.post("/x", body={"a": 1})  # type: ignore[dict-item]
    await api.post("/x", data=b"")  # type: ignore[call-arg]
    with http.Client("api") as client:  # type: ignore[attr-defined]
        pass


# ---- errors


async def every_error() -> None:
    try:
        (await api.get("/x")).raise_for_status()
    except http.HttpStatusError as error:
        assert_type(error.status, int)
        assert_type(error.body, bytes)
    except (http.ConnectTimeout, http.PoolTimeout, http.ReadTimeout, http.WriteTimeout, http.TotalTimeout) as error:
        assert_type(error.phase, str)
    except (http.ConnectError, http.TlsError, http.ReadError, http.WriteError) as error:
        assert_type(error.url, str)
    except http.ClientError as error:
        assert_type(error.method, str)
    except (http.RouteError, http.RemoteProtocolError, http.HttpError):
        raise
    except http.Timeout:  # type: ignore[attr-defined]
        pass


# ---- log


def every_level() -> None:
    log.debug("a")
    log.info("a")
    log.warn("a")
    log.warning("a")
    log.error("a")
    log.info("%s", "a")  # type: ignore[call-arg]
    log.info(b"a")  # type: ignore[arg-type]
    log.exception("a")  # type: ignore[attr-defined]


# ---- cache


async def every_store() -> None:
    assert_type(cache.has_cache("c"), bool)
    assert_type(await cache.fetch("c", "k"), str | None)
    assert_type(await cache.store("c", "k", "v", ttl=0.5), bool)
    assert_type(await cache.delete("c", "k"), bool)
    assert_type(await cache.exists("c", "k"), bool)
    assert_type(await cache.expire("c", "k", 60), bool)
    assert_type(await cache.list_push("c", "k", "item"), int | None)
    assert_type(await cache.list_pop_all("c", "k"), list[str])
    assert_type(await cache.list_len("c", "k"), int | None)
    assert_type(await cache.list_len_sum("c", "prefix"), int | None)
    await cache.store("c", "k", 1)  # type: ignore[arg-type]
    await cache.get("c", "k")  # type: ignore[attr-defined]
    await cache.close()  # type: ignore[attr-defined]


# ---- timer


@timer.every(30, name="poll", jitter=5)
async def poll() -> None:
    assert_type(timer.active_count, int)


@timer.every(0.5)
def tick() -> int:
    return 1


async def hang_up(key: str) -> None:
    log.info(key)


def every_timer() -> None:
    assert_type(tick(), int)
    handle = timer.set("bye", 500, hang_up)
    assert_type(handle.key, str)
    assert_type(handle.cancel(), bool)
    timer.set("hello", 500, lambda key: log.info(key.upper()))
    assert_type(timer.cancel("bye"), bool)
    timer.set("bye", "1s", hang_up)  # type: ignore[arg-type]
    timer.set("bye", 500, poll)  # type: ignore[arg-type]


@timer.every(30)  # type: ignore[type-var]
async def wants_a_key(key: str) -> None: ...


# ---- metrics

calls = metrics.counter("calls_total", "Calls by caller.", ["caller"])
depth = metrics.gauge("queue_depth", "Calls that wait.")
setup = metrics.histogram("setup_seconds", "Time to set a call up.", buckets=[0.1, 0.5, 1, 5])


def every_metric() -> None:
    calls.labels(caller="a").inc()
    calls.inc(2)
    depth.set(1)
    depth.inc()
    depth.dec(0.5)
    setup.observe(0.2)
    calls.dec()  # type: ignore[attr-defined]
    calls.inc("1")  # type: ignore[arg-type]
    metrics.counter("calls_total")  # type: ignore[call-arg]
    metrics.summary("a", "b")  # type: ignore[attr-defined]


# ---- what is not there


def a_namespace_that_is_misspelt() -> None:
    from siphon import htpp  # type: ignore[attr-defined] # noqa: F401


def a_namespace_of_another_host() -> None:
    from siphon import proxy  # type: ignore[attr-defined] # noqa: F401


def a_namespace_is_no_module() -> None:
    from siphon.http import Response  # type: ignore[import-not-found] # noqa: F401


def names_that_are_not_there() -> None:
    http.Respons  # type: ignore[attr-defined]
    http.get("/x")  # type: ignore[attr-defined]
