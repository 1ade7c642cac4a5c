"""How late an event loop is: what a timer that is due has to wait while others hold the loop."""

from __future__ import annotations

import asyncio

from siphon_http._core.counters import Counters

__all__ = ["LagMeter"]

TICK_SECS = 0.25
WINDOW_SECS = 10.0


class LagMeter:
    """Measures one loop, four times a second, into `siphon_http_loop_lag_seconds`: the most of the last 10 to 20 s."""

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters) -> None:
        self._loop = loop
        text = "Longest time within the last 10 to 20 seconds that a timer was late."
        self._cell = counters.gauge("siphon_http_loop_lag_seconds", text, local=True, seconds=True)
        self._most = self._before = 0.0
        self._window = loop.time() + WINDOW_SECS
        self._timer = loop.call_later(TICK_SECS, self._tick, loop.time() + TICK_SECS)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        self._most = max(self._most, now - due)
        if now >= self._window:
            self._most, self._before = 0.0, self._most
            self._window = now + WINDOW_SECS
        self._cell.put(round(max(self._most, self._before) * 1e9))
        self._timer = self._loop.call_later(TICK_SECS, self._tick, now + TICK_SECS)

    def close(self) -> None:
        """Stop measuring."""
        self._timer.cancel()
