"""The entry-point object of the http extension, and what runs behind the `http` namespace."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from siphon_http._core.client_traffic import ClientTraffic
from siphon_http._core.counters import Counters
from siphon_http._core.request_id import current_id
from siphon_http._core.traffic import Traffic
from siphon_http.client.api import Clients, Transport, TransportFactory
from siphon_http.config import HttpConfig, load_config
from siphon_http.dispatch import Dispatcher
from siphon_http.errors import ScriptError
from siphon_http.extension_namespace import HttpNamespace, pooled_transport
from siphon_http.host.api import Context, Finding
from siphon_http.registry import Generation, Hook
from siphon_http.server.lifecycle import Server

__all__ = ["HttpExtension", "HttpNamespace", "HttpTask", "extension"]

log = logging.getLogger("siphon_http.extension")

SLOW_SECONDS = 0.1
"""A hook that holds the loop for longer is logged."""

_PLAIN_IN_SHELLS = str.maketrans("", "", "%+,-./0123456789:=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")

CUT_OFF_SECONDS = 0.5
"""What cancelled handlers get to clean up and be answered, before the shutdown hooks run."""


class HttpExtension:
    """The http extension as the host sees it; see `host.api.Extension`.

    transport: makes what carries the requests of a client; a test harness puts a recorder there. None: the network.
    """

    def __init__(self, transport: TransportFactory | None = None) -> None:
        self._namespace: HttpNamespace | None = None
        self._config = HttpConfig()
        self._generation = Generation()
        self._client_traffic = ClientTraffic()
        self._transport = transport or partial(pooled_transport, traffic=self._client_traffic)
        self._clients = Clients({}, self._transport)

    def namespace(self, context: Context) -> HttpNamespace:
        """Read and check http.yaml; return what scripts import. Raises ConfigError, TlsMaterialError."""
        warnings: list[str] = []
        source: Any = context.config
        self._config = load_config(source, content=context.content, warnings=warnings, check_material=_check_material)
        if context.worker.is_first:
            for text in warnings:
                log.warning("%s", text)
        self._clients = Clients(self._config.clients, self._transport)
        self._namespace = HttpNamespace(self._clients)
        return self._namespace

    def load_begins(self) -> None:
        """Start a new generation."""
        self._clients.load_begins()
        if self._namespace is not None:
            self._namespace._begin()

    def load_ends(self) -> None:
        """Freeze the generation."""
        if self._namespace is not None:
            self._generation = self._namespace._end()

    def task(self, context: Context) -> HttpTask:
        """Return what serves the routes that the script registered."""
        return HttpTask(self._config, self._generation, context, self._clients, self._client_traffic)

    def doctor(self, context: Context) -> Sequence[Finding]:
        """Look at addresses, certificates, and names of clients."""
        from siphon_http.extension_doctor import examine  # only the doctor needs it

        return list(examine(self._config))

    def log_fields(self) -> Mapping[str, object]:
        """Return the id of the request that the running code answers, for lines of the script's log."""
        request_id = current_id()
        return {} if request_id is None else {"request_id": request_id}

    def table(self) -> Sequence[Sequence[str]]:
        """Return the routes as rows: methods, path, handler, limits, place."""
        rows: list[tuple[str, ...]] = [("METHODS", "PATH", "HANDLER", "OPTIONS", "WHERE")]
        for route in self._generation.routes:
            kind = "async" if route.is_async else "thread" if route.blocking else "on the loop"
            options = [kind]
            options += [f"max_body_bytes={route.max_body_bytes}"] if route.max_body_bytes is not None else []
            options += [f"timeout_ms={route.timeout_ms}"] if route.timeout_ms is not None else []
            options += ["stream"] if route.stream else []
            options += ["finishes"] if route.on_disconnect == "finish" else []
            rows.append((",".join(route.methods), route.pattern.text, route.name, " ".join(options), route.where))
        return rows


def _check_material(cert: Path | None, key: Path | None, ca: Path | None, names: Sequence[str]) -> Sequence[str]:
    from siphon_http.server.tls import check_material  # ssl costs 10 ms: only who needs it

    return check_material(cert, key, ca, names)


class HttpTask:
    """What runs for the http extension on one loop; see `host.api.Task`, `SharedTask` and `SuccessorTask`."""

    def __init__(
        self,
        config: HttpConfig,
        generation: Generation,
        context: Context,
        clients: Clients | None = None,
        client_traffic: ClientTraffic | None = None,
    ) -> None:
        self._config = config
        self._generation = generation
        self._context = context
        self._clients = clients
        self._client_traffic = client_traffic
        self._server: Server | None = None
        self._dispatcher: Dispatcher | None = None
        self._voice: _Voice | None = None
        self._startup_began = False
        self._traffic: Traffic | None = None  # one for the process: connections outlive a load of the script
        self._earlier: HttpTask | None = None
        self._over = asyncio.Event()
        self._inline: list[Transport] = []  # of the script's own clients, once another task has followed

    @property
    def handler(self) -> Dispatcher | None:
        """What requests are handed to; None before `serve`."""
        return self._dispatcher

    def bind(self) -> None:
        """Bind every listener without listening. Raises BindError."""
        self._server = Server(self._config.servers, self._context.inherited, copies=self._copies)
        self._server.bind()

    @property
    def _copies(self) -> int:
        """How many processes need sockets of their own."""
        return self._context.worker.count if self._context.worker.index == -1 else 1

    @property
    def handles(self) -> Mapping[str, Sequence[int]]:
        """The descriptors of what is bound."""
        return {} if self._server is None else self._server.handles

    @property
    def served(self) -> int:
        """Requests that the listeners of this task have seen."""
        listeners = () if self._server is None else self._server.listeners
        return sum(one.endpoint.requests for one in listeners if one.endpoint is not None)

    def adopt(self, earlier: HttpTask) -> None:
        """Bind, but for what `earlier` has bound, which is taken. Raises BindError."""
        if self._server is None:
            self._server = Server(self._config.servers, copies=self._copies)
        self._server.adopt(earlier._server or Server(()))

    def follow(self, earlier: HttpTask) -> None:
        """Bind what `earlier` has not bound. Raises BindError, TlsMaterialError."""
        self._earlier = earlier
        if earlier._server is not None:
            self._server = Server(self._config.servers)
            self._server.follow(earlier._server)

    async def startup(self) -> None:
        """Run the script's start-up hooks in order. Raises ScriptError with `startup_errors: abort`."""
        self._startup_began = True
        self._count_from_now_on()
        for hook in self._generation.startup:
            error = await _run_hook("on_startup", hook)
            if error is None:
                continue
            abort = self._config.startup_errors == "abort"
            self._say_failed("on_startup", hook, error, "the start is given up" if abort else "the others still run")
            if abort:
                raise ScriptError(f"on_startup hook {_label(hook)} raised {error!r}; see the log") from error

    def _count_from_now_on(self) -> None:
        """Find where this process counts: one place, whatever load of the script serves."""
        if self._traffic is None:
            earlier = None if self._earlier is None else self._earlier._traffic
            self._traffic = earlier or Traffic(Counters(self._context.counters))
            if self._client_traffic is not None:
                self._client_traffic.attach(self._traffic.counters)

    async def serve(self) -> None:
        """Listen and accept; after `follow`, take over what the earlier task has."""
        if self._earlier is not None and self._earlier._dispatcher is not None:
            await self._succeed(self._earlier, self._earlier._dispatcher)
            return
        self._voice = _Voice(self._context)
        self._count_from_now_on()
        self._dispatcher = Dispatcher(
            self._generation,
            asyncio.get_running_loop(),
            sync_pool_max=self._context.sync_pool_max,
            sync_queue_max=self._context.sync_queue_max,
            format_exception=self._voice,
            traffic=self._traffic,
        )
        if self._server is not None:
            await self._server.serve(self._dispatcher, self._traffic)

    async def _succeed(self, earlier: HttpTask, dispatcher: Dispatcher) -> None:
        self._count_from_now_on()
        if self._server is not None:
            await self._server.serve(dispatcher, self._traffic)
        # No await from here on: limits, routes and middleware change between two requests.
        dispatcher.use(self._generation, over=earlier._over.set)
        dispatcher.pool.resize(self._context.sync_pool_max, self._context.sync_queue_max)
        self._dispatcher, earlier._dispatcher = dispatcher, None
        self._voice, earlier._voice = earlier._voice, None
        if self._voice is not None:
            self._voice.context = self._context
        if self._clients is not None and earlier._clients is self._clients:
            # The same configuration: pools of names go on. Another one has pools of its own.
            earlier._clients, earlier._inline = None, self._clients.take_earlier()
        self._earlier = None

    async def retire(self, seconds: float) -> None:
        """Wait for what began under this task, run its shutdown hooks, close the listeners that are no more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._server is not None and self._server.listeners:
            await self._server.drain(seconds)
        try:
            async with asyncio.timeout_at(until):
                await self._over.wait()
        except TimeoutError:
            log.warning(
                "reload: requests of the old script had not ended after %g s, its shutdown hooks run now", seconds
            )
        await self.shutdown()

    def describe(self) -> Sequence[str]:
        """Return a line for each listener, one to try, and the counts."""
        listeners = [] if self._server is None else self._server.listeners
        lines = [f"{one.url} ({one.protocols})" for one in listeners]
        example = next((one for one in self._generation.routes if "GET" in one.methods), None)
        if listeners and example is not None:
            path = "".join(part.decode() if isinstance(part, bytes) else "world" for part in example.pattern.parts)
            lines[-1] += "   try: " + _curl(listeners[0].url, listeners[0].config, path)
        routes, middleware = len(self._generation.routes), len(self._generation.middleware)
        clients = len(self._config.clients)
        counts = f"{routes} route{'s' * (routes != 1)}, {middleware} middleware, {clients} client{'s' * (clients != 1)}"
        return [*lines, counts]

    async def drain(self, seconds: float) -> None:
        """Stop accepting; wait for what is in flight, handlers included; then cancel what is left."""
        if self._server is None or self._dispatcher is None:
            return
        dispatcher = self._dispatcher
        if not await self._server.drain(seconds, dispatcher.when_idle):
            log.warning(
                "drain: %d connections and %d handlers had not ended after %g s, they are cut off",
                self._server.open_connections,
                len(dispatcher.running),
                seconds,
            )
            dispatcher.cancel_all()
            await self._server.drain(CUT_OFF_SECONDS, dispatcher.when_idle)

    async def shutdown(self) -> None:
        """Run the script's shutdown hooks in reverse order, then close everything."""
        try:
            if self._startup_began:
                for hook in reversed(self._generation.shutdown):
                    error = await _run_hook("on_shutdown", hook)
                    if error is not None:
                        self._say_failed("on_shutdown", hook, error, "the others still run")
        finally:
            if self._server is not None:
                self._server.close()
            if self._dispatcher is not None:
                self._dispatcher.close()
            for transport in self._inline:
                await transport.close()
            if self._clients is not None and (self._earlier is None or self._earlier._clients is not self._clients):
                await self._clients.close()

    def _say_failed(self, kind: str, hook: Hook, error: BaseException, follows: str) -> None:
        text = self._context.user_traceback(error).rstrip()
        log.error("%s hook %s failed, %s\n%s", kind, _label(hook), follows, text)


class _Voice:
    """Formats exceptions for the log as the host wants it; the context changes when a task follows another."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def __call__(self, error: BaseException) -> str:
        return self.context.user_traceback(error)


async def _run_hook(kind: str, hook: Hook) -> BaseException | None:
    """Run one hook to completion, async or not; plain ones run on the loop. Return what it raised, exits included.

    Raises:
        CancelledError: the process was told to stop meanwhile.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        result = hook.function()
        if (held := loop.time() - began) > SLOW_SECONDS:
            log.warning("%s hook %s held the loop for %.0f ms (use await)", kind, _label(hook), held * 1000)
        if inspect.isawaitable(result):
            await result
    except GeneratorExit:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return error
    except BaseException as error:
        return error
    return None


def _label(hook: Hook) -> str:
    return f"{getattr(hook.function, '__name__', hook.function)} ({hook.where})"


def _quoted(text: str) -> str:
    """Return `text` as one word of a shell."""
    if text.isascii() and not text.translate(_PLAIN_IN_SHELLS):
        return text
    import shlex  # hardly any listener needs it

    return shlex.quote(text)


def _curl(url: str, config: Any, path: str) -> str:
    """Return a command that asks a listener for `path`."""
    asks = "" if config.http1 else "--http2-prior-knowledge " if config.tls is None else "--http2 "
    if url.startswith("unix:"):
        return f"curl {asks}--unix-socket {_quoted(url[5:])} {_quoted('http://localhost' + path)}"
    url = url.replace("://0.0.0.0", "://127.0.0.1").replace("://[::]", "://[::1]")
    if config.tls is not None:
        asks += f"--cacert {_quoted(str(config.tls.cert_path))} "
        asks += "--cert CLIENT.pem --key CLIENT.key " if config.tls.client_ca is not None else ""
    return f"curl {asks}{_quoted(url + path)}"


extension = HttpExtension
"""The entry point `siphon.extensions: http`: a class, so that the configuration can be read again."""
