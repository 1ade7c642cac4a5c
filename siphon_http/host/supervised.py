"""A worker that a supervisor has started: it takes orders from it alone, and reports to it."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
from collections.abc import Callable

from siphon_http.host import log
from siphon_http.host.api import SharedTask
from siphon_http.host.orders import Leash, Report
from siphon_http.host.prepare import Prepared
from siphon_http.host.reload import Reloader, What
from siphon_http.host.watch import Watch
from siphon_http.host.worker import Worker, described

__all__ = ["SupervisedWorker", "serve"]

LOOK_SECONDS = 1.0
"""Between two looks at how much a worker has done and holds."""
ASK_AGAIN_SECONDS = 30.0
"""Until a worker that asked to be replaced asks again: its successor may have failed to start."""
JITTER = 0.1
"""So much more than its limit a worker may do, by chance, so that not all are replaced at once."""


class SupervisedWorker(Worker):
    """A `Worker` that prints nothing, and that no signal stops."""

    def __init__(self, leash: Leash, *, leave: Callable[[int], None] = os._exit) -> None:
        super().__init__(leash.assignment.options(), leave=leave)
        self._leash = leash

    def _take_signals(self) -> None:
        self._leash.take_signals()

    def _say(self, text: str) -> None:
        pass  # the supervisor speaks for all

    def _fail(self, text: str, code: int) -> None:
        self._leash.say(**{"is": "failed", "text": text, "code": code})

    def _announce(self, reloader: Reloader) -> None:
        listeners, counts = described([task for _, task in reloader.tasks])
        self._report("ready", reloader.prepared, listeners=listeners, counts=counts, loop=self._loop_name)
        self._tired = asyncio.ensure_future(self._watch_limits(reloader))

    def _stall_limit(self, reloader: Reloader) -> float:
        return reloader.prepared.config.script.handler_stall_abort_secs

    def _new_watch(self) -> Watch | None:
        return None  # the supervisor watches

    def _reloaded(self, text: str, reloader: Reloader) -> None:
        self._report("reloaded", reloader.prepared, text=text)

    def _kept(self, what: What, reason: str, reloader: Reloader) -> None:
        self._report("kept", reloader.prepared, text=reason)

    def _drained(self) -> None:
        self._leash.say(**{"is": "drained"})

    def _report(self, word: str, prepared: Prepared, **more: object) -> None:
        script = prepared.script
        self._leash.say(**{"is": word, "files": script.files, "folders": script.dirs, "began": script.began, **more})

    def _loop_runs(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop_name = name
        self._leash.attach(loop, self._obey)

    def _obey(self, order: Report) -> None:
        if order["do"] == "drain":
            self._signals.stop.set()
        elif order["do"] == "reload":
            self._wishes.ask(order["what"])
        elif order["do"] == "logs":
            log.reopen()

    async def _watch_limits(self, reloader: Reloader) -> None:
        """Ask to be replaced once this process has served, or holds, as much as it may."""
        config = reloader.prepared.config
        spread = 1 + random.uniform(0, JITTER)
        requests, megabytes = config.worker_max_requests * spread, config.worker_max_rss_mb * spread
        if not requests and not megabytes:
            return
        seconds = LOOK_SECONDS
        while True:
            await asyncio.sleep(seconds)
            served = sum(task.served for _, task in reloader.tasks if isinstance(task, SharedTask))
            held = _resident_bytes() / 2**20
            if requests and served >= requests:
                self._leash.say(**{"is": "tired", "text": f"it has served {served} requests"})
                seconds = ASK_AGAIN_SECONDS
            elif megabytes and held >= megabytes:
                self._leash.say(**{"is": "tired", "text": f"it holds {held:.0f} MiB of memory"})
                seconds = ASK_AGAIN_SECONDS


def _resident_bytes() -> int:
    """Return the memory that this process holds; where the kernel does not say, the most that it has ever held."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def serve(fd: int) -> int:
    """Be the worker at the other end of `fd`; return the exit code."""
    try:
        leash = Leash(fd)
    except EOFError:
        return 1
    return SupervisedWorker(leash).run()
