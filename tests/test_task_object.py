"""The task object that a coroutine of a Runner sees: its methods, who keeps it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import io
import sys
import weakref
from typing import Any

import pytest

from siphon_http.task import AVAILABLE_MODES, HandlerTask, Runner, ScriptExit
from tests.process_stage import survives
from tests.task_stage import Stage, Starter, at_once, begin, current, outcome, turns, with_oracle


@with_oracle
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("how", ["kept", "weakly", "callback", "repr"])
def test_a_task_that_somebody_keeps_becomes_done_with_the_outcome(stage: Stage, fails: bool, how: str) -> None:
    kept: list[Any] = []
    called: list[object] = []

    async def handler() -> str:
        task = current()
        if how == "weakly":
            kept.append(weakref.ref(task))
            return "value"
        if how == "callback":
            task.add_done_callback(called.append)
        if how == "repr":
            assert "running at" in repr(task) and "handler" in repr(task)
        kept.append(task)
        assert not task.done() and not task.cancelled()
        if fails:
            raise ValueError("outcome")
        return "value"

    async def other() -> asyncio.Task[Any]:
        return current()

    async def scenario(runner: Starter) -> None:
        try:
            await outcome(runner, handler())
        except ValueError:
            assert fails
        await turns(2)
        task = kept[0]
        assert await outcome(runner, other()) is not task
        if how == "weakly":
            assert task() is None
            return
        assert task.done() and called == [task] * (how == "callback")
        assert isinstance(task.exception(), ValueError) if fails else await task == "value"

    stage.play(scenario)


@at_once
def test_a_kept_task_whose_coroutine_exits_does_not_stop_the_loop(stage: Stage) -> None:
    kept: list[asyncio.Task[Any]] = []

    async def handler() -> None:
        kept.append(current())
        raise SystemExit(3)

    async def scenario(runner: Starter) -> None:
        with pytest.raises(SystemExit):
            runner.start(handler())
        await turns()
        error = kept[0].exception()
        assert isinstance(error, ScriptExit) and isinstance(error.__cause__, SystemExit)

    stage.play(scenario)


@with_oracle
@pytest.mark.parametrize("waits", [False, True])
def test_a_task_tells_the_truth_about_its_coroutine_in_every_step(stage: Stage, waits: bool) -> None:
    context = contextvars.copy_context()

    async def deep(task: asyncio.Task[Any]) -> None:
        assert "handler" in [frame.f_code.co_name for frame in task.get_stack()]
        text = io.StringIO()
        task.print_stack(file=text)
        assert "in handler" in text.getvalue()

    async def handler(me: list[Any], loop: asyncio.AbstractEventLoop) -> str:
        if waits:
            await asyncio.sleep(0)
        task = current()
        coroutine: Any = task.get_coro()
        assert coroutine is me[0]
        assert coroutine.__qualname__.endswith("handler")
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_RUNNING
        assert task.get_loop() is loop
        if sys.version_info >= (3, 12):
            assert task.get_context() is context
        await deep(task)
        return "value"

    async def scenario(runner: Starter) -> None:
        me: list[Any] = []
        me.append(handler(me, runner.loop))
        suspended, value = runner.start(me[0], context)
        assert (await value if suspended else value) == "value"

    stage.play(scenario)


@with_oracle
def test_a_suspended_task_shows_where_its_coroutine_waits(stage: Stage) -> None:
    async def handler(future: asyncio.Future[None]) -> None:
        await future

    async def scenario(runner: Starter) -> None:
        for count in range(2):
            future = runner.loop.create_future()
            task = await begin(runner, handler(future))
            await turns(count)
            assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_SUSPENDED
            assert [frame.f_code.co_name for frame in task.get_stack()] == ["handler"]
            assert "handler() running at" in repr(task)
            assert task in asyncio.all_tasks()
            future.set_result(None)
            await task

    stage.play(scenario)


@with_oracle
@pytest.mark.skipif(not hasattr(asyncio, "format_call_graph"), reason="asyncio has call graphs from Python 3.14 on")
def test_a_call_graph_shows_the_coroutine_in_every_step(stage: Stage) -> None:
    tell: Any = getattr(asyncio, "format_call_graph", None)

    async def inner() -> list[str]:
        texts = [tell()]
        await asyncio.sleep(0)
        texts.append(tell())
        await asyncio.sleep(0.01)  # a step that the loop's clock begins
        return texts

    async def handler() -> list[str]:
        return await inner()

    async def scenario(runner: Starter) -> None:
        task = await begin(runner, handler())
        from_outside = tell(task)
        for text in (*await task, from_outside):
            assert 0 < text.index("in async") < text.index("inner()") < text.index("handler()")

    stage.play(scenario)


@with_oracle
@pytest.mark.parametrize("named", [False, True])
def test_a_name_is_the_same_in_all_steps_and_no_other_task_has_it(stage: Stage, named: bool) -> None:
    async def handler() -> str:
        if named:
            current().set_name(17)
        name = current().get_name()
        await asyncio.sleep(0)
        assert name == current().get_name()
        return name

    async def at_once() -> str:
        return current().get_name()

    async def scenario(runner: Starter) -> None:
        names = [await outcome(runner, handler()) for _ in range(3)]
        assert names == ["17"] * 3 if named else len(set(names)) == 3
        assert await outcome(runner, at_once()) != await outcome(runner, at_once())

    stage.play(scenario)


@with_oracle
def test_questions_before_the_end_are_answered_as_asyncio_does(stage: Stage) -> None:
    called: list[object] = []

    async def handler() -> int:
        task = current()
        for method in (task.result, task.exception):
            with pytest.raises(asyncio.InvalidStateError):
                method()
        with pytest.raises(RuntimeError, match="does not support"):
            task.set_result(0)
        with pytest.raises(RuntimeError, match="does not support"):
            task.set_exception(ValueError())
        assert task.remove_done_callback(called.append) == 0
        for _ in range(3):
            task.add_done_callback(called.append)
        assert task.remove_done_callback(called.append) == 3
        task.add_done_callback(called.append, context=contextvars.copy_context())
        return task.cancelling() + task.uncancel()

    async def scenario(runner: Starter) -> None:
        assert await outcome(runner, handler()) == 0
        await turns(2)
        assert len(called) == 1 and called[0].result() == 0  # type: ignore[attr-defined]

    stage.play(scenario)


@with_oracle
def test_another_task_may_wait_for_one_that_is_in_its_first_step(stage: Stage) -> None:
    async def friend(task: asyncio.Task[str]) -> str:
        return "seen " + await task

    async def handler() -> str:
        friends.append(asyncio.ensure_future(friend(current())))
        return "value"

    friends: list[asyncio.Task[str]] = []

    async def scenario(runner: Starter) -> None:
        assert await outcome(runner, handler()) == "value"
        assert await friends[0] == "seen value"

    stage.play(scenario)


@with_oracle
@pytest.mark.parametrize("waits", [False, True])
def test_a_weak_dictionary_of_tasks_is_empty_in_the_end(stage: Stage, waits: bool) -> None:
    async def handler(states: weakref.WeakKeyDictionary[Any, str]) -> str:
        states[current()] = "mine"
        if waits:
            await asyncio.sleep(0)
        return states[current()]

    async def scenario(runner: Starter) -> None:
        states: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        for _ in range(3):
            assert await outcome(runner, handler(states)) == "mine"
            await turns()
            assert len(states) == 0

    stage.play(scenario)


@at_once
def test_nothing_stays_alive_and_no_cycle_is_made(stage: Stage) -> None:
    class Payload:
        pass

    async def handler(payload: Payload, kind: str) -> Payload:
        async with asyncio.timeout(60):
            if kind == "waits":
                await asyncio.sleep(0)
            if kind == "fails":
                raise ValueError
            if kind == "cancels":
                current().cancel()
        return payload

    async def scenario(runner: Starter) -> None:
        alive: list[weakref.ref[Payload]] = []
        for kind in ("ends", "waits", "fails", "cancels", "ends"):
            for _ in range(3):
                payload = Payload()
                alive.append(weakref.ref(payload))
                try:
                    await outcome(runner, handler(payload, kind))
                except (ValueError, asyncio.CancelledError):
                    pass
                del payload
        await turns()
        assert [ref() for ref in alive] == [None] * len(alive)

    gc.collect()
    gc.disable()
    try:
        stage.play(scenario)
    finally:
        gc.enable()


@at_once
def test_ten_thousand_runs_leave_no_object_behind(stage: Stage) -> None:
    async def handler() -> int:
        return current().cancelling()

    async def scenario(runner: Starter) -> None:
        for _ in range(100):
            runner.start(handler())
        gc.collect()
        before = len(gc.get_objects()), sys.getallocatedblocks()
        for _ in range(10_000):
            runner.start(handler())
        gc.collect()
        assert abs(len(gc.get_objects()) - before[0]) < 20
        assert abs(sys.getallocatedblocks() - before[1]) < 200

    stage.play(scenario)


HUNT = """
import asyncio, sys
from siphon_http.task import Runner

ARGUMENTS = [(), (None,), (print,), (ValueError("x"),), ("name",)]
SPARED = {"__init__", "__class__", "__new__", "__init_subclass__", "__subclasshook__"}

async def handler(name, arguments, waits):
    task = asyncio.current_task()
    for how in (getattr, lambda task, name: getattr(type(task), name)):
        try:
            value = how(task, name)
            repr(value)
            if callable(value):
                result = value(*arguments)
                repr(result)
                if hasattr(result, "__next__"):
                    next(result)
        except Exception:
            pass
    for change in (lambda: setattr(task, name, None), lambda: delattr(task, name)):
        if arguments == (None,) and name != "__class__":
            try:
                change()
            except Exception:
                pass
    if waits:
        await asyncio.sleep(0)
    return name

async def fine():
    task = asyncio.current_task()
    await asyncio.sleep(0)
    assert task is asyncio.current_task() and task.cancelling() == 0
    return "fine"

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    runner = Runner(loop, sys.argv[1])
    names = [name for name in dir(asyncio.Task) + ["_resume", "__dict__"] if name not in SPARED]
    for name in names:
        for arguments in ARGUMENTS:
            for waits in (False, True):
                try:
                    suspended, value = runner.start(handler(name, arguments, waits))
                    if suspended:
                        await asyncio.wait([value])
                except (Exception, asyncio.CancelledError):
                    pass
                assert await runner.start(fine())[1] == "fine"
    print("alive", len(names))

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", AVAILABLE_MODES)
def test_no_attribute_of_a_task_crashes_the_process_in_the_first_step(mode: str) -> None:
    assert survives(HUNT, mode).splitlines()[-1].startswith("alive ")


def test_a_spare_task_that_a_debugger_finds_answers_or_refuses() -> None:
    async def handler() -> None: ...

    async def main() -> None:
        runner = Runner(asyncio.get_running_loop())
        runner.start(handler())
        spares = [o for o in gc.get_objects() if isinstance(o, HandlerTask) and o.get_loop() is runner.loop]
        assert len(spares) == (AVAILABLE_MODES[0] == "lazy")
        for spare in spares:
            assert not spare.done() and spare.get_coro() is None
            with pytest.raises(RuntimeError, match="not initialized"):
                repr(spare)

    asyncio.run(main())


@with_oracle
def test_a_done_callback_runs_in_the_context_of_who_added_it(stage: Stage) -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen: list[str] = []

    def called(_: object) -> None:
        seen.append(variable.get())

    async def handler() -> None:
        variable.set("at first")
        current().add_done_callback(called)
        variable.set("later")
        await asyncio.sleep(0)

    async def scenario(runner: Starter) -> None:
        task = await begin(runner, handler())
        task.add_done_callback(called)
        await task
        await turns()
        assert seen == ["at first", "outside"]

    stage.play(scenario)
