"""The part of a harness that lives on its loop: the script, dispatched for real, behind a listener without sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from siphon_http.client.api import client_class
from siphon_http.config import Address, ServerConfig, load_config
from siphon_http.errors import HttpError, ScriptError
from siphon_http.extension import HttpExtension, HttpTask
from siphon_http.host.api import Place
from siphon_http.host.builtin import Builtins
from siphon_http.host.cache import CacheNamespace
from siphon_http.host.config_admin import CacheConfig
from siphon_http.host.log import LogNamespace
from siphon_http.host.script import Script
from siphon_http.server.endpoint import Endpoint, LoopState
from siphon_http.server.limits import endpoint_for
from siphon_http.settings_nodes import Node
from siphon_http.settings_yaml import load
from siphon_http.testing.asking import Asking
from siphon_http.testing.outbound import HarnessClients, Outbound
from siphon_http.testing.script_world import ScriptWorld

__all__ = ["CacheDouble", "LogDouble", "MemoryHost"]

NOWHERE = Address(kind="tcp", host="127.0.0.1", port=0, path="", text="127.0.0.1:0")
DRAIN_SECONDS = 1.0
"""What handlers get to end in when the script is shut down."""


class LogDouble(LogNamespace):
    """`siphon.log` that also keeps what the script has logged. messages: pairs of level and text."""

    __slots__ = ("messages",)

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, str]] = []

    def clear(self) -> None:
        """Forget the messages."""
        self.messages.clear()

    def _log(self, level: int, name: str, message: str) -> None:
        super()._log(level, name, message)
        self.messages.append(("warn" if name == "warning" else name, message))


class CacheDouble(CacheNamespace):
    """`siphon.cache`, all in memory; a test says which caches there are, and what is in them."""

    def set_data(self, name: str, data: Mapping[str, str]) -> None:
        """Have the cache `name` with `data` in it."""
        self.configure([*self._configs.values(), CacheConfig(name=name)])
        for key, value in data.items():
            storing = self.store(name, key, value)
            with contextlib.suppress(StopIteration):  # in memory there is nothing to wait for
                storing.send(None)


class HarnessScript(Script):
    """A script whose errors are read in a test's report, which has the whole traceback anyway."""

    def explain(self, error: BaseException) -> str:
        """Return what a start-up error says, without the advice to use the command line's switch."""
        return super().explain(error).removesuffix("\n    run with -v for the whole traceback")


class HarnessContext:
    """What the extension is told of its process (see host.api.Context). errors: what the script has raised."""

    name = "http"
    content: bytes | None = None
    drain_secs = DRAIN_SECONDS
    sync_pool_max = 32
    sync_queue_max = 1024

    def __init__(self, config: Path | Node, script: Script, errors: list[BaseException], builtins: Builtins) -> None:
        self.config: Any = config
        self.script = script
        self.errors = errors
        self.worker = Place()
        self.counters = builtins.counters(self.name)
        self.metrics = builtins.metrics_of(self.name)
        self.inherited: Mapping[str, Sequence[int]] = {}

    def user_traceback(self, error: BaseException) -> str:
        """Keep `error`, and return its traceback as the log has it."""
        self.errors.append(error)
        return self.script.user_traceback(error)


class MemoryHost:
    """One script in the state that a process would have it in. All but `load` and `close` belong on the loop's thread.

    config: http.yaml, as its path or as the mapping in it. Raises ConfigError for mistakes in it.
    """

    def __init__(self, config: Mapping[str, Any] | str | Path | None, outbound: Outbound) -> None:
        self.outbound = outbound
        self.log = LogDouble()
        self.errors: list[BaseException] = []
        self.started = False
        self._serving = asyncio.Lock()
        self._context: HarnessContext | None = None
        self._task: HttpTask | None = None
        self._state: LoopState | None = None
        self._endpoint: Endpoint | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="siphon-http-harness-")
        try:
            self._source = _source(config, Path(self._folder.name))
            self.config = load_config(self._source)
            self._make_namespaces()
        except BaseException:
            self._folder.cleanup()
            raise

    def renew(self) -> None:
        """Forget everything but the configuration; what was loaded must have ended."""
        self.world.close()
        self.outbound.clear()
        self.log.clear()
        self.errors.clear()
        self._make_namespaces()

    def _make_namespaces(self) -> None:
        self.builtins = Builtins()
        self.builtins.log = self.log
        self.builtins.cache = self.cache = CacheDouble()
        self._extension = HttpExtension(transport=lambda name, config: self.outbound)
        script = Script(Path.cwd() / "script.py")
        context = HarnessContext(self._source, script, self.errors, self.builtins)
        self.http = self._extension.namespace(context)
        self.http.Client = client_class(HarnessClients(self.config.clients, self.outbound))
        self.world = ScriptWorld({**self.builtins.namespaces(), "http": self.http})

    # ---- loading

    def written(self, source: str, name: str) -> Path:
        """Write a script's text to a file of its own, for tracebacks and `inspect`, and return its path."""
        stem = re.sub(r"\W+", "_", name.removesuffix(".py")).strip("_") or "script"
        path = Path(self._folder.name) / f"{stem}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def load(self, path: Path, include_paths: tuple[Path, ...]) -> None:
        """Execute a script as the process does. Raises ScriptError, whose cause is what the script raised."""
        script = HarnessScript(path, include_paths, keep=self.world.keep)
        self.builtins.load_begins()
        self._extension.load_begins()
        self.world.load(script)
        try:
            self._extension.load_ends()
        except ScriptError:
            raise
        except HttpError as error:
            raise ScriptError(script.explain(error)) from error
        self._context = HarnessContext(self._source, script, self.errors, self.builtins)
        self.builtins.timer.explain = self._context.user_traceback
        self.builtins.load_ends()

    # ---- on the loop

    async def serve(self) -> None:
        """Dispatch what comes to the script that was loaded."""
        if self._context is None:
            raise RuntimeError("no script is loaded: load_script() or load_source() first")
        async with self._serving:
            if self._task is None:
                self._task = self._extension.task(self._context)
                await self._task.serve()
                handler = self._task.handler
                assert handler is not None  # since it serves
                self._state = LoopState(asyncio.get_running_loop())
                self._endpoint = endpoint_for(self._listener(), handler, self._state)
                self.builtins.timer.start(asyncio.get_running_loop())

    def _listener(self) -> ServerConfig:
        """Return the first listener of the configuration, as one that a harness can speak to."""
        server = self.config.servers[0] if self.config.servers else ServerConfig(listen=NOWHERE)
        return dataclasses.replace(server, http1=True, proxy_protocol=False)

    async def startup(self) -> None:
        """Run the start-up hooks in order, as the process does before it listens."""
        await self.serve()
        assert self._task is not None  # since it serves
        self.started = True
        await self._task.startup()

    async def shutdown(self) -> None:
        """Let handlers end, then run the shutdown hooks in reverse order."""
        if self._task is None or not self.started:
            raise RuntimeError("run_startup() first: a process that was not started runs no shutdown hooks")
        await self._drain()
        await self._task.shutdown()
        await self.end()

    async def begin(self, asking: Asking, address: tuple[str, int]) -> None:
        """Send a request to the script. address: where it comes from."""
        await self.serve()
        assert self._endpoint is not None  # since it serves
        await asking.begin(self._endpoint, address)

    async def _drain(self) -> None:
        """Wait for handlers; cancel those that take too long."""
        handler = None if self._task is None else self._task.handler
        if handler is None:
            return
        idle = asyncio.Event()
        handler.when_idle(idle.set)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await idle.wait()
        except TimeoutError:
            handler.cancel_all()

    async def end(self) -> None:
        """Cut off what is left, and take no more requests until a script is loaded again."""
        if self._endpoint is not None:
            self._endpoint.abort()
        handler = None if self._task is None else self._task.handler
        if handler is not None:
            handler.cancel_all()
            await asyncio.sleep(0)
            handler.close()
            await self.builtins.timer.stop()
        if self._state is not None:
            self._state.close()
        self._task = self._context = self._state = self._endpoint = None
        self.started = False

    async def finish(self) -> None:
        """Cut off what is left, for good."""
        await self.end()
        await self.builtins.stop()

    def close(self) -> None:
        """Take away what the script has brought into the interpreter, and the folder of its texts."""
        self.world.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()


def _source(config: Mapping[str, Any] | str | Path | None, folder: Path) -> Path | Node:
    """Return http.yaml as the extension reads it. Relative paths in a mapping begin in the working directory."""
    if isinstance(config, str | Path):
        return Path(config).absolute()
    written = folder / "http.yaml"
    written.write_text(yaml.safe_dump(dict(config or {})), encoding="utf-8")
    node = load(written, shown="config")
    node.document.directory = Path.cwd()
    return node
