"""Notices a loop that does not turn: names the line that holds it while it does, and ends the process when that lasts.

What holds a loop for a while is named by whoever called it, afterwards. What never gives it back (an endless loop, a
lock, a call without time-out) is only seen from outside: by a thread here, and by faulthandler's, which needs no Python.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from siphon_http.host.script import is_user_file

__all__ = ["HELD_SECS", "Pulse"]

logger = logging.getLogger("siphon_http.host")

HELD_SECS = 2.0
"""A loop that is held for so long is reported while it is."""
SAY_AGAIN_SECS = 60.0
BEAT_SECS = 0.5
LOOK_SECS = 1.0
MOST_FRAMES = 6


def abort_later(seconds: float) -> None:
    """End the process after `seconds`, with exit code 1 and the frames of all threads on standard error; 0: do not."""
    if seconds:
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    else:
        faulthandler.cancel_dump_traceback_later()


class Pulse:
    """Watches the loop of the thread that makes it, until `close`.

    limit: how long the loop may be held until the process is ended, seconds; 0: for ever. Asked at every beat. folders:
    of the script, whose frames are shown. later: ends the process after so many seconds, if it is not called again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: Callable[[], float],
        folders: Callable[[], Sequence[str]],
        *,
        later: Callable[[float], None] = abort_later,
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._folders = folders
        self._later = later
        self._thread = threading.get_ident()
        self._ended = threading.Event()
        self._armed = 0.0
        self._said = float("-inf")
        self._beat()
        threading.Thread(target=self._look_on, name="siphon-pulse", daemon=True).start()

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._timer.cancel()
        self._later(0)

    def _beat(self) -> None:
        self._at = time.monotonic()
        limit = self._limit()
        if self._at - self._armed >= min(limit / 4, 5.0):  # a thread is begun each time: not at every beat
            self._armed = self._at
            self._later(limit)
        self._timer = self._loop.call_later(BEAT_SECS, self._beat)

    def _look_on(self) -> None:
        looked = time.monotonic()
        while not self._ended.wait(LOOK_SECS):
            before, looked = looked, time.monotonic()
            if looked - before < LOOK_SECS + HELD_SECS / 2:  # else all of us stood still: stopped, or no processor
                self.look(looked)

    def look(self, now: float) -> None:
        """Say that the loop is held, and by what, if it is; at most once a minute. On any thread but the loop's."""
        held = now - self._at
        if held < HELD_SECS or now - self._said < SAY_AGAIN_SECS:
            return
        frame = sys._current_frames().get(self._thread)
        if frame is not None:
            self._said = now
            limit = self._limit()
            end = f"; the process is ended after {limit:.0f} s" if limit else ""
            text = "the event loop has been held for %.1f s, nothing is served meanwhile%s\n%s"
            logger.error(text, held, end, _shown(frame, self._folders()))


def _shown(frame: FrameType, folders: Sequence[str]) -> str:
    """Return where a thread is, innermost last: the script's own frames, and what they wait in."""
    frames = traceback.extract_stack(frame)
    mine = [one for one in frames if is_user_file(one.filename, folders)]
    shown = mine[-MOST_FRAMES:] or frames[-MOST_FRAMES:]
    lines = "".join(traceback.format_list(shown)).rstrip()
    if mine and frames[-1] is not mine[-1]:
        lines += f"\n  in {frames[-1].filename}:{frames[-1].lineno}, {frames[-1].name}"
    return lines
