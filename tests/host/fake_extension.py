"""An extension that does nothing but note in a file what the host asks of it, and fails where it is told to.

Its own file holds words, one a line, that choose what goes wrong: see `_does`. FAKE_JOURNAL names the file of notes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from pathlib import Path

from siphon_http.errors import BindError, ConfigError, Problem, RouteError, ScriptError, TlsMaterialError


def note(text: str) -> None:
    """Append a line to the journal."""
    if journal := os.environ.get("FAKE_JOURNAL"):
        with open(journal, "a", encoding="utf-8") as file:
            file.write(text + "\n")


class Namespace:
    """What scripts import."""

    def note(self, text: str) -> None:
        """Let the script write into the journal."""
        note(text)

    def route(self, path: str) -> None:
        """Fail as a decorator does."""
        raise RouteError(f"no good path: {path!r}")


class FakeTask:
    """Runs nothing."""

    def __init__(self, words: set[str]) -> None:
        self._words = words
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        note(f"bind in {os.getpid()}" if "pids" in self._words else "bind")
        if "bind-fails" in self._words:
            raise BindError("127.0.0.1:8080: address already in use")
        if "bind-breaks" in self._words:
            raise ZeroDivisionError("a bug")
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))

    async def startup(self) -> None:
        note("startup")
        if "startup-aborts" in self._words:
            raise ScriptError("routes.py:3: RuntimeError: no database")
        if "startup-waits" in self._words:
            try:
                await asyncio.Event().wait()
            finally:
                note("startup cancelled")
        if "startup-blocks" in self._words:
            note("startup blocks")
            time.sleep(60)  # nothing but a kill ends it
        note("startup done")

    async def serve(self) -> None:
        assert self._socket is not None
        self._socket.listen()
        note("serve")
        if "holds-the-loop" in self._words:
            asyncio.get_running_loop().call_soon(self._hold)
        if "leaves-thread" in self._words:
            threading.Thread(target=time.sleep, args=(60,), name="stuck-thread").start()
        if "leaves-tasks" in self._words:
            self._left = asyncio.get_running_loop().create_task(self._stubborn())

    def _hold(self) -> None:
        note("loop held")
        time.sleep(60)  # nothing but a kill ends it

    async def _stubborn(self) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                note("task cancelled")

    def describe(self) -> list[str]:
        return ["http://127.0.0.1:8080 (HTTP/1.1)", "3 routes"]

    async def drain(self, seconds: float) -> None:
        note(f"drain {seconds}")
        if "drain-waits" in self._words:
            await asyncio.sleep(seconds)
        if "drain-hangs" in self._words:
            await asyncio.Event().wait()
        if "drain-breaks" in self._words:
            raise ZeroDivisionError("a bug")

    async def shutdown(self) -> None:
        note("shutdown")
        if self._socket is not None:
            self._socket.close()
        if "shutdown-breaks" in self._words:
            raise ZeroDivisionError("a bug")


class FakeSuccessor(FakeTask):
    """A task that can follow another one, and whose socket workers can share: words "reloads"."""

    def __init__(self, words: set[str]) -> None:
        super().__init__(words)
        self.served = 0

    @property
    def handles(self) -> dict[str, list[int]]:
        return {} if self._socket is None else {"socket": [self._socket.fileno()]}

    def adopt(self, earlier: FakeSuccessor) -> None:
        note("adopt")
        if "bind-fails" in self._words:
            raise BindError("127.0.0.1:8080: address already in use")
        self._socket, earlier._socket = earlier._socket, None

    def follow(self, earlier: FakeSuccessor) -> None:
        note("follow")
        if "bind-fails" in self._words:
            raise BindError("127.0.0.1:8080: address already in use")
        self._earlier = earlier

    async def serve(self) -> None:
        if (earlier := getattr(self, "_earlier", None)) is not None:
            self._socket, earlier._socket = earlier._socket, None
        await super().serve()

    async def retire(self, seconds: float) -> None:
        note(f"retire {seconds}")
        if "retire-breaks" in self._words:
            raise ZeroDivisionError("a bug")
        await self.shutdown()


class Fake:
    """The extension; the entry point names the class."""

    def __init__(self) -> None:
        self._words: set[str] = set()

    def namespace(self, context) -> Namespace:
        note("namespace")
        path = context.config
        if not isinstance(path, Path):
            self._words = set(path)
            return Namespace()
        if not path.exists():
            raise ConfigError([Problem(path.name, 0, 0, "", "does not exist")])
        self._words = set(path.read_text().split())
        if "bad-config" in self._words:
            raise ConfigError(
                [Problem(path.name, 7, 5, "    listne: x", "unknown key `listne`", "did you mean `listen`?")]
            )
        if "bad-tls" in self._words:
            raise TlsMaterialError(
                [Problem(path.name, 4, 9, "  cert: a.pem", "the key does not match the certificate")]
            )
        return Namespace()

    def load_begins(self) -> None:
        note("load begins")

    def load_ends(self) -> None:
        note("load ends")
        if "load-conflicts" in self._words:
            raise RouteError("GET /c/{a} is registered twice: routes.py:3 and routes.py:9")

    def task(self, context) -> FakeTask:
        note("task")
        return FakeSuccessor(self._words) if "reloads" in self._words else FakeTask(self._words)

    def table(self) -> list[list[str]]:
        return [
            ["METHODS", "PATH", "HANDLER"],
            ["GET", "/a", "routes.py:3 a"],
            ["GET,POST", "/long/{x}", "routes.py:9 b"],
        ]


extension = Fake()
not_an_extension = object()
