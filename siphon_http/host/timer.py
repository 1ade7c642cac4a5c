"""`from siphon import timer`: what happens later, and again and again.

    @timer.every(30, name="poll")            async functions run on the loop, plain ones on a thread
    async def poll(): ...

    handle = timer.set("bye:42", 500, hang_up)      once, after 500 ms: hang_up("bye:42")

Timers of `every` belong to the load of the script that made them: a reload stops them and starts the new ones. What
`set` began survives a reload, as in the original host; the function that was given is called.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["TimerHandle", "TimerNamespace"]

logger = logging.getLogger("siphon_http.timer")

Function = TypeVar("Function", bound=Callable[[], object])

THREADS = 4
"""For plain functions; more that are due at once wait."""


class TimerHandle:
    """A timer that `set` began."""

    __slots__ = ("_timer", "key")

    def __init__(self, timer: TimerNamespace, key: str) -> None:
        self._timer = timer
        self.key = key

    def __repr__(self) -> str:
        return f"<TimerHandle {self.key!r}>"

    def cancel(self) -> bool:
        """Keep it from happening; False when it has happened, or is another by now."""
        return self._timer._cancel(self.key, self)


class _Every:
    """A function that is called at intervals. It is never called while an earlier call still runs."""

    def __init__(self, function: Callable[[], Any], seconds: float, name: str, jitter: float) -> None:
        self.function = function
        self.seconds = seconds
        self.name = name
        self.jitter = jitter
        self.task: asyncio.Task[None] | None = None


class TimerNamespace:
    """What scripts import as `timer`. `set` and `cancel` may be called from any thread, and while the script loads.

    explain: formats an exception for the log.
    """

    def __init__(self, explain: Callable[[BaseException], str] | None = None) -> None:
        self.explain = explain or repr
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._once: dict[str, tuple[TimerHandle, float, Callable[[str], object]]] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._loading: list[_Every] = []
        self._every: list[_Every] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---- what scripts call

    def every(self, seconds: float, name: str | None = None, jitter: float = 0) -> Callable[[Function], Function]:
        """Call the decorated function, without arguments, every `seconds` from the start on.

        jitter: up to so many seconds are added to each wait, so that many hosts do not ask at once. Raises ValueError.
        """
        if not isinstance(seconds, (int, float)) or not 0.01 <= seconds <= 31_536_000:
            raise ValueError(f"timer.every(seconds): 0.01 to a year, got {seconds!r}")
        if not isinstance(jitter, (int, float)) or not 0 <= jitter <= 31_536_000:
            raise ValueError(f"timer.every(jitter=): seconds, 0 or more, got {jitter!r}")

        def register(function: Function) -> Function:
            label = name or str(getattr(function, "__qualname__", function))
            self._loading.append(_Every(function, float(seconds), label, float(jitter)))
            return function

        return register

    def set(self, key: str, delay_ms: float, handler: Callable[[str], object]) -> TimerHandle:
        """Call `handler(key)` once, after `delay_ms`; it takes the place of a timer with the same key."""
        if not isinstance(key, str):
            raise TypeError(f"timer.set(key): str, not {type(key).__name__}")
        if not isinstance(delay_ms, (int, float)) or not 0 <= delay_ms <= 31_536_000_000:
            raise ValueError(f"timer.set(delay_ms): milliseconds, 0 to a year, got {delay_ms!r}")
        if not callable(handler):
            raise TypeError(f"timer.set(handler): a function of one argument, the key, not {type(handler).__name__}")
        handle = TimerHandle(self, key)
        with self._lock:
            self._once[key] = (handle, delay_ms / 1000, handler)
            self._on_loop(self._arm, key, handle)
        return handle

    def cancel(self, key: str) -> bool:
        """Keep the timer of `key` from happening; False when there is none."""
        return self._cancel(key, None)

    @property
    def active_count(self) -> int:
        """Timers of `set` that are still to happen."""
        return len(self._once)

    # ---- what the host calls, on the loop's thread

    def load_begins(self) -> None:
        """A load of the script begins: `every` registers for it from now on."""
        self._loading = []

    def load_ends(self) -> None:
        """The load has succeeded: its timers take the place of those before. Not called for a load that failed."""
        for old in self._every:
            if old.task is not None:
                old.task.cancel()
        self._every, self._loading = self._loading, []
        if self._loop is not None:
            self._start_every(self._loop)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to count time, on the running `loop`; delays of timers set before count from now."""
        with self._lock:
            self._loop = loop
            for key, (handle, _, _) in list(self._once.items()):
                self._on_loop(self._arm, key, handle)
        self._start_every(loop)

    async def stop(self, seconds: float = 1.0) -> None:
        """Stop every timer; give functions that run `seconds` to end after they were cancelled."""
        with self._lock:
            self._loop = None
            self._once.clear()
            waiting, self._waiting = self._waiting, {}
        for handle in waiting.values():
            handle.cancel()
        tasks = [*self._tasks, *(e.task for e in self._every if e.task is not None)]
        self._every = []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    # ---- inside

    def _on_loop(self, call: Callable[..., object], *args: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    def _arm(self, key: str, handle: TimerHandle) -> None:
        found = self._once.get(key)
        if self._loop is None or found is None or found[0] is not handle:
            return  # cancelled, or another one, meanwhile
        if (old := self._waiting.pop(key, None)) is not None:
            old.cancel()
        self._waiting[key] = self._loop.call_later(found[1], self._due, key, handle)

    def _cancel(self, key: str, handle: TimerHandle | None) -> bool:
        with self._lock:
            found = self._once.get(key)
            if found is None or (handle is not None and found[0] is not handle):
                return False
            del self._once[key]
            self._on_loop(self._disarm, key)
        return True

    def _disarm(self, key: str) -> None:
        if key not in self._once and (old := self._waiting.pop(key, None)) is not None:
            old.cancel()

    def _due(self, key: str, handle: TimerHandle) -> None:
        with self._lock:
            found = self._once.get(key)
            if self._loop is None or found is None or found[0] is not handle:
                return
            del self._once[key]
            self._waiting.pop(key, None)
            loop = self._loop
        task = loop.create_task(self._call(f"timer {key!r}", functools.partial(found[2], key)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_every(self, loop: asyncio.AbstractEventLoop) -> None:
        for one in self._every:
            if one.task is None:
                one.task = loop.create_task(self._repeat(loop, one))

    async def _repeat(self, loop: asyncio.AbstractEventLoop, one: _Every) -> None:
        from random import uniform  # its import costs milliseconds

        due = loop.time()
        while True:
            due = max(due + one.seconds, loop.time())  # what was missed while a call ran long is not made up for
            wait = due - loop.time() + uniform(0, one.jitter)
            await asyncio.sleep(wait)
            await self._call(f"timer.every {one.name!r}", one.function)

    async def _call(self, what: str, function: Callable[[], Any]) -> None:
        """Call the script's function; whatever it raises ends in the log."""
        try:
            if _is_async(function):
                await function()
                return
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # only who needs it

                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="siphon-timer")
            result = await asyncio.get_running_loop().run_in_executor(self._pool, _in_thread, function)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            logger.error("%s cancelled itself", what)
        except Exception as error:  # the script's own; the next call may work
            logger.error("%s failed\n%s", what, self.explain(error).rstrip())


def _in_thread(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (StopIteration, SystemExit, KeyboardInterrupt) as error:  # no future can carry these
        raise RuntimeError(f"{type(error).__name__} raised by a timer's function") from error


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
