"""Start, drain and stop of all listeners of one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from siphon_http._core.exchange import Handler
from siphon_http._core.traffic import Traffic
from siphon_http.config import ServerConfig
from siphon_http.server.endpoint import LoopState
from siphon_http.server.lag import LagMeter
from siphon_http.server.listener import Listener

__all__ = ["Server"]

TURNS_TO_ACCEPT = 6
"""Turns of the loop until a connection that the kernel holds is a protocol: poll, accept, make, start reading."""


class Server:
    """The listeners of one loop. Order of calls: bind, serve, drain, close; close may come at any time."""

    def __init__(self, configs: Sequence[ServerConfig]) -> None:
        self.listeners = [Listener(config) for config in configs]
        self._state: LoopState | None = None
        self._lag: LagMeter | None = None

    def bind(self) -> None:
        """Bind every address, without listening. Raises BindError; then none is left bound."""
        try:
            for listener in self.listeners:
                listener.bind()
        except BaseException:
            self.close()
            raise

    async def serve(self, handler: Handler, traffic: Traffic | None = None) -> None:
        """Listen and accept on the running loop; returns at once. traffic: what is counted. Raises BindError."""
        self._state = LoopState(asyncio.get_running_loop(), traffic)
        self._lag = LagMeter(asyncio.get_running_loop(), self._state.traffic.counters)
        for listener in self.listeners:
            await listener.serve(handler, self._state)

    async def drain(self, seconds: float, also: Callable[[Callable[[], None]], None] | None = None) -> bool:
        """Stop accepting and let every connection end after what it has under way.

        also: registers a callback for when something else has ended that must be waited for, too (handlers).
        Returns whether everything ended within `seconds`; what did not is left as it is.
        """
        # What the kernel has accepted for us already is taken first, so that it is answered and not reset.
        for _ in range(TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        for listener in self.listeners:
            listener.stop()
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
        if self._lag is not None:
            self._lag.close()
        if self._state is not None:
            self._state.close()
