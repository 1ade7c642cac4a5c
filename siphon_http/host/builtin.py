"""The host's own namespaces, and the numbers of its process: what outlives a reload.

One object a process. `configure` is told of every load of siphon.yaml; caches that did not change go on, timers of `set`
go on, numbers go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from siphon_http.host import log
from siphon_http.host.api import Place
from siphon_http.host.cache import CacheNamespace
from siphon_http.host.config import HostConfig
from siphon_http.host.ledger import COUNTER, Ledger, Ledgers
from siphon_http.host.metrics import MetricsNamespace
from siphon_http.host.timer import TimerNamespace

__all__ = ["Builtins"]


class Builtins:
    """`log`, `cache`, `metrics` and `timer`, with the ledgers that the process counts in.

    Order of calls: for each load `configure`, `load_begins` and, if it succeeded, `load_ends`; `start` once the loop
    runs, `stop` at its end.
    """

    def __init__(self) -> None:
        self.cache = CacheNamespace()
        self.timer = TimerNamespace()
        self.log = log.LogNamespace()
        self._ledgers = Ledgers(Place().counters)
        self._place: Place | None = None
        self._own = Ledger(self._ledgers.of("host"))
        self.metrics = MetricsNamespace(self._own)
        self._extensions: dict[str, MetricsNamespace] = {}
        self._memory: dict[str, memoryview] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def configure(self, place: Place, config: HostConfig, explain: Callable[[BaseException], str]) -> None:
        """Take siphon.yaml's settings. place: where to count; explain: formats the script's exceptions."""
        if place is not self._place:
            self._place = place
            self._ledgers = Ledgers(place.counters)
            self._own = Ledger(self._ledgers.of("host"))
            self.metrics = MetricsNamespace(self._own)
            self._extensions.clear()
            self._memory.clear()
        self.timer.explain = explain
        self.cache.configure(config.cache)

    def counters(self, name: str) -> memoryview:
        """Return the memory that the extension `name` counts in."""
        if name not in self._memory:
            self._memory[name] = self._ledgers.of(f"extension {name}")
        return self._memory[name]

    def metrics_of(self, name: str) -> MetricsNamespace:
        """Return what the extension `name` counts with, unless it writes its memory itself."""
        if name not in self._extensions:
            self._extensions[name] = MetricsNamespace(Ledger(self.counters(name)))
        return self._extensions[name]

    def namespaces(self) -> dict[str, Any]:
        """Return what scripts import, by name."""
        return {"cache": self.cache, "log": self.log, "metrics": self.metrics, "timer": self.timer}

    def load_begins(self) -> None:
        """A load of the script begins."""
        self.timer.load_begins()

    def load_ends(self) -> None:
        """The load has succeeded."""
        self.timer.load_ends()
        if self._loop is not None:
            self._closing = self._loop.create_task(self.cache.close_old())

    def reloaded(self, well: bool) -> None:
        """Count a reload."""
        labels = f'result="{"ok" if well else "failed"}"'
        self._own.add(self._own.series("siphon_reloads_total", labels, "Reloads of the script.", COUNTER), 1)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let timers run, on the running loop."""
        self._loop = loop
        self.timer.start(loop)

    async def stop(self) -> None:
        """Stop timers and close caches; after the script's shutdown hooks."""
        self._loop = None
        await self.timer.stop()
        await self.cache.close()
