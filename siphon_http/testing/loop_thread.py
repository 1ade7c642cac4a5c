"""An event loop that runs on a thread of its own: plain test functions ask it, and so do async ones."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")

HELD_SECONDS = 2.0
"""What a loop that somebody holds gets beyond the limit of a call, before the caller stops waiting for it."""
END_SECONDS = 2.0
"""What cancelled tasks of a script get to end in."""


class LoopThread:
    """Runs a loop until `stop`. at_end: awaited on the loop, as the last thing that it does.

    Its methods may be called from any thread.
    """

    def __init__(self, at_end: Callable[[], Awaitable[object]]) -> None:
        self.loop = _new_loop()
        self._thread = threading.Thread(target=_live, args=(self.loop, at_end), name="siphon-http-harness", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this loop's thread."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
        """Run `coroutine` on the loop, and wait for it.

        Raises:
            TimeoutError: it took longer than `seconds`; the message begins with `what`.
            RuntimeError: the caller runs on the loop itself, or the loop has been stopped.
        """
        if self.is_current:
            coroutine.close()
            raise RuntimeError(
                f"{what}: this is the script's own loop, which cannot wait for itself; use the async twin"
            )
        future = self._start(coroutine, what, seconds)
        try:
            return future.result(seconds + HELD_SECONDS)
        except TimeoutError as error:
            raise _held(future, what, seconds) or error from None

    async def wait(self, coroutine: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
        """Run `coroutine` on the loop, and await it on the caller's loop; errors as of `run`."""
        if self.is_current:
            return await _limited(coroutine, what, seconds)
        future = self._start(coroutine, what, seconds)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds + HELD_SECONDS)
        except TimeoutError as error:
            raise _held(future, what, seconds) or error from None

    def _start(self, coroutine: Coroutine[Any, Any, T], what: str, seconds: float) -> Future[T]:
        if self.loop.is_closed():
            coroutine.close()
            raise RuntimeError("the harness is closed")
        return asyncio.run_coroutine_threadsafe(_limited(coroutine, what, seconds), self.loop)

    def stop(self) -> None:
        """End the loop and its thread; returns when both have ended. A second call does nothing."""
        with contextlib.suppress(RuntimeError):  # it is closed already
            self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.is_current:
            self._thread.join(END_SECONDS * 3)


def _held(future: Future[Any], what: str, seconds: float) -> TimeoutError | None:
    """Return what to raise when not even the limit on the loop itself could be kept."""
    if future.done() and not future.cancelled():
        return None
    future.cancel()
    return TimeoutError(f"{what}: the script has held its event loop for more than {seconds:g} s (is there a sleep?)")


async def _limited(coroutine: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await coroutine
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"{what}: nothing came of it within {seconds:g} s") from error


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop as the server has it: uvloop's, or asyncio's where uvloop is not to be had."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _live(loop: asyncio.AbstractEventLoop, at_end: Callable[[], Awaitable[object]]) -> None:
    """Be the thread: run the loop until it is stopped, then end what the script left on it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_ended(at_end))
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), END_SECONDS))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _ended(at_end: Callable[[], Awaitable[object]]) -> None:
    await at_end()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=END_SECONDS)
