"""The pool after storms: closes, cancellations and time-outs at every point leave no half-used connection behind."""

from __future__ import annotations

import asyncio
import random

import pytest

from siphon_http.errors import ClientError, ReadError
from tests.client.same_loop import running, the_pool
from tests.stage import until


async def empty(api: object) -> None:
    """Wait until nothing is under way, and check the books."""
    pool = the_pool(api)
    await until(
        lambda: (
            not pool.tasks and all(not o.waiting and len(o.connections) == o.idle_count for o in pool.origins.values())
        )
    )
    for origin in pool.origins.values():
        assert (origin.waiting, origin.connecting) == (0, 0)
        assert len(origin.connections) == origin.idle_count
        assert all(connection.protocol.state.value == 0 for connection in origin.connections)
    assert pool.deadlines.count == 1, "the pool's own is left"


@pytest.mark.parametrize("limit", [100, 4])
async def test_no_call_that_could_be_repeated_fails_when_the_server_closes_at_random(limit: int) -> None:
    async with running(max_connections=limit, timeout_ms=20_000) as (backend, api):

        async def caller(number: int) -> None:
            for step in range(150):
                answer = await api.get(f"/storm/{number}/{step}")
                assert answer.text == f"calm /storm/{number}/{step}"

        await asyncio.gather(*[caller(number) for number in range(20)])
        await empty(api)
        assert len(backend.requests) >= 3000


@pytest.mark.parametrize("seed", range(3))
async def test_cancellations_and_time_outs_at_every_point_leave_the_pool_whole(seed: int) -> None:
    rng = random.Random(seed)
    outcomes: dict[str, int] = {}

    async def upload() -> object:
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(rng.random() * 0.002)
            yield b"x" * rng.randrange(20_000)

    async def once(api: object, number: int) -> None:
        draw = rng.random()
        timeout = rng.choice([1, 2, 3, 5, 10, 5000, 5000])
        if draw < 0.5:
            answer = await api.get(f"/storm/{number}", timeout_ms=timeout)  # type: ignore[attr-defined]
            assert answer.text == f"calm /storm/{number}"
        elif draw < 0.65:
            answer = await api.post("/echo", body=upload(), timeout_ms=timeout)  # type: ignore[attr-defined]
            assert answer.body == b"x" * len(answer.body)
        elif draw < 0.8:
            async with await api.get("/pieces/40", stream=True, timeout_ms=timeout) as answer:  # type: ignore[attr-defined]
                async for _ in answer.stream():
                    if rng.random() < 0.1:
                        break
        elif draw < 0.9:
            await api.get(rng.choice(["/cut", "/reset", "/close", "/last"]), timeout_ms=timeout)  # type: ignore[attr-defined]
        else:
            await api.get(f"/to/302/storm/{number}", timeout_ms=timeout)  # type: ignore[attr-defined]

    async def careless(api: object, number: int) -> None:
        task = asyncio.ensure_future(once(api, number))
        if rng.random() < 0.5:
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            await asyncio.sleep(rng.choice([0, 0, rng.random() * 0.005]))
            task.cancel()
        try:
            await task
            kind = "done"
        except asyncio.CancelledError:
            kind = "cancelled"
        except ClientError as error:
            kind = type(error).__name__
        outcomes[kind] = outcomes.get(kind, 0) + 1

    async with running(max_connections=10) as (_, api):
        for start in range(0, 1200, 40):
            await asyncio.gather(*[careless(api, number) for number in range(start, start + 40)])
        await empty(api)
        assert outcomes["done"] > 100 and outcomes["cancelled"] > 50 and outcomes["TotalTimeout"] > 20, outcomes
        answers = await asyncio.gather(*[api.get(f"/{n}") for n in range(30)])
        assert [answer.text for answer in answers] == [f"GET /{n}" for n in range(30)]
        await empty(api)


async def test_a_reset_in_every_answer_is_an_error_for_each_and_nothing_more() -> None:
    async with running() as (_, api):
        results = await asyncio.gather(*[api.get("/reset") for _ in range(100)], return_exceptions=True)
        assert all(isinstance(result, ReadError) for result in results)
        await empty(api)
