"""What a service manager and this process tell each other: sd_notify(3) and sd_listen_fds(3), as systemd has them.

Both come from the environment, are read once, and are taken out of it, so that no child of ours believes them its own.
`host/worker.py` alone, or `host/supervisor.py` above several, is the process that the manager knows, and calls:

- `Activation.from_environment()` first of all: `by_address` goes into `Context.inherited` of every extension, and
  `unclaimed(...)` is asked after `Task.bind`, with all `handles`.
- `Notifier.from_environment()`, then `watch(loop)` as soon as the loop runs, and `status(...)` before the start-up hooks.
- `ready(...)` once every `Task.serve` has returned, and again when a reload has ended, well or not.
- `reloading()` when the configuration or the script begin to be read again.
- `stopping(...)`, with the seconds of the drain and a margin, before it begins.
- `close()` at the very end. Until then the watchdog is fed: a drain may take longer than its interval.

A worker of a supervisor finds nothing in its environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterable, Mapping, MutableMapping
from itertools import chain, repeat

from siphon_http.errors import BindError
from siphon_http.records import dataclass

__all__ = ["FIRST_FD", "Activation", "Notifier", "Passed"]

logger = logging.getLogger("siphon_http.host")

FIRST_FD = 3
"""SD_LISTEN_FDS_START: passed descriptors follow standard error."""
SEND_SECS = 1.0
"""A manager that takes no word for so long does not get this one."""


class Notifier:
    """Tells the service manager where this process is in its life. Without a manager every call does nothing.

    address: of the manager's datagram socket, an absolute path, or `@name` for an abstract one; "" for none.
    watchdog_secs: the manager ends a process that it has not heard of for so long; 0: it does not.
    """

    def __init__(self, address: str = "", *, watchdog_secs: float = 0.0) -> None:
        self.watchdog_secs = watchdog_secs
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_failed = False
        if address[:1] not in {"", "/", "@"}:
            logger.warning(
                "NOTIFY_SOCKET=%r is no absolute path and no @name: the service manager is not told", address
            )
        elif address:
            self._address = b"\0" + os.fsencode(address[1:]) if address[0] == "@" else os.fsencode(address)
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and take them out of `environ`."""
        address = environ.pop("NOTIFY_SOCKET", "")
        interval, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        if interval and not interval.isdecimal():
            logger.warning("WATCHDOG_USEC=%r is no number of microseconds: no watchdog is fed", interval)
        ours = interval.isdecimal() and pid in {"", str(os.getpid())}
        return cls(address, watchdog_secs=int(interval) / 1e6 if ours else 0.0)

    @property
    def is_on(self) -> bool:
        """Whether there is somebody to tell."""
        return self._sock is not None

    def ready(self, status: str = "") -> None:
        """Connections are accepted: the start, or a reload, is over."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", *_status(status))

    def reloading(self, status: str = "reloading") -> None:
        """Configuration or script are being read again; `ready` must follow."""
        self._tell(
            "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", *_status(status)
        )

    def stopping(self, seconds: float, status: str = "draining") -> None:
        """The end has begun, and may take `seconds`: the manager waits so long even if its own limit is shorter."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", *_status(status))

    def status(self, text: str) -> None:
        """Say in one line what goes on, for `systemctl status`."""
        self._tell(*_status(text))

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Feed the watchdog from `loop`, at half its interval: whatever holds the loop for longer starves it."""
        if self.is_on and self.watchdog_secs > 0 and not loop.is_closed():
            self._tell("WATCHDOG=1", wait=False)
            self._timer = loop.call_later(self.watchdog_secs / 2, self.watch, loop)

    def close(self) -> None:
        """Say nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _tell(self, *lines: str, wait: bool = True) -> None:
        """Send one datagram. A manager that does not take it is no reason to stop serving."""
        if self._sock is None:
            return
        self._sock.settimeout(SEND_SECS if wait else 0.0)
        try:
            self._sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                logger.warning("the service manager cannot be told (%s): %s", error.strerror or error, lines[0])
            self._has_failed = True
        else:
            self._has_failed = False


def _status(text: str) -> list[str]:
    """Return the line for `text`; a line's end in it would begin another assignment."""
    return [f"STATUS={' '.join(text.split())}"] if text else []


@dataclass(frozen=True, slots=True)
class Passed:
    """A listening socket that the service manager has made."""

    fd: int
    name: str
    """`FileDescriptorName=`, or what LISTEN_FDNAMES says in its place."""
    names: tuple[str, ...]
    """Addresses that it serves, its own first: `127.0.0.1:80` and `localhost:80`, or `unix:/run/x.sock`."""


@dataclass(frozen=True, slots=True)
class Activation:
    """The sockets that came with the process (socket activation)."""

    sockets: tuple[Passed, ...] = ()

    @classmethod
    def from_environment(
        cls, environ: MutableMapping[str, str] = os.environ, *, first_fd: int = FIRST_FD
    ) -> Activation:
        """Read LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, and take them out of `environ`.

        The descriptors become non-blocking, and closed in children. Raises BindError for one that is no listening
        stream socket.
        """
        count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
        names = [name or "unknown" for name in environ.pop("LISTEN_FDNAMES", "").split(":")]
        if not count or pid != str(os.getpid()):
            return cls()  # nothing, or meant for another process
        if not count.isdecimal():
            raise BindError(f"LISTEN_FDS={count!r} is no number of sockets; it is set by the service manager alone")
        fds = range(first_fd, first_fd + int(count))
        named = zip(fds, chain(names, repeat("unknown")), strict=False)
        return cls(tuple(Passed(fd, name, _examined(fd, name)) for fd, name in named))

    @property
    def by_address(self) -> dict[str, list[int]]:
        """Descriptors by address, as `Context.inherited` has them: `host:port` without brackets, or `unix:path`."""
        found: dict[str, list[int]] = {}
        for passed in self.sockets:
            for name in passed.names:
                found.setdefault(name, []).append(passed.fd)
        return found

    def unclaimed(self, handles: Iterable[Mapping[str, Iterable[int]]]) -> list[Passed]:
        """Return what no extension has taken, by the `handles` of all; say so, for nobody answers there."""
        taken = {fd for one in handles for fds in one.values() for fd in fds}
        left = [passed for passed in self.sockets if passed.fd not in taken]
        for passed in left:
            logger.warning(
                "socket %s (%s) of the service manager is used by no listener: nobody answers there; "
                "write the same address into the configuration, or remove its ListenStream=",
                passed.name,
                passed.names[0],
            )
        return left


def _examined(fd: int, name: str) -> tuple[str, ...]:
    """Make `fd` fit for a loop, and return its addresses. Raises BindError."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise BindError(f"LISTEN_FDS: descriptor {fd} ({name}) is no socket: {error.strerror}") from error
    try:
        listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if not listens or sock.family not in {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}:
            raise BindError(
                f"LISTEN_FDS: descriptor {fd} ({name}) is no listening stream socket; "
                "the socket unit needs ListenStream= and Accept=no"
            )
        sock.setblocking(False)
        sock.set_inheritable(False)
        return _names(sock)
    finally:
        sock.detach()


def _names(sock: socket.socket) -> tuple[str, ...]:
    """Return the addresses that `sock` serves, the one that it is bound to first."""
    where = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        path = os.fsdecode(where)
        return (f"unix:@{path[1:]}" if path.startswith("\0") else f"unix:{path}",)
    host, port = where[:2]
    hosts = [host.partition("%")[0]]
    if host in {"127.0.0.1", "::1"}:
        hosts.append("localhost")
    elif host == "::":
        with contextlib.suppress(OSError):
            if not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                hosts.append("0.0.0.0")  # one socket takes both, as systemd binds a bare port
    return tuple(f"{one}:{port}" for one in hosts)
