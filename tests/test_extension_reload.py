"""The http extension over a reload: what follows, what stays, and what is left of the old generation."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from siphon_http._core.counters import LEDGER_BYTES
from siphon_http._core.message import Response
from siphon_http.errors import BindError, ScriptError
from siphon_http.extension import HttpExtension, HttpTask
from siphon_http.host.api import SharedTask, SuccessorTask
from siphon_http.host.ledger import Ledgers, series_of
from tests.linux import linux_only
from tests.stage import Line, play, until
from tests.test_extension import Context, connect

ONE = "servers: [{listen: '127.0.0.1:0'}]"


class Site:
    """Loads functions as scripts, one after the other, into one extension or, with `text`, into a new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order: list[str] = []
        self.extension: HttpExtension
        self.context: Context
        self.task: HttpTask

    def configure(self, text: str) -> None:
        (self.folder / "http.yaml").write_text(text)
        self.context = Context(self.folder / "http.yaml")
        self.extension = HttpExtension()
        self.http = self.extension.namespace(self.context)

    def load(self, version: str, script: Callable[[Any, str], None] | None = None) -> HttpTask:
        self.extension.load_begins()
        (script or self.script)(self.http, version)
        self.extension.load_ends()
        return self.extension.task(self.context)

    def script(self, http: Any, version: str) -> None:
        """Answers with its version; `/wait` once `open` is set."""

        async def index(req: Any) -> Response:
            return Response(200, None, version)

        async def wait(req: Any) -> Response:
            self.order.append(f"{version} waits")
            await self.open.wait()
            return Response(200, None, version)

        async def upload(req: Any) -> Response:
            return Response(200, None, f"{version} {len(req.body())}")

        http.route("/")(index)
        http.route("/wait")(wait)
        http.route("/upload", ["POST"])(upload)
        http.on_startup(lambda: self.order.append(f"{version} up"))
        http.on_shutdown(lambda: self.order.append(f"{version} down"))

    async def start(self, version: str) -> None:
        self.open = asyncio.Event()
        self.task = self.load(version)
        self.task.bind()
        await self.task.startup()
        await self.task.serve()

    async def follow(self, task: HttpTask, seconds: float = 2.0) -> asyncio.Task[None]:
        """Put `task` in the place of the one that serves; return what retires that one."""
        earlier = self.task
        task.follow(earlier)
        await task.startup()
        await task.serve()
        self.task = task
        return asyncio.ensure_future(earlier.retire(seconds))

    def play(self, scenario: Callable[[], Awaitable[None]], text: str = ONE) -> None:
        async def run() -> None:
            self.configure(text)
            await self.start("one")
            try:
                await scenario()
            finally:
                await self.task.drain(1)
                await self.task.shutdown()

        play(run)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def ask(site: Site, path: str = "/") -> str:
    line = await connect(site.task)
    try:
        return (await line.ask("GET", path)).body.decode()
    finally:
        line.reset()


def test_numbers_of_clients_go_on_over_reloads_of_script_and_configuration(tmp_path: Path) -> None:
    site = Site(tmp_path)
    memory = memoryview(bytearray(LEDGER_BYTES))
    ledger = Ledgers(memory).of("http")

    def number(name: str) -> float:
        return sum(one.values[0] for one in series_of(memory) if one.name == f"siphon_http_client_{name}")

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as place:
            port = place.getsockname()[1]
        text = f"servers: [{{listen: '127.0.0.1:{port}'}}]\nclients: {{own: {{base_url: 'http://127.0.0.1:{port}'}}}}"
        site.configure(text)
        site.context.counters = ledger
        await site.start("one")
        for count in range(1, 7):
            assert (await site.http.Client("own").get("/")).status == 200
            assert number("calls_total") == count
            assert number("connections_open") == number("connections_idle") == 1
            if count % 2:
                site.configure(text)  # another configuration has pools of its own
                site.context.counters = ledger
            await (await site.follow(site.load(f"load {count}")))
            assert number("connections_open") == (0 if count % 2 else 1)
        assert number("connections_total") == 4
        await site.task.drain(1)
        await site.task.shutdown()
        await until(lambda: number("connections_open") == 0)

    play(run)


def test_the_task_can_follow_and_be_shared() -> None:
    task = HttpExtension().task(Context(Path("x")))
    assert isinstance(task, SuccessorTask) and isinstance(task, SharedTask)


def test_requests_are_answered_by_the_generation_that_they_began_with(site: Site) -> None:
    async def scenario() -> None:
        kept, waiting, sending = [await connect(site.task) for _ in range(3)]
        assert (await kept.ask("GET", "/")).body == b"one"
        await waiting.send(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        await sending.send(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na")
        await until(lambda: "one waits" in site.order and site.task.served == 3)
        retiring = await site.follow(site.load("two"))
        assert (await kept.ask("GET", "/")).body == b"two"
        assert await ask(site) == "two"
        await sending.send(b"bc")
        assert (await sending.answer()).body == b"one 3"
        assert site.order == ["one up", "one waits", "two up"]
        assert not retiring.done()
        site.open.set()
        answer = await waiting.answer()
        assert answer.body == b"one" and "connection" not in answer.headers
        await retiring
        assert site.order[-1] == "one down"
        assert (await waiting.ask("GET", "/wait")).body == b"two"
        for line in (kept, waiting, sending):
            line.reset()

    site.play(scenario)
    assert site.order[-1] == "two down"


def test_the_old_hooks_run_after_the_deadline_although_a_request_goes_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        line = await connect(site.task)
        await line.send(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: "one waits" in site.order)
        await (await site.follow(site.load("two"), seconds=0.05))
        assert site.order == ["one up", "one waits", "two up", "one down"]
        site.open.set()
        assert (await line.answer()).body == b"one"
        line.reset()

    site.play(scenario)
    assert "reload: requests of the old script had not ended after 0.05 s" in caplog.text


def test_nothing_is_left_of_old_generations(site: Site) -> None:
    async def scenario() -> None:
        line = await connect(site.task)
        gone: list[weakref.ref[Any]] = []
        for n in range(20):
            task = site.load(f"v{n}")
            gone += [weakref.ref(task), weakref.ref(site.extension._generation.routes[0].handler)]
            await (await site.follow(task))
            del task
            assert (await line.ask("GET", "/")).body == f"v{n}".encode()
        await asyncio.sleep(0.01)  # the last of the old ones goes in the loop's next turns
        gc.collect()
        assert [one() is not None for one in gone] == [False] * 38 + [True] * 2
        line.reset()

    site.play(scenario)


def test_a_generation_whose_start_fails_leaves_the_old_one(site: Site) -> None:
    def bad(http: Any, version: str) -> None:
        @http.on_startup
        async def fails() -> None:
            raise ValueError("no database")

        http.on_shutdown(lambda: site.order.append("bad down"))

    async def scenario() -> None:
        task = site.load("bad", bad)
        task.follow(site.task)
        with pytest.raises(ScriptError):
            await task.startup()
        await task.shutdown()
        assert await ask(site) == "one"
        assert site.order == ["one up", "bad down"]

    site.play(scenario, ONE + "\nstartup_errors: abort")
    assert site.order == ["one up", "bad down", "one down"]


@linux_only("all of 127.0.0.0/8 is this machine")
def test_listeners_and_limits_follow_the_configuration(site: Site) -> None:
    async def scenario() -> None:
        before = await connect(site.task)
        port = site.task.describe()[0].split()[0].rpartition(":")[2]
        assert (await before.ask("POST", "/upload", b"abcdef")).body == b"one 6"
        site.configure("servers: [{listen: '127.0.0.1:0', max_body_bytes: 3}, {listen: '127.0.0.2:0'}]")
        await (await site.follow(site.load("two")))
        lines = site.task.describe()
        assert lines[0].startswith(f"http://127.0.0.1:{port} ") and lines[1].startswith("http://127.0.0.2:")
        assert (await before.ask("POST", "/upload", b"abcdef")).status == 413
        second = lines[1].split()[0].rpartition(":")[2]
        other = Line(*await asyncio.open_connection("127.0.0.2", int(second)))
        assert (await other.ask("POST", "/upload", b"abcdef")).body == b"two 6"
        site.configure(ONE)
        await (await site.follow(site.load("three")))
        assert await other.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", int(second))
        assert await ask(site) == "three"
        before.reset()
        other.reset()

    site.play(scenario)


def test_an_address_in_use_is_no_successor(site: Site) -> None:
    import socket

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            site.configure(f"servers: [{{listen: '127.0.0.1:0'}}, {{listen: '127.0.0.1:{holder.getsockname()[1]}'}}]")
            task = site.load("two")
            with pytest.raises(BindError):
                task.follow(site.task)
            await task.shutdown()
        assert await ask(site) == "one"

    site.play(scenario)


def test_threads_follow_the_configuration_and_tracebacks_the_context(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(http: Any, version: str) -> None:
        @http.route("/")
        async def index(req: Any) -> Response:
            raise ValueError("here")

    async def scenario() -> None:
        site.configure(ONE)
        site.context.sync_pool_max, site.context.sync_queue_max = 9, 3
        site.context.user_traceback = lambda error: "shown by the new one"  # type: ignore[method-assign]
        await (await site.follow(site.load("two", fails)))
        assert await ask(site) == "handler error\n"
        assert site.task._dispatcher is not None
        assert (site.task._dispatcher.pool.most, site.task._dispatcher.pool.queue_max) == (9, 3)

    with caplog.at_level(logging.ERROR):
        site.play(scenario)
    assert "shown by the new one" in caplog.text


def test_the_supervisors_part_binds_hands_over_and_never_serves(site: Site) -> None:
    async def scenario() -> None:
        site.configure(ONE)
        first = site.load("a")
        first.bind()
        ((name, fds),) = first.handles.items()
        site.configure(ONE + "\nstartup_errors: abort")
        second = site.load("b")
        second.adopt(first)
        assert second.handles == {name: fds} and first.handles == {}
        await first.shutdown()
        await second.shutdown()

    site.play(scenario)
