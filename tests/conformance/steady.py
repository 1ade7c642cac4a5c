"""A steady load of strict clients: what fails under it, and what was answered by whom."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .wire import Address, Wire, polite


class Steady:
    """Threads that ask `target` again and again: some on connections that they keep, some on a new one each time.

    answers: bodies with their numbers. failures: what was neither a 200 nor a clean end between two requests.
    """

    def __init__(self, address: Address, target: str = "/", kept: int = 3, fresh: int = 2) -> None:
        self.address = address
        self.request = polite(target)
        self.answers: Counter[bytes] = Counter()
        self.failures: list[str] = []
        self.connects = 0
        self.slowest = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(self._keep,)) for _ in range(kept)]
        self._threads += [threading.Thread(target=self._run, args=(self._renew,)) for _ in range(fresh)]

    @contextmanager
    def running(self) -> Iterator[Steady]:
        """Ask until the block ends."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(20)

    @property
    def count(self) -> int:
        """How many were answered so far."""
        return sum(self.answers.values())

    def more(self, count: int, within: float = 20) -> None:
        """Wait until `count` more were answered."""
        goal, deadline = self.count + count, time.monotonic() + within
        while self.count < goal:
            assert time.monotonic() < deadline, f"{self.count} of {goal}: {self.failures[:3]}"
            time.sleep(0.01)

    def _run(self, once: object) -> None:
        while not self._stop.is_set():
            try:
                once()  # type: ignore[operator]
            except Exception as error:
                with self._lock:
                    self.failures.append(f"{time.monotonic():.3f} {type(error).__name__}: {error}")

    def _ask(self, wire: Wire) -> bool:
        """Ask once; return whether the connection goes on."""
        began = time.monotonic()
        wire.send(self.request)
        answer = wire.read()
        with self._lock:
            if answer.status != 200:
                self.failures.append(f"status {answer.status}")
            self.answers[answer.body] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
        return not answer.closes

    def _keep(self) -> None:
        with self._connected() as wire:
            while not self._stop.is_set() and self._ask(wire):
                pass

    def _renew(self) -> None:
        with self._connected() as wire:
            self._ask(wire)

    def _connected(self) -> Wire:
        self.connects += 1
        return Wire(self.address, timeout=10)
