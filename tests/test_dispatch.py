"""From a request to its handler and back, over a real listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.task import AVAILABLE_MODES
from tests.stage import Answer, Site, on_each_loop, said, until

on_each_way = pytest.mark.parametrize("mode", AVAILABLE_MODES)


def ok(req: Any) -> Response:
    return Response(200, None, b"ok")


async def async_ok(req: Any) -> Response:
    return Response(200, None, b"ok")


async def later_ok(req: Any) -> Response:
    await asyncio.sleep(0)
    return Response(200, None, b"ok")


KINDS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "async": (async_ok, {}),
    "suspends": (later_ok, {}),
    "direct": (ok, {"blocking": False}),
    "thread": (ok, {}),
    "awaitable": (lambda req: later_ok(req), {}),
    "direct awaitable": (lambda req: later_ok(req), {"blocking": False}),
}
on_each_kind = pytest.mark.parametrize("kind", KINDS)


def asking(site: Site, *asked: Any, loop: str = "uvloop") -> list[Answer]:
    """Serve `site` and send requests, (method, target) or (method, target, body), one after the other."""
    answers: list[Answer] = []

    async def scenario() -> None:
        for one in asked:
            answers.append(await site.ask(*one))

    site.play(scenario, loop)
    return answers


# ---- routing


@on_each_loop
@on_each_kind
def test_each_kind_of_handler_answers(loop: str, kind: str) -> None:
    site = Site()
    function, options = KINDS[kind]
    site.route("/", **options)(function)
    assert [(a.status, a.body) for a in asking(site, ("GET", "/"), ("HEAD", "/"), loop=loop)] == [
        (200, b"ok"),
        (200, b""),
    ]


@on_each_kind
@on_each_way
def test_each_kind_of_handler_answers_behind_middleware(mode: str, kind: str) -> None:
    site = Site()
    site.pool_settings["task_mode"] = mode
    function, options = KINDS[kind]
    site.route("/", **options)(function)
    site.middleware(lambda req: None)
    site.middleware(lambda req, call_next: call_next(req))
    assert [a.body for a in asking(site, ("GET", "/"), ("GET", "/"))] == [b"ok", b"ok"]


def test_what_no_route_answers() -> None:
    site = Site()
    site.route("/a", ["GET", "POST"])(ok)
    site.route("/b", ["PUT"])(ok)
    site.route("/c", ["OPTIONS", "GET"])(ok)
    found = asking(
        site, ("GET", "/none"), ("GET", "/a/"), ("DELETE", "/a"), ("OPTIONS", "/a"), ("OPTIONS", "/b"), ("OPTIONS", "/c"),
        ("OPTIONS", "*"), ("GET", "/%zz"), ("GET", "/%ff"), ("OPTIONS", "/none"), ("POST", "/none", b"x" * 10),
    )  # fmt: skip
    assert [a.status for a in found] == [404, 404, 405, 204, 204, 200, 204, 400, 400, 404, 404]
    assert found[0].body == b"not found\n" and found[0].headers["content-type"] == "text/plain; charset=utf-8"
    assert found[2].headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert found[3].headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert found[4].headers["allow"] == "OPTIONS, PUT"
    assert found[6].headers["allow"] == "GET, HEAD, OPTIONS, POST, PUT"
    assert found[7].body == b"the path has a bad escape or is not UTF-8\n"


def test_head_is_served_by_get_unless_it_has_a_handler_of_its_own() -> None:
    site = Site()
    methods: list[str] = []

    @site.route("/a")
    async def by_get(req: Any) -> Response:
        methods.append(req.method)
        return Response(200, None, b"abc")

    @site.route("/b", ["HEAD"])
    async def by_head(req: Any) -> Response:
        methods.append("own")
        return Response(204)

    site.route("/b")(async_ok)
    found = asking(site, ("HEAD", "/a"), ("HEAD", "/b"))
    assert (found[0].headers["content-length"], found[1].status, methods) == ("3", 204, ["HEAD", "own"])


def test_middleware_runs_only_for_what_has_a_route() -> None:
    site = Site()
    seen: list[str] = []
    site.middleware(lambda req: seen.append(req.path))
    site.route("/a")(ok)
    found = asking(site, ("GET", "/none"), ("POST", "/a"), ("OPTIONS", "/a"), ("GET", "/%zz"), ("GET", "/a"))
    assert [a.status for a in found] == [404, 405, 204, 400, 200]
    assert seen == ["/a"]


def test_a_request_keeps_the_generation_that_it_began_with() -> None:
    site, other = Site(), Site()
    go_on = asyncio.Event()

    @site.route("/")
    async def old(req: Any) -> Response:
        await go_on.wait()
        return Response(200, None, b"old " + req.route.encode())

    other.route("/")(async_ok)

    async def scenario() -> None:
        first = asyncio.ensure_future(site.ask("GET", "/"))
        await until(lambda: site.dispatcher.running)
        site.dispatcher.use(other.registry.freeze())
        assert (await site.ask("GET", "/")).body == b"ok"
        go_on.set()
        assert (await first).body == b"old /"

    site.play(scenario)


# ---- middleware


@on_each_kind
def test_guards_and_wraps_run_in_the_order_of_their_registration(kind: str) -> None:
    site = Site()
    order: list[str] = []

    @site.middleware
    async def outer(req: Any, call_next: Any) -> Response:
        order.append("outer")
        res = await call_next(req)
        order.append("outer after")
        res.headers["x-outer"] = "1"
        return res  # type: ignore[no-any-return]

    @site.middleware
    def guard(req: Any) -> None:
        order.append("guard")

    @site.middleware
    async def inner(req: Any, call_next: Any) -> Response:
        order.append("inner")
        res = await call_next()
        order.append("inner after")
        return res  # type: ignore[no-any-return]

    @site.middleware
    async def async_guard(req: Any) -> None:
        await asyncio.sleep(0)
        order.append("async guard")

    site.registry.add_middleware(lambda req: order.append("thread guard"), blocking=True)
    function, options = KINDS[kind]
    site.route("/", **options)(function)
    (answer,) = asking(site, ("GET", "/"))
    assert answer.headers["x-outer"] == "1"
    assert order == ["outer", "guard", "inner", "async guard", "thread guard", "inner after", "outer after"]


def test_a_guard_that_answers_stops_what_is_inside_of_it_only() -> None:
    site = Site()
    seen: list[int] = []

    @site.middleware
    async def outer(req: Any, call_next: Any) -> Any:
        res = await call_next(req)
        seen.append(res.status)
        return res

    site.middleware(lambda req: Response(401))
    site.middleware(lambda req: seen.append(0))
    site.route("/")(ok)
    assert asking(site, ("GET", "/"))[0].status == 401
    assert seen == [401]


@on_each_kind
def test_call_next_raises_what_the_handler_raised(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    @site.middleware
    async def rescue(req: Any, call_next: Any) -> Any:
        try:
            return await call_next(req)
        except LookupError as error:
            return Response(409, None, repr(error))

    def fails(req: Any) -> Response:
        raise LookupError("none")

    async def fails_async(req: Any) -> Response:
        if kind == "suspends":
            await asyncio.sleep(0)
        raise LookupError("none")

    wrapped = {"async": fails_async, "suspends": fails_async}.get(kind, fails)
    site.route("/", **KINDS[kind][1])(wrapped)
    assert [(a.status, a.body) for a in asking(site, ("GET", "/"))] == [(409, b"LookupError('none')")]
    assert not [line for line in said(caplog) if "held the loop" not in line]  # as a busy machine may


@pytest.mark.parametrize("give", [lambda req, call_next: None, lambda req, call_next: 7])
def test_a_wrap_that_returns_no_response_is_named(give: Any, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.middleware(give)
    site.route("/")(ok)
    assert asking(site, ("GET", "/"))[0].body == b"handler error\n"
    assert "a wrap returns http.Response" in caplog.text and f"{__file__}:" in caplog.text


def test_a_guard_that_returns_junk_is_named(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.middleware(lambda req: 7)
    site.route("/")(ok)
    assert asking(site, ("GET", "/"))[0].status == 500
    assert "returned an int; a guard returns http.Response or None" in caplog.text


def test_call_next_takes_no_other_request(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.middleware(lambda req, call_next: call_next("other"))
    site.route("/")(ok)
    assert asking(site, ("GET", "/"))[0].status == 500
    assert "call_next takes the request that the middleware was given, not a str" in caplog.text


# ---- what comes back


@pytest.mark.parametrize(
    "value, named", [(None, "None"), (7, "an int"), ("x", "a str"), ({}, "a dict"), (Response, "a type")]
)
@on_each_kind
def test_what_is_no_response_is_a_500_that_names_handler_and_place(
    kind: str, value: Any, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()

    def junk(req: Any) -> Any:
        return value

    async def junk_later(req: Any) -> Any:
        if kind == "suspends":
            await asyncio.sleep(0)
        return value

    site.route("/", **KINDS[kind][1])(junk_later if kind in ("async", "suspends") else junk)
    (answer,) = asking(site, ("GET", "/"))
    assert (answer.status, answer.body) == (500, b"handler error\n")
    assert f"({__file__}:" in caplog.text and f"returned {named} instead of http.Response" in caplog.text


@pytest.mark.parametrize(
    "error", [ValueError("secret"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), StopIteration(), MemoryError()]
)  # fmt: skip
@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("kind", ["async", "suspends", "direct", "thread"])
@on_each_way
def test_whatever_a_handler_raises_is_a_500_and_harms_nobody(
    mode: str, kind: str, middleware: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.pool_settings["task_mode"] = mode

    def fails(req: Any) -> Response:
        raise error

    async def fails_async(req: Any) -> Response:
        if kind == "suspends":
            await asyncio.sleep(0)
        raise error

    site.route("/", **KINDS[kind][1])(fails_async if kind in ("async", "suspends") else fails)
    site.route("/ok")(async_ok)
    if middleware:
        site.middleware(lambda req: None)
    found = asking(site, ("GET", "/"), ("GET", "/ok"))
    assert [(a.status, a.body) for a in found] == [(500, b"handler error\n"), (200, b"ok")]
    assert "GET /: handler error" in caplog.text
    assert not site.dispatcher.running


@on_each_kind
def test_a_content_length_that_lies_is_a_500(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.route("/", blocking=KINDS[kind][1].get("blocking", True))(
        lambda req: Response(200, {"content-length": "7"}, b"ok")
    )
    assert asking(site, ("GET", "/"))[0].status == 500
    assert "content-length is 7, but the body has 2 bytes" in caplog.text


def test_an_error_whose_text_cannot_be_made_is_answered_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.pool_settings["format_exception"] = lambda error: 1 / 0

    @site.route("/")
    async def fails(req: Any) -> Response:
        await asyncio.sleep(0)
        raise LookupError

    assert asking(site, ("GET", "/"))[0].status == 500
    assert "LookupError (its traceback cannot be shown: ZeroDivisionError)" in caplog.text


def test_the_log_names_the_route_and_not_the_path_of_the_client(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    @site.route("/u/{id}")
    async def fails(req: Any) -> Response:
        raise ValueError("no")

    asking(site, ("GET", "/u/%0aforged"))
    assert "GET /u/{id}: handler error" in caplog.text and "forged" not in caplog.messages[0].splitlines()[0]
