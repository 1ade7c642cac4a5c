"""Time-outs of a connection, phase by phase."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from siphon_http._core.message import Response
from tests.server.rig import GET, Rig, rigged, site
from tests.stage import Site, on_each_loop, small_window, until

# ---- time, phase by phase


@on_each_loop
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_has_its_time_from_the_connect_on(loop: str, sent: bytes) -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        began = time.monotonic()
        if sent:
            await line.send(sent)
        got = await line.rest()
        assert 0.04 < time.monotonic() - began < 1
        assert got.startswith(b"HTTP/1.1 408 ") if sent.strip() else got == b""

    made.play(scenario, loop)


@on_each_loop
def test_trickled_bytes_buy_no_time(loop: str) -> None:
    made = site(header_timeout_ms=80)

    async def scenario() -> None:
        line = await made.line()
        began = time.monotonic()
        reading = asyncio.ensure_future(line.rest())
        for byte in GET[:-2] * 3:
            if reading.done():
                break
            line.writer.write(bytes([byte]))
            await asyncio.sleep(0.01)  # for all of them longer than header_timeout_ms
        assert (await reading).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 1

    made.play(scenario, loop)


@pytest.mark.parametrize("first", [GET, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"])
def test_the_head_of_a_later_request_has_its_time_too(first: bytes) -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        await line.send(first)
        await line.answer()
        await asyncio.sleep(0.1)  # idle: the head's time does not run
        began = time.monotonic()
        await line.send(b"GET / HT")
        assert (await line.rest()).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began > 0.04

    made.play(scenario)


def answers(rig: Rig) -> list[bytes]:
    return [part[:3] for part in b"".join(rig.transport.written).split(b"HTTP/1.1 ")[1:]]


def test_a_head_that_began_behind_a_request_has_its_time_when_that_is_answered() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.data_received(GET.replace(b"/ ", b"/wait ", 1) + b"GET / HT")
        rig.release.set()
        await until(lambda: answers(rig) == [b"200", b"408"])

    rigged(scenario, header_timeout=0.06)


def test_a_head_that_began_behind_a_full_transport_has_its_time_when_that_is_not() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.data_received(GET)
        rig.connection.pause_writing()
        rig.connection.data_received(b"GET / HT")
        rig.connection.resume_writing()
        await until(lambda: answers(rig) == [b"200", b"408"])

    rigged(scenario, header_timeout=0.06)


@pytest.mark.parametrize("rest", [b"", b"GET / HT"])
def test_content_that_is_passed_over_has_its_time(rest: bytes) -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        await line.send(b"POST /none HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\na")
        assert (await line.answer()).status == 404
        if rest:
            await line.send(b"bcd" + rest)
        got = await line.rest()
        assert got == b"" if not rest else got.startswith(b"HTTP/1.1 408 ")

    made.play(scenario)


def test_a_connection_goes_on_after_content_that_was_passed_over() -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        await line.send(b"POST /none HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\na")
        await line.answer()
        await line.send(b"bcd")
        await asyncio.sleep(0.12)  # beyond header_timeout_ms
        assert (await line.ask("GET", "/")).status == 200

    made.play(scenario)


@on_each_loop
def test_an_idle_connection_is_closed_without_a_word(loop: str) -> None:
    made = site(idle_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        await line.ask("GET", "/")
        began = time.monotonic()
        assert await line.rest() == b""
        assert 0.04 < time.monotonic() - began < 1

    made.play(scenario, loop)


@on_each_loop
def test_a_body_that_does_not_come_is_408_and_a_handler_that_does_not_end_504(loop: str) -> None:
    made = site(request_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        await line.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        assert (await line.answer()).status == 408
        assert await line.rest() == b""
        line = await made.line()
        answer = await line.ask("GET", "/sleep")
        assert answer.status == 504 and "connection" not in answer.headers
        assert (await line.ask("GET", "/")).status == 200
        assert not made.dispatcher.running

    made.play(scenario, loop)


def test_a_route_has_its_own_time() -> None:
    made = Site(request_timeout_ms=5_000)

    @made.route("/quick", timeout_ms=30)
    async def quick(req: Any) -> Response:
        await asyncio.sleep(5)  # beyond its time-out
        return Response(200)

    async def scenario() -> None:
        began = time.monotonic()
        assert (await made.ask("GET", "/quick")).status == 504
        assert time.monotonic() - began < 1

    made.play(scenario)


# ---- writes


@on_each_loop
def test_a_client_that_takes_nothing_is_reset(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    made = site(write_timeout_ms=100)
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        sock = small_window()
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", made.server.listeners[0].port))
        with sock:
            await asyncio.get_running_loop().sock_sendall(sock, GET.replace(b"/ ", b"/large ", 1))
            await until(lambda: made.server.open_connections == 1)
            await until(lambda: made.server.open_connections == 0)
        assert "took nothing for 0.1 s: connection reset" in caplog.text

    made.play(scenario, loop)


def test_a_slow_client_that_takes_something_now_and_then_is_not_reset() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.data_received(GET)
        rig.transport.unsent = 1000
        rig.connection.pause_writing()
        for _ in range(20):
            rig.transport.unsent -= 1
            await asyncio.sleep(0.015)  # below write_timeout, which twenty of them pass
        assert "abort" not in rig.calls
        await until(lambda: "abort" in rig.calls)

    rigged(scenario, write_timeout=0.1)


def test_a_closing_connection_whose_client_stops_at_the_low_water_mark_is_reset() -> None:
    # resume_writing comes while bytes are left: they must leave in time as well.
    async def scenario(rig: Rig) -> None:
        rig.transport.unsent = 100_000
        rig.connection.data_received(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert rig.calls == ["close"]
        rig.connection.pause_writing()
        rig.transport.unsent = 10_000
        rig.connection.resume_writing()
        await until(lambda: "abort" in rig.calls, within=1)

    rigged(scenario, write_timeout=0.08)


def test_a_connection_that_can_write_again_is_watched_no_more() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.pause_writing()
        rig.transport.unsent = 10
        rig.connection.resume_writing()
        await asyncio.sleep(0.15)  # beyond write_timeout
        assert rig.calls == []
        rig.connection.data_received(GET)
        assert rig.transport.written[0].startswith(b"HTTP/1.1 200 ")

    rigged(scenario, write_timeout=0.05)


def test_nothing_is_begun_while_the_transport_is_full() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.pause_writing()
        rig.connection.data_received(GET)
        assert rig.transport.written == []
        rig.connection.resume_writing()
        assert len(rig.transport.written) == 1

    rigged(scenario)
