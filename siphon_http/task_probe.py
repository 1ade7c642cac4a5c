"""Tries a way of starting coroutines on a loop that is none, so that `task` can do it while it is imported."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, cast

__all__ = ["ProbeLoop", "is_right"]


class ProbeLoop:
    """As much of a loop as a task needs; no selector, no thread, no clock."""

    def __init__(self) -> None:
        self._ready: list[tuple[Callable[..., Any], tuple[Any, ...], contextvars.Context]] = []

    def get_debug(self) -> bool:
        """Tell a task not to keep where it was made."""
        return False

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: contextvars.Context) -> None:
        """Keep `callback` for the next turn."""
        self._ready.append((callback, args, context))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Swallow what a task of a failing probe says when it goes."""

    def run_once(self) -> None:
        """Call what was ready."""
        ready, self._ready = self._ready, []
        for callback, args, context in ready:
            context.run(callback, *args)


async def _handler(seen: list[object], future: asyncio.Future[None] | None) -> int:
    seen.append(asyncio.current_task())
    if future is not None:
        await future
        seen.append(asyncio.current_task())
    return len(seen)


def is_right(loop: ProbeLoop, start: Callable[..., tuple[bool, Any]]) -> bool:
    """Start a coroutine that ends at once and one that suspends; did the caller and both see what they should?

    start: Runner.start of a runner on `loop`.
    """
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(cast(asyncio.AbstractEventLoop, loop))
    try:
        seen: list[object] = []
        future: asyncio.Future[None] = asyncio.Future(loop=cast(asyncio.AbstractEventLoop, loop))
        outer = asyncio.current_task()
        at_once = start(_handler(seen, None)) == (False, 1) and isinstance(seen.pop(), asyncio.Task)
        suspended, task = start(_handler(seen, future))
        restored = asyncio.current_task() is outer
        loop.run_once()
        future.set_result(None)
        for _ in range(3):
            loop.run_once()
        same = len(seen) == 2 and seen[0] is task and seen[1] is task
        return bool(at_once and suspended and restored and same and task.result() == 2)
    except Exception:  # whatever it is, this way is not to be taken here
        return False
    finally:
        asyncio._set_running_loop(before)
