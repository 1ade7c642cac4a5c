"""Tells when files have changed: by looking at them, sooner where watchfiles is installed.

A change is one of content. What editors do to a file within a moment (truncate, write, rename) is one change, and it is
told once, whatever becomes of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable

from siphon_http.host.background import start

__all__ = ["LOOK_SECONDS", "Watch"]

LOOK_SECONDS = 0.25
"""Between two looks; where the kernel tells, looks only find what it has missed."""
LOOK_SECONDS_NOTIFIED = 2.0
SETTLE_SECONDS = 0.04
"""For so long nothing may change until a change is told."""
NOTIFIED_AFTER_SECONDS = 1.0
"""watchfiles takes 50 ms to import, which the first requests need not share the interpreter with."""

CLOCK_NS = 20_000_000
"""So much the times of files may lag behind the clock: the kernel takes them from its last tick."""

Look = tuple[int, int, int] | None


class _File:
    """What is known of one file: its look, and what was in it."""

    __slots__ = ("content", "look")

    def __init__(self, look: Look, content: int | None) -> None:
        self.look = look
        self.content = content


class Watch:
    """Watches files for one event loop, and calls `changed()` when one of them differs; not while it is stopped.

    notified: whether watchfiles may be used.
    """

    def __init__(self, changed: Callable[[], None], *, notified: bool = True) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._files: dict[str, _File] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._unsettled = False
        self._may_notify = notified
        self._notifier: _Notifier | None = None
        self._later: asyncio.TimerHandle | None = None

    def look_at(self, files: Iterable[str], since: int = 0) -> None:
        """Watch these, and no others. What is known of a file stays known.

        since: a time of the clock in nanoseconds; a file that was changed after it has changed.
        """
        known, self._files = self._files, {}
        if not (files := tuple(files)):
            self.stop()
            return
        for path in files:
            self._files[path] = known.get(path) or _first_look(path, since)
        if self._notifier is not None:
            self._notify()
        elif self._may_notify and self._later is None:
            self._later = self._loop.call_later(NOTIFIED_AFTER_SECONDS, self._notify)
        if self._timer is None:
            self._wait()

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._notifier is not None:
            self._notifier.stop()
            self._notifier = None
        self._files.clear()

    def _notify(self) -> None:
        self._later = None
        folders = frozenset(path if os.path.isdir(path) else os.path.dirname(path) for path in self._files)
        if self._notifier is not None:
            if self._notifier.folders == folders:
                return
            self._notifier.stop()
        endings = tuple({os.path.splitext(path)[1] or path for path in self._files} | {".py"})
        self._notifier = _Notifier(folders, endings, lambda: self._loop.call_soon_threadsafe(self._soon))

    def _soon(self) -> None:
        if self._timer is not None and not self._unsettled:
            self._timer.cancel()
            self._timer = self._loop.call_later(0, self._tick)

    def _wait(self) -> None:
        seconds = LOOK_SECONDS
        if self._unsettled:
            seconds = SETTLE_SECONDS
        elif self._notifier is not None and self._notifier.works:
            seconds = LOOK_SECONDS_NOTIFIED
        self._timer = self._loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        """Look; what differs must stay as it is until the next look, a moment later."""
        moved = False
        for path, file in self._files.items():
            look = _look(path)
            if look != file.look:
                file.look = look
                moved = True
        settled = self._unsettled and not moved
        self._unsettled = moved
        self._wait()
        if settled and self._take():
            self._changed()

    def _take(self) -> bool:
        """Read what is in the files; return whether it differs from what was."""
        differs = False
        for path, file in self._files.items():
            content = _content(path)
            differs = differs or content != file.content
            file.content = content
        return differs


def _look(path: str) -> Look:
    """Return what changes when a file or folder does; None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _first_look(path: str, since: int) -> _File:
    """Return what is known of a file from now on: nothing, when it has changed after `since` or just now."""
    look = _look(path)
    content = _content(path)
    if look is None or look != _look(path) or (since > 0 and look[0] >= since - CLOCK_NS):
        return _File((0, 0, 0), None)  # the next look finds it changed
    return _File(look, content)


def _content(path: str) -> int | None:
    """Return what tells contents of a file, or names of modules in a folder, apart; None: it cannot be read."""
    try:
        if os.path.isdir(path):
            names = sorted(name for name in os.listdir(path) if name.endswith(".py"))
            return hash("\0".join(names))
        with open(path, "rb") as file:
            return hash(file.read())
    except OSError:
        return None


class _Notifier:
    """A thread that waits for the kernel's notice of a change in `folders`, through watchfiles if it can be had.

    endings: of the names that matter.
    """

    def __init__(self, folders: frozenset[str], endings: tuple[str, ...], changed: Callable[[], object]) -> None:
        self.folders = folders
        self._endings = endings
        self.works = False
        self._changed = changed
        self._stopped = threading.Event()
        start(threading.Thread(target=self._run, name="siphon-watch", daemon=True))

    def stop(self) -> None:
        """End the thread, soon."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            from watchfiles import watch  # costs 40 ms: on this thread, once the process is ready

            logging.getLogger("watchfiles").setLevel(logging.WARNING)  # a log beside the script would feed itself
            looks = watch(
                *self.folders, stop_event=self._stopped, recursive=False, debounce=160, step=40, raise_interrupt=False,
                rust_timeout=500, yield_on_timeout=True, watch_filter=lambda _, path: path.endswith(self._endings),
            )  # fmt: skip
            for changes in looks:
                if self._stopped.is_set():
                    return
                self.works = True
                if changes:
                    self._changed()
        except (ImportError, OSError, RuntimeError):
            pass  # not installed, no more watches to be had, or the loop has ended: looks alone do
        finally:
            self.works = False
