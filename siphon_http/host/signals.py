"""Signals of a process: SIGTERM and SIGINT stop it, a second one ends it at once, SIGHUP asks for a reload.

SIGUSR1, and SIGHUP too, whatever becomes of the reload, open the log files anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from types import FrameType

from siphon_http.host import log

__all__ = ["Signals", "Stopped"]

logger = logging.getLogger("siphon_http.host")


class Stopped(BaseException):
    """A signal asked the process to stop before its loop ran; no Exception, so that no script swallows it."""


class Signals:
    """Takes the signals over and turns them into events of the loop.

    Python's own handlers are used, not the loop's: they work while the script is loaded, and also when a handler holds
    the loop, so that a second Ctrl-C always ends the process. A SIGHUP that comes before anybody wants it is
    remembered, one that comes while `draining` ignored. logs_reopened: called when this process has opened its log
    files anew, for those of others. leave: how to end at once, with the exit code.
    """

    def __init__(self, leave: Callable[[int], None] = os._exit) -> None:
        self.received: signal.Signals | None = None
        self.stop = asyncio.Event()
        self.draining = False
        self.before_leaving: Callable[[], None] | None = None
        self.logs_reopened: Callable[[], None] | None = None
        self._hang_up: Callable[[], None] | None = None
        self._leave = leave
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hung_up_early = False
        self._moved_early = False
        self._ended = False

    def install(self) -> None:
        """Take the signals over; only the main thread may do so."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        signal.signal(signal.SIGHUP, self._hung_up)
        signal.signal(signal.SIGUSR1, self._moved)

    def ended(self) -> None:
        """Nothing is left to stop: from now on a signal ends the process at once."""
        self._ended = True

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on a signal sets `stop` on `loop`; before, it raises Stopped where the main thread is.

        One that came before counts, too: a script's bare `except:`, or a finalizer, may have swallowed what it raised.
        """
        self._loop = loop
        if self.received is not None:
            self._on_loop(self.stop.set)
        if self._moved_early:
            self._on_loop(self._reopen)

    def when_hung_up(self, callback: Callable[[], None]) -> None:
        """Call `callback()` on the loop for a SIGHUP; at once if one has come already."""
        self._hang_up = callback
        if self._hung_up_early:
            callback()

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self._ended or self.received is not None:
            log.flush(0.2)
            with contextlib.suppress(OSError):
                os.write(2, f"ended at once by {signal.Signals(number).name}\n".encode())
            if self.before_leaving is not None:
                self.before_leaving()
            self._leave(128 + number)
        self.received = signal.Signals(number)
        if self._loop is None:
            raise Stopped
        self._on_loop(self.stop.set)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        # Nothing is logged in here: the signal may have interrupted a write of the log itself.
        self._moved(number, frame)
        if self._hang_up is None:
            self._hung_up_early = True
        else:
            self._on_loop(self._ask)

    def _moved(self, number: int, frame: FrameType | None) -> None:
        if self._loop is None:
            self._moved_early = True
        else:
            self._on_loop(self._reopen)

    def _reopen(self) -> None:
        log.reopen()
        if self.logs_reopened is not None:
            self.logs_reopened()

    def _ask(self) -> None:
        if self.draining:
            logger.warning("SIGHUP is ignored: the process is stopping")
        elif self._hang_up is not None:
            self._hang_up()

    def _on_loop(self, call: Callable[[], object]) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(call)
