"""Handlers over time: contexts and tasks, time-outs and departures, threads, what holds the loop, and the end."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.task import AVAILABLE_MODES
from tests.stage import Site, on_each_loop, said, until

on_each_way = pytest.mark.parametrize("mode", AVAILABLE_MODES)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
OPTIONS: dict[str, dict[str, Any]] = {"async": {}, "suspends": {}, "direct": {"blocking": False}, "thread": {}}


async def async_ok(req: Any) -> Response:
    return Response(200, None, b"ok")


# ---- contexts and tasks


def leaking(kind: str) -> Any:
    """Return a handler that answers with what `variable` is, and sets it."""

    def look(req: Any) -> Response:
        text = variable.get()
        variable.set("leak")
        return Response(200, None, text)

    async def look_async(req: Any) -> Response:
        if kind == "suspends":
            await asyncio.sleep(0)
        return look(req)

    return look_async if kind in ("async", "suspends") else look


@pytest.mark.parametrize("kind", ["async", "suspends", "direct", "thread"])
def test_context_variables_of_middleware_reach_the_handler_and_no_other_request(kind: str) -> None:
    site = Site()

    @site.middleware
    def guard(req: Any) -> None:
        if req.path == "/marked":
            variable.set("guard")

    for path in ("/marked", "/plain"):
        site.route(path, **OPTIONS[kind])(leaking(kind))

    async def scenario() -> None:
        line = await site.line()
        asked = "/marked", "/plain", "/marked", "/plain"
        assert [(await line.ask("GET", path)).body for path in asked] == [b"guard", b"none", b"guard", b"none"]
        assert variable.get() == "none"

    site.play(scenario)


@pytest.mark.parametrize("kind", ["async", "suspends", "direct", "thread"])
def test_without_middleware_a_context_is_a_requests_own(kind: str) -> None:
    site = Site()

    site.route("/", **OPTIONS[kind])(leaking(kind))

    async def scenario() -> None:
        line = await site.line()
        assert [(await line.ask("GET", "/")).body for _ in range(3)] == [b"none"] * 3

    site.play(scenario)


@on_each_way
@on_each_loop
def test_a_handler_runs_in_a_task_of_its_own_before_and_after_it_waits(loop: str, mode: str) -> None:
    site = Site()
    site.pool_settings["task_mode"] = mode

    @site.route("/")
    async def tasks(req: Any) -> Response:
        before = asyncio.current_task()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            children = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
        assert asyncio.current_task() is before is not None
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(5)  # cut by the time-out
        except TimeoutError:
            pass
        assert before.cancelling() == 0
        return Response(200, None, str([child.result() for child in children]))

    async def scenario() -> None:
        assert [(await site.ask("GET", "/")).body for _ in range(2)] == [b"[0, 1, 2]"] * 2

    site.play(scenario, loop)


def test_a_handler_that_cancels_itself_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    @site.route("/")
    async def cancels(req: Any) -> Response:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)  # is cancelled as soon as it waits
        return Response(200)

    async def scenario() -> None:
        assert (await site.ask("GET", "/")).status == 500

    site.play(scenario)
    assert "the handler cancelled itself" in caplog.text


# ---- time and departures


class Watched:
    """A handler that waits, and what became of it."""

    def __init__(self, site: Site, path: str = "/", **options: Any) -> None:
        self.entered = 0
        self.outcomes: list[str] = []
        self.go_on = asyncio.Event()
        site.route(path, ["GET", "POST"], **options)(self)

    async def __call__(self, req: Any) -> Response:
        self.entered += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)  # cleaning up takes a while
            self.outcomes.append("cancelled")
            raise
        self.outcomes.append("done")
        return Response(200)


@pytest.mark.parametrize("middleware", [False, True])
def test_a_time_out_is_answered_first_and_cancelled_then(middleware: bool, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(request_timeout_ms=40)
    watched = Watched(site)
    if middleware:
        site.middleware(lambda req, call_next: call_next(req))

    async def scenario() -> None:
        assert (await site.ask("GET", "/")).status == 504
        assert watched.outcomes == []
        await until(lambda: watched.outcomes == ["cancelled"] and not site.dispatcher.running)

    site.play(scenario)
    assert not said(caplog)


@on_each_loop
@pytest.mark.parametrize("policy, outcome", [("cancel", "cancelled"), ("finish", "done")])
def test_when_the_client_leaves_the_route_decides(loop: str, policy: str, outcome: str) -> None:
    site = Site()
    watched = Watched(site, on_disconnect=policy)

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: site.dispatcher.running)
        line.reset()
        await until(lambda: not site.server.open_connections)
        await asyncio.sleep(0.01)  # a cancellation would have come by now
        watched.go_on.set()
        await until(lambda: watched.outcomes == [outcome] and not site.dispatcher.running)

    site.play(scenario, loop)


def test_finish_is_about_departures_and_not_about_time() -> None:
    site = Site(request_timeout_ms=40)
    watched = Watched(site, on_disconnect="finish")

    async def scenario() -> None:
        assert (await site.ask("GET", "/")).status == 504
        await until(lambda: watched.outcomes == ["cancelled"])

    site.play(scenario)


def test_a_handler_that_ends_at_the_moment_of_its_time_out_answers_once() -> None:
    site = Site(request_timeout_ms=50)

    @site.route("/{ms}")
    async def sleeps(req: Any) -> Response:
        try:
            await asyncio.sleep(int(req.path_params["ms"]) / 1000)
        except asyncio.CancelledError:
            return Response(200, None, b"too late")
        return Response(200, None, b"in time")

    @site.route("/next", timeout_ms=30_000)
    async def follows(req: Any) -> Response:
        return Response(200, None, b"next")

    async def scenario() -> None:
        async def one(ms: int) -> None:
            line = await site.line()
            first = await line.ask("GET", f"/{ms}")
            assert (first.status, first.body) in ((200, b"in time"), (504, b"gateway timeout\n"))
            assert (await line.ask("GET", "/next")).body == b"next"

        await asyncio.gather(*(one(ms) for ms in range(40, 90, 2)))
        await until(lambda: not site.dispatcher.running)

    site.play(scenario)


def test_a_thread_that_ends_after_its_time_out_is_not_heard() -> None:
    site = Site(request_timeout_ms=40)
    release = threading.Event()
    ran: list[str] = []

    async def rest() -> Response:
        ran.append("rest")
        return Response(200)

    @site.route("/")
    def blocks(req: Any) -> Any:
        release.wait(5)
        ran.append("thread")
        return rest()

    site.route("/ok")(async_ok)

    async def scenario() -> None:
        line = await site.line()
        assert (await line.ask("GET", "/")).status == 504
        assert (await line.ask("GET", "/ok")).body == b"ok"
        release.set()
        await until(lambda: not site.dispatcher.running)
        assert ran == ["thread"]

    site.play(scenario)


def test_pipelined_requests_are_handled_one_at_a_time_and_answered_in_order() -> None:
    site = Site()
    inside = 0

    @site.route("/{n}")
    async def slow(req: Any) -> Response:
        nonlocal inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0.003 if req.path == "/0" else 0)
        inside -= 1
        return Response(200, None, req.path_params["n"])

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(20)))
        assert [(await line.answer()).body for _ in range(20)] == [str(n).encode() for n in range(20)]

    site.play(scenario)


# ---- threads


@pytest.mark.parametrize("middleware", [False, True])
def test_more_than_the_queue_holds_is_503_with_and_without_middleware(
    middleware: bool, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.pool_settings.update(sync_pool_max=1, sync_queue_max=1)
    release = threading.Event()
    site.route("/")(lambda req: Response(200 if release.wait(5) else 500))
    if middleware:
        site.middleware(lambda req: None)

    async def scenario() -> None:
        asked = [asyncio.ensure_future(site.ask("GET", "/")) for _ in range(4)]
        await until(lambda: sum(one.done() for one in asked) == 2)
        release.set()
        found = [await one for one in asked]
        assert sorted(a.status for a in found) == [200, 200, 503, 503]
        assert b"too many requests wait for a thread\n" in [a.body for a in found]

    site.play(scenario)
    assert "GET /: 503, no thread is free and 1 calls may wait for one" in caplog.text


def test_a_blocking_handler_does_not_hold_up_the_others() -> None:
    site = Site()
    release = threading.Event()
    site.route("/block")(lambda req: Response(200 if release.wait(5) else 500))
    site.route("/")(async_ok)

    async def scenario() -> None:
        blocked = asyncio.ensure_future(site.ask("GET", "/block"))
        await until(lambda: site.dispatcher.running)
        assert (await site.ask("GET", "/")).body == b"ok"
        release.set()
        assert (await blocked).status == 200

    site.play(scenario)


# ---- what holds the loop


@pytest.mark.parametrize("mode", [mode for mode in AVAILABLE_MODES if mode != "task"])
@pytest.mark.parametrize("kind", ["async", "direct", "guard", "wrap"])
def test_what_holds_the_loop_is_logged_once_with_its_place(
    kind: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.pool_settings["task_mode"] = mode

    def holds(req: Any) -> None:
        time.sleep(0.12)  # beyond the 100 ms that are allowed

    if kind == "guard":
        site.middleware(holds)
    if kind == "wrap":

        @site.middleware
        async def wrap(req: Any, call_next: Any) -> Any:
            holds(req)
            return await call_next(req)

    @site.route("/direct", blocking=False)
    def direct(req: Any) -> Response:
        holds(req)
        return Response(200)

    @site.route("/other")
    async def other(req: Any) -> Response:
        if kind == "async":
            holds(req)
        return Response(200)

    path = "/direct" if kind == "direct" else "/other"

    async def scenario() -> None:
        for _ in range(2):
            assert (await site.ask("GET", path)).status == 200

    site.play(scenario)
    (text,) = said(caplog, logging.WARNING)
    assert f"GET {path} held the loop for 1" in text and f"{__file__}:" in text


# ---- the end


def test_cancel_all_answers_who_still_waits_for_a_thread() -> None:
    site = Site()
    site.pool_settings.update(sync_pool_max=1)
    entered, release = threading.Event(), threading.Event()

    @site.route("/block")
    def block(req: Any) -> Response:
        entered.set()
        release.wait(5)
        return Response(200)

    async def scenario() -> None:
        running = asyncio.ensure_future(site.ask("GET", "/block"))
        await until(entered.is_set)
        waiting = asyncio.ensure_future(site.ask("GET", "/block"))
        await until(lambda: len(site.dispatcher.running) == 2)
        site.dispatcher.cancel_all()
        release.set()
        assert (await running).status == 200
        assert (await waiting).status == 503

    site.play(scenario)


def test_cancel_all_answers_503_and_logs_no_errors(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    watched = Watched(site)

    async def scenario() -> None:
        asked = asyncio.ensure_future(site.ask("GET", "/"))
        await until(lambda: site.dispatcher.running)
        site.dispatcher.cancel_all()
        assert (await asked).status == 503
        assert watched.outcomes == ["cancelled"]

    site.play(scenario)
    assert not said(caplog)


def test_when_idle_is_called_once_nothing_runs() -> None:
    site = Site()
    watched = Watched(site)

    async def scenario() -> None:
        calls: list[str] = []
        site.dispatcher.when_idle(lambda: calls.append("before"))
        asked = asyncio.ensure_future(site.ask("GET", "/"))
        await until(lambda: site.dispatcher.running)
        site.dispatcher.when_idle(lambda: calls.append("after"))
        assert calls == ["before"]
        watched.go_on.set()
        assert (await asked).status == 200
        assert calls == ["before", "after"]

    site.play(scenario)


@on_each_loop
def test_a_loop_that_closes_with_handlers_running_says_nothing(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    watched = Watched(site)

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: site.dispatcher.running)

    site.play(scenario, loop)
    assert watched.entered == 1 and not site.dispatcher.running
    assert not said(caplog)


def test_a_later_step_that_holds_the_loop_is_logged_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    @site.route("/")
    async def late(req: Any) -> Response:
        await asyncio.sleep(0)
        time.sleep(0.12)  # beyond the 100 ms that are allowed
        await asyncio.sleep(0)
        return Response(200)

    async def scenario() -> None:
        for _ in range(2):
            assert (await site.ask("GET", "/")).status == 200

    site.play(scenario)
    (text,) = said(caplog, logging.WARNING)
    line = inspect.getsourcelines(late)[1] + 4  # where it waits now: behind the call that blocked
    assert text.startswith("a handler held the loop for 1") and f"{__file__}:{line}" in text
