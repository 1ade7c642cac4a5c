"""The http namespace, and the life of what runs behind it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from siphon_http import errors
from siphon_http._core.message import Request, Response
from siphon_http.errors import BindError, ConfigError, RouteError, ScriptError
from siphon_http.extension import HttpExtension, HttpNamespace, HttpTask
from siphon_http.host.api import Extension, Place, Task
from tests.stage import Line, play, until


class Context:
    """What the host tells an extension."""

    name = "http"
    content: bytes | None = None
    drain_secs = 1.0
    sync_pool_max = 4
    sync_queue_max = 16
    counters = None
    worker = Place()
    inherited: Mapping[str, Sequence[int]] = {}

    def __init__(self, config: Path) -> None:
        self.config = config

    def user_traceback(self, error: BaseException) -> str:
        return f"traceback of {error!r}\n"


class Loaded:
    """An extension whose `script`, a function that gets the namespace, was loaded."""

    def __init__(
        self, folder: Path, script: Callable[[Any], None], text: str = "servers: [{listen: '127.0.0.1:0'}]"
    ) -> None:
        (folder / "http.yaml").write_text(text)
        self.context = Context(folder / "http.yaml")
        self.extension = HttpExtension()
        self.http: Any = self.extension.namespace(self.context)
        self.extension.load_begins()
        script(self.http)
        self.extension.load_ends()

    def play(self, scenario: Callable[[HttpTask], Awaitable[None]]) -> None:
        async def run() -> None:
            await scenario(self.extension.task(self.context))

        play(run)

    def serve(self, scenario: Callable[[Any], Awaitable[None]]) -> None:
        """Start, run `scenario(connect)`, drain and shut down."""

        async def run(task: HttpTask) -> None:
            task.bind()
            await task.startup()
            await task.serve()
            try:
                await scenario(task)
            finally:
                await task.drain(self.context.drain_secs)
                await task.shutdown()

        self.play(run)


async def connect(task: HttpTask) -> Line:
    url = task.describe()[0].split()[0]
    return Line(*await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])))


def nothing(http: Any) -> None: ...


def hello(http: Any) -> None:
    @http.route("/hello/{name}")
    async def greet(req: Any) -> Response:
        return http.Response(200, None, f"hello {req.path_params['name']}")  # type: ignore[no-any-return]


# ---- the namespace


def test_the_namespace_has_what_scripts_use() -> None:
    http: Any = HttpNamespace()
    assert http.Request is Request and http.Response is Response
    assert http.HttpStatusError is errors.HttpStatusError and http.RouteError is RouteError
    assert repr(http) == "<namespace siphon.http>"


def test_a_name_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(AttributeError) as caught:
        HttpNamespace().rout
    assert str(caught.value) == (
        "siphon.http has no `rout`; did you mean `route`? "
        "it has CallNext, Client, ClientError, ConnectError, ConnectTimeout, HttpError, HttpStatusError, PoolTimeout, "
        "ReadError, ReadTimeout, RemoteProtocolError, Request, Response, RouteError, TlsError, TotalTimeout, "
        "WriteError, WriteTimeout, middleware, on_shutdown, on_startup, route"
    )


def test_a_named_client_can_be_made_while_the_script_loads_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    made: list[Any] = []

    def script(http: Any) -> None:
        made.append(http.Client("api"))
        with pytest.raises(errors.ClientError, match="no client named 'apy': did you mean 'api'"):
            http.Client("apy")

    Loaded(tmp_path, script, "clients: {api: {base_url: 'http://127.0.0.1:9/v1'}}")
    assert made[0].base_url == "http://127.0.0.1:9/v1"


def test_decorators_return_the_function_and_are_kept_in_order(tmp_path: Path) -> None:
    def script(http: Any) -> None:
        async def handler(req: Any) -> None: ...
        def guard(req: Any) -> None: ...
        def blocking(req: Any) -> None: ...
        def hook() -> None: ...

        assert http.route("/a")(http.route("/b", ["POST"], timeout_ms=5, name="b")(handler)) is handler
        assert http.middleware(guard) is guard
        assert http.middleware(blocking=True)(blocking) is blocking
        assert http.on_startup(hook) is hook and http.on_shutdown(hook) is hook

    generation = Loaded(tmp_path, script).extension._generation
    assert [(route.pattern.text, route.name, route.timeout_ms) for route in generation.routes] == [
        ("/b", "b", 5),
        ("/a", "handler", None),
    ]
    assert [(m.function.__name__, m.blocking) for m in generation.middleware] == [("guard", False), ("blocking", True)]
    assert (len(generation.startup), len(generation.shutdown)) == (1, 1)


def test_a_route_without_its_path_is_told_how_it_is_written() -> None:
    with pytest.raises(RouteError, match=r"@http.route needs a path: @http.route\('/hello'\)"):
        HttpNamespace().route(lambda req: None)  # type: ignore[arg-type]


def test_a_load_forgets_what_an_earlier_one_registered(tmp_path: Path) -> None:
    loaded = Loaded(tmp_path, hello)
    loaded.extension.load_begins()
    loaded.http.route("/other")(lambda req: None)
    loaded.extension.load_ends()
    assert [route.pattern.text for route in loaded.extension._generation.routes] == ["/other"]


@pytest.mark.parametrize("name", ["route", "middleware", "on_startup", "on_shutdown"])
def test_a_decorator_that_is_used_after_the_load_says_so(tmp_path: Path, name: str) -> None:
    http = Loaded(tmp_path, nothing).http
    with pytest.raises(RouteError, match="registered while the script is loaded; it is too late"):
        if name == "route":
            http.route("/late")(lambda req: None)
        else:
            getattr(http, name)(lambda *args: None)


# ---- configuration


def test_it_is_what_the_host_takes_for_an_extension(tmp_path: Path) -> None:
    loaded = Loaded(tmp_path, nothing)
    assert isinstance(loaded.extension, Extension)
    assert isinstance(loaded.extension.task(loaded.context), Task)


def test_a_mistake_in_the_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="listne"):
        Loaded(tmp_path, nothing, "servers: [{listne: '127.0.0.1:0'}]")


# ---- what is printed


def described(tmp_path: Path, script: Callable[[Any], None], text: str) -> list[str]:
    lines: list[str] = []

    async def scenario(task: HttpTask) -> None:
        lines.extend(task.describe())

    Loaded(tmp_path, script, text).serve(scenario)
    return lines


def test_the_start_up_lines_name_listeners_a_line_to_try_and_counts(tmp_path: Path) -> None:
    first, last = described(tmp_path, hello, "servers: [{listen: '127.0.0.1:0'}]")
    port = first.split()[0].rpartition(":")[2]
    assert first == f"http://127.0.0.1:{port} (h2, http/1.1)   try: curl http://127.0.0.1:{port}/hello/world"
    assert last == "1 route, 0 middleware, 0 clients"


def test_wildcards_and_unix_sockets_are_shown_so_that_they_can_be_typed(tmp_path: Path) -> None:
    (wild, _) = described(tmp_path, hello, "servers: [{listen: '0.0.0.0:0'}]")
    assert "http://0.0.0.0:" in wild and "curl http://127.0.0.1:" in wild
    (six, _) = described(tmp_path, hello, "servers: [{listen: '[::]:0'}]")
    assert "http://[::]:" in six and "curl 'http://[::1]:" in six
    (unix, _) = described(tmp_path, hello, f"servers: [{{listen: 'unix:{tmp_path}/s'}}]")
    assert unix == (
        f"unix:{tmp_path}/s (h2, http/1.1)   try: curl --unix-socket {tmp_path}/s http://localhost/hello/world"
    )


def test_the_line_to_try_shows_a_certificate_where_one_is_demanded(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "s.pem"))
    tls = f"cert_path: {tmp_path}/s.pem, key_path: {tmp_path}/s.pem"
    (plain, _) = described(tmp_path, hello, f"servers: [{{listen: '127.0.0.1:0', tls: {{{tls}}}}}]")
    assert f"try: curl --cacert {tmp_path}/s.pem https://127.0.0.1:" in plain
    tls += f", client_ca: {tmp_path}/ca.pem"
    (mutual, _) = described(tmp_path, hello, f"servers: [{{listen: '127.0.0.1:0', tls: {{{tls}}}}}]")
    assert f"--cacert {tmp_path}/s.pem --cert CLIENT.pem --key CLIENT.key https://127.0.0.1:" in mutual


def test_without_a_listener_or_a_get_there_is_nothing_to_try(tmp_path: Path) -> None:
    def posts(http: Any) -> None:
        http.route("/a", ["POST"])(lambda req: None)
        http.route("/b", ["PUT"])(lambda req: None)

    assert described(tmp_path, hello, "{}") == ["1 route, 0 middleware, 0 clients"]
    first, last = described(tmp_path, posts, "servers: [{listen: '127.0.0.1:0'}]")
    assert "try" not in first and last.startswith("2 routes, ")


def test_the_table_has_a_row_for_each_route(tmp_path: Path) -> None:
    def script(http: Any) -> None:
        hello(http)
        http.route("/b", ["PUT", "POST"], max_body_bytes=5, timeout_ms=6, name="plain")(lambda req: None)
        http.route("/c", blocking=False, on_disconnect="finish", name="direct")(lambda req: None)

        @http.route("/d", ["POST"], stream=True)
        async def upload(req: Any) -> None: ...

    heading, *rows = Loaded(tmp_path, script).extension.table()
    assert tuple(heading) == ("METHODS", "PATH", "HANDLER", "OPTIONS", "WHERE")
    assert [tuple(row)[:4] for row in rows] == [
        ("GET", "/hello/{name}", "greet", "async"),
        ("PUT,POST", "/b", "plain", "thread max_body_bytes=5 timeout_ms=6"),
        ("GET", "/c", "direct", "on the loop finishes"),
        ("POST", "/d", "upload", "async stream"),
    ]
    assert all(f"{__file__}:" in row[4] for row in rows)


# ---- hooks and the order of a life


def test_hooks_run_in_order_before_anybody_is_accepted_and_in_reverse_at_the_end(tmp_path: Path) -> None:
    order: list[str] = []

    def script(http: Any) -> None:
        @http.on_startup
        def first() -> None:
            order.append("first")

        @http.on_startup
        async def second() -> None:
            await asyncio.sleep(0)
            order.append("second")

        http.on_shutdown(lambda: order.append("opened first"))

        @http.on_shutdown
        async def last() -> None:
            order.append("opened last")

    async def scenario(task: HttpTask) -> None:
        task.bind()
        port = int(task.describe()[0].split()[0].rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await task.startup()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await task.serve()
        (await connect(task)).reset()
        assert order == ["first", "second"]
        await task.drain(1)
        assert order == ["first", "second"]
        await task.shutdown()
        assert order == ["first", "second", "opened last", "opened first"]

    Loaded(tmp_path, script).play(scenario)


FAILURES = [ValueError("no"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_hook_that_fails_is_logged_and_the_others_run(
    tmp_path: Path, failure: BaseException, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []

    def script(http: Any) -> None:
        def fails() -> None:
            raise failure

        async def fails_later() -> None:
            await asyncio.sleep(0)
            raise failure

        hook = fails_later if is_async else fails
        http.on_startup(hook)
        http.on_startup(lambda: order.append("up"))
        http.on_shutdown(lambda: order.append("down"))
        http.on_shutdown(hook)

    async def scenario(task: HttpTask) -> None: ...

    Loaded(tmp_path, script).serve(scenario)
    assert order == ["up", "down"]
    for kind in ("on_startup", "on_shutdown"):
        assert f"{kind} hook fails" in caplog.text
    assert f"({__file__}:" in caplog.text and "failed, the others still run" in caplog.text
    assert f"traceback of {failure!r}" in caplog.text


@pytest.mark.parametrize("failure", FAILURES)
def test_startup_errors_abort_stops_the_start(
    tmp_path: Path, failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []

    def script(http: Any) -> None:
        @http.on_startup
        async def opens() -> None:
            raise failure

        http.on_startup(lambda: order.append("never"))
        http.on_shutdown(lambda: order.append("down"))

    async def scenario(task: HttpTask) -> None:
        task.bind()
        with pytest.raises(ScriptError) as caught:
            await task.startup()
        assert caught.value.exit_code == 4 and caught.value.__cause__ is failure
        assert str(caught.value).startswith(f"on_startup hook opens ({__file__}:") and "; see the log" in str(
            caught.value
        )
        await task.shutdown()

    Loaded(tmp_path, script, "{startup_errors: abort, servers: [{listen: '127.0.0.1:0'}]}").play(scenario)
    assert order == ["down"] and "failed, the start is given up" in caplog.text


def test_a_start_that_is_cancelled_stops_in_its_hook(tmp_path: Path) -> None:
    order: list[str] = []

    def script(http: Any) -> None:
        @http.on_startup
        async def waits() -> None:
            order.append("waits")
            await asyncio.sleep(30)  # until it is cancelled

        http.on_startup(lambda: order.append("never"))

    async def scenario(task: HttpTask) -> None:
        task.bind()
        starting = asyncio.ensure_future(task.startup())
        await until(lambda: order)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await task.shutdown()

    Loaded(tmp_path, script).play(scenario)
    assert order == ["waits"]


def test_a_task_that_was_never_started_runs_no_hooks(tmp_path: Path) -> None:
    order: list[str] = []
    text = "servers: [{listen: '127.0.0.1:0'}]"

    async def scenario(task: HttpTask) -> None:
        await task.drain(1)
        await task.shutdown()

    Loaded(tmp_path, lambda http: http.on_shutdown(lambda: order.append("down")), text).play(scenario)
    assert order == []


def test_a_bind_error_comes_through_and_a_later_shutdown_is_harmless(tmp_path: Path) -> None:
    import socket

    async def scenario(task: HttpTask) -> None:
        with pytest.raises(BindError):
            task.bind()
        await task.shutdown()

    with socket.create_server(("127.0.0.1", 0)) as holder:
        Loaded(tmp_path, nothing, f"servers: [{{listen: '127.0.0.1:{holder.getsockname()[1]}'}}]").play(scenario)


def test_a_hook_that_holds_the_loop_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(task: HttpTask) -> None: ...

    # Beyond the 100 ms that are allowed.
    Loaded(tmp_path, lambda http: http.on_startup(lambda: time.sleep(0.12))).serve(scenario)
    assert f"on_startup hook <lambda> ({__file__}:" in caplog.text and "held the loop for 1" in caplog.text


# ---- drain


def test_a_drain_ends_what_is_in_flight_before_the_shutdown_hooks(tmp_path: Path) -> None:
    order: list[str] = []
    began = threading.Event()

    def script(http: Any) -> None:
        @http.route("/")
        def blocks(req: Any) -> Response:
            began.set()
            time.sleep(0.1)  # the drain begins meanwhile
            order.append("handler")
            return Response(200, None, b"done")

        http.on_shutdown(lambda: order.append("hook"))

    async def scenario(task: HttpTask) -> None:
        line = await connect(task)
        asked = asyncio.ensure_future(line.ask("GET", "/"))
        await until(began.is_set)
        await task.drain(2)
        assert (await asked).body == b"done"
        line.reset()

    Loaded(tmp_path, script).serve(scenario)
    assert order == ["handler", "hook"]


def test_what_outlives_the_drain_is_cancelled_answered_and_cleaned_up_before_the_hooks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []
    began = asyncio.Event()

    def script(http: Any) -> None:
        @http.route("/")
        async def waits(req: Any) -> Response:
            began.set()
            try:
                await asyncio.sleep(30)  # until it is cancelled
            finally:
                await asyncio.sleep(0.02)  # cleaning up takes turns of the loop
                order.append("cleaned up")
            return Response(200)

        http.on_shutdown(lambda: order.append("hook"))

    async def scenario(task: HttpTask) -> None:
        line = await connect(task)
        asked = asyncio.ensure_future(line.ask("GET", "/"))
        await began.wait()
        await task.drain(0.05)
        assert (await asked).status == 503
        line.reset()

    Loaded(tmp_path, script).serve(scenario)
    assert order == ["cleaned up", "hook"]
    assert "drain: 1 connections and 1 handlers had not ended after 0.05 s, they are cut off" in caplog.text
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_thread_that_never_ends_does_not_hold_up_the_end(tmp_path: Path) -> None:
    begun, release = threading.Event(), threading.Event()

    def script(http: Any) -> None:
        @http.route("/")
        def blocks(req: Any) -> Response:
            begun.set()
            return Response(200 if release.wait(20) else 500)

    async def scenario(task: HttpTask) -> None:
        line = await connect(task)
        await line.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(begun.is_set)
        began = time.monotonic()
        await task.drain(0.05)
        assert time.monotonic() - began < 1
        line.reset()

    Loaded(tmp_path, script).serve(scenario)
    release.set()
