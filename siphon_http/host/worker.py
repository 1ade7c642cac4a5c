"""One process: configuration, script, bind, start-up hooks, serve, drain, end. In this order.

    parse and check everything -> load script -> bind -> startup -> listen and accept -> "ready"
      -> SIGHUP, or a changed script: reload, see host/reload
      -> SIGTERM or SIGINT -> drain -> shutdown -> exit 0

A signal during the start ends it cleanly too. A second one ends the process at once, with the shell's code for it
(130 for SIGINT, 143 for SIGTERM): that is no clean end, and no error of ours either.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from siphon_http import __version__
from siphon_http.errors import HttpError
from siphon_http.host import log
from siphon_http.host.api import SharedTask, Task
from siphon_http.host.notify import Activation, Notifier
from siphon_http.host.prepare import Options, Part, Prepared, read
from siphon_http.host.pulse import Pulse
from siphon_http.host.reload import Reloader, What, Wishes
from siphon_http.host.signals import Signals, Stopped
from siphon_http.host.watch import Watch

if TYPE_CHECKING:
    from siphon_http.host.admin import Admin, State

__all__ = ["KEPT", "OFF", "SERVING_OLD", "Worker", "described", "error_text", "start_lines", "title", "write"]

logger = logging.getLogger("siphon_http.host")

GRACE_SECS = 1.0
"""What cancelled tasks, log lines and an extension that overruns its drain get, each."""


KEPT = "%s not reloaded, what was loaded before stays in use\n%s"
SERVING_OLD = "serving; the last reload failed, see the log"
OFF = "SIGHUP is ignored: script.reload is off; restart to load changes"


class Worker:
    """The process that `siphon-http run` is.

    out: takes the start-up lines. began: when the process began, as `time.monotonic()`. leave: ends the process at once.
    """

    def __init__(
        self,
        options: Options,
        *,
        out: TextIO | None = None,
        began: float | None = None,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._options = options
        self._out = sys.stdout if out is None else out
        self._began = time.monotonic() if began is None else began
        self._leave = leave
        self._signals = Signals(leave)
        self._state: State = "starting"
        self._wishes = Wishes()
        self._notifier = Notifier()
        self._form: log.LogFormat = options.log_format or "pretty"

    def run(self) -> int:
        """Live the whole life of the process and return its exit code; errors of the start are printed."""
        self._take_signals()
        try:
            code = self._run_and_report()
        except (Stopped, KeyboardInterrupt):
            self._say(self._stopped_line(None))
            code = 0
        self._signals.ended()
        log.flush()
        self._leave_threads_behind(code)
        return code

    def _take_signals(self) -> None:
        self._signals.install()

    def _run_and_report(self) -> int:
        try:
            return self._run()
        except Exception as error:  # the last frame of the program: whatever it is, the user must read it
            log.flush()
            code = int(getattr(error, "exit_code", 1))
            self._fail(error_text(error, verbose=self._options.verbose), code)
            return code

    def _fail(self, text: str, code: int) -> None:
        write(sys.stderr, text)

    def _run(self) -> int:
        activation = Activation.from_environment()
        self._notifier = Notifier.from_environment()
        prepared = read(replace(self._options, activation=activation), [])
        self._form = prepared.form
        if not gc.isenabled():
            gc.freeze()  # modules of ours live as long as the process: no collection needs to look at them
            gc.enable()
        if prepared.place.index == -1:
            from siphon_http.host.supervisor import Supervisor  # not needed by one process alone

            return Supervisor(prepared, self._signals, self._say, self._began, self._notifier).run()
        prepared.load()
        prepared.settle()
        loop, name = _new_loop()
        # As asyncio.run does: libraries that ask for "the" loop outside of a coroutine must get this one.
        asyncio.set_event_loop(loop)
        self._signals.attach(loop)
        self._loop_runs(loop, name)
        self._say(title(name))
        try:
            return loop.run_until_complete(self._live(prepared))
        finally:
            _end_loop(loop)

    async def _live(self, prepared: Prepared) -> int:
        """Bind, start, serve until told to stop, drain; `shutdown` is called for every task, come what may."""
        tasks: list[tuple[Part, Task]] = []
        drained: float | None = None
        pulse: Pulse | None = None
        builtins = prepared.options.builtins
        admin = self._admin(prepared)
        try:
            self._notifier.watch(asyncio.get_running_loop())
            if admin is not None:
                admin.bind()
                await admin.serve()
            builtins.start(asyncio.get_running_loop())
            for part in prepared.parts:
                tasks.append((part, part.extension.task(part.context)))
            for _, task in tasks:
                task.bind()
            prepared.options.activation.unclaimed(task.handles for _, task in tasks if isinstance(task, SharedTask))
            self._notifier.status("start-up hooks run")
            await self._start([task for _, task in tasks], prepared.config.server.drain_secs)
            if not self._signals.stop.is_set():
                for _, task in tasks:
                    await task.serve()
                self._state = "ready"
                reloader = Reloader(prepared, tasks)
                self._announce(reloader)
                self._notifier.ready("serving")
                pulse = Pulse(
                    asyncio.get_running_loop(),
                    lambda: self._stall_limit(reloader),
                    lambda: reloader.prepared.script.dirs,
                )
                await self._serve(reloader)
                self._state = "draining"
                drained = await self._drain(reloader)
        finally:
            if pulse is not None:
                pulse.close()
            self._state = "draining"
            clean = [await _shut_down(part.name, task) for part, task in reversed(tasks)]
            await builtins.stop()
            if admin is not None:
                admin.close()
            self._notifier.close()
        self._say(self._stopped_line(drained))
        return 0 if all(clean) else 1

    def _admin(self, prepared: Prepared) -> Admin | None:
        """Return the listeners for operators, where this process is the only one; else they are the supervisor's."""
        config = prepared.config
        if not prepared.place.is_first or (config.admin.listen is None and config.metrics.prometheus.listen is None):
            return None
        from siphon_http.host.admin import admin_of_one  # not needed by most

        return admin_of_one(prepared.config, prepared.place.counters, lambda: self._state)

    async def _serve(self, reloader: Reloader) -> None:
        """Reload when asked to, until told to stop."""
        reloading = asyncio.ensure_future(self._reload_when_asked(reloader))
        stopping = asyncio.ensure_future(self._signals.stop.wait())
        try:
            await asyncio.wait({reloading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            reloading.cancel()
            await asyncio.wait({reloading}, timeout=GRACE_SECS)
        if not self._signals.stop.is_set():
            reloading.result()

    def _loop_runs(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._signals.when_hung_up(lambda: self._wishes.ask("configuration"))

    def _stall_limit(self, reloader: Reloader) -> float:
        """Return after how many seconds a held loop ends the process; 0, since nobody is here to start another one."""
        return 0

    def _new_watch(self) -> Watch | None:
        return Watch(lambda: self._wishes.ask("script"))

    async def _reload_when_asked(self, reloader: Reloader) -> None:
        watch = self._new_watch()
        try:
            while True:
                if watch is not None:
                    script = reloader.prepared.script
                    # After a failure also for a module that was missing.
                    files = (*script.files, *(script.dirs if reloader.failed_last else ()))
                    watch.look_at(files if reloader.prepared.config.script.reload == "auto" else (), script.began)
                await self._reload(reloader, await self._wishes.next())
        finally:
            if watch is not None:
                watch.stop()

    async def _reload(self, reloader: Reloader, what: What) -> None:
        if reloader.prepared.config.script.reload == "off":
            logger.warning(OFF)
            return
        self._notifier.reloading()
        try:
            self._reloaded(await reloader.reload(what), reloader)
        except Exception as error:  # the old one serves on, whatever it was
            self._kept(what, error_text(error, verbose=self._options.verbose), reloader)
        finally:
            self._notifier.ready(SERVING_OLD if reloader.failed_last else "serving")

    def _reloaded(self, text: str, reloader: Reloader) -> None:
        logger.info("%s", text)

    def _kept(self, what: What, reason: str, reloader: Reloader) -> None:
        logger.error(KEPT, what, reason)

    def _drained(self) -> None:
        """Nothing is in flight any more."""

    async def _drain(self, reloader: Reloader) -> float:
        """Let everything end; return how long that took."""
        began = time.monotonic()
        self._signals.draining = True
        seconds = reloader.prepared.config.server.drain_secs
        self._notifier.stopping(seconds + 3 * GRACE_SECS)
        await asyncio.gather(*(_drain(part.name, task, seconds) for part, task in reloader.tasks))
        await reloader.finish()
        self._drained()
        return time.monotonic() - began

    async def _start(self, tasks: Sequence[Task], seconds: float) -> None:
        """Run every task's start-up; a signal cancels it and gives it `seconds` to end."""

        async def start_all() -> None:
            for task in tasks:
                await task.startup()

        starting = asyncio.ensure_future(start_all())
        stopping = asyncio.ensure_future(self._signals.stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting}, timeout=seconds)
        if starting.done() and not starting.cancelled():
            starting.result()

    def _announce(self, reloader: Reloader) -> None:
        listeners, counts = described([task for _, task in reloader.tasks])
        milliseconds = (time.monotonic() - self._began) * 1000
        for line in start_lines(listeners, counts, str(self._options.file), milliseconds):
            self._say(line)

    def _stopped_line(self, drained: float | None) -> str:
        by = self._signals.received.name if self._signals.received else "the script"
        text = f"stopped by {by} after {time.monotonic() - self._began:.1f} s"
        return f"{text}, drained in {drained:.1f} s" if drained is not None else f"{text}, before anything was served"

    def _say(self, text: str) -> None:
        write(self._out, log.event_line(self._form, text))

    def _leave_threads_behind(self, code: int) -> None:
        """End the process although threads of the script still run: they had the time of the drain."""
        main = threading.main_thread()
        left = [t.name for t in threading.enumerate() if t is not main and not t.daemon]
        if left:
            logger.warning("threads that did not end are abandoned: %s", ", ".join(left[:5]))
            log.flush()
            self._leave(code)


def title(loop: str) -> str:
    """Return the first line that a process prints."""
    python = ".".join(map(str, sys.version_info[:3])) + ("t" if "t" in sys.abiflags else "")
    return f"siphon-http {__version__}, Python {python}, {loop}"


def described(tasks: Sequence[Task]) -> tuple[list[str], str]:
    """Return the lines of all listeners, and all counts in one line."""
    lines = [list(task.describe()) for task in tasks]
    return [line for some in lines for line in some[:-1]], ", ".join(some[-1] for some in lines if some)


def start_lines(
    listeners: Sequence[str], counts: str, file: str, milliseconds: float, hints: str = "Ctrl-C stops"
) -> list[str]:
    """Return at most three lines: listeners, counts with the configuration's file, ready.

    All listeners but the last share a line when there are more than two: the last may be a command to try, and a command
    is copied as a line.
    """
    summary = f"{counts} from {file}" if counts else file
    ready = f"ready in {milliseconds:.0f} ms - {hints}"
    if len(listeners) <= 1:
        return [*listeners, summary, ready]
    return [", ".join(listeners[:-1]), listeners[-1], f"{summary}; {ready}"]


def error_text(error: BaseException, *, verbose: bool) -> str:
    """Return what the user reads about an error that ends the process: at most six lines each, `verbose` all."""
    if isinstance(error, HttpError):
        text = str(error)
        problems = getattr(error, "problems", ())
        return f"{text}\n{len(problems)} mistakes; nothing was started" if len(problems) > 1 else text
    if verbose:
        return "".join(traceback.format_exception(error)).rstrip()
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"internal error: {type(error).__name__}: {error}"]
    lines += [f"    {f.filename}:{f.lineno} in {f.name}" for f in frames[-1:]]
    return "\n".join([*lines, "    this is a bug; -v shows the whole traceback for the report"])


def write(stream: TextIO, text: str) -> None:
    """Write a line; a reader that has gone is no reason to stop serving."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError):
        pass


def _new_loop() -> tuple[asyncio.AbstractEventLoop, str]:
    """Return a new loop and its name: uvloop's, or asyncio's where uvloop is not to be had."""
    try:
        import uvloop
    except ImportError as error:
        logger.warning("uvloop cannot be imported (%s): asyncio's own loop is used, which is slower", error)
        return asyncio.new_event_loop(), "asyncio"
    return uvloop.new_event_loop(), f"uvloop {getattr(uvloop, '__version__', '?')}"


async def _drain(name: str, task: Task, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds + GRACE_SECS):
            await task.drain(seconds)
    except Exception:  # the end must go on
        logger.exception("extension `%s` failed while it drained", name)


async def _shut_down(name: str, task: Task) -> bool:
    """Return whether it went without an error."""
    try:
        await task.shutdown()
    except Exception:  # the end must go on
        logger.exception("extension `%s` failed while it shut down", name)
        return False
    return True


def _end_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs on `loop` and close it; nothing may hold this up, threads of its executor included."""
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=GRACE_SECS))
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), GRACE_SECS))
    except TimeoutError:
        logger.warning("generators of the script did not close within %.0f s", GRACE_SECS)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
