"""Threads for calls that block."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from siphon_http.threads import Job, ThreadPool
from tests.stage import on_each_loop, play, until


def pooled(scenario: Callable[[ThreadPool], Awaitable[None]], loop: str = "uvloop", **settings: Any) -> None:
    async def run() -> None:
        pool = ThreadPool(asyncio.get_running_loop(), **settings)
        try:
            await scenario(pool)
        finally:
            pool.close()

    play(run, loop)


def submit(pool: ThreadPool, function: Callable[[Any], Any], argument: Any = None, ended: Any = None) -> Job | None:
    return pool.submit(function, argument, contextvars.copy_context(), ended or (lambda job: None))


@on_each_loop
def test_a_job_runs_on_a_thread_and_ends_on_the_loop(loop: str) -> None:
    async def scenario(pool: ThreadPool) -> None:
        here = threading.get_ident()
        ends: list[tuple[int, Any, Any]] = []
        submit(
            pool,
            lambda x: (x, threading.get_ident()),
            7,
            lambda job: ends.append((threading.get_ident(), job.value, job.error)),
        )
        await until(lambda: ends)
        on, (argument, ran_on), error = ends[0]
        assert (on, argument, error) == (here, 7, None) and ran_on != here

    pooled(scenario, loop)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), StopIteration()])
def test_whatever_a_job_raises_is_its_result(error: BaseException) -> None:
    def fails(_: Any) -> None:
        raise error

    async def scenario(pool: ThreadPool) -> None:
        ended: list[Job] = []
        submit(pool, fails, ended=ended.append)
        await until(lambda: ended)
        assert ended[0].error is error
        raised: BaseException | None = None
        try:
            await pool.call(fails, None)
        except BaseException as exc:
            raised = exc
        assert type(raised) is (RuntimeError if isinstance(error, StopIteration) else type(error))
        assert await pool.call(lambda x: x, 1) == 1

    pooled(scenario)


def test_quick_jobs_are_served_by_one_thread() -> None:
    async def scenario(pool: ThreadPool) -> None:
        for _ in range(200):
            assert await pool.call(lambda x: x, 1) == 1
        assert pool.threads == 1

    pooled(scenario)


@on_each_loop
def test_jobs_that_block_get_threads_up_to_the_limit(loop: str) -> None:
    release = threading.Event()

    async def scenario(pool: ThreadPool) -> None:
        ended: list[Job] = []
        for _ in range(10):
            assert submit(pool, lambda _: release.wait(5), ended=ended.append) is not None
        await until(lambda: pool.threads == 4)
        await asyncio.sleep(0.02)  # a fifth thread would be there by now
        assert pool.threads == 4 and not ended
        release.set()
        await until(lambda: len(ended) == 10)
        assert pool.waiting == 0

    pooled(scenario, loop, most=4)


def test_a_quick_job_is_not_stuck_behind_one_that_blocks() -> None:
    release = threading.Event()

    async def scenario(pool: ThreadPool) -> None:
        submit(pool, lambda _: release.wait(5))
        await asyncio.sleep(0.01)  # its thread has taken it
        assert await asyncio.wait_for(pool.call(lambda x: x, 5), 1) == 5
        release.set()
        await until(lambda: not pool.waiting)

    pooled(scenario)


def test_more_than_all_threads_and_the_queue_hold_is_refused() -> None:
    release = threading.Event()

    async def scenario(pool: ThreadPool) -> None:
        taken = [submit(pool, lambda _: release.wait(5)) for _ in range(7)]
        assert [job is not None for job in taken] == [True] * 5 + [False] * 2
        assert pool.is_full()
        with pytest.raises(RuntimeError, match="3 calls wait for a thread already"):
            await pool.call(lambda x: x, 1)
        going_on = asyncio.ensure_future(pool.call(lambda x: x, "next piece", under_way=True))
        await asyncio.sleep(0)
        release.set()
        assert await going_on == "next piece"
        await until(lambda: not pool.waiting)
        assert not pool.is_full()

    pooled(scenario, most=2, queue_max=3)


def test_without_a_queue_as_many_jobs_as_threads_are_taken() -> None:
    async def scenario(pool: ThreadPool) -> None:
        assert await pool.call(lambda x: x, 1) == 1

    pooled(scenario, most=1, queue_max=0)


def test_a_job_that_is_cancelled_before_it_begins_never_runs() -> None:
    release = threading.Event()
    ran: list[int] = []

    async def scenario(pool: ThreadPool) -> None:
        ended: list[Job] = []
        submit(pool, lambda _: release.wait(5))
        job = submit(pool, ran.append, 1, ended.append)
        assert job is not None and job.cancel()
        release.set()
        await until(lambda: ended)
        assert ran == [] and ended[0].value is None

    pooled(scenario, most=1)


def test_a_cancelled_call_leaves_its_job_to_run_out() -> None:
    begun, release = threading.Event(), threading.Event()
    ran: list[int] = []

    def blocks(_: Any) -> None:
        begun.set()
        release.wait(5)
        ran.append(1)

    async def scenario(pool: ThreadPool) -> None:
        calling = asyncio.ensure_future(pool.call(blocks, None))
        await until(begun.is_set)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        said: list[str] = []
        pool.when_idle(lambda: said.append("idle"))
        await asyncio.sleep(0)
        assert said == []
        release.set()
        await until(lambda: said)
        assert ran == [1]

    pooled(scenario)


def test_a_call_sees_the_context_of_its_caller_and_changes_none() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")

    def change(_: Any) -> str:
        before = variable.get()
        variable.set("changed")
        return before

    async def scenario(pool: ThreadPool) -> None:
        variable.set("mine")
        assert await pool.call(change, None) == "mine"
        assert await pool.call(change, None) == "mine"
        assert variable.get() == "mine"

    pooled(scenario)


def test_a_callback_that_fails_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(pool: ThreadPool) -> None:
        ended: list[Job] = []
        release = threading.Event()
        submit(pool, lambda _: release.wait(5), ended=lambda job: 1 / 0)
        for _ in range(3):
            submit(pool, lambda _: release.wait(5), ended=ended.append)
        release.set()
        await until(lambda: len(ended) == 3)
        assert "internal error after a call on a thread" in caplog.text

    pooled(scenario)


def test_a_closed_pool_takes_nothing_and_ends_its_threads() -> None:
    async def scenario(pool: ThreadPool) -> None:
        threads: list[threading.Thread] = []
        await pool.call(lambda _: threads.append(threading.current_thread()), None)
        pool.close()
        await until(lambda: not threads[0].is_alive())
        assert pool.threads == 0
        assert submit(pool, lambda _: None) is None
        with pytest.raises(RuntimeError, match="closed"):
            await pool.call(lambda _: None, None, under_way=True)

    pooled(scenario)


def test_threads_do_not_keep_the_process_alive() -> None:
    async def scenario(pool: ThreadPool) -> None:
        assert await pool.call(lambda _: threading.current_thread().daemon, None)

    pooled(scenario)


def test_a_thread_whose_loop_has_closed_just_ends() -> None:
    release = threading.Event()
    threads: list[threading.Thread] = []

    def blocks(_: Any) -> None:
        threads.append(threading.current_thread())
        release.wait(5)

    async def scenario() -> None:
        submit(ThreadPool(asyncio.get_running_loop()), blocks)
        await until(lambda: threads)

    play(scenario)
    release.set()
    threads[0].join(5)
    assert not threads[0].is_alive()


class NoThread:
    """What the system does when there are too many threads already."""

    def __init__(self, **_: Any) -> None: ...

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_system_without_threads_to_give_refuses_jobs_until_it_has_some(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import siphon_http.threads as module

    async def scenario(pool: ThreadPool) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(module, "Thread", NoThread)
            assert submit(pool, lambda _: None) is None
            assert (pool.threads, pool.waiting) == (0, 0)
            with pytest.raises(RuntimeError, match="no thread can be started"):
                await pool.call(lambda _: None, None)
        assert "can't start new thread" in caplog.text
        assert await pool.call(lambda x: x, 1) == 1

    pooled(scenario)


def test_threads_that_cannot_be_added_are_tried_for_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import siphon_http.threads as module

    release = threading.Event()

    async def scenario(pool: ThreadPool) -> None:
        submit(pool, lambda _: release.wait(5))
        with monkeypatch.context() as patch:
            patch.setattr(module, "Thread", NoThread)
            for _ in range(5):
                submit(pool, lambda _: release.wait(5))
                await asyncio.sleep(0.01)  # a try to start one more has failed
            assert pool.threads == 1
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
        await until(lambda: pool.threads > 1)
        release.set()
        await until(lambda: not pool.waiting)

    pooled(scenario)
