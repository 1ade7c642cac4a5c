"""Cancellation of what a Runner started: as asyncio does it, on every way and loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.task_stage import Stage, Starter, at_once, begin, current, outcome, turns, with_oracle


def waiting(kind: str, inner: asyncio.Future[None]) -> Awaitable[Any]:
    """Return something to wait for that ends with `inner`."""

    async def child() -> None:
        await inner

    match kind:
        case "gather":
            return asyncio.gather(inner)
        case "shield":
            return asyncio.shield(inner)
        case "task":
            return asyncio.ensure_future(child())
        case "coroutine":
            return child()
    return inner


@with_oracle
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("kind", ["future", "gather", "shield", "task", "coroutine"])
def test_a_cancel_from_outside_reaches_what_the_coroutine_waits_for(stage: Stage, kind: str, count: int) -> None:
    seen: list[object] = []

    async def handler(awaitable: Awaitable[Any]) -> None:
        try:
            await awaitable
        except asyncio.CancelledError:
            seen.extend([current().cancelling(), current()])
            raise

    async def scenario(runner: Starter) -> None:
        inner: asyncio.Future[None] = runner.loop.create_future()
        task = await begin(runner, handler(waiting(kind, inner)))
        await turns(count)
        assert task.cancel("enough") is True
        if kind in ("future", "gather", "coroutine"):
            assert inner.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == [1, task]
        assert task.cancelled() and task.cancel() is False
        # A task that was cancelled before its own first step never got as far as `inner`.
        assert inner.cancelled() is (
            kind != "shield" and (kind != "task" or count > 0 or stage.mode in ("plain", "task"))
        )
        inner.cancel()
        await turns(1)

    stage.play(scenario)


@with_oracle
def test_the_message_of_a_cancel_arrives_where_the_coroutine_waits(stage: Stage) -> None:
    async def handler(future: asyncio.Future[None]) -> tuple[Any, ...]:
        try:
            await future
        except asyncio.CancelledError as error:
            return error.args
        return ()

    async def scenario(runner: Starter) -> None:
        for count in range(3):
            task = await begin(runner, handler(runner.loop.create_future()))
            await turns(count)
            task.cancel("enough")
            assert await task == ("enough",)

    stage.play(scenario)


@with_oracle
def test_a_cancel_between_two_steps_of_a_bare_yield_is_raised_in_the_coroutine(stage: Stage) -> None:
    async def handler() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "cancelled"
        return "missed"

    async def scenario(runner: Starter) -> None:
        task = await begin(runner, handler())
        task.cancel()
        assert await task == "cancelled"

    stage.play(scenario)


@with_oracle
def test_a_cancel_of_a_wait_that_is_over_is_raised_all_the_same(stage: Stage) -> None:
    async def handler(future: asyncio.Future[str]) -> str:
        try:
            return await future
        except asyncio.CancelledError:
            return "cancelled"

    async def scenario(runner: Starter) -> None:
        future: asyncio.Future[str] = runner.loop.create_future()
        task = await begin(runner, handler(future))
        future.set_result("over")
        assert task.cancel() and task.cancel()
        assert await task == "cancelled"

    stage.play(scenario)


@with_oracle
def test_a_coroutine_may_refuse_to_be_cancelled(stage: Stage) -> None:
    async def handler(first: asyncio.Future[str], second: asyncio.Future[str]) -> str:
        try:
            return await first
        except asyncio.CancelledError:
            assert current().uncancel() == 0
            return await second

    async def scenario(runner: Starter) -> None:
        first, second = runner.loop.create_future(), runner.loop.create_future()
        task = await begin(runner, handler(first, second))
        task.cancel()
        await turns()
        second.set_result("stayed")
        assert await task == "stayed"
        assert first.cancelled() and not task.cancelled()

    stage.play(scenario)


@with_oracle
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("kind", ["future", "gather", "task", "sleep"])
def test_a_coroutine_that_cancels_itself_is_cancelled_where_it_next_waits(
    stage: Stage, kind: str, watched: bool
) -> None:
    called: list[object] = []

    async def handler(awaitable: Awaitable[Any]) -> list[Any]:
        if watched:
            current().add_done_callback(called.append)
        current().cancel("first")
        current().cancel("second")
        seen: list[Any] = [current().cancelling()]
        try:
            await awaitable
        except asyncio.CancelledError:
            seen.append("cancelled")
        seen.append(current().uncancel())
        await asyncio.sleep(0)
        return [*seen, current().uncancel()]

    async def scenario(runner: Starter) -> None:
        inner: asyncio.Future[None] = runner.loop.create_future()
        awaited = asyncio.sleep(0) if kind == "sleep" else waiting(kind, inner)
        assert await outcome(runner, handler(awaited)) == [2, "cancelled", 1, 0]
        if kind != "task":  # whose own first step may not have come before the cancel
            assert inner.cancelled() is (kind in ("future", "gather"))
        await turns(1)
        assert len(called) == watched

    stage.play(scenario)


@with_oracle
@pytest.mark.parametrize("how", ["dropped", "kept", "watched"])
def test_a_coroutine_that_cancels_itself_and_returns_is_cancelled(stage: Stage, how: str) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handler() -> str:
        current().cancel("enough")
        if how == "kept":
            tasks.append(current())
        if how == "watched":
            current().add_done_callback(tasks.append)
        return "ignored"

    async def scenario(runner: Starter) -> None:
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await outcome(runner, handler())
        await turns(2)
        assert len(tasks) == (how != "dropped")
        assert all(task.cancelled() for task in tasks)

    stage.play(scenario)


@with_oracle
def test_an_exception_wins_over_a_cancellation_that_nobody_took(stage: Stage) -> None:
    async def handler() -> None:
        current().cancel()
        raise ValueError("first")

    async def scenario(runner: Starter) -> None:
        with pytest.raises(ValueError, match="first"):
            await outcome(runner, handler())

    stage.play(scenario)


@with_oracle
def test_a_cancelled_error_of_the_coroutines_own_is_its_outcome(stage: Stage) -> None:
    async def handler() -> None:
        raise asyncio.CancelledError("mine")

    async def scenario(runner: Starter) -> None:
        with pytest.raises(asyncio.CancelledError, match="mine"):
            await outcome(runner, handler())
        assert current().cancelling() == 0

    stage.play(scenario)


@at_once
def test_a_cancellation_taken_back_leaves_no_trace_in_the_next_coroutine(stage: Stage) -> None:
    async def rude() -> None:
        current().cancel()
        current().uncancel()
        current().custom = 1  # type: ignore[attr-defined]
        raise ValueError("anything")

    async def polite() -> tuple[object, ...]:
        task = current()
        return task.cancelling(), hasattr(task, "custom"), task._must_cancel  # type: ignore[attr-defined]

    async def scenario(runner: Starter) -> None:
        for _ in range(3):
            with pytest.raises(ValueError):
                runner.start(rude())
            assert runner.start(polite()) == (False, (0, False, False))

    stage.play(scenario)
