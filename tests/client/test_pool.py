"""The pool: which connection a call gets, who waits, what is kept, and what is let go."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from siphon_http.errors import ClientError, PoolTimeout, ReadError, TotalTimeout
from tests.client.same_loop import running, the_pool
from tests.stage import until


def origin(client: Any) -> Any:
    """Return the one origin of the client's pool."""
    (found,) = the_pool(client).origins.values()
    return found


async def test_one_call_after_the_other_uses_one_connection() -> None:
    async with running() as (backend, api):
        for _ in range(30):
            await api.get("/")
        assert backend.connections == 1 and origin(api).idle_count == 1


async def test_the_newest_idle_connection_is_taken_first() -> None:
    async with running() as (backend, api):
        await asyncio.gather(*[api.get(f"/sleep/{10 * n}") for n in range(3)])
        last = backend.requests[-1].connection
        newest = max(backend.requests, key=lambda seen: int(seen.target.rpartition("/")[2])).connection
        for _ in range(3):
            await api.get("/")
            assert backend.requests[-1].connection == newest
        assert last


async def test_calls_at_once_open_as_many_connections_as_are_allowed_and_the_rest_wait_in_turn() -> None:
    async with running(max_connections=3) as (backend, api):
        order: list[int] = []

        async def ask(number: int) -> None:
            assert (await api.get(f"/sleep/5?{number}")).status == 200
            order.append(number)

        await asyncio.gather(*[ask(number) for number in range(20)])
        assert backend.connections == 3
        assert [int(seen.target.rpartition("?")[2]) for seen in backend.requests] == list(range(20))
        assert sorted(order) == list(range(20))


async def test_who_waits_too_long_for_a_connection_is_told_so() -> None:
    async with running(max_connections=1, pool_timeout_ms=60) as (backend, api):
        first = asyncio.create_task(api.get("/gate"))
        await until(lambda: backend.requests)
        began = time.monotonic()
        with pytest.raises(PoolTimeout, match=r"no connection came free for 60 ms \(pool_timeout_ms; max_connections"):
            await api.get("/x")
        assert 0.05 < time.monotonic() - began < 1
        backend.gate.set()
        assert (await first).status == 200 and origin(api).waiting == 0
        assert (await api.get("/x")).status == 200


async def test_a_burst_leaves_pool_size_connections_after_a_moment() -> None:
    async with running(pool_size=2) as (backend, api):
        await asyncio.gather(*[api.get("/sleep/20") for _ in range(6)])
        assert origin(api).idle_count == 6, "not at once: the next call may come the next moment"
        await asyncio.gather(*[api.get("/sleep/20") for _ in range(6)])
        assert backend.connections == 6
        await until(lambda: origin(api).idle_count == 2)
        await until(lambda: len(backend.open) == 2)


async def test_pool_size_0_keeps_none() -> None:
    async with running(pool_size=0) as (backend, api):
        await api.get("/")
        await api.get("/")
        assert backend.connections == 2 and origin(api).idle_count == 0


async def test_an_idle_connection_is_closed_when_its_time_is_over() -> None:
    async with running(idle_timeout_ms=80) as (backend, api):
        await api.get("/")
        await until(lambda: not backend.open)
        assert not origin(api).connections
        await api.get("/")
        assert backend.connections == 2


async def test_the_servers_keep_alive_hint_shortens_it() -> None:
    async with running() as (backend, api):
        backend.plain["/hint"] = lambda _: b"HTTP/1.1 200 X\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n"
        await api.get("/hint")
        await until(lambda: not backend.open)


async def test_a_connection_that_died_while_idle_is_not_used() -> None:
    async with running() as (_backend, api):
        for _ in range(10):
            await api.get("/last")
            await until(lambda: not origin(api).connections)
            # POST is never sent again, so that none may meet a dead connection.
            assert (await api.post("/echo", body=b"x")).body == b"x"


async def test_a_death_that_the_loop_has_not_seen_yet_is_noticed_all_the_same() -> None:
    async with running() as (backend, api):
        await api.post("/echo", body=b"1")
        writer = next(iter(backend.open))
        writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        time.sleep(0.02)  # the loop sees nothing of it
        assert (await api.post("/echo", body=b"2")).body == b"2"
        assert backend.connections == 2


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    async with running() as (backend, api):
        assert (await api.get("/extra")).text == "extra"
        await until(lambda: not origin(api).connections)
        assert (await api.get("/x")).text == "GET /x" and backend.connections == 2


async def test_an_idempotent_request_on_a_connection_that_ends_is_sent_again_over_a_new_one() -> None:
    async with running() as (backend, api):
        await api.get("/x")
        first = backend.connections
        answers = 0

        def once(_: Any) -> bytes:
            nonlocal answers
            answers += 1
            if answers == 1:
                next(iter(backend.open)).transport.abort()
                return b""
            return b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\nagain"

        backend.plain["/once"] = once
        assert (await api.get("/once")).text == "again"
        assert backend.connections == first + 1 and answers == 2
        answers = 0
        with pytest.raises(ReadError, match="before it answered"):
            await api.post("/once", body=b"x")
        assert answers == 1


async def test_a_cancelled_call_takes_its_connection_with_it() -> None:
    async with running() as (backend, api):
        task = asyncio.create_task(api.get("/gate"))
        await until(lambda: backend.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not origin(api).connections
        backend.gate.set()
        assert (await api.get("/x")).text == "GET /x" and backend.connections == 2


async def test_the_connect_of_a_cancelled_call_serves_the_next() -> None:
    async with running() as (backend, api):
        task = asyncio.create_task(api.get("/one"))
        await asyncio.sleep(0)
        assert origin(api).connecting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await api.get("/two")).text == "GET /two"
        assert backend.connections == 1 and [seen.target for seen in backend.requests] == ["/two"]


async def test_closing_fails_who_waits_and_lets_the_rest_end() -> None:
    async with running(max_connections=1) as (backend, api):
        first, second = asyncio.create_task(api.get("/gate")), asyncio.create_task(api.get("/x"))
        await until(lambda: backend.requests)
        pool = the_pool(api)
        await api._clients.close()
        with pytest.raises(ClientError, match="the client was closed"):
            await second
        backend.gate.set()
        assert (await first).text == "open"
        await until(lambda: pool.open_connections == 0)


async def test_many_origins_are_kept_apart_and_forgotten() -> None:
    async with running() as (first, api), running() as (second, _):
        assert (await api.get(f"{second.url}/a")).text == "GET /a"
        assert (await api.get("/b")).text == "GET /b"
        assert (first.connections, second.connections) == (1, 1)
        assert len(the_pool(api).origins) == 2


async def test_a_call_that_times_out_while_it_waits_leaves_the_line() -> None:
    async with running(max_connections=1) as (backend, api):
        first = asyncio.create_task(api.get("/gate"))
        await until(lambda: backend.requests)
        with pytest.raises(TotalTimeout, match="waiting for a connection"):
            await api.get("/x", timeout_ms=30)
        assert origin(api).waiting == 0
        backend.gate.set()
        await first


async def test_who_waits_from_the_first_moment_waits_no_longer_than_pool_timeout_ms() -> None:
    async with running(max_connections=1, pool_timeout_ms=80) as (backend, api):
        first, second = [asyncio.create_task(api.get("/gate")) for _ in range(2)]  # neither has a connection yet
        began = time.monotonic()
        with pytest.raises(PoolTimeout):
            await second
        assert 0.05 < time.monotonic() - began < 1
        backend.gate.set()
        assert (await first).status == 200
