"""With the cyclic collector off, requests of every kind leave no object behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from siphon_http._core.message import Response
from tests.stage import Site, on_each_loop, until

REQUESTS = 100 if "SIPHON_HTTP_INSTRUMENTED" in os.environ else 1000
OURS = ("siphon_http", "tests.")
OFTEN = {"coroutine", "generator", "async_generator", "Context", "Task", "HandlerTask", "Future", "traceback", "frame"}


def count() -> Counter[str]:
    """Count live objects of ours, and those of the interpreter that a request makes."""
    found: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        if str(kind.__module__).startswith(OURS) or kind.__name__ in OFTEN or isinstance(one, BaseException):
            found[f"{kind.__module__}.{kind.__name__}"] += 1
    return found


async def answered(req: Any) -> Response:
    return Response(200, {"a": "b"}, req.body())


async def suspended(req: Any) -> Response:
    await asyncio.sleep(0)
    return Response(200, None, str(req.headers) + str(req.query_params) + str(req.path_params))


def plain(req: Any) -> Response:
    return Response(200, None, req.path)


async def fails(req: Any) -> Response:
    await asyncio.sleep(0)
    raise ValueError(req)


async def fails_at_once(req: Any) -> Response:
    raise ValueError(req)


async def junk(req: Any) -> Any:
    return req


async def pieces(req: Any) -> Response:
    async def three() -> Any:
        for n in range(3):
            await asyncio.sleep(0)
            yield b"x" * n

    return Response(200, None, three())


def plain_pieces(req: Any) -> Response:
    return Response(200, None, (b"x" for _ in range(3)))


async def broken_off(req: Any) -> Response:
    async def one() -> Any:
        yield b"x"
        raise ValueError(req)

    return Response(200, None, one())


async def reads(req: Any) -> Response:
    return Response(200, None, b"".join([piece async for piece in req.stream()]))


async def echoes(req: Any) -> Response:
    return Response(200, None, req.stream())


async def group(req: Any) -> Response:
    async with asyncio.timeout(5), asyncio.TaskGroup() as made:
        made.create_task(asyncio.sleep(0))
    return Response(200)


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "answered": (answered, {}),
    "suspended": (suspended, {}),
    "direct": (plain, {"blocking": False}),
    "thread": (plain, {}),
    "fails": (fails, {}),
    "fails at once": (fails_at_once, {}),
    "junk": (junk, {}),
    "streams": (pieces, {}),
    "streams on threads": (plain_pieces, {}),
    "streams on the loop": (plain_pieces, {"blocking": False}),
    "broken off": (broken_off, {}),
    "reads": (reads, {"stream": True}),
    "echoes": (echoes, {"stream": True}),
    "task group": (group, {}),
    "none": (None, {}),
}


def leaves_nothing(site: Site, some: Callable[[int], Awaitable[None]], loop: str = "uvloop") -> None:
    """Do `some(10)`, then `some(REQUESTS)` with the collector off, and compare what is alive."""

    async def settled() -> None:
        await until(lambda: not site.dispatcher.running and not site.dispatcher.pool.waiting, within=20)
        await until(lambda: not site.server.open_connections, within=20)
        await asyncio.sleep(0.01)  # what goes in the loop's next turns is gone

    async def scenario() -> None:
        await some(50)
        await settled()
        gc.collect()
        gc.disable()
        try:
            before = count()
            await some(REQUESTS)
            await settled()
            grown = count() - before
        finally:
            gc.enable()
        assert {name: more for name, more in grown.items() if more > REQUESTS / 10} == {}

    site.play(scenario, loop)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Let no log record keep an exception."""
    caplog.set_level(100, "siphon_http")


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_requests_leave_nothing(kind: str, middleware: bool) -> None:
    site = Site()
    function, options = KINDS[kind]
    if function is not None:
        site.route("/{id}", ["GET", "POST"], **options)(function)
    if middleware:
        site.middleware(lambda req: None)
        site.middleware(lambda req, call_next: call_next(req))

    async def some(times: int) -> None:
        line = await site.line()
        for _ in range(times):
            if kind == "broken off":
                await line.send(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n")
                await line.rest()
                line.close()
                site._lines.clear()
                line = await site.line()
            else:
                await line.ask("POST", "/1?a=b", b"content", cookie="a=b")
        line.close()

    leaves_nothing(site, some)


@on_each_loop
@pytest.mark.parametrize("policy", ["cancel", "finish"])
@pytest.mark.parametrize("kind", ["waits", "thread", "streams", "uploads"])
def test_clients_that_leave_leave_nothing(kind: str, policy: str, loop: str) -> None:
    site = Site()

    async def waits(req: Any) -> Response:
        if kind == "uploads":
            async for _ in req.stream():
                pass
        await asyncio.sleep(0.005)  # its client leaves meanwhile
        return Response(200)

    async def streams(req: Any) -> Response:
        async def some() -> Any:
            for _ in range(20):
                yield b"x" * 1000
                await asyncio.sleep(0.001)  # its client leaves meanwhile

        return Response(200, None, some())

    def thread(req: Any) -> Response:
        return Response(200)

    function = {"streams": streams, "thread": thread}.get(kind, waits)
    site.route("/", ["GET", "POST"], on_disconnect=policy, stream=kind == "uploads")(function)

    async def one() -> None:
        line = await site.line()
        await line.send(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n" + (b"x" if kind == "uploads" else b"xx")
        )
        await asyncio.sleep(0.001)  # its handler has begun
        line.reset()

    async def some(times: int) -> None:
        for _ in range(times // 50):
            await asyncio.gather(*(one() for _ in range(50)))
            site._lines.clear()

    leaves_nothing(site, some, loop)


def test_time_outs_leave_nothing() -> None:
    site = Site(request_timeout_ms=20)

    @site.route("/")
    async def waits(req: Any) -> Response:
        await asyncio.sleep(5)  # beyond its time-out
        return Response(200)

    async def some(times: int) -> None:
        for _ in range(times // 50):
            lines = [await site.line() for _ in range(50)]
            assert {a.status for a in await asyncio.gather(*(line.ask("GET", "/") for line in lines))} == {504}
            for line in lines:
                line.close()
            site._lines.clear()

    leaves_nothing(site, some)
