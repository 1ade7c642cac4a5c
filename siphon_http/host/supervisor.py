"""The process above several workers: it binds, starts them, starts them again, reloads and drains them.

    check the configuration -> bind -> first worker ready -> the others -> "ready"
      -> a worker dies: another one, later each time that it dies young
      -> SIGHUP: workers reload one after the other, or, for a changed configuration, are replaced one after the other
      -> SIGTERM or SIGINT: all drain

It serves nothing and loads no script. What is said once for all, it says; the script's own lines are each worker's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from siphon_http.host.admin import Admin, State
from siphon_http.host.api import SharedTask
from siphon_http.host.child import Child
from siphon_http.host.crew import Crew, WorkerFailedError
from siphon_http.host.ledger import Series
from siphon_http.host.metrics import everything
from siphon_http.host.notify import Notifier
from siphon_http.host.orders import Assignment, Report
from siphon_http.host.prepare import Prepared, read
from siphon_http.host.reload import What, Wishes, follow_log, say_what_needs_a_restart
from siphon_http.host.signals import Signals
from siphon_http.host.watch import Watch
from siphon_http.host.worker import GRACE_SECS, KEPT, OFF, SERVING_OLD, error_text, start_lines, title

__all__ = ["Supervisor"]

logger = logging.getLogger("siphon_http.host")


class Supervisor:
    """The life of the process above the workers.

    prepared: the configuration; no script is loaded. say: prints a line of the start. began: when the process did.
    notifier: tells the service manager.
    """

    def __init__(
        self, prepared: Prepared, signals: Signals, say: Callable[[str], None], began: float, notifier: Notifier
    ) -> None:
        self.prepared = prepared
        self.crew = Crew(self._assignment, self._heard)
        self._signals = signals
        self._say = say
        self._began = began
        self._wishes = Wishes()
        self._notifier = notifier
        self._tasks: dict[str, SharedTask] = {}
        self._yaml = _contents(prepared)
        self._some_are_behind = False
        self._watched: tuple[tuple[str, ...], int] = ((), 0)
        self._turn = asyncio.Lock()
        self._state: State = "starting"
        self._admin: Admin | None = None
        self._reliefs: set[asyncio.Task[None]] = set()

    def run(self) -> int:
        """Live until told to stop, and return the exit code. Raises BindError, WorkerFailedError."""
        loop = asyncio.new_event_loop()  # asyncio's own: there is nothing here to do fast
        asyncio.set_event_loop(loop)

        def child_ended(number: int, frame: FrameType | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.crew.reap)

        self._signals.attach(loop)
        self._signals.before_leaving = self.crew.kill
        self._signals.when_hung_up(lambda: self._wishes.ask("configuration"))
        self._signals.logs_reopened = self.crew.reopen_logs
        signal.signal(signal.SIGCHLD, child_ended)
        try:
            return loop.run_until_complete(self._live())
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asyncio.set_event_loop(None)
            loop.close()
            self._notifier.close()
            self.crew.close()

    async def _live(self) -> int:
        self._notifier.watch(asyncio.get_running_loop())
        working = asyncio.ensure_future(self._work())
        stopping = asyncio.ensure_future(self._signals.stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            began = time.monotonic()
            for one in (stopping, working, *self._reliefs):
                one.cancel()
            await asyncio.wait({stopping, working})
            await self._end()
        if not working.cancelled():
            working.result()
        now = time.monotonic()
        by = self._signals.received.name if self._signals.received else "the script"
        self._say(f"stopped by {by} after {now - self._began:.1f} s, drained in {now - began:.1f} s")
        return 0 if self.crew.is_clean else 1

    def _numbers(self) -> list[Series]:
        """Return what all workers, and those before them, have counted."""
        living = {str(child.slot.number): child for child in self.crew.children}
        slots = {name: child.slot.view for name, child in living.items()}
        pids = {name: child.pid for name, child in living.items()} | {"supervisor": os.getpid()}
        found = everything(slots, pids, [slot.view for slot in self.crew.slots.all() if not slot.taken])
        return sorted([*found, *self.crew.numbers()], key=lambda one: (one.name, one.labels))

    def _now(self) -> State:
        """Return where the service is in its life: without a worker that serves it is not ready."""
        return "starting" if self._state == "ready" and not self.crew.running else self._state

    def _health(self) -> dict[str, object]:
        return {"workers": {"running": self.crew.running, "wanted": self.prepared.place.count}}

    async def _end(self) -> None:
        self._signals.draining = True
        self._state = "draining"
        seconds = self.prepared.config.server.drain_secs + 3 * GRACE_SECS
        self._notifier.stopping(seconds + GRACE_SECS)
        for task in self._tasks.values():
            await task.shutdown()  # no more connections
        await self.crew.stop(seconds)
        if self._admin is not None:
            self._admin.close()

    async def _work(self) -> None:
        """Start everything, then reload when asked to."""
        config = self.prepared.config
        self._admin = Admin(config.admin, config.metrics, state=self._now, numbers=self._numbers, health=self._health)
        self._admin.bind()
        await self._admin.serve()
        for part in self.prepared.parts:
            task = part.extension.task(part.context)
            if isinstance(task, SharedTask):
                self._tasks[part.name] = task
                task.bind()
        self.prepared.options.activation.unclaimed(task.handles for task in self._tasks.values())
        if "t" in sys.abiflags:
            logger.info("this is a free-threaded CPython: workers are processes all the same, with one loop each")
        self._notifier.status("workers start")
        await self.crew.man(self.prepared.place.count)
        self._state = "ready"
        self._announce()
        self._notifier.ready("serving")
        watch = Watch(lambda: self._wishes.ask("script"))
        try:
            while True:
                files, since = self._watched
                watch.look_at(files if self.prepared.config.script.reload == "auto" else (), since)
                what = await self._wishes.next()
                async with self._turn:
                    await self._reload(what)
        finally:
            watch.stop()

    def _announce(self) -> None:
        first = self.crew.posts[0].child
        report: Report = {} if first is None else first.report
        running, wanted = self.crew.running, len(self.crew.posts)
        hints = f"{wanted} workers - Ctrl-C stops" if running == wanted else f"{running} of {wanted} workers serve"
        milliseconds = (time.monotonic() - self._began) * 1000
        file = str(self.prepared.options.file)
        self._say(title(report.get("loop", "?")))
        for line in start_lines(report.get("listeners", ()), report.get("counts", ""), file, milliseconds, hints):
            self._say(line)

    # ---- what workers are given, and say

    def _assignment(self, index: int) -> Assignment:
        options = self.prepared.options
        return Assignment(
            file=str(options.file),
            verbose=options.verbose,
            log_level=options.log_level,
            log_format=options.log_format,
            index=index,
            count=self.prepared.place.count,
            slot=-1,
            inherited={name: _own(task.handles, index) for name, task in self._tasks.items()},
            drain_secs=self.prepared.config.server.drain_secs,
            contents={str(file): data.decode("latin-1") for file, data in self._yaml.items() if data is not None},
        )

    def _heard(self, child: Child, report: Report) -> None:
        word = report["is"]
        if word in {"ready", "reloaded", "kept"}:
            child.report = report
            # After a failure also for a module that was missing.
            folders = report["folders"] if word == "kept" else []
            self._watched = ((*report["files"], *folders), report["began"])
        elif word == "tired":
            relief = asyncio.ensure_future(self._relieve(child, report["text"]))
            self._reliefs.add(relief)
            relief.add_done_callback(self._reliefs.discard)

    async def _relieve(self, child: Child, reason: str) -> None:
        async with self._turn:
            post = next((one for one in self.crew.posts if one.child is child), None)
            if post is None:
                return
            logger.info("worker %d (pid %d) is replaced: %s", child.index, child.pid, reason)
            try:
                await self.crew.relieve(post, "recycled")
            except (WorkerFailedError, OSError) as error:
                logger.error("worker %d stays: its successor cannot be started\n%s", child.index, error)

    # ---- reload

    async def _reload(self, what: What) -> None:
        if self.prepared.config.script.reload == "off":
            logger.warning(OFF)
            return
        status = "serving"
        self._notifier.reloading()
        asked = time.monotonic()
        self.crew.hurry()
        try:
            if what == "configuration" and (self._some_are_behind or _contents(self.prepared) != self._yaml):
                await self._replace_all()
            else:
                await self._reload_in_turn(what, asked)
        except Exception as error:  # the old ones serve on, whatever it was
            logger.error(KEPT, what, error_text(error, verbose=self.prepared.options.verbose))
            status = SERVING_OLD
        finally:
            self._notifier.ready(status)

    async def _reload_in_turn(self, what: What, asked: float) -> None:
        """Let one worker after the other reload in place; the first that fails is the last that tries.

        Those that were starting when it was asked for may have read what was there before: they do it once they serve.
        """
        began = time.monotonic()
        done = 0
        text = ""
        children = [post.child for post in self.crew.posts if post.child is not None]
        starting = [child for child in children if not child.ready and child.began < asked]
        for child in (child for child in children if child.ready):
            report = child.report
            child.order(do="reload", what=what)
            await self.crew.until(lambda: child.report is not report or child not in self.crew.children)  # noqa: B023
            if child.report is report:
                continue  # it has died, and its successor loads what is there
            if child.report["is"] == "kept":
                told = f"{done} of {len(children)} workers have it already\n" if done else ""
                raise WorkerFailedError(told + child.report["text"], 1)
            text = child.report["text"].partition(": ")[2]
            done += 1
        for child in starting:
            child.order(do="reload", what=what)
        if done:
            logger.info("%s reloaded in %d workers in %.0f ms: %s", what, done, (time.monotonic() - began) * 1000, text)

    async def _replace_all(self) -> None:
        """Check and bind what has changed, then replace one worker after the other.

        When the first cannot be replaced everything stays as it was. Raises ConfigError, BindError, WorkerFailedError.
        """
        began = time.monotonic()
        earlier, loaded = self.prepared, read(self.prepared.options, [], self.prepared)
        contents = self._yaml
        say_what_needs_a_restart(earlier, loaded)
        before = self._adopt(loaded)
        self.prepared, self._yaml = loaded, _contents(loaded)
        try:
            if self.crew.posts:
                await self.crew.relieve(self.crew.posts[0], "reload")
        except BaseException:
            self.prepared, self._yaml = earlier, contents
            await self._give_back(before)
            raise
        if loaded.config.log != earlier.config.log:
            follow_log(loaded)
        self._some_are_behind = False
        for task in before.values():
            await task.shutdown()  # what it still has, each worker that has it serves until it is replaced
        replaced = 1 + await self._replace_others(loaded.place.count)
        logger.info("configuration reloaded, %d workers replaced in %.1f s", replaced, time.monotonic() - began)

    async def _replace_others(self, count: int) -> int:
        """Replace, or dismiss, all but the first; return how many were replaced. The new configuration is in use.

        A worker whose successor cannot be started, as the first one's could, goes on as it is.
        """
        replaced = 0
        for post in self.crew.posts[max(count, 1) :]:
            self.crew.dismiss(post)  # first of all: their sockets take nobody any more
        for post in list(self.crew.posts[1:]):
            try:
                await self.crew.relieve(post, "reload")
                replaced += 1
            except (WorkerFailedError, OSError) as error:
                self._some_are_behind = True
                logger.error(
                    "worker %d stays with the earlier configuration: its successor cannot be started; "
                    "SIGHUP tries again\n%s", post.index, error,
                )  # fmt: skip
        before = len(self.crew.posts)
        await self.crew.man(count)
        return replaced + len(self.crew.posts) - before

    def _adopt(self, loaded: Prepared) -> dict[str, SharedTask]:
        """Bind for `loaded`, taking over what is bound; return the tasks that had it before. Raises BindError."""
        before = dict(self._tasks)
        made: dict[str, SharedTask] = {}
        try:
            for part in loaded.parts:
                task = part.extension.task(part.context)
                if not isinstance(task, SharedTask):
                    continue
                made[part.name] = task
                if part.name in before:
                    task.adopt(before[part.name])
                else:
                    task.bind()
        except BaseException:
            for name, task in made.items():
                if name in before:
                    before[name].adopt(task)
            raise
        self._tasks = made
        return before

    async def _give_back(self, before: dict[str, SharedTask]) -> None:
        made, self._tasks = self._tasks, before
        for name, task in made.items():
            if name in before:
                before[name].adopt(task)
            await task.shutdown()


def _own(handles: Mapping[str, object], index: int) -> dict[str, list[int]]:
    """Return what the worker of `index` inherits: what all share, and what is its own (see `SharedTask.handles`)."""
    own: dict[str, list[int]] = {}
    for name, fds in handles.items():
        shared, at, owner = name.rpartition("@")
        if not at or owner == str(index):
            own[shared or name] = list(fds)  # type: ignore[call-overload]
    return own


def _contents(prepared: Prepared) -> dict[Path, bytes | None]:
    """Return what is in siphon.yaml and the extensions' own files."""
    files = [prepared.options.file, *(part.context.config for part in prepared.parts)]
    contents: dict[Path, bytes | None] = {}
    for file in files:
        if isinstance(file, Path):
            try:
                contents[file] = file.read_bytes()
            except OSError:
                contents[file] = None
    return contents
