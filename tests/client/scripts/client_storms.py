"""Storms: connections that die at random moments, and calls that are cancelled at random moments."""

from __future__ import annotations

import asyncio
import random

from siphon import http

from tests.client.scripts.casebook import Casebook, View, done_or_cancelled, same

storm = http.Client("storm")

book = Casebook(http)


@book.case
async def connections_that_die_at_random_lose_no_call(backend: View) -> None:
    """20,000 calls; none may fail, for each of them could be replayed."""
    count, workers = 20_000, 32
    left = iter(range(count))
    failures: list[str] = []

    async def work() -> None:
        for i in left:
            try:
                answer = await storm.get(f"/storm/get-{i}", timeout_ms=30_000)
                if answer.json()["id"] != f"get-{i}":
                    failures.append(f"{i}: answer of another call: {answer.body!r}")
            except http.ClientError as error:
                failures.append(f"{i}: {error!r}")

    await asyncio.gather(*(work() for _ in range(workers)))
    same((len(failures), failures[:5]), (0, []))
    asked = (await backend.told())["asked"]
    same(sum(key.startswith("get-") for key in asked), count)


@book.case
async def posts_in_the_storm_are_never_done_twice(backend: View) -> None:
    """A POST may fail when its connection dies, and must not be processed more than once."""
    count, workers = 3_000, 16
    left = iter(range(count))
    done: list[int] = []
    odd: list[str] = []

    async def work() -> None:
        for i in left:
            try:
                answer = await storm.post(f"/storm/post-{i}", body=b"%d" % i, timeout_ms=30_000)
            except (http.ReadError, http.WriteError):
                continue
            if answer.json() != {"id": f"post-{i}", "body": str(i)}:
                odd.append(f"{i}: {answer.body!r}")
            done.append(i)

    await asyncio.gather(*(work() for _ in range(workers)))
    asked = {key: times for key, times in (await backend.told())["asked"].items() if key.startswith("post-")}
    same(odd, [])
    same([key for key, times in asked.items() if times > 1], [])
    same([i for i in done if f"post-{i}" not in asked], [])


@book.case
async def cancellations_at_random_leave_a_pool_that_works(backend: View) -> None:
    """Thousands of calls, cancelled, timed out or left at every point; no answer may reach another call."""
    rng = random.Random(7)
    paths = [
        "/bytes/5000",
        "/chunked/5",
        "/chunked/3?ms=2",
        "/delay/3",
        "/storm/c",
        "/interim",
        "/close",
        "/reset/20",
        "/lie",
    ]
    tally = {"ok": 0, "cancelled": 0, "error": 0}

    async def call(i: int) -> None:
        path = rng.choice(paths)
        kind = rng.randrange(4)
        try:
            if kind == 0:
                answer = await storm.post(path, body=b"y" * rng.randrange(50_000), timeout_ms=rng.choice([2, 5000]))
            elif kind == 1:
                answer = await storm.get(path, stream=True)
                async for _ in answer.stream():
                    if rng.random() < 0.5:
                        break
            else:
                answer = await storm.get(path, timeout_ms=rng.choice([1, 3, 5000]))
            tally["ok"] += 1
        except http.ClientError:
            tally["error"] += 1

    async def worker() -> None:
        for i in range(150):
            after = rng.choice([0, 0, 0.0005, 0.001, 0.003]) if rng.random() < 0.6 else None
            await done_or_cancelled(call(i), after, tally)

    async with asyncio.timeout(60):
        await asyncio.gather(*(worker() for _ in range(40)))
    assert tally["cancelled"] > 500 and tally["ok"] > 500 and tally["error"] > 100, tally
    for i in range(200):
        same((await storm.get(f"/bytes/{i}")).body, b"x" * i)
    await asyncio.gather(*(storm.get("/delay/20") for _ in range(64)))  # all connections that it may have
    await backend.until(lambda told: told["open"] <= 64 + 2)
