"""Time over HTTP/2 that a connection has beside its requests: heads in parts, uploads, PING, the end of a drain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siphon_http._core.message import Response
from tests.http2_client import PREFACE
from tests.http2_floods import head
from tests.http2_frames import frame
from tests.server.http2_talk import talk
from tests.server.rig import site
from tests.stage import on_each_loop, said, until

SETTINGS = frame(4, 0, 0)


@pytest.mark.parametrize("through_h2", [False, True], ids=["hot", "h2"])
@pytest.mark.parametrize(
    "part", [frame(1, 5, 3, head("/"))[:12], frame(1, 1, 3, b"\x82"), frame(1, 1, 3, b"\x82") + b"\0"]
)
def test_part_of_a_head_has_its_time_while_other_streams_are_open(part: bytes, through_h2: bool) -> None:
    made = site(header_timeout_ms=100, http2_through_h2=through_h2)

    async def scenario() -> None:
        found = await talk(made)
        slow = found.client.streams[found.client.ask("/sleep")]
        await found.get("/")
        began = time.monotonic()
        await found.line.send(part.replace(b"\0\0\0\3", b"\0\0\0\5"))
        await found.until(lambda: found.client.goaways)
        assert 0.05 < time.monotonic() - began < 1
        assert found.client.goaways == [(3, 0)] and not slow.over and not found.closed

    made.play(scenario)


def test_a_field_block_in_endless_pieces_has_no_more_time_than_one_that_stops() -> None:
    made = site(header_timeout_ms=100)

    async def scenario() -> None:
        found = await talk(made)
        found.client.ask("/sleep")
        await found.get("/")
        began = time.monotonic()
        await found.line.send(frame(1, 1, 5, b"\x82"))
        found.silent = True
        reading = asyncio.ensure_future(found.until(lambda: found.client.goaways))
        for _ in range(50):
            if reading.done():
                break
            await found.line.send(frame(9, 0, 5))
            await asyncio.sleep(0.02)  # some of it comes all the time
        await reading
        assert time.monotonic() - began < 0.8

    made.play(scenario)


def test_a_busy_client_is_not_cut_for_frames_that_its_packets_happen_to_split() -> None:
    made = site(header_timeout_ms=100)

    async def scenario() -> None:
        found = await talk(made)
        found.client.ask("/sleep")
        await found.get("/")
        for _ in range(50):
            found.client.ask("/")
        data = found.client.take()
        for at in range(0, len(data), 50):  # never whole frames, but always some
            await found.line.send(data[at : at + 50])
            await asyncio.sleep(0.02)  # it is slow, and goes on
        await found.until(lambda: len([one for one in found.client.streams.values() if one.over]) == 51)
        assert found.client.goaways == []

    made.play(scenario)


def test_content_may_come_as_slowly_as_its_request_may_last() -> None:
    made = site(header_timeout_ms=50)

    async def scenario() -> None:
        found = await talk(made)
        await found.get("/")
        data = frame(1, 4, 3, head("/", b"\x83")) + frame(0, 1, 3, b"x" * 50)
        found.client.h2.get_next_available_stream_id()
        for at in range(0, len(data), 10):
            await found.line.send(data[at : at + 10])
            await asyncio.sleep(0.02)  # it is slow, and goes on
        found.client.ask("/")
        assert found.client.goaways == []

    made.play(scenario)


def test_an_upload_that_stops_behind_its_answer_is_reset() -> None:
    made = site(idle_timeout_ms=120)
    ends: list[str] = []

    @made.route("/both", ["POST"], stream=True)
    async def both(req: Any) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in req.stream():
                    yield piece
            finally:
                ends.append("closed")

        return Response(body=pieces())

    async def scenario() -> None:
        found = await talk(made)
        id = found.client.ask("/both", "POST", b"abc", end=False)
        got = found.client.streams[id]
        for n in range(5):
            await found.until(lambda n=n: len(got.body) == 3 + n)  # type: ignore[misc]
            await asyncio.sleep(0.05)  # below the time-out, which five of them pass
            found.client.h2.send_data(id, b"x")
        began = time.monotonic()
        await found.until(lambda: got.over)
        assert got.reset == 8 and 0.05 < time.monotonic() - began < 1
        await until(lambda: ends == ["closed"])

    made.play(scenario)


# ---- PING


def test_a_silent_client_that_answers_pings_is_kept() -> None:
    made = site(http2_ping_interval_ms=40)

    async def scenario() -> None:
        found = await talk(made)
        got = found.client.streams[found.client.ask("/sleep")]
        with pytest.raises(TimeoutError):
            await found.until(lambda: got.over or found.closed, within=0.4)
        assert (await found.get("/")).status == 200

    made.play(scenario)


@on_each_loop
@pytest.mark.parametrize("opens", [False, True])
def test_a_silent_client_that_answers_no_ping_is_reset(
    loop: str, opens: bool, caplog: pytest.LogCaptureFixture
) -> None:
    made = site(http2_ping_interval_ms=60)
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        line = await made.line()
        await line.send(PREFACE + SETTINGS + (frame(1, 5, 1, head("/sleep")) if opens else b""))
        began = time.monotonic()
        got = await line.rest()
        assert 0.08 < time.monotonic() - began < 1
        assert frame(6, 0, 0, b"are you?") in got
        await until(lambda: not made.dispatcher.running)

    made.play(scenario, loop)
    assert [one for one in said(caplog) if "answered no PING for 0.06 s" in one]


def test_nobody_is_asked_unless_it_is_configured() -> None:
    made = site(idle_timeout_ms=150)

    async def scenario() -> None:
        line = await made.line()
        await line.send(PREFACE + SETTINGS)
        assert frame(6, 0, 0, b"are you?") not in await line.rest()

    made.play(scenario)


# ---- drain


@pytest.mark.parametrize("asks", [False, True])
def test_a_drain_does_not_wait_for_a_client_that_has_read_everything(asks: bool) -> None:
    """It answers PING and does not close: lingering would take two seconds."""
    made = site()
    release = asyncio.Event()

    @made.route("/wait")
    async def wait(req: Any) -> Response:
        await release.wait()
        return Response(body=b"x" * 50_000)

    async def scenario() -> None:
        found = await talk(made)
        await found.get("/")
        got = found.client.streams[found.client.ask("/wait")] if asks else None
        found.flush()
        began = time.monotonic()
        draining = asyncio.ensure_future(made.server.drain(5))
        await found.until(lambda: found.client.goaways)
        release.set()
        reading = asyncio.ensure_future(found.until(lambda: draining.done()))
        assert await draining is True
        assert time.monotonic() - began < 0.8
        await reading
        assert got is None or len(got.body) == 50_000

    made.play(scenario)


def test_a_drain_does_not_wait_long_for_a_client_that_stops_answering() -> None:
    made = site()

    async def scenario() -> None:
        found = await talk(made)
        await found.get("/")
        draining = asyncio.ensure_future(made.server.drain(5))
        await found.until(lambda: len(found.client.goaways) == 2)
        found.silent = True
        began = time.monotonic()
        reading = asyncio.ensure_future(found.until(lambda: found.closed))
        assert await draining is True
        assert time.monotonic() - began < 3
        await reading

    made.play(scenario)
