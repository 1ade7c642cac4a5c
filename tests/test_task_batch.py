"""Coroutines that are started one after the other and share a stay in one task: nobody can tell."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from typing import Any

import pytest

from siphon_http.task import Runner
from tests.task_stage import Stage, Starter, at_once, current, turns

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


async def look() -> Any:
    """Return the current task; keep nothing."""
    task = current()
    assert task.get_name().startswith("siphon-") or task.get_name().startswith("Task-")
    return None


def batch(runner: Starter) -> Runner:
    assert isinstance(runner, Runner)
    runner.begin_batch()
    return runner


@at_once
def test_the_current_task_is_what_it_was_once_the_batch_has_ended(stage: Stage) -> None:
    async def scenario(runner: Starter) -> None:
        me = asyncio.current_task()
        batch(runner)
        for _ in range(3):
            assert runner.start(look()) == (False, None)
        runner.end_batch()
        assert asyncio.current_task() is me
        runner.end_batch()
        assert asyncio.current_task() is me
        assert runner.start(look()) == (False, None)
        assert asyncio.current_task() is me

    stage.play(scenario)


@at_once
def test_a_batch_outside_of_any_task_leaves_none_behind(stage: Stage) -> None:
    async def scenario(runner: Starter) -> None:
        done = runner.loop.create_future()

        def read() -> None:
            batch(runner)
            runner.start(look())
            runner.start(look())
            runner.end_batch()
            done.set_result(asyncio.current_task())

        runner.loop.call_soon(read)
        assert await done is None

    stage.play(scenario)


@at_once
def test_each_coroutine_of_a_batch_has_its_own_context(stage: Stage) -> None:
    async def handler() -> str:
        before = variable.get()
        variable.set("changed")
        return before

    async def scenario(runner: Starter) -> None:
        batch(runner)
        assert [runner.start(handler()) for _ in range(3)] == [(False, "outside")] * 3
        runner.end_batch()

    stage.play(scenario)


@at_once
def test_one_that_raises_ends_the_stay_and_the_next_one_begins_another(stage: Stage) -> None:
    async def fail() -> None:
        assert current() is not None
        raise KeyError("x")

    async def scenario(runner: Starter) -> None:
        me = asyncio.current_task()
        batch(runner)
        for _ in range(2):
            runner.start(look())
            with pytest.raises(KeyError):
                runner.start(fail())
            assert asyncio.current_task() is me
        runner.start(look())
        runner.end_batch()
        assert asyncio.current_task() is me

    stage.play(scenario)


@at_once
def test_one_that_suspends_takes_its_task_with_it(stage: Stage) -> None:
    async def waits() -> tuple[Any, Any]:
        first = current()
        await asyncio.sleep(0)
        return first, current()

    async def scenario(runner: Starter) -> None:
        me = asyncio.current_task()
        batch(runner)
        runner.start(look())
        suspended, task = runner.start(waits())
        assert suspended and asyncio.current_task() is me
        runner.start(look())
        runner.end_batch()
        assert asyncio.current_task() is me
        assert await task == (task, task)

    stage.play(scenario)


@at_once
def test_a_task_that_somebody_keeps_is_nobody_elses(stage: Stage) -> None:
    kept: list[asyncio.Task[Any]] = []
    watched: list[weakref.ref[asyncio.Task[Any]]] = []

    async def keep() -> int:
        kept.append(current())
        return len(kept)

    async def watch() -> None:
        watched.append(weakref.ref(current()))

    async def cancel() -> None:
        current().cancel()

    async def scenario(runner: Starter) -> None:
        me = asyncio.current_task()
        batch(runner)
        for number in (1, 2):
            runner.start(look())
            assert runner.start(keep()) == (False, number)
            runner.start(watch())
            with pytest.raises(asyncio.CancelledError):
                runner.start(cancel())
            runner.start(look())
        runner.end_batch()
        assert asyncio.current_task() is me
        await turns()
        assert len(set(map(id, kept))) == 2
        assert [task.result() for task in kept] == [1, 2]

    stage.play(scenario)


@at_once
def test_one_that_starts_others_keeps_its_own_task(stage: Stage) -> None:
    async def inner() -> Any:
        return id(current())

    async def outer(runner: Runner, with_batch: bool) -> None:
        mine = current()
        if with_batch:
            runner.begin_batch()
        for _ in range(2):
            assert runner.start(inner())[1] != id(mine)
        if with_batch:
            runner.end_batch()
        assert current() is mine

    async def scenario(runner: Starter) -> None:
        me = asyncio.current_task()
        batch(runner)
        for with_batch in (False, True, False):
            runner.start(outer(runner, with_batch))  # type: ignore[arg-type]
            runner.start(look())
        runner.end_batch()
        assert asyncio.current_task() is me

    stage.play(scenario)


@at_once
def test_a_timeout_within_a_batch_is_the_coroutines_own(stage: Stage) -> None:
    async def handler() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(30)  # cut by the time-out
        except TimeoutError:
            return "timeout"
        return "end"

    async def scenario(runner: Starter) -> None:
        batch(runner)
        runner.start(look())
        started = [runner.start(handler()) for _ in range(2)]
        runner.start(look())
        runner.end_batch()
        assert [await task for _, task in started] == ["timeout", "timeout"]

    stage.play(scenario)
