"""The pool: reuse, limits, connections that die while idle, replay, cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

from siphon import http

from tests.client.scripts.casebook import Casebook, View, raises, same

api = http.Client("api")
few = http.Client("few")  # three connections at most, one idle

book = Casebook(http)


async def connection(client: Any, path: str = "/echo", **options: Any) -> int:
    """Return the number of the connection that a call went over."""
    return int((await client.get(path, **options)).json()["connection"])


@book.case
async def calls_one_after_the_other_share_a_connection(backend: View) -> None:
    same(len({await connection(api) for _ in range(20)}), 1)


@book.case
async def the_connection_used_last_is_used_next(backend: View) -> None:
    client = http.Client(base_url=backend.url())
    await asyncio.gather(*(client.get("/delay/20") for _ in range(5)))
    same(len({await connection(client) for _ in range(10)}), 1)
    await client.close()


@book.case
async def content_of_every_framing_gives_the_connection_back(backend: View) -> None:
    client = http.Client(base_url=backend.url())
    first = await connection(client)
    for path in ("/bytes/100000", "/chunked/10", "/interim", "/status/204", "/packed/gzip", "/bytes/0"):
        await client.get(path)
        same((path, await connection(client)), (path, first))
    await client.head("/bytes/10")
    await client.post("/sink", body=b"x" * 100_000)
    same(await connection(client), first)
    await client.close()


@book.case
async def no_more_connections_than_allowed_are_open(backend: View) -> None:
    before = (await backend.told())["open"]
    most = 0
    calls = [asyncio.ensure_future(few.get("/delay/30")) for _ in range(15)]
    while not all(call.done() for call in calls):
        most = max(most, (await backend.told())["open"] - before)
        await asyncio.sleep(0.005)
    same([call.result().status for call in calls], [200] * 15)
    assert most <= 3, most


@book.case
async def no_more_idle_connections_than_allowed_are_kept(backend: View) -> None:
    before = (await backend.told())["open"]
    await asyncio.gather(*(few.get("/delay/30") for _ in range(3)))
    await backend.until(lambda told: told["open"] <= before + 1)


@book.case
async def waiters_are_served_in_turn(backend: View) -> None:
    order: list[int] = []

    async def call(i: int) -> None:
        await few.get(f"/delay/20?{i}")
        order.append(i)

    calls = []
    for i in range(12):
        calls.append(asyncio.ensure_future(call(i)))
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    seen = [seen["target"] for seen in await backend.seen()]
    same(seen, [f"/delay/20?{i}" for i in range(12)])


@book.case
async def a_cancelled_waiter_leaves_the_queue(backend: View) -> None:
    calls = [asyncio.ensure_future(few.get("/delay/100")) for _ in range(3)]
    await backend.until(lambda told: len(told["seen"]) == 3)
    waiters = [asyncio.ensure_future(few.get("/status/200")) for _ in range(10)]
    await asyncio.sleep(0.02)  # all of them are in the queue
    for waiter in waiters[:9]:
        waiter.cancel()
    same((await waiters[9]).status, 200)
    await asyncio.gather(*calls)
    same(sum(seen["target"] == "/status/200" for seen in await backend.seen()), 1)


# ---- connections that end


@book.cases("/lie", "/bye", "/half_close", "/http10", "/eof")
async def a_connection_that_the_server_ends_is_not_used_again(backend: View, path: str) -> None:
    for _ in range(10):
        same((await api.get(path)).status, 200)


@book.cases(0, 1, 20)
async def a_connection_that_dies_while_idle_is_replaced(backend: View, ms: int) -> None:
    for _ in range(10):
        await api.get(f"/close_later/{ms}")
        await asyncio.sleep(ms / 1000 + 0.001)
        same((await api.get("/status/200")).status, 200)
        same((await api.post("/sink", body=b"abc")).json(), {"size": 3})


@book.case
async def a_dead_idle_connection_is_closed_at_once(backend: View) -> None:
    before = (await backend.told())["open"]
    client = http.Client(base_url=backend.url())
    await asyncio.gather(*(client.get("/close_later/20") for _ in range(5)))
    await backend.until(lambda told: told["open"] <= before)
    await asyncio.sleep(0.05)  # the ends have come
    same((await client.get("/status/200")).status, 200)
    await client.close()


@book.case
async def an_idle_expiry_of_the_client_closes_the_connection(backend: View) -> None:
    client = http.Client(base_url=backend.url())
    before = (await backend.told())["open"]
    await client.get("/echo")
    same((await backend.told())["open"], before + 1)
    await client.close()
    await backend.until(lambda told: told["open"] <= before)


@book.case
async def a_request_on_a_connection_that_died_is_replayed_once(backend: View) -> None:
    client = http.Client(base_url=backend.url())
    for i in range(30):
        await client.get("/status/200")  # so that the next one goes over a used connection
        same((await client.get(f"/storm/replay-{i}")).json()["id"], f"replay-{i}")
    await client.close()


# ---- cancellation


@book.cases(
    "/silent",
    "/stall/10",
    "/stall/60",
    "/trickle/1",
    "/chunked/100?ms=1",
    "/endless_body",
    "/delay/50",
    "/no_read",
    "/echo",
)
async def a_cancelled_call_leaves_the_pool_clean(backend: View, path: str) -> None:
    for delay in (0, 0, 0.001, 0.005, 0.02, 0.05):
        body = b"x" * 5_000_000 if path == "/no_read" else None
        call = asyncio.ensure_future(few.post(path, body=body) if body else few.get(path))
        await asyncio.sleep(delay)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        same((await few.get("/bytes/7")).body, b"x" * 7)


@book.case
async def a_cancelled_connect_leaves_the_pool_clean(backend: View) -> None:
    client = http.Client(max_connections=2)
    for _ in range(10):
        call = asyncio.ensure_future(client.get(backend.url("/", kind="full")))
        await asyncio.sleep(0.002)  # begun, and nobody takes the connection
        call.cancel()
        with raises(asyncio.CancelledError, ""):
            await call
    same((await client.get(backend.url("/status/200"))).status, 200)
    await client.close()


@book.case
async def closing_an_inline_client_lets_its_calls_end(backend: View) -> None:
    before = (await backend.told())["open"]
    client = http.Client(base_url=backend.url())
    call = asyncio.ensure_future(client.get("/delay/100"))
    await backend.until(lambda told: told["seen"])
    await client.close()
    same((await call).status, 200)
    await backend.until(lambda told: told["open"] <= before)
