"""Several requests in one read: each is served, timed and told apart as if it had come alone."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from siphon_http._core.message import Peer, Response
from siphon_http.dispatch import Dispatcher
from siphon_http.registry import Registry
from siphon_http.server.endpoint import Endpoint, LoopState
from tests.server.rig import Transport
from tests.stage import play, until

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: t\r\n\r\n".encode()


class Batches:
    """Connections on transports without sockets, whose handlers note what they see."""

    def __init__(self, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        registry = Registry()
        self.seen: list[Any] = []
        self.release = asyncio.Event()
        registry.add_route(self._note, "/note")
        registry.add_route(self._direct, "/direct", blocking=False)
        registry.add_route(self._fail, "/fail")
        registry.add_route(self._wait, "/wait")
        registry.add_route(self._thread, "/thread")
        registry.add_route(self._read_another, "/another")
        registry.add_route(self._slow, "/slow")
        registry.add_route(self._junk, "/junk")
        self.dispatcher = Dispatcher(registry.freeze(), loop)
        self.state = LoopState(loop)
        self.endpoint = Endpoint(self.dispatcher, self.state, describe_peer=lambda _: Peer("192.0.2.1:9"), **settings)
        self.connections: list[Any] = []
        self.connect()

    def connect(self) -> Transport:
        self.transport = Transport()
        self.connections.append(self.endpoint.connection())
        self.connections[-1].connection_made(self.transport)
        return self.transport

    async def _note(self, req: Any) -> Response:
        assert asyncio.current_task() is not None
        self.seen.append(variable.get())
        variable.set("changed")
        return Response(200, {"x-path": req.path})

    def _direct(self, req: Any) -> Response:
        self.seen.append(asyncio.current_task())
        return Response(200)

    async def _fail(self, req: Any) -> Response:
        raise ValueError("of the script")

    async def _junk(self, req: Any) -> Any:
        return 3

    async def _wait(self, req: Any) -> Response:
        before = asyncio.current_task()
        await self.release.wait()
        self.seen.append(asyncio.current_task() is before)
        return Response(200)

    def _thread(self, req: Any) -> Response:
        return Response(200)

    async def _slow(self, req: Any) -> Response:
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.15
        while loop.time() < end:
            pass
        return Response(200)

    async def _read_another(self, req: Any) -> Response:
        mine = asyncio.current_task()
        self.connect()
        self.connections[-1].data_received(get("/note") * 3)
        assert self.transport.written[-1].count(b"200 OK") == 3
        assert asyncio.current_task() is mine
        return Response(200)

    @property
    def statuses(self) -> list[int]:
        data = b"".join(self.transport.written)
        return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


def batched(scenario: Callable[[Batches], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        batches = Batches(**settings)
        try:
            await scenario(batches)
        finally:
            for connection in batches.connections:
                connection.connection_lost(None)
            batches.state.close()
            batches.dispatcher.close()

    play(run)


def outside(batches: Batches, data: bytes) -> asyncio.Future[Any]:
    """Let the loop, and no task, bring `data`; the result is the current task of the loop after it."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def read() -> None:
        batches.connections[0].data_received(data)
        done.set_result(asyncio.current_task())

    loop.call_soon(read)
    return done


def test_each_request_of_a_read_has_its_own_context_and_no_task_is_left_behind() -> None:
    async def scenario(batches: Batches) -> None:
        assert await outside(batches, get("/note") * 20) is None
        assert batches.seen == ["outside"] * 20 and batches.statuses == [200] * 20
        assert len(batches.transport.written) == 1

    batched(scenario)


def test_a_plain_function_on_the_loop_sees_no_task_of_its_neighbours() -> None:
    async def scenario(batches: Batches) -> None:
        assert await outside(batches, get("/note") + get("/direct") + get("/note") + get("/direct")) is None
        assert batches.seen == ["outside", None, "outside", None]

    batched(scenario)


@pytest.mark.parametrize("path", ["/fail", "/junk"])
def test_what_logs_a_failure_within_a_read_sees_no_task(path: str, caplog: pytest.LogCaptureFixture) -> None:
    tasks: list[Any] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:  # on a busy machine the loop may be said to have been held, too
                tasks.append(asyncio.current_task())

    async def scenario(batches: Batches) -> None:
        handler = Handler()
        logging.getLogger("siphon_http.handler").addHandler(handler)
        try:
            assert await outside(batches, get("/note") + get(path) + get("/note")) is None
        finally:
            logging.getLogger("siphon_http.handler").removeHandler(handler)
        assert batches.statuses == [200, 500, 200] and tasks == [None]

    batched(scenario)


@pytest.mark.parametrize("path", ["/wait", "/thread"])
def test_a_request_that_waits_in_the_middle_of_a_read_is_answered_in_its_place(path: str) -> None:
    async def scenario(batches: Batches) -> None:
        assert await outside(batches, get("/note") * 2 + get(path) + get("/note") * 2 + get("/nowhere")) is None
        # A thread may have answered before we look, but what came before it was answered first.
        assert (
            batches.statuses in ([200] * 2, [200] * 5 + [404]) if path == "/thread" else batches.statuses == [200] * 2
        )
        batches.release.set()
        await until(lambda: len(batches.statuses) == 6)
        assert batches.statuses == [200] * 5 + [404]
        assert batches.seen.count("outside") == 4 and False not in batches.seen

    batched(scenario)


def test_answers_without_a_handler_and_the_end_of_the_connection_within_a_read() -> None:
    async def scenario(batches: Batches) -> None:
        data = get("/note") + get("/nowhere") + b"PUT /note HTTP/1.1\r\nHost: t\r\n\r\n" + get("/%zz") + get("/note")
        await outside(batches, data + b"HEAD /note HTTP/1.1\r\nHost: t\r\n\r\n" + get("/note", "1.0") + get("/note"))
        assert batches.statuses == [200, 404, 405, 400, 200, 200, 200]
        assert "write_eof" in batches.transport.calls  # there is more behind the last

    batched(scenario)


def test_a_handler_that_brings_a_read_of_another_connection_keeps_its_task() -> None:
    async def scenario(batches: Batches) -> None:
        first = batches.transport
        assert await outside(batches, get("/note") + get("/another") + get("/note")) is None
        assert first.written[-1].count(b"200 OK") + sum(data.count(b"200 OK") for data in first.written[:-1]) == 3
        assert batches.seen == ["outside"] * 5

    batched(scenario)


def test_time_that_a_handler_takes_is_not_taken_from_the_next_request_of_the_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(batches: Batches) -> None:
        await outside(batches, get("/note") + get("/slow") + get("/note") + get("/wait"))
        # Longer than the time-out less what /slow took, shorter than the time-out.
        await asyncio.sleep(0.2)
        assert batches.statuses == [200] * 3
        await until(lambda: len(batches.statuses) == 4)
        assert batches.statuses[-1] == 504

    batched(scenario, request_timeout=0.3)
    assert sum("held the loop" in record.message for record in caplog.records) == 1


def test_a_connection_is_idle_after_a_read_and_a_head_behind_it_has_its_time() -> None:
    async def scenario(batches: Batches) -> None:
        await outside(batches, get("/note") * 5)
        await until(lambda: "close" in batches.transport.calls)
        assert batches.statuses == [200] * 5
        batches.connect()
        batches.connections[0] = batches.connections.pop()
        await outside(batches, get("/note") * 5 + b"GET / HT")
        await until(lambda: len(batches.statuses) == 6)
        assert batches.statuses[-1] == 408

    batched(scenario, idle_timeout=0.1, header_timeout=0.15, request_timeout=20.0)


def test_requests_that_wait_behind_a_full_transport_have_the_idle_time() -> None:
    async def scenario(batches: Batches) -> None:
        write = batches.transport.write

        def write_and_fill(data: bytes) -> None:
            write(data)
            batches.connections[0].pause_writing()

        batches.transport.write = write_and_fill  # type: ignore[method-assign]
        await outside(batches, get("/note") * 5)
        await asyncio.sleep(0.25)  # beyond request_timeout
        assert "abort" not in batches.transport.calls and "close" not in batches.transport.calls
        batches.connections[0].resume_writing()

    batched(scenario, request_timeout=0.1, write_timeout=20.0)
