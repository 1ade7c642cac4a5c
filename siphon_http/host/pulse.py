"""Notices a loop that does not turn: names the line that holds it while it does, and ends a worker when that lasts.

What holds a loop for a while is named by whoever called it, afterwards. What never gives it back (an endless loop, a
lock, a call without time-out) is only seen from outside: by a thread. It counts the time in which it ran itself and the
loop did not, so that a process that was stopped, or had no processor, is not taken for one that hangs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from siphon_http.host import log
from siphon_http.host.background import start
from siphon_http.host.script import is_user_file

__all__ = ["HELD_SECS", "Pulse"]

logger = logging.getLogger("siphon_http.host")

HELD_SECS = 2.0
"""A loop that is held for so long is reported while it is."""
SAY_AGAIN_SECS = 60.0
BEAT_SECS = 0.5
LOOK_SECS = 1.0
MOST_FRAMES = 6


def abort() -> None:
    """End the process at once, with exit code 1 and the frames of all threads on standard error."""
    log.flush()
    faulthandler.dump_traceback(file=2, all_threads=True)
    os._exit(1)


class Pulse:
    """Watches the loop of the thread that makes it, until `close`.

    limit: how long the loop may be held until the process is ended, seconds; 0: for ever. Asked at every look. folders:
    of the script, whose frames are shown. end: ends the process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: Callable[[], float],
        folders: Callable[[], Sequence[str]],
        *,
        end: Callable[[], None] = abort,
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._folders = folders
        self._end = end
        self._thread = threading.get_ident()
        self._closed = threading.Event()
        self._beats = self._seen = 0
        self._held = 0.0
        self._said = float("-inf")
        self._beat()
        start(threading.Thread(target=self._look_on, name="siphon-pulse", daemon=True))

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        self._timer.cancel()

    def _beat(self) -> None:
        self._beats += 1
        self._timer = self._loop.call_later(BEAT_SECS, self._beat)

    def _look_on(self) -> None:
        looked = time.monotonic()
        while not self._closed.wait(LOOK_SECS):
            before, looked = looked, time.monotonic()
            self.look(looked, looked - before)

    def look(self, now: float, passed: float) -> None:
        """Note that `passed` seconds are over: if the loop was held, say by what, once a minute; on any thread but its.

        Ends the process when that has lasted for the limit.
        """
        if self._beats != self._seen:
            self._seen = self._beats
            self._held = 0.0
        elif passed < LOOK_SECS + HELD_SECS / 2:  # else all of us stood still
            self._held += passed
        limit = self._limit()
        is_over = 0 < limit <= self._held
        if is_over or (self._held >= HELD_SECS and now - self._said >= SAY_AGAIN_SECS):
            self._said = now
            self._say("; the process ends" if is_over else f"; the process ends after {limit:.0f} s" if limit else "")
        if is_over:
            self._end()

    def _say(self, what_follows: str) -> None:
        frame = sys._current_frames().get(self._thread)
        if frame is not None:
            text = "the event loop has been held for %.0f s, nothing is served meanwhile%s\n%s"
            logger.error(text, self._held, what_follows, _shown(frame, self._folders()))


def _shown(frame: FrameType, folders: Sequence[str]) -> str:
    """Return where a thread is, innermost last: the script's own frames, and what they wait in."""
    frames = traceback.extract_stack(frame)
    mine = [one for one in frames if is_user_file(one.filename, folders)]
    shown = mine[-MOST_FRAMES:] or frames[-MOST_FRAMES:]
    lines = "".join(traceback.format_list(shown)).rstrip()
    if mine and frames[-1] is not mine[-1]:
        lines += f"\n  in {frames[-1].filename}:{frames[-1].lineno}, {frames[-1].name}"
    return lines
