"""Start, drain and stop of all listeners of one loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Container, Mapping, Sequence

from siphon_http._core.exchange import Handler
from siphon_http._core.traffic import Traffic
from siphon_http.config import ServerConfig
from siphon_http.server.endpoint import LoopState
from siphon_http.server.lag import LagMeter
from siphon_http.server.listener import Listener, turn_away

__all__ = ["Server"]

SHARES_PORT = " reuse_port"
"""In the name of a listener whose sockets were bound with SO_REUSEPORT: others cannot be shared in its way."""
TURNS_TO_ACCEPT = 6
"""Turns of the loop until a connection that the kernel holds is a protocol: poll, accept, make, start reading."""


class Server:
    """The listeners of one loop. Order of calls: bind or follow, serve, drain, close; close may come at any time.

    inherited: descriptors of sockets that another process has bound, as its `handles` gave them. copies: how many
    processes we bind for.
    """

    def __init__(
        self, configs: Sequence[ServerConfig], inherited: Mapping[str, Sequence[int]] | None = None, *, copies: int = 1
    ) -> None:
        self._copies = copies
        self._configs = dict(zip(_names(configs), configs, strict=True))
        self._listeners: dict[str, Listener] = {}
        for name, config in self._configs.items():
            given = inherited or {}
            # Who makes sockets for us knows addresses only. What shares them with whom is decided there, too.
            fds = given.get(name) or given.get(name.replace(SHARES_PORT, ""), ())
            sockets = [socket.socket(fileno=fd) for fd in fds]
            self._listeners[name] = Listener(config, sockets, copies)
        self._spare: dict[str, list[list[socket.socket]]] = {}  # of processes that a successor does not have
        self._state: LoopState | None = None
        self._lag: LagMeter | None = None
        self._earlier: Server | None = None
        self._changes: list[Callable[[], None]] = []

    @property
    def listeners(self) -> list[Listener]:
        """Those that are ours now, in the order of the configuration."""
        return list(self._listeners.values())

    @property
    def handles(self) -> dict[str, list[int]]:
        """The descriptors of what is bound, by names that tell a process with the same configuration what they are.

        `name@0`, `name@1` ... where each process has its own.
        """
        handles: dict[str, list[int]] = {}
        for name, listener in self._listeners.items():
            lists = listener.handles
            handles.update({f"{name}@{i}" if len(lists) > 1 else name: fds for i, fds in enumerate(lists)})
        return handles

    def bind(self) -> None:
        """Bind every address, without listening. Raises BindError; then none is left bound."""
        self._bind_all_but(())

    def _bind_all_but(self, names: Container[str]) -> None:
        try:
            for name, listener in self._listeners.items():
                if name not in names:
                    listener.bind()
        except BaseException:
            self.close()
            raise

    def adopt(self, earlier: Server) -> None:
        """Bind as `bind` does, but take what `earlier`, which does not serve, has bound of it. Raises BindError.

        Taken back with `earlier.adopt(self)`. What is not taken stays with `earlier`.
        """
        for name, config in self._configs.items():
            self._listeners.setdefault(name, Listener(config, (), self._copies))
        try:
            self._bind_all_but(earlier._listeners)
        except BaseException:
            self._listeners.clear()  # `earlier` takes back what we have: these were never bound
            raise
        for name, config in self._configs.items():
            if (listener := earlier._listeners.pop(name, None)) is not None:
                listener.config, listener.copies = config, self._copies
                self._listeners[name] = listener
                listener.take(self._spare.pop(name, ()))
                listener.bind()  # for processes that are more now
                earlier._spare[name] = listener.spare()

    def follow(self, earlier: Server) -> None:
        """Bind what `earlier`, which serves, has not bound; `serve` then takes over the rest. Instead of `bind`.

        Nothing changes for `earlier` until then. Raises BindError or TlsMaterialError; then none of ours is left bound.
        """
        self._bind_all_but(earlier._listeners)
        self._earlier = earlier
        try:
            for name, config in self._configs.items():
                if (listener := earlier._listeners.get(name)) is not None:
                    self._changes.append(listener.changing(config))
        except BaseException:
            self.close()
            raise

    async def serve(self, handler: Handler, traffic: Traffic | None = None) -> None:
        """Listen and accept on the running loop; returns at once. traffic: what is counted. Raises BindError.

        After `follow`: listeners of the same address change in one step, `earlier` is left with those that are no more.
        """
        earlier = self._earlier
        theirs = {} if earlier is None else earlier._listeners
        state = None if earlier is None else earlier._state
        if state is None:
            state = self._state = LoopState(asyncio.get_running_loop(), traffic)
            self._lag = LagMeter(asyncio.get_running_loop(), state.traffic.counters)
        for name, listener in self._listeners.items():
            if name not in theirs:
                await listener.serve(handler, state)
        if earlier is None:
            return
        for change in self._changes:
            change()
        for name in self._configs:
            if name in theirs:
                self._listeners[name] = theirs.pop(name)
        self._state, earlier._state = state, None
        if earlier._lag is not None:
            self._lag, earlier._lag = earlier._lag, None
        self._earlier = None

    async def drain(self, seconds: float, also: Callable[[Callable[[], None]], None] | None = None) -> bool:
        """Stop accepting and let every connection end after what it has under way.

        also: registers a callback for when something else has ended that must be waited for, too (handlers).
        Returns whether everything ended within `seconds`; what did not is left as it is.
        """
        # What the kernel has accepted for us already is taken first, so that it is answered and not reset.
        for _ in range(TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        for listener in self.listeners:
            await listener.retire()
        for listener in self.listeners:
            if listener.endpoint is not None:
                listener.endpoint.drain()
        try:
            async with asyncio.timeout(seconds):
                # One after the other: connections first, since they may still bring requests for handlers.
                for listener in self.listeners:
                    if listener.endpoint is not None:
                        await self._until(listener.endpoint.when_empty)
                if also is not None:
                    await self._until(also)
        except TimeoutError:
            return False
        return True

    @staticmethod
    async def _until(register: Callable[[Callable[[], None]], None]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        register(lambda: None if future.done() else future.set_result(None))
        await future

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return sum(len(one.endpoint.connections) for one in self.listeners if one.endpoint is not None)

    def close(self) -> None:
        """Stop accepting and reset what is left."""
        for listener in self.listeners:
            listener.close()
        for sock in (sock for copies in self._spare.values() for sockets in copies for sock in sockets):
            turn_away(sock)  # their processes have them still, but not for long
            sock.close()
        self._spare.clear()
        if self._lag is not None:
            self._lag.close()
        if self._state is not None:
            self._state.close()


def _names(configs: Sequence[ServerConfig]) -> list[str]:
    """Return a name for each listener's sockets; alike for configurations that can share them."""
    names: list[str] = []
    found: dict[str, int] = {}
    for config in configs:
        address = config.listen
        name = f"{address.host}:{address.port}" if address.kind == "tcp" else f"unix:{address.path}"
        name += SHARES_PORT if config.reuse_port else ""
        again = found.get(name, 0)  # port 0 may stand there more than once
        found[name] = again + 1
        names.append(f"{name} #{again + 1}" if again else name)
    return names
