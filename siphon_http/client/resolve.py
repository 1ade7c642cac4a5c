"""Names to addresses to one connected socket: look-ups with a small cache, and happy eyeballs (RFC 8305)."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["Address", "Resolver", "open_socket"]

Address = tuple[int, tuple[Any, ...]]
"""(address family, socket address), as `socket.connect` takes them."""

FRESH_SECS: Final = 10.0
"""So long a look-up is taken as it is: getaddrinfo tells no TTL."""
STALE_SECS: Final = 30.0
"""So long it serves while one look-up in the background renews it."""
NEGATIVE_SECS: Final = 1.0
"""So long a failure is taken as it is: a name just made must soon be found."""
NAMES_KEPT: Final = 256

_TEMPORARY = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, socket.EAI_SYSTEM}


class _Found(NamedTuple):
    """The outcome of a look-up.

    hosts: (family, address, rest of the socket address after the port); error: why there are none, or ""; at: seconds
    of the resolver's clock.
    """

    hosts: tuple[tuple[int, str, tuple[Any, ...]], ...]
    error: str
    at: float


class Resolver:
    """Looks names up through the system, once for all who ask at the same time, and remembers for a few seconds.

    loop: its loop, None for the running one; clock: seconds that only grow. It belongs to one loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._known: dict[str, _Found] = {}  # oldest look-up first
        self._running: dict[str, asyncio.Task[_Found]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of `host`, in the order in which the system prefers them; never empty.

        host: a name, or an IP address without brackets, which is never looked up. Cancelling a caller ends no look-up.

        Raises OSError: there is no such name, or nobody could be asked; its text is one line.
        """
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        found = self._known.get(host)
        age = 0.0 if found is None else self._clock() - found.at
        if found is None or age >= (NEGATIVE_SECS if found.error else STALE_SECS):
            found = await self._waited(self._look_up(host))
        elif age >= FRESH_SECS:
            self._look_up(host)
        if found.error:
            raise OSError(found.error)
        return [(family, (address, port, *rest)) for family, address, rest in found.hosts]

    async def _waited(self, task: asyncio.Task[_Found]) -> _Found:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and (caller is None or not caller.cancelling()):
                raise OSError("the client was closed during the look-up") from None
            raise

    def close(self) -> None:
        """End the look-ups that are running; who waits for one gets an OSError."""
        for task in self._running.values():
            task.cancel()

    def _look_up(self, host: str) -> asyncio.Task[_Found]:
        task = self._running.get(host)
        if task is None:
            loop = self._loop or asyncio.get_running_loop()
            task = self._running[host] = loop.create_task(self._asked(loop, host))
            task.add_done_callback(lambda _: self._running.pop(host, None))
        return task

    async def _asked(self, loop: asyncio.AbstractEventLoop, host: str) -> _Found:
        hosts: tuple[tuple[int, str, tuple[Any, ...]], ...] = ()
        error = ""
        try:
            answers = await loop.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        except (UnicodeError, ValueError):  # too long a label, a NUL
            error = f"{host[:80]!r} is not a host name"
        except OSError as exc:
            old = self._known.get(host)
            if exc.errno in _TEMPORARY and old is not None and old.hosts and self._clock() - old.at < STALE_SECS:
                return old  # name servers may be away for a moment: what was right some seconds ago still is
            error = f"the name {host[:80]!r} cannot be resolved: {exc.strerror or exc}"
        else:
            kinds = (socket.AF_INET, socket.AF_INET6)
            hosts = tuple(dict.fromkeys((int(a[0]), str(a[4][0]), tuple(a[4][2:])) for a in answers if a[0] in kinds))
            if not hosts:
                error = f"the name {host[:80]!r} has no IP address"
        self._known.pop(host, None)
        while len(self._known) >= NAMES_KEPT:
            del self._known[next(iter(self._known))]
        self._known[host] = found = _Found(hosts, error, self._clock())
        return found


def _literal(host: str, port: int) -> Address | None:
    """Return the address that `host` spells, or None if it is a name (or has a zone, which only the system can read)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None
    return (family, (host, port, 0, 0)) if family == socket.AF_INET6 else (family, (host, port))


async def open_socket(
    loop: asyncio.AbstractEventLoop, addresses: Sequence[Address], *, delay: float = 0.25
) -> socket.socket:
    """Return a connected socket, non-blocking and without Nagle's delay, to the first of `addresses` that takes it.

    Families alternate; the next attempt begins after `delay` seconds, or as soon as one has failed, beside those that
    still run (RFC 8305, sections 4 and 5). All others are closed; a cancelled caller leaves none open.

    Raises OSError: none took it; its text names every address with its reason.
    """
    queue = _interleaved(addresses)
    if len(queue) == 1:  # the usual case needs no task
        return await _connected(loop, *queue[0])
    failures: list[str] = []
    attempts: list[asyncio.Task[socket.socket]] = []
    running: set[asyncio.Task[socket.socket]] = set()
    winner: socket.socket | None = None
    try:
        while queue or running:
            if queue:
                attempts.append(loop.create_task(_connected(loop, *queue.pop(0))))
                running.add(attempts[-1])
            done, running = await asyncio.wait(
                running, timeout=delay if queue else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (task for task in attempts if task in done):
                error = task.exception()
                if error is None:
                    winner = task.result()
                    return winner
                failures.append(str(error))
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(lambda ended: _close_loser(ended, winner))
    raise OSError("; ".join(failures) or "there is no address to connect to")


def _close_loser(task: asyncio.Task[socket.socket], winner: socket.socket | None) -> None:
    if not task.cancelled() and task.exception() is None and task.result() is not winner:
        task.result().close()


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Return `addresses` with families alternating, the first one's first (RFC 8305, section 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    pairs = min(len(first), len(other))
    mixed = [address for pair in zip(first, other, strict=False) for address in pair]
    return mixed + first[pairs:] + other[pairs:]


async def _connected(loop: asyncio.AbstractEventLoop, family: int, address: tuple[Any, ...]) -> socket.socket:
    """Return a socket connected to `address`. Raises OSError: one line that names it."""
    shown = f"[{address[0]}]:{address[1]}" if family == socket.AF_INET6 else f"{address[0]}:{address[1]}"
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:  # no more descriptors, or the system has no such family
        raise OSError(f"{shown}: {_reason(exc)}") from exc
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
    except OSError as exc:
        sock.close()
        raise OSError(f"{shown}: {_reason(exc)}") from exc
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(exc: OSError) -> str:
    return os.strerror(exc.errno).lower() if exc.errno and exc.errno > 0 else str(exc)
