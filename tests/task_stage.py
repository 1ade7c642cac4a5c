"""Where coroutines are started: loops, ways of starting, and asyncio itself as the oracle."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import pytest
import uvloop

from siphon_http.task import AVAILABLE_MODES, Runner

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class Plain:
    """The oracle: what asyncio itself does, with the face of a Runner."""

    mode = "plain"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def start(self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context | None = None) -> Any:
        return True, self.loop.create_task(coroutine, context=context)


Starter = Runner | Plain
Scenario = Callable[[Starter], Awaitable[None]]


class Stage:
    """A kind of loop, and a way of starting on it."""

    def __init__(self, mode: str, loop: str) -> None:
        self.mode = mode
        self.loop = loop

    def play(self, scenario: Scenario) -> None:
        """Run `scenario` to its end; what reached the loop's exception handler fails the test."""
        reports: list[dict[str, Any]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, report: reports.append(report))
            await asyncio.wait_for(scenario(Plain(loop) if self.mode == "plain" else Runner(loop, self.mode)), 10)

        with asyncio.Runner(loop_factory=LOOPS[self.loop]) as runner:
            runner.run(main())
        assert reports == []


def _stages(modes: Iterable[str]) -> pytest.MarkDecorator:
    stages = [pytest.param(Stage(mode, loop), id=f"{mode}-{loop}") for mode in modes for loop in LOOPS]
    return pytest.mark.parametrize("stage", stages)


every_way = _stages(AVAILABLE_MODES)
with_oracle = _stages(["plain", *AVAILABLE_MODES])
# The first step runs inside `start`.
at_once = _stages(mode for mode in AVAILABLE_MODES if mode != "task")


async def outcome(runner: Starter, coroutine: Coroutine[Any, Any, Any]) -> Any:
    suspended, value = runner.start(coroutine)
    return await value if suspended else value


async def begin(runner: Starter, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the task of `coroutine`, whose first step has been taken."""
    _, task = runner.start(coroutine)
    if runner.mode in ("plain", "task"):
        await asyncio.sleep(0)
    return task


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def fail_after_a_turn() -> None:
    await asyncio.sleep(0)
    raise ValueError("child")
