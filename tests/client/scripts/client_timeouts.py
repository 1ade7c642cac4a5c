"""Every time-out fires, on time, with the error of its phase, and leaves a pool that works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from siphon import http

from tests.client.scripts.casebook import Casebook, Raises, View, raises, same

api = http.Client("api")
one = http.Client("one")  # one connection at most, and 150 ms to get it
quick = http.Client("quick")  # 200 ms to connect

book = Casebook(http)


class within:
    """`async with within(0.2): ...` fails when it takes less, or so much more that another limit must have fired.

    slack: a busy machine takes a second more.
    """

    def __init__(self, seconds: float, slack: float = 2.0) -> None:
        self.seconds = seconds
        self.slack = slack

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        took = time.monotonic() - self.begun
        if not self.seconds - 0.02 <= took <= self.seconds + self.slack:
            raise AssertionError(f"took {took:.3f} s, expected {self.seconds}")


async def total(call: Awaitable[Any], seconds: float) -> Raises:
    with within(seconds), raises(http.TotalTimeout, "") as caught:
        await call
    same(caught.error.phase, "total")
    same((await api.get("/status/200")).status, 200)
    return caught


@book.case
async def a_server_that_never_answers(backend: View) -> None:
    caught = await total(api.get("/silent", timeout_ms=200), 0.2)
    assert "200" in str(caught.error) and "timeout_ms" in str(caught.error), str(caught.error)


@book.cases("/trickle/20", "/trickle/20?head=1", "/stall/20", "/stall/60", "/chunked/1000?ms=10")
async def a_server_that_trickles(backend: View, path: str) -> None:
    await total(api.get(path, timeout_ms=300), 0.3)


@book.case
async def a_total_that_is_configured(backend: View) -> None:
    await total(http.Client(base_url=backend.url(), timeout_ms=150).get("/silent"), 0.15)


@book.case
async def the_call_overrides_the_client(backend: View) -> None:
    client = http.Client(base_url=backend.url(), timeout_ms=50)
    same((await client.get("/delay/200", timeout_ms=2000)).status, 200)


@book.case
async def a_total_spans_redirects(backend: View) -> None:
    loop = "/redirect_to?url=/delay/80"
    target = f"/redirect_to?url={loop.replace('?', '%3F').replace('=', '%3D')}"
    same((await api.get(target, timeout_ms=1000)).status, 200)
    await total(api.get(target, timeout_ms=60), 0.06)


@book.case
async def a_total_spans_a_streamed_answer(backend: View) -> None:
    with within(0.2), raises(http.TotalTimeout, ""):
        answer = await api.get("/chunked/1000?ms=10", stream=True, timeout_ms=200)
        async for _ in answer.stream():
            pass
    same((await api.get("/status/200")).status, 200)


@book.case
async def a_total_spans_content_that_is_slow_to_make(backend: View) -> None:
    async def slow() -> Any:
        while True:
            await asyncio.sleep(0.02)
            yield b"x"

    await total(api.post("/echo", body=slow(), timeout_ms=200), 0.2)


@book.case
async def a_peer_that_reads_nothing(backend: View) -> None:
    body = b"x" * 50_000_000
    with within(0.3), raises(http.TotalTimeout, ""):
        await api.post("/no_read", body=body, timeout_ms=300)
    same((await api.get("/status/200")).status, 200)


@book.case
async def a_connect_that_hangs(backend: View) -> None:
    with within(0.2), raises(http.ConnectTimeout, "connect_timeout_ms") as caught:
        await quick.get(backend.url("/", kind="full"))
    same(caught.error.phase, "connect")


@book.case
async def a_tls_handshake_that_hangs(backend: View) -> None:
    with within(0.2), raises(http.ConnectTimeout, "") as caught:
        await quick.get(backend.url("/", kind="mute").replace("http:", "https:"))
    assert "TLS" in str(caught.error), str(caught.error)


@book.case
async def a_proxy_that_hangs(backend: View) -> None:
    client = http.Client(proxy=backend.url(kind="proxy_mute"), connect_timeout_ms=200, verify=backend.path("ca.pem"))
    with within(0.2), raises(http.ConnectTimeout, "") as caught:
        await client.get(backend.url("/echo", kind="tls"))
    assert "proxy" in str(caught.error), str(caught.error)
    await client.close()


@book.case
async def the_total_wins_over_a_longer_connect(backend: View) -> None:
    with within(0.1), raises(http.TotalTimeout, ""):
        await quick.get(backend.url("/", kind="full"), timeout_ms=100)


@book.case
async def a_pool_that_is_full(backend: View) -> None:
    busy = asyncio.ensure_future(one.get("/delay/600"))
    await backend.until(lambda told: told["seen"])
    with within(0.15), raises(http.PoolTimeout, "max_connections") as caught:
        await one.get("/echo")
    same(caught.error.phase, "pool")
    same((await busy).status, 200)
    same((await one.get("/status/200")).status, 200)


@book.case
async def a_waiter_gets_the_connection_in_time(backend: View) -> None:
    busy = asyncio.ensure_future(one.get("/delay/80"))
    await backend.until(lambda told: told["seen"])
    answers = await asyncio.gather(*(one.get("/status/200") for _ in range(5)))
    same([answer.status for answer in answers], [200] * 5)
    same((await busy).status, 200)


@book.case
async def asyncio_timeout_works_around_a_call(backend: View) -> None:
    with within(0.1), raises(TimeoutError, ""):
        async with asyncio.timeout(0.1):
            await api.get("/silent")
    same((await api.get("/status/200")).status, 200)


@book.case
async def hundreds_of_timeouts_fire_together(backend: View) -> None:
    with within(0.3):
        results = await asyncio.gather(*(api.get("/silent", timeout_ms=300) for _ in range(90)), return_exceptions=True)
    same({type(result) for result in results}, {http.TotalTimeout})
    same((await api.get("/status/200")).status, 200)


@book.case
async def a_server_that_pauses_longer_than_a_read_may(backend: View) -> None:
    async with http.Client(base_url=backend.url(), read_timeout_ms=150) as client:
        for path in ("/silent", "/stall/20", "/stall/60"):
            with within(0.15), raises(http.ReadTimeout, "read_timeout_ms") as caught:
                await client.get(path)
            same(caught.error.phase, "read")
        same(len((await client.get("/chunked/8?ms=50")).body), 40)


@book.case
async def a_peer_that_reads_nothing_for_longer_than_a_write_may(backend: View) -> None:
    async with http.Client(base_url=backend.url(), write_timeout_ms=150) as client:
        body = b"x" * 50_000_000
        with within(0.15), raises(http.WriteTimeout, "write_timeout_ms") as caught:
            await client.post("/no_read", body=body)
        same(caught.error.phase, "write")
        same((await client.get("/status/200")).status, 200)


@book.case
async def an_idle_connection_is_closed_in_time(backend: View) -> None:
    before = (await backend.told())["open"]
    async with http.Client(base_url=backend.url(), idle_timeout_ms=200) as client:
        await client.get("/status/200")
        same((await backend.told())["open"], before + 1)
        await backend.until(lambda told: told["open"] <= before, 5)
        same((await client.get("/status/200")).status, 200)
