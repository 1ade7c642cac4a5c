"""Runner: one set of tests for every way of starting a coroutine, on every loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import socket
import sys
import traceback
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest

from siphon_http.task import AVAILABLE_MODES, Runner, ScriptExit
from tests.task_stage import (
    Stage,
    Starter,
    at_once,
    begin,
    current,
    every_way,
    fail_after_a_turn,
    outcome,
    turns,
    with_oracle,
)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


def test_a_free_choice_takes_the_first_available_mode_and_an_unknown_one_is_refused() -> None:
    loop = asyncio.new_event_loop()
    assert Runner(loop).mode == AVAILABLE_MODES[0]
    assert Runner(loop, "task").loop is loop
    with pytest.raises(ValueError, match="'later' is not one of"):
        Runner(loop, "later")
    loop.close()


@pytest.mark.skipif(
    sys.version_info >= (3, 15) or not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="lazy relies on internals of CPython 3.11 to 3.14 with the GIL; elsewhere eager or task is used on purpose",
)
def test_the_probe_finds_the_lazy_way_right_where_it_was_tried() -> None:
    assert AVAILABLE_MODES[0] == "lazy"


@at_once
def test_a_coroutine_that_never_waits_has_ended_when_start_returns(stage: Stage) -> None:
    async def handler() -> tuple[int, ...]:
        return (1, 2)

    async def scenario(runner: Starter) -> None:
        assert runner.start(handler()) == (False, (1, 2))

    stage.play(scenario)


@every_way
@pytest.mark.parametrize("value", [None, (1, 2), StopIteration(3), ValueError("a value"), [4]], ids=repr)
def test_any_value_comes_back_from_the_first_step_and_from_a_later_one(stage: Stage, value: object) -> None:
    async def handler(count: int) -> object:
        for _ in range(count):
            await asyncio.sleep(0)
        return value

    async def scenario(runner: Starter) -> None:
        for count in range(3):
            assert await outcome(runner, handler(count)) is value

    stage.play(scenario)


@every_way
def test_the_current_task_is_one_and_the_same_before_and_after_a_suspension(stage: Stage) -> None:
    seen = []

    async def handler(future: asyncio.Future[str]) -> str:
        seen.append(current())
        value = await future
        seen.append(current())
        await asyncio.sleep(0)
        seen.append(current())
        return value

    async def scenario(runner: Starter) -> None:
        future: asyncio.Future[str] = runner.loop.create_future()
        main = current()
        suspended, task = runner.start(handler(future))
        assert suspended
        assert current() is main
        future.set_result("here")
        assert await task == "here"
        assert set(seen) == {task}
        assert isinstance(task, asyncio.Task)

    stage.play(scenario)


@at_once
def test_code_outside_any_task_sees_none_before_and_after_a_run(stage: Stage) -> None:
    seen: list[object] = []

    async def handler() -> None:
        seen.append(current())

    async def scenario(runner: Starter) -> None:
        def callback() -> None:
            seen.append(asyncio.current_task())
            runner.start(handler())
            seen.append(asyncio.current_task())

        runner.loop.call_soon(callback)
        await turns()
        assert seen[0] is None and seen[2] is None
        assert isinstance(seen[1], asyncio.Task)

    stage.play(scenario)


@at_once
def test_a_first_step_may_start_another_coroutine(stage: Stage) -> None:
    async def inner(future: asyncio.Future[int] | None) -> asyncio.Task[Any]:
        if future is not None:
            await future
        return current()

    async def handler(runner: Starter, future: asyncio.Future[int]) -> None:
        me = current()
        first, second = runner.start(inner(None)), runner.start(inner(future))
        assert current() is me
        assert first[0] is False and second[0] is True
        assert len({me, first[1], second[1]}) == 3
        with pytest.raises(ZeroDivisionError):
            runner.start(broken())
        assert current() is me
        future.set_result(1)
        assert await second[1] is second[1]
        assert current() is me

    async def broken() -> None:
        1 / 0

    async def scenario(runner: Starter) -> None:
        await outcome(runner, handler(runner, runner.loop.create_future()))

    stage.play(scenario)


@every_way
def test_context_variables_last_over_a_suspension_and_stay_inside(stage: Stage) -> None:
    context = contextvars.copy_context()
    context.run(variable.set, "given")

    async def handler() -> list[str]:
        seen = [variable.get()]
        variable.set("inside")
        await asyncio.sleep(0)
        seen.append(variable.get())
        return seen

    async def scenario(runner: Starter) -> None:
        suspended, task = runner.start(handler(), context)
        assert suspended and variable.get() == "outside"
        assert await task == ["given", "inside"]
        assert variable.get() == "outside" and context[variable] == "inside"

    stage.play(scenario)


@at_once
def test_a_context_that_is_entered_is_refused_and_nothing_is_left_entered(stage: Stage) -> None:
    async def handler() -> None: ...

    async def scenario(runner: Starter) -> None:
        context, main = contextvars.copy_context(), current()
        coroutine = handler()
        if runner.mode == "lazy":
            with pytest.raises(RuntimeError, match="already entered"):
                context.run(runner.start, coroutine, context)
        assert current() is main
        coroutine.close()
        assert runner.start(handler()) == (False, None)

    stage.play(scenario)


@every_way
@pytest.mark.parametrize("waits", [False, True])
def test_an_exception_keeps_its_type_and_traceback(stage: Stage, waits: bool) -> None:
    async def deep() -> None:
        raise ValueError("deep down")

    async def handler() -> None:
        if waits:
            await asyncio.sleep(0)
        await deep()

    async def scenario(runner: Starter) -> None:
        main = current()
        with pytest.raises(ValueError, match="deep down") as caught:
            await outcome(runner, handler())
        assert current() is main
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[-2:] == ["handler", "deep"]
        assert caught.value.__context__ is None

    stage.play(scenario)


@at_once
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_an_exit_in_the_first_step_reaches_the_caller_as_itself(stage: Stage, error: BaseException) -> None:
    async def handler() -> None:
        raise error

    async def scenario(runner: Starter) -> None:
        main = current()
        with pytest.raises(type(error)) as caught:
            runner.start(handler())
        assert caught.value is error and current() is main
        await turns()

    stage.play(scenario)


@every_way
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
@pytest.mark.parametrize("thrown", [False, True])
def test_an_exit_in_a_later_step_is_a_result_and_the_loop_runs_on(
    stage: Stage, error: BaseException, thrown: bool
) -> None:
    async def handler(future: asyncio.Future[None]) -> None:
        try:
            await future
        finally:
            raise error

    async def scenario(runner: Starter) -> None:
        future: asyncio.Future[None] = runner.loop.create_future()
        _, task = runner.start(handler(future))
        await turns()
        if thrown:
            future.set_exception(ValueError("woken by it"))
        else:
            future.set_result(None)
        await asyncio.wait([task])
        assert isinstance(task.exception(), ScriptExit)
        assert task.exception().__cause__ is error

    stage.play(scenario)


@with_oracle
def test_a_task_group_waits_for_its_children_and_cancels_them_when_one_fails(stage: Stage) -> None:
    async def handler() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail_after_a_turn())
                sibling = group.create_task(asyncio.sleep(60))  # cancelled by its sibling's end
        assert sibling.cancelled() and isinstance(caught.value.exceptions[0], ValueError)
        return [task.result() for task in tasks]

    async def scenario(runner: Starter) -> None:
        assert await outcome(runner, handler()) == [0, 1, 2]

    stage.play(scenario)


@with_oracle
def test_a_failing_task_group_interrupts_what_its_body_waits_for(stage: Stage) -> None:
    async def handler(future: asyncio.Future[None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_after_a_turn())
            await future

    async def scenario(runner: Starter) -> None:
        future: asyncio.Future[None] = runner.loop.create_future()
        with pytest.raises(ExceptionGroup):
            await outcome(runner, handler(future))
        assert future.cancelled()

    stage.play(scenario)


@with_oracle
@pytest.mark.parametrize("delay", [0, -1, 0.001])
def test_a_timeout_that_expires_cancels_the_wait_and_raises_timeout_error(stage: Stage, delay: float) -> None:
    async def handler(future: asyncio.Future[None]) -> str:
        try:
            async with asyncio.timeout(delay):
                await future
        except TimeoutError:
            await asyncio.sleep(0)
            return f"late, {current().cancelling()} requests left"
        return "in time"

    async def scenario(runner: Starter) -> None:
        future: asyncio.Future[None] = runner.loop.create_future()
        assert await outcome(runner, handler(future)) == "late, 0 requests left"
        assert future.cancelled()

    stage.play(scenario)


@with_oracle
def test_a_timeout_that_does_not_expire_leaves_nothing_behind(stage: Stage) -> None:
    async def handler(waits: bool) -> str:
        async with asyncio.timeout(60):
            if waits:
                await asyncio.sleep(0)
        return "in time"

    async def scenario(runner: Starter) -> None:
        for waits in (False, False, True):
            assert await outcome(runner, handler(waits)) == "in time"

    stage.play(scenario)


@with_oracle
def test_wait_for_gather_and_shield_work_as_first_wait(stage: Stage) -> None:
    async def handler(loop: asyncio.AbstractEventLoop) -> None:
        assert list(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))) == [1, 2]
        assert await asyncio.wait_for(asyncio.sleep(0, 3), 60) == 3
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 0.001)
        assert await asyncio.shield(asyncio.sleep(0, 4)) == 4

    async def only(awaitable: Awaitable[Any]) -> Any:
        return await awaitable

    async def scenario(runner: Starter) -> None:
        await outcome(runner, handler(runner.loop))
        assert await outcome(runner, only(asyncio.wait_for(asyncio.sleep(0, 3), 60))) == 3
        with pytest.raises(ValueError, match="child"):
            await outcome(runner, only(asyncio.gather(fail_after_a_turn(), asyncio.sleep(0))))

    stage.play(scenario)


@with_oracle
def test_async_for_with_and_bare_yields_work(stage: Stage) -> None:
    async def numbers() -> Any:
        for n in range(3):
            await asyncio.sleep(0)
            yield n

    async def handler() -> list[int]:
        await asyncio.sleep(0)
        async with asyncio.Lock():
            return [n async for n in numbers()]

    async def scenario(runner: Starter) -> None:
        assert await outcome(runner, handler()) == [0, 1, 2]

    stage.play(scenario)


@at_once
def test_a_bare_yield_costs_exactly_one_turn_of_the_loop(stage: Stage) -> None:
    seen: list[str] = []

    async def handler() -> None:
        seen.append("first step")
        await asyncio.sleep(0)
        seen.append("second step")

    async def scenario(runner: Starter) -> None:
        _, task = runner.start(handler())
        runner.loop.call_soon(seen.append, "callback")
        await task
        assert seen == ["first step", "second step", "callback"]

    stage.play(scenario)


@every_way
def test_waiting_for_what_cannot_be_waited_for_is_an_error_inside_the_coroutine(stage: Stage) -> None:
    class Bad:
        def __await__(self) -> Any:
            yield 42

    async def bad() -> str:
        with pytest.raises(RuntimeError, match="bad yield"):
            await Bad()
        return "caught"

    async def myself() -> str:
        with pytest.raises(RuntimeError, match="await on itself"):
            await current()
        return "caught"

    async def scenario(runner: Starter) -> None:
        for coroutine in (bad(), myself()):
            task = await begin(runner, coroutine)
            await turns()
            assert task.result() == "caught"

    stage.play(scenario)


@every_way
def test_a_coroutine_of_compiled_code_runs_like_any_other(stage: Stage) -> None:
    async def scenario(runner: Starter) -> None:
        if stage.loop != "uvloop":  # whose coroutines are Cython's
            return
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            receiving = runner.loop.sock_recv(near, 100)
            assert not inspect.iscoroutine(receiving) and isinstance(receiving, Coroutine)
            suspended, task = runner.start(receiving)
            assert suspended
            far.send(b"bytes")
            assert await task == b"bytes"
            assert await outcome(runner, runner.loop.sock_sendall(near, b"more")) is None
            assert far.recv(100) == b"more"

    stage.play(scenario)


@with_oracle
def test_two_coroutines_may_wait_for_one_future_in_the_same_turn(stage: Stage) -> None:
    async def handler(future: asyncio.Future[int]) -> int:
        return await future

    async def scenario(runner: Starter) -> None:
        future: asyncio.Future[int] = runner.loop.create_future()
        tasks = [runner.start(handler(future))[1] for _ in range(3)]
        runner.loop.call_soon(future.set_result, 7)
        assert await asyncio.gather(future, *tasks) == [7, 7, 7, 7]

    stage.play(scenario)
