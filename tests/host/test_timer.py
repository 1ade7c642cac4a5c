import asyncio
import logging
import threading

import pytest

from siphon_http.host.timer import TimerNamespace
from tests.stage import until


@pytest.fixture
async def timer():
    made = TimerNamespace()
    made.load_begins()
    made.load_ends()
    made.start(asyncio.get_running_loop())
    yield made
    await made.stop()


async def test_a_handler_is_called_once_with_its_key(timer):
    seen = []

    async def handler(key):
        seen.append((key, threading.current_thread() is threading.main_thread()))

    handle = timer.set("call:1", 5, handler)
    assert (handle.key, timer.active_count) == ("call:1", 1)
    await until(lambda: seen)
    await asyncio.sleep(0.02)  # a second call would have come by now
    assert seen == [("call:1", True)] and timer.active_count == 0
    assert handle.cancel() is False


async def test_a_plain_function_runs_on_a_thread(timer):
    names = []
    timer.set("a", 0, lambda key: names.append(threading.current_thread().name))
    await until(lambda: names)
    assert names[0].startswith("siphon-timer")


async def test_cancelled_and_replaced_timers_do_not_happen(timer):
    seen = []
    first = timer.set("a", 20, lambda key: seen.append("first"))
    timer.set("b", 20, lambda key: seen.append("b"))
    timer.set("a", 25, lambda key: seen.append("second"))
    assert first.cancel() is False
    assert timer.cancel("b") is True and timer.cancel("b") is False and timer.cancel("no") is False
    await until(lambda: seen)
    await asyncio.sleep(0.03)  # the time of the others is over
    assert seen == ["second"]


async def test_timers_may_be_set_and_cancelled_from_other_threads(timer):
    seen = []
    await asyncio.to_thread(timer.set, "a", 1, lambda key: seen.append(key))
    kept = await asyncio.to_thread(timer.set, "b", 50, lambda key: seen.append(key))
    assert await asyncio.to_thread(kept.cancel)
    await until(lambda: seen)
    assert seen == ["a"]


async def test_what_is_set_while_the_script_loads_counts_from_the_start():
    timer, seen = TimerNamespace(), []
    timer.set("a", 1, lambda key: seen.append(key))
    await asyncio.sleep(0.01)  # beyond its time
    assert not seen
    timer.start(asyncio.get_running_loop())
    await until(lambda: seen)
    await timer.stop()


async def test_every_calls_again_and_again_and_survives_errors(timer, caplog):
    calls = []
    timer.load_begins()

    @timer.every(0.01, name="poll", jitter=0.001)
    async def poll():
        calls.append(1)
        raise RuntimeError("no answer")

    timer.load_ends()
    with caplog.at_level(logging.ERROR):
        await until(lambda: len(calls) >= 3)
    assert "timer.every 'poll' failed" in caplog.text and "no answer" in caplog.text


async def test_a_reload_changes_what_happens_every_so_often_and_keeps_what_was_set(timer):
    calls = []

    def load(version):
        timer.load_begins()
        timer.every(0.01)(lambda: calls.append(version))
        timer.load_ends()

    load("old")
    timer.set("once", 60, lambda key: calls.append(key))
    await until(lambda: "old" in calls)
    load("new")
    await until(lambda: "once" in calls and calls.count("new") > 5)
    assert "old" not in calls[calls.index("new") + 3 :]  # one call of it may have been on its thread


async def test_a_load_that_failed_changes_nothing(timer):
    calls = []
    timer.load_begins()
    timer.every(0.01)(lambda: calls.append("old"))
    timer.load_ends()
    timer.load_begins()
    timer.every(0.01)(lambda: calls.append("broken"))
    await until(lambda: len(calls) > 2)
    assert set(calls) == {"old"}


async def test_a_call_that_takes_longer_than_the_interval_is_never_doubled(timer):
    running = most = calls = 0
    timer.load_begins()

    @timer.every(0.01)
    async def slow():
        nonlocal running, most, calls
        calls += 1
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)  # three times its interval
        running -= 1

    timer.load_ends()
    await until(lambda: calls == 4)
    assert most == 1


async def test_stop_cancels_handlers_that_run():
    timer, ended = TimerNamespace(), []

    async def forever(key):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(key)

    timer.start(asyncio.get_running_loop())
    timer.set("a", 0, forever)
    await until(lambda: timer._tasks)
    await asyncio.sleep(0)
    await timer.stop()
    assert ended == ["a"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(), asyncio.CancelledError()])
async def test_no_exception_of_a_handler_harms_the_loop(timer, caplog, error):
    def handler(key):
        raise error

    with caplog.at_level(logging.ERROR):
        timer.set("a", 0, handler)
        await until(lambda: caplog.records)
    assert "timer 'a'" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.every(0),
        lambda t: t.every("5"),
        lambda t: t.every(5, jitter=-1),
        lambda t: t.set(1, 5, print),
        lambda t: t.set("a", -1, print),
        lambda t: t.set("a", 5, "print"),
    ],
)
async def test_wrong_arguments_are_refused_where_they_are_given(timer, wrong):
    with pytest.raises((ValueError, TypeError), match="timer"):
        wrong(timer)
