"""One process: configuration, script, bind, start-up hooks, serve, drain, end. In this order.

    parse and check everything -> load script -> bind -> startup -> listen and accept -> "ready"
      -> SIGTERM or SIGINT -> drain -> shutdown -> exit 0

A signal during the start ends it cleanly too. A second one ends the process at once, with the shell's code for it
(130 for SIGINT, 143 for SIGTERM): that is no clean end, and no error of ours either. SIGHUP is logged and ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TextIO

from siphon_http import __version__
from siphon_http.errors import HttpError
from siphon_http.host import log
from siphon_http.host.admin import State, admin_of_one
from siphon_http.host.api import Task
from siphon_http.host.prepare import Options, Part, Prepared, prepare

__all__ = ["Signals", "Stopped", "Worker", "error_text", "start_lines"]

logger = logging.getLogger("siphon_http.host")

GRACE_SECS = 1.0
"""What cancelled tasks, log lines and an extension that overruns its drain get, each."""


class Stopped(BaseException):
    """A signal asked the process to stop before its loop ran; no Exception, so that no script swallows it."""


class Signals:
    """SIGTERM and SIGINT stop the process, a second one ends it at once; SIGHUP is noted.

    Python's own handlers are used, not the loop's: they work while the script is loaded, and also when a handler holds
    the loop, so that a second Ctrl-C always ends the process. leave: how to end at once, with the exit code.
    """

    def __init__(self, leave: Callable[[int], None] = os._exit) -> None:
        self.received: signal.Signals | None = None
        self.stop = asyncio.Event()
        self._leave = leave
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hung_up_early = False
        self._ended = False

    def install(self) -> None:
        """Take the signals over; only the main thread may do so."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        signal.signal(signal.SIGHUP, self._hung_up)

    def ended(self) -> None:
        """Nothing is left to stop: from now on a signal ends the process at once."""
        self._ended = True

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on a signal sets `stop` on `loop`; before, it raises Stopped where the main thread is."""
        self._loop = loop
        if self._hung_up_early:
            loop.call_soon(self._say_hung_up)

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self._ended or self.received is not None:
            log.flush(0.2)
            with contextlib.suppress(OSError):
                os.write(2, f"ended at once by {signal.Signals(number).name}\n".encode())
            self._leave(128 + number)
        self.received = signal.Signals(number)
        if self._loop is None:
            raise Stopped
        self._on_loop(self.stop.set)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        # Nothing is logged in here: the signal may have interrupted a write of the log itself.
        if self._loop is None:
            self._hung_up_early = True
        else:
            self._on_loop(self._say_hung_up)

    def _on_loop(self, call: Callable[[], object]) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(call)

    def _say_hung_up(self) -> None:
        logger.warning("SIGHUP is ignored: reloading is not available in this version; restart to load changes")


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
        self._form: log.LogFormat = options.log_format or "pretty"

    def run(self) -> int:
        """Live the whole life of the process and return its exit code; errors of the start are printed."""
        self._signals.install()
        try:
            code = self._run_and_report()
        except (Stopped, KeyboardInterrupt):
            self._say(self._stopped_line(None))
            code = 0
        self._signals.ended()
        log.flush()
        self._leave_threads_behind(code)
        return code

    def _run_and_report(self) -> int:
        try:
            return self._run()
        except Exception as error:  # the last frame of the program: whatever it is, the user must read it
            log.flush()
            _write(sys.stderr, error_text(error, verbose=self._options.verbose))
            return int(getattr(error, "exit_code", 1))

    def _run(self) -> int:
        prepared = prepare(self._options, [])
        self._form = prepared.form
        loop, name = _new_loop()
        # As asyncio.run does: libraries that ask for "the" loop outside of a coroutine must get this one.
        asyncio.set_event_loop(loop)
        self._signals.attach(loop)
        python = ".".join(map(str, sys.version_info[:3])) + ("t" if "t" in sys.abiflags else "")
        self._say(f"siphon-http {__version__}, Python {python}, {name}")
        try:
            return loop.run_until_complete(self._live(prepared))
        finally:
            _end_loop(loop)

    async def _live(self, prepared: Prepared) -> int:
        """Bind, start, serve until told to stop, drain; `shutdown` is called for every task, come what may."""
        tasks: list[tuple[Part, Task]] = []
        drained: float | None = None
        builtins = self._options.builtins
        admin = admin_of_one(prepared.config, self._options.place.counters, lambda: self._state)
        try:
            admin.bind()
            await admin.serve()
            builtins.start(asyncio.get_running_loop())
            for part in prepared.parts:
                tasks.append((part, part.extension.task(part.context)))
            for _, task in tasks:
                task.bind()
            await self._start([task for _, task in tasks], prepared.config.server.drain_secs)
            if not self._signals.stop.is_set():
                for _, task in tasks:
                    await task.serve()
                self._state = "ready"
                self._announce([task for _, task in tasks])
                await self._signals.stop.wait()
                self._state = "draining"
                began = time.monotonic()
                seconds = prepared.config.server.drain_secs
                await asyncio.gather(*(_drain(part.name, task, seconds) for part, task in tasks))
                drained = time.monotonic() - began
        finally:
            self._state = "draining"
            clean = [await _shut_down(part.name, task) for part, task in reversed(tasks)]
            await builtins.stop()
            admin.close()
        self._say(self._stopped_line(drained))
        return 0 if all(clean) else 1

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

    def _announce(self, tasks: Sequence[Task]) -> None:
        described = [list(task.describe()) for task in tasks]
        listeners = [line for lines in described for line in lines[:-1]]
        counts = ", ".join(lines[-1] for lines in described if lines)
        milliseconds = (time.monotonic() - self._began) * 1000
        for line in start_lines(listeners, counts, str(self._options.file), milliseconds):
            self._say(line)

    def _stopped_line(self, drained: float | None) -> str:
        by = self._signals.received.name if self._signals.received else "the script"
        text = f"stopped by {by} after {time.monotonic() - self._began:.1f} s"
        return f"{text}, drained in {drained:.1f} s" if drained is not None else f"{text}, before anything was served"

    def _say(self, text: str) -> None:
        _write(self._out, log.event_line(self._form, text))

    def _leave_threads_behind(self, code: int) -> None:
        """End the process although threads of the script still run: they had the time of the drain."""
        main = threading.main_thread()
        left = [t.name for t in threading.enumerate() if t is not main and not t.daemon]
        if left:
            logger.warning("threads that did not end are abandoned: %s", ", ".join(left[:5]))
            log.flush()
            self._leave(code)


def start_lines(listeners: Sequence[str], counts: str, file: str, milliseconds: float) -> list[str]:
    """Return at most three lines: listeners, counts with the configuration's file, ready.

    All listeners but the last share a line when there are more than two: the last may be a command to try, and a command
    is copied as a line.
    """
    summary = f"{counts} from {file}" if counts else file
    ready = f"ready in {milliseconds:.0f} ms - Ctrl-C stops"
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


def _write(stream: TextIO, text: str) -> None:
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
