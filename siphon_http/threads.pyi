"""Types of threads.pyx."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar, final

__all__ = ["Job", "ThreadPool"]

_A = TypeVar("_A")
_T = TypeVar("_T")

@final
class Job:
    """One call on a thread."""

    @property
    def value(self) -> Any: ...
    @property
    def error(self) -> BaseException | None: ...
    def cancel(self, message: object = None) -> bool: ...

@final
class ThreadPool:
    """Daemon threads that run jobs for one event loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def most(self) -> int: ...
    @property
    def queue_max(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = 32, queue_max: int = 1024) -> None: ...
    def submit(
        self, function: Callable[[_A], object], argument: _A, context: Context, callback: Callable[[Job], object]
    ) -> Job | None: ...
    async def call(self, function: Callable[[_A], _T], argument: _A) -> _T: ...
    def close(self) -> None: ...
