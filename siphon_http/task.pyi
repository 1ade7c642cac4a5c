from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar, final

from siphon_http.task_resume import ScriptExit

__all__ = ["AVAILABLE_MODES", "HandlerTask", "Runner", "ScriptExit"]

_T = TypeVar("_T")

AVAILABLE_MODES: Final[tuple[str, ...]]

class HandlerTask(asyncio.Task[_T]):
    def get_context(self) -> Context: ...
    def __setattr__(self, name: str, value: Any) -> None: ...

@final
class Runner:
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def mode(self) -> str: ...
    slow: Callable[[Coroutine[Any, Any, Any], float], object] | None
    def __init__(self, loop: asyncio.AbstractEventLoop, mode: str | None = None) -> None: ...
    def start(self, coroutine: Coroutine[Any, Any, _T], context: Context | None = None) -> tuple[bool, Any]: ...
    def begin_batch(self) -> None: ...
    def end_batch(self) -> None: ...
