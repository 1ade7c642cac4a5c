"""What a supervisor and its workers tell each other: JSON lines over a socket of their own.

supervisor -> worker: `Assignment` first, then orders: {"do": "drain"}, {"do": "reload", "what": "script"}, {"do": "logs"}: open them anew.
worker -> supervisor: reports: {"is": "ready", ...}, "failed", "reloaded", "kept", "tired"; see `Supervisor`.

A worker whose supervisor has gone drains and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from siphon_http.host.api import Place
from siphon_http.host.background import start
from siphon_http.host.prepare import Options
from siphon_http.host.slots import attach
from siphon_http.records import dataclass

__all__ = ["Assignment", "Leash", "Report", "send", "split_lines"]

Report = dict[str, Any]

FAREWELL_SECS = 3.0
"""Beyond its drain a worker without supervisor gets so long until it is ended, whatever holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a worker is started with."""

    file: str
    verbose: bool
    log_level: str | None
    log_format: str | None
    index: int
    count: int
    slot: int
    """Descriptor of its slot of shared memory."""
    inherited: Mapping[str, Mapping[str, Sequence[int]]]
    """Descriptors of bound sockets, by extension and name."""
    drain_secs: float
    contents: Mapping[str, str]
    """What the configuration's files hold, each byte a character: a worker reads them here."""

    def options(self) -> Options:
        """Return what the worker's command line would say; its descriptors are its own from now on."""
        for names in self.inherited.values():
            for fd in (fd for fds in names.values() for fd in fds):
                os.set_inheritable(fd, False)  # not for programs that the script starts
        return Options(
            file=Path(self.file),
            verbose=self.verbose,
            log_level=self.log_level,
            log_format=self.log_format,  # type: ignore[arg-type]  # it comes from Options
            place=Place(index=self.index, count=self.count, counters=attach(self.slot)),
            inherited=self.inherited,
            contents={Path(name): text.encode("latin-1") for name, text in self.contents.items()},
        )


def send(sock: socket.socket, message: Mapping[str, Any] | Assignment) -> None:
    """Write one line. Raises OSError when the other side has gone."""
    plain = asdict(message) if isinstance(message, Assignment) else message
    sock.sendall(json.dumps(plain).encode() + b"\n")


def split_lines(buffer: bytearray) -> list[Report]:
    """Take the whole lines out of `buffer`."""
    *lines, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest
    return [json.loads(line) for line in lines]


class Leash:
    """A worker's end. Orders are read on a thread of its own, so that one is heard while a handler holds the loop.

    fd: the socket. Blocks until the assignment has come. leave: how to end at once.
    """

    def __init__(self, fd: int, *, leave: Callable[[int], object] = os._exit) -> None:
        os.set_inheritable(fd, False)
        self._sock = socket.socket(fileno=fd)
        self._buffer = bytearray()
        self._leave = leave
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._obey: Callable[[Report], object] | None = None
        self._early: list[Report] = []
        first: list[Report] = []
        while not first:
            if not (data := self._sock.recv(65_536)):
                raise EOFError("the supervisor has gone")
            self._buffer += data
            first = split_lines(self._buffer)
        self.assignment = Assignment(**first[0])
        self._early += first[1:]
        start(threading.Thread(target=self._listen, name="siphon-orders", daemon=True))

    @staticmethod
    def take_signals() -> None:
        """Leave signals to the supervisor: those of a terminal, or of a service manager, reach the whole group.

        They are handled, not ignored: programs that the script starts would inherit that.
        """

        def nothing(number: int, frame: FrameType | None) -> None: ...

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
        for number in numbers:
            signal.signal(number, nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # see Supervisor: until here they had to wait

    def attach(self, loop: asyncio.AbstractEventLoop, obey: Callable[[Report], object]) -> None:
        """From now on `obey(order)` is called on `loop`; also for orders that came before."""
        with self._lock:
            self._loop, self._obey = loop, obey
            for order in self._early:
                loop.call_soon(obey, order)

    def say(self, **report: Any) -> None:
        """Report to the supervisor; one that has gone hears nothing."""
        with contextlib.suppress(OSError):
            send(self._sock, report)

    def _listen(self) -> None:
        while True:
            try:
                data = self._sock.recv(65_536)
            except OSError:
                data = b""
            if not data:
                break
            self._buffer += data
            for order in split_lines(self._buffer):
                self._pass_on(order)
        self._pass_on({"do": "drain"})
        self._sock.close()
        time.sleep(self.assignment.drain_secs + FAREWELL_SECS)
        self._leave(1)

    def _pass_on(self, order: Report) -> None:
        with self._lock:
            if self._loop is None or self._obey is None:
                self._early.append(order)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._obey, order)
