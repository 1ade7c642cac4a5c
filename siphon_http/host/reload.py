"""Load the script, or all of the configuration, again while the process serves; and keep what serves when that fails.

    load beside the old (on a thread) -> bind what is new -> on_startup -> one step: take over
      -> what began before ends -> on_shutdown of the old

Nothing of the new is seen by a request before the one step, nothing of the old by one that came after it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, TypeVar

from siphon_http.host.api import SuccessorTask, Task
from siphon_http.host.background import start
from siphon_http.host.prepare import Part, Prepared, read

__all__ = ["Reloader", "What", "Wishes", "follow_log", "say_what_needs_a_restart"]

logger = logging.getLogger("siphon_http.host")

What = Literal["script", "configuration"]

NEED_RESTART = ("workers", "admin", "metrics")
"""Keys of siphon.yaml that take effect at a start only."""

T = TypeVar("T")


class Wishes:
    """What somebody wants reloaded: wishes that come while one is granted become one more."""

    def __init__(self) -> None:
        self._wanted: What | None = None
        self._came = asyncio.Event()

    def ask(self, what: What) -> None:
        """Want it; the configuration includes the script."""
        if self._wanted != "configuration":
            self._wanted = what
        self._came.set()

    async def next(self) -> What:
        """Wait for a wish, and take it."""
        await self._came.wait()
        self._came.clear()
        wanted, self._wanted = self._wanted, None
        return wanted or "script"


class Reloader:
    """Replaces what serves in one process. Belongs to the loop's thread.

    prepared, tasks: what serves now, in this order of extensions; both change when a reload succeeds. count, failed:
    reloads so far. failed_last: the last one did.
    """

    def __init__(self, prepared: Prepared, tasks: list[tuple[Part, Task]]) -> None:
        self.prepared = prepared
        self.tasks = tasks
        self.count = 0
        self.failed = 0
        self.failed_last = False
        self._retiring: set[asyncio.Task[None]] = set()

    async def reload(self, what: What) -> str:
        """Do it, and return a line for the log. One at a time.

        Raises what keeps the old in use: ConfigError, ScriptError, BindError, or whatever an extension raises. When it is
        cancelled the old stays in use, too.
        """
        began = time.monotonic()
        earlier = self.prepared
        try:
            loaded = await _on_thread(lambda: _load(earlier, what))
            try:
                await self._replace(loaded)
            except BaseException:
                loaded.script.undo()
                earlier.namespaces.install()
                raise
        except BaseException:
            self.failed += 1
            self.failed_last = True
            earlier.options.builtins.reloaded(False)
            raise
        loaded.settle()
        loaded.options.builtins.reloaded(True)
        self.count += 1
        self.failed_last = False
        if loaded.config.log != earlier.config.log:
            follow_log(loaded)
        counts = ", ".join(lines[-1] for lines in (list(task.describe()) for _, task in self.tasks) if lines)
        return f"{what} reloaded in {(time.monotonic() - began) * 1000:.0f} ms: {counts}"

    async def _replace(self, loaded: Prepared) -> None:
        """Put tasks for `loaded` into the place of those that serve; on failure those go on."""
        before = {part.name: task for part, task in self.tasks}
        kept: list[tuple[Part, Task]] = []
        made: list[tuple[Part, Task, Task | None]] = []
        try:
            for part in loaded.parts:
                task = part.extension.task(part.context)
                old = before.get(part.name)
                if old is None:
                    made.append((part, task, old))
                    task.bind()
                elif isinstance(task, SuccessorTask):
                    made.append((part, task, old))
                    task.follow(old)
                else:
                    logger.warning("extension `%s` cannot be reloaded, and stays as it is until a restart", part.name)
                    kept.append((part, old))
            for _, task, _ in made:
                await task.startup()
            for _, task, _ in made:
                await task.serve()
        except BaseException:
            for part, task, _ in reversed(made):
                await _undo(part.name, task)
            raise
        order = [part.name for part in loaded.parts]
        now = [*kept, *((part, task) for part, task, _ in made)]
        gone = [(name, task) for name, task in before.items() if name not in order]
        self.tasks[:] = sorted(now, key=lambda one: order.index(one[0].name))
        self.prepared = loaded
        self._let_go([(part.name, old) for part, _, old in made if old is not None], gone)

    def _let_go(self, followed: list[tuple[str, Task]], gone: list[tuple[str, Task]]) -> None:
        """Let what was replaced end, beside everything else."""
        seconds = self.prepared.config.server.drain_secs

        async def retire() -> None:
            ends = [_guarded(name, task.retire(seconds)) for name, task in followed if isinstance(task, SuccessorTask)]
            ends += [_guarded(name, _stop(task, seconds)) for name, task in gone]
            await asyncio.gather(*ends)

        task = asyncio.ensure_future(retire())
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        # Modules and their functions are cycles: without this a script that is replaced often would pile up.
        asyncio.get_running_loop().call_soon(gc.collect)

    async def finish(self) -> None:
        """Wait until everything that was replaced has ended; that takes no longer than a drain."""
        if self._retiring:
            await asyncio.wait(self._retiring)


def _load(earlier: Prepared, what: What) -> Prepared:
    """Return the next generation of everything, its script loaded."""
    if what == "script":
        loaded = replace(earlier)
    else:
        loaded = read(earlier.options, [], earlier)
        say_what_needs_a_restart(earlier, loaded)
    try:
        loaded.load()
    except BaseException:
        earlier.script.files, earlier.script.began = loaded.script.files, loaded.script.began
        earlier.namespaces.install()
        raise
    return loaded


def say_what_needs_a_restart(earlier: Prepared, loaded: Prepared) -> None:
    """Name the keys that have changed, and that a reload does not change."""
    for key in NEED_RESTART:
        if key == "workers" and loaded.place.index == -1:
            continue  # a supervisor starts and dismisses them
        old, new = getattr(earlier.config, key), getattr(loaded.config, key)
        if _plain(old) != _plain(new):
            logger.warning("%s: %s has changed, which takes effect at a restart only", loaded.options.file, key)


def _plain(value: Any) -> Any:
    plain = getattr(value, "plain", None)
    return plain() if callable(plain) else value


def follow_log(loaded: Prepared) -> None:
    """Log as the new configuration says; where that cannot be, as before."""
    try:
        loaded.configure_log()
    except OSError as error:
        logger.error("log.file stays as it was: %s: %s", error.filename, error.strerror)


async def _undo(name: str, task: Task) -> None:
    """Take back a task that did not get to serve."""
    try:
        await task.shutdown()
    except Exception:  # the old one must go on
        logger.exception("extension `%s` failed while a reload was taken back", name)


async def _stop(task: Task, seconds: float) -> None:
    """End a task whose extension is no longer configured."""
    await task.drain(seconds)
    await task.shutdown()


async def _guarded(name: str, ending: Coroutine[Any, Any, None]) -> None:
    try:
        await ending
    except Exception:  # what has replaced it serves
        logger.exception("extension `%s` failed while it gave way to its successor", name)


def _on_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Run `function` on a daemon thread of its own, so that requests go on meanwhile and nobody waits for it at the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    start(threading.Thread(target=run, name="siphon-reload", daemon=True))
    return future
