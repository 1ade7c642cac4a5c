"""Time-outs of a call: each fires when it should, says what it was, and leaves a pool that works."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from siphon_http.config import ClientConfig
from siphon_http.errors import ClientError, ConnectTimeout, ReadTimeout, TotalTimeout, WriteTimeout
from tests.client.same_loop import clients_for, running, the_pool
from tests.stage import until


@contextmanager
def within(low: float, high: float) -> Iterator[None]:
    """Fail unless the block took so many seconds."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert low <= took <= high, took


@pytest.mark.parametrize("milliseconds", [5, 20, 50, 120])
async def test_the_total_time_fires_on_time(milliseconds: int) -> None:
    async with running() as (_, api):
        await api.get("/warm")
        with within(milliseconds / 1000 - 0.005, milliseconds / 1000 + 0.25):
            with pytest.raises(TotalTimeout, match=r"\(timeout_ms\), waiting for the answer") as caught:
                await api.get("/silent", timeout_ms=milliseconds)
        assert caught.value.phase == "total"
        assert (await api.get("/after")).status == 200


async def test_short_times_are_kept_among_many_calls() -> None:
    async with running() as (_, api):
        late: list[float] = []

        async def ask(milliseconds: int) -> None:
            began = time.monotonic()
            with pytest.raises(TotalTimeout):
                await api.get("/silent", timeout_ms=milliseconds)
            late.append((time.monotonic() - began) * 1000 - milliseconds)

        await asyncio.gather(*[ask(30 + 7 * number) for number in range(40)])
        late.sort()
        assert late[0] > -10 and late[len(late) // 2] < 60, late


async def test_the_total_time_runs_on_while_content_trickles() -> None:
    async with running(timeout_ms=300) as (_, api):
        with within(0.29, 1.5), pytest.raises(TotalTimeout, match="reading the answer"):
            await api.get("/trickle/5")


async def test_a_server_that_falls_silent_is_a_read_timeout() -> None:
    async with running(read_timeout_ms=200) as (backend, api):
        with within(0.19, 1.5), pytest.raises(ReadTimeout, match=r"nothing for 200 ms \(read_timeout_ms\)"):
            await api.get("/silent")
        assert (await api.get("/sleep/20")).status == 200
        backend.plain["/half"] = lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"
        with pytest.raises(ReadTimeout):
            await api.get("/half")
        with pytest.raises(TotalTimeout):
            await api.get("/trickle/5", timeout_ms=400)


async def test_a_server_that_takes_nothing_is_a_write_timeout() -> None:
    deaf = socket.create_server(("127.0.0.1", 0), backlog=1)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        config = ClientConfig(base_url=f"http://127.0.0.1:{deaf.getsockname()[1]}", write_timeout_ms=80)
        made = clients_for(api=config)
        with (
            within(0.06, 3),
            pytest.raises(WriteTimeout, match=r"nothing of the request for 80 ms \(write_timeout_ms\)"),
        ):
            await made("api").post("/", body=b"x" * 20_000_000)
        with within(0.06, 3), pytest.raises(WriteTimeout):
            await made("api").post("/", body=(b"x" * 100_000 for _ in range(300)))
        await made._clients.close()
    finally:
        deaf.close()


async def test_a_slow_iterator_is_nobodys_write_timeout() -> None:
    async def slow() -> object:
        for _ in range(3):
            await asyncio.sleep(0.06)  # beyond write_timeout_ms
            yield b"x"

    async with running(write_timeout_ms=30, read_timeout_ms=500) as (_, api):
        assert (await api.post("/echo", body=slow())).body == b"xxx"


async def test_a_host_that_does_not_answer_is_a_connect_timeout() -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    try:
        for _ in range(4):  # more than the backlog: further ones get no answer
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        await asyncio.sleep(0.05)  # the backlog is full
        config = ClientConfig(base_url=f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout_ms=80)
        made = clients_for(api=config)
        with within(0.06, 3), pytest.raises(ConnectTimeout, match=r"within 80 ms \(connect_timeout_ms\)"):
            await made("api").get("/")
        with within(0.02, 1), pytest.raises(TotalTimeout, match="connecting"):
            await made("api").get("/", timeout_ms=40)
        assert issubclass(ConnectTimeout, ClientError)
        await made._clients.close()
    finally:
        for filler in fillers:
            filler.close()
        full.close()


async def test_retries_wait_and_give_up_in_time() -> None:
    from siphon_http.config import RetryConfig

    async with running(retries=RetryConfig(attempts=2, backoff_ms=5)) as (backend, api):
        assert (await api.get("/status/503")).status == 503
        assert len(backend.requests) == 3
        answers = [503, 200]
        backend.plain["/flaky"] = lambda _: b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % answers.pop(0)
        assert (await api.get("/flaky")).status == 200
        with pytest.raises(ClientError):
            await api.get("/cut")
        assert len(backend.requests) == 3 + 2 + 3
        assert (await api.post("/status/503", body=b"x")).status == 503
        assert len(backend.requests) == 9
        with pytest.raises(TotalTimeout):
            await api.get("/silent", timeout_ms=50)


async def test_no_timer_is_left_when_the_pool_is_closed() -> None:
    async with running() as (_, api):
        await api.get("/")
        pool = the_pool(api)
        await api._clients.close()
        await until(lambda: not pool.open_connections)
        assert pool.deadlines.count <= 1


async def test_parts_of_a_head_and_interim_answers_are_signs_of_life() -> None:
    async with running(read_timeout_ms=200) as (_, api):
        for path in ("/parts", "/interim"):
            assert (await api.get(path)).status == 200


async def test_a_streamed_body_that_moves_slowly_is_no_write_timeout() -> None:
    pieces = [b"x" * 60_000] * 100
    async with running(write_timeout_ms=100, timeout_ms=20_000) as (_, api):
        answer = await api.post("/slowly/6000000", body=pieces, headers={"content-length": "6000000"})
        assert answer.body == b"read"
