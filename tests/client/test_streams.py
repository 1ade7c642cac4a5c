"""Content in pieces, both ways."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from siphon_http.errors import ReadError, TotalTimeout
from tests.client.same_loop import running, the_pool


async def test_an_answer_comes_in_pieces_and_its_connection_is_used_again() -> None:
    async with running() as (backend, api):
        answer = await api.get("/pieces/600", stream=True)
        assert answer.status == 200 and "streamed" in repr(answer)
        content = b""
        async for piece in answer.stream():
            assert type(piece) is bytes and piece
            content += piece
        assert content == b"".join(bytes([n % 251]) * 1024 for n in range(600))
        assert (await api.get("/x")).status == 200 and backend.connections == 1


async def test_read_takes_all_that_is_left() -> None:
    async with running() as (_, api):
        async with await api.get("/pieces/50", stream=True) as answer:
            async for first in answer.stream():
                break
            rest = await answer.read()
            assert len(first) + len(rest) == 50 * 1024 and answer.body == rest
        whole = await api.get("/pieces/3")
        assert await whole.read() == whole.body
        assert [piece async for piece in whole.stream()] == [whole.body]


async def test_a_slow_reader_holds_the_server_back() -> None:
    async with running() as (_, api):
        answer = await api.get("/pieces/20000", stream=True, timeout_ms=20_000)
        await asyncio.sleep(0.2)  # the server has sent what it may
        (connection,) = next(iter(the_pool(api).origins.values())).connections
        assert connection is not None
        import tracemalloc

        assert not tracemalloc.is_tracing()
        size = 0
        async for piece in answer.stream():
            assert len(piece) < 1_500_000
            size += len(piece)
        assert size == 20_000 * 1024


@pytest.mark.parametrize("way", ["with", "close", "forget"])
async def test_an_answer_that_is_not_read_to_its_end_takes_its_connection_with_it(way: str) -> None:
    async with running() as (backend, api):
        if way == "with":
            async with await api.get("/pieces/5000", stream=True):
                pass
        elif way == "close":
            answer = await api.get("/pieces/5000", stream=True)
            await answer.close()
            assert [piece async for piece in answer.stream()] == []
        else:
            await api.get("/pieces/5000", stream=True)
            gc.collect()
        (origin,) = the_pool(api).origins.values()
        assert not origin.connections
        assert (await api.get("/x")).status == 200 and backend.connections == 2


async def test_a_cut_stream_raises_where_it_is_read() -> None:
    async with running() as (_, api):
        answer = await api.get("/cut", stream=True)
        with pytest.raises(ReadError, match="before the end"):
            await answer.read()


async def test_the_total_time_ends_a_stream_too() -> None:
    async with running() as (_, api):
        answer = await api.get("/trickle/5", stream=True, timeout_ms=80)
        with pytest.raises(TotalTimeout):
            async for _piece in answer.stream():
                pass


async def test_a_stream_is_decoded_and_bounded() -> None:
    async with running(max_response_bytes=300_000) as (_, api):
        answer = await api.get("/gzip/200000", stream=True)
        assert await answer.read() == b"z" * 200_000
        with pytest.raises(ReadError, match="decodes to more"):
            await (await api.get("/gzip/400000", stream=True)).read()
        assert (await api.get("/x")).status == 200


async def test_a_cancelled_reader_may_go_on() -> None:
    async with running() as (_, api):
        answer = await api.get("/trickle/30", stream=True)
        stream = answer.stream()
        await anext(stream)
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(stream)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await anext(stream)
        await answer.close()


async def test_an_early_answer_ends_an_upload() -> None:
    given = 0

    async def endless() -> Any:
        nonlocal given
        while True:
            given += 1
            yield b"x" * 50_000
            await asyncio.sleep(0)

    async with running() as (_, api):
        answer = await api.post("/early", body=endless())
        assert answer.status == 413
        before = given
        await asyncio.sleep(0.05)  # more would be taken from it by now
        assert given <= before + 1
        assert (await api.get("/x")).status == 200


async def test_an_upload_waits_for_the_transport() -> None:
    async with running() as (_, api):
        answer = await api.post("/echo", body=(bytes([n % 251]) * 65_536 for n in range(200)))
        assert answer.body == b"".join(bytes([n % 251]) * 65_536 for n in range(200))


async def test_a_cancelled_upload_leaves_no_task() -> None:
    began = asyncio.Event()

    async def stuck() -> Any:
        yield b"x"
        began.set()
        await asyncio.sleep(100)  # until it is cancelled

    async with running() as (_, api):
        task = asyncio.create_task(api.post("/echo", body=stuck()))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert not [one for one in asyncio.all_tasks() if "send_body" in repr(one)]
