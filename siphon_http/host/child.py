"""One worker process as its supervisor sees it: start, hear, order, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from siphon_http.host.orders import Assignment, Report, send, split_lines
from siphon_http.host.slots import Slot

__all__ = ["Child"]

HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""Signals that a new process must not get before it can see to them."""


class Child:
    """A process that was started and has not been forgotten.

    Children are executed, not forked off: a fresh interpreter has no threads, locks and open things of ours, takes in
    what was installed since, and a supervisor that has run for months is no place to begin from.

    heard: called with each report. ready: it serves. draining: it was told to end; drained: nothing is in flight there
    any more. failure: its report that it cannot start; report: the last one about its script. end: how it ended.
    """

    def __init__(self, index: int, slot: Slot, *, heard: Callable[[Child, Report], None]) -> None:
        self.index = index
        self.slot = slot
        self.ready = False
        self.draining = False
        self.began = time.monotonic()
        self.drained = False
        self.failure: Report | None = None
        self.report: Report = {}
        self.end = ""
        self._heard = heard
        self._buffer = bytearray()
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return 0 if self._process is None else self._process.pid

    def start(self, assignment: Assignment) -> None:
        """Execute the worker, and give it its assignment. Raises OSError: no process or descriptor is to be had."""
        ours, theirs = socket.socketpair()
        handles = [fd for names in assignment.inherited.values() for fds in names.values() for fd in fds]
        try:
            held = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
            try:
                self._process = subprocess.Popen(
                    [*_interpreter(), "-m", "siphon_http", "_worker", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(), self.slot.fd, *handles),
                    stdin=subprocess.DEVNULL,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
            send(ours, replace(assignment, index=self.index, slot=self.slot.fd))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._sock = ours
        asyncio.get_running_loop().add_reader(ours, self._read)

    def order(self, **order: str) -> None:
        """Give an order; a process that has gone gets none."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                send(self._sock, order)

    def drain(self) -> None:
        """Let it end what it has under way, and end."""
        self.draining = True
        self.order(do="drain")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()  # does nothing to one that has ended

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs. All that it has said was heard then."""
        code = None if self._process is None else self._process.poll()
        if code is not None and self._sock is not None:
            self._read()
            self._close()
        return code

    def _read(self) -> None:
        while self._sock is not None:
            try:
                data = self._sock.recv(65_536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            self._buffer += data
            for report in split_lines(self._buffer):
                self._heard(self, report)

    def _close(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None


def _interpreter() -> list[str]:
    """Return the command of an interpreter that is like ours: same options, same place to import from."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    # `python -m` puts the working directory on the path; the installed command does not.
    here = bool(sys.path) and sys.path[0] in {"", os.getcwd()}
    return [sys.executable, *flags, *([] if here or "-P" in flags else ["-P"])]
