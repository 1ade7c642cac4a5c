"""Types of dispatch.pyx."""

import asyncio
from collections.abc import Callable
from typing import Any, final

from siphon_http._core.exchange import Handler
from siphon_http._core.traffic import Traffic
from siphon_http.registry import Generation
from siphon_http.threads import Job, ThreadPool

__all__ = ["Dispatcher"]

@final
class Dispatcher(Handler):
    """Answers requests by the routes and middleware of one generation."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def pool(self) -> ThreadPool: ...
    @property
    def allow(self) -> bytes: ...
    @property
    def running(self) -> set[asyncio.Task[Any] | Job]: ...
    @property
    def traffic(self) -> Traffic: ...
    def __init__(
        self,
        generation: Generation,
        loop: asyncio.AbstractEventLoop,
        *,
        sync_pool_max: int = 32,
        sync_queue_max: int = 1024,
        format_exception: Callable[[BaseException], str] | None = None,
        task_mode: str | None = None,
        traffic: Traffic | None = None,
    ) -> None: ...
    def use(self, generation: Generation, *, over: Callable[[], object] | None = None) -> None: ...
    def when_idle(self, callback: Callable[[], object]) -> None: ...
    def cancel_all(self) -> None: ...
    def close(self) -> None: ...
