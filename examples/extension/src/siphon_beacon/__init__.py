"""A siphon extension in one file: it answers UDP datagrams.

    from siphon import beacon

    @beacon.on("ping")
    def pong(peer): return "pong"

It needs nothing of siphon-http but the names of `siphon_http.host.api` and `siphon_http.errors`. What the host asks of
an extension: `namespace` (what scripts import), `load_begins` and `load_ends` around each load of the script, `task`
(what runs) and `table` (rows for `siphon-http routes`). `doctor` is optional.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siphon_http.errors import BindError, ConfigError, Problem, RouteError
from siphon_http.host.api import Context, Finding
from siphon_http.settings import load, optional, read

log = logging.getLogger("siphon_beacon")

Answer = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconConfig:
    """The extension's own settings, a file or inline: checked by the same code as the host's files."""

    port: int = optional(0, "UDP port on 127.0.0.1; 0 takes a free one", low=0, high=65_535)


class Namespace:
    """What scripts import."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    def on(self, word: str) -> Callable[[Answer], Answer]:
        """Register a function that answers `word`; it gets the peer's address."""

        def register(function: Answer) -> Answer:
            if word in self.answers:
                raise RouteError(f"beacon: two functions for {word!r}")  # shown with file and line
            self.answers[word] = function
            return function

        return register


class Beacon:
    """The extension, as its entry point names it. One object a process."""

    def namespace(self, context: Context) -> Namespace:
        problems: list[Problem] = []
        source: Any = context.config  # a file of its own, or a node of siphon.yaml
        if isinstance(source, Path):
            source = load(source, content=context.content, problems=problems)
        config = read(source, BeaconConfig, problems)
        if problems or config is None:
            raise ConfigError(problems)  # all of them, each with its line
        self._config = config
        self._namespace = Namespace()
        return self._namespace

    def load_begins(self) -> None:
        self._namespace.answers = {}

    def load_ends(self) -> None:
        if not self._namespace.answers:
            log.warning("beacon: the script answers nothing")

    def task(self, context: Context) -> Task:
        return Task(self._config.port, self._namespace.answers, context)

    def table(self) -> Sequence[Sequence[str]]:
        return [("WORD", "FUNCTION"), *((word, f.__name__) for word, f in self._namespace.answers.items())]

    def doctor(self, context: Context) -> Sequence[Finding]:
        return [Finding(level="ok", subject="beacon", text=f"port {self._config.port or 'of the system'}")]


class Task(asyncio.DatagramProtocol):
    """What runs: bound first, then started, then serving; drained and shut down at the end."""

    def __init__(self, port: int, answers: dict[str, Answer], context: Context) -> None:
        self._port = port
        self._answers = answers
        self._asked = context.metrics.counter("beacon_datagrams_total", "Datagrams by word.", ["word"])
        self._socket: socket.socket | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def bind(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(("127.0.0.1", self._port))
        except OSError as error:
            raise BindError(f"beacon: UDP port {self._port}: {error.strerror}") from error

    async def startup(self) -> None:
        pass

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=self._socket)

    def describe(self) -> Sequence[str]:
        port = self._socket.getsockname()[1] if self._socket else self._port
        return [f"udp://127.0.0.1:{port}", f"{len(self._answers)} words"]

    async def drain(self, seconds: float) -> None:
        pass  # every datagram is answered at once

    async def shutdown(self) -> None:
        if self._transport is not None:
            self._transport.close()
        elif self._socket is not None:
            self._socket.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        word = data.decode("utf-8", "replace").strip()
        function = self._answers.get(word)
        self._asked.labels(word=word if function else "other").inc()
        if function is not None and self._transport is not None:
            self._transport.sendto(function(f"{addr[0]}:{addr[1]}").encode(), addr)
