"""Refusals, departures and ends of a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from siphon_http._core.message import Peer, Response
from siphon_http.server.connection import Connection
from siphon_http.server.endpoint import Endpoint
from tests.server.rig import GET, Rig, Transport, rigged, site
from tests.stage import Site, on_each_loop, until

# ---- refusals


@on_each_loop
def test_a_client_that_is_still_sending_reads_its_413(loop: str) -> None:
    made = site(max_body_bytes=1000)

    async def scenario() -> None:
        line = await made.line()
        await line.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n")
        for _ in range(20):
            await line.send(bytes(100_000))  # a reset would fail here, or eat the answer
            await asyncio.sleep(0)
        assert (await line.answer()).status == 413
        assert await line.rest() == b""
        line.close()
        await until(lambda: not made.server.open_connections)

    made.play(scenario, loop)


def test_a_refused_client_that_never_ends_is_cut_after_a_while() -> None:
    made = site(max_body_bytes=10)

    async def scenario() -> None:
        line = await made.line()
        assert (await line.ask("POST", "/", b"x" * 100)).status == 413
        assert made.server.open_connections == 1
        await until(lambda: not made.server.open_connections, within=4)

    made.play(scenario)


@on_each_loop
def test_connections_over_the_limit_are_told_503(loop: str) -> None:
    made = site(max_connections=2)

    async def scenario() -> None:
        kept = [await made.line(), await made.line()]
        for line in kept:
            assert (await line.ask("GET", "/")).status == 200
        over = await made.line()
        answer = await over.answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert await over.rest() == b""
        kept[0].close()
        over.close()
        await until(lambda: made.server.open_connections == 1)
        assert (await made.ask("GET", "/")).status == 200

    made.play(scenario, loop)


def test_far_over_the_limit_connections_are_reset_so_that_refusing_costs_no_files() -> None:
    made = site(max_connections=1)

    async def scenario() -> None:
        lines = [await made.line() for _ in range(60)]
        await until(lambda: made.endpoint.accepted == 60)
        assert made.server.open_connections == 1 + 32
        answers = [await line.rest() for line in lines[1:]]
        assert sum(answer.startswith(b"HTTP/1.1 503 ") for answer in answers) == 32
        assert (await lines[0].ask("GET", "/")).status == 200
        assert made.endpoint.refused_count == 59

    made.play(scenario)


# ---- departures


def test_a_half_closed_client_gets_its_answer() -> None:
    made = Site()

    @made.route("/")
    async def later(req: Any) -> Response:
        await asyncio.sleep(0.02)  # the end of its client's side has come
        return Response(200, None, b"late")

    async def scenario() -> None:
        line = await made.line()
        await line.send(GET)
        line.writer.write_eof()
        assert (await line.answer()).body == b"late"
        assert await line.rest() == b""

    made.play(scenario)


@on_each_loop
def test_a_reset_cancels_the_handler(loop: str) -> None:
    made = Site()
    cancelled: list[str] = []

    @made.route("/")
    async def waits(req: Any) -> Response:
        try:
            await asyncio.sleep(30)  # until it is cancelled
        except asyncio.CancelledError:
            cancelled.append(req.path)
            raise
        return Response(200)

    async def scenario() -> None:
        line = await made.line()
        await line.send(GET)
        await until(lambda: made.dispatcher.running)
        line.reset()
        await until(lambda: cancelled == ["/"] and not made.dispatcher.running)

    made.play(scenario, loop)


def test_a_lost_connection_may_be_lost_again_and_hears_nothing_more() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.data_received(GET.replace(b"/ ", b"/wait ", 1))
        rig.connection.connection_lost(None)
        rig.connection.connection_lost(None)
        rig.connection.data_received(GET)
        assert not rig.connection.eof_received()
        rig.connection.pause_writing()
        rig.connection.resume_writing()
        await until(lambda: rig.cancelled == 1)
        assert not rig.endpoint.connections and rig.state.deadlines.count == 0
        assert rig.calls == []

    rigged(scenario)


def test_a_connection_that_was_never_made_does_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        bare = Connection(rig.endpoint)
        bare.data_received(GET)
        bare.eof_received()
        bare.pause_writing()
        bare.resume_writing()
        bare.connection_lost(None)
        with pytest.raises(TypeError):
            Connection(None)  # type: ignore[arg-type]

    rigged(scenario)


def test_a_peer_that_cannot_be_described_leaves_a_dead_connection_and_no_crash() -> None:
    def fails(transport: Any) -> Peer:
        raise RuntimeError("no")

    async def scenario(rig: Rig) -> None:
        endpoint = Endpoint(rig.dispatcher, rig.state, describe_peer=fails)
        connection = endpoint.connection()
        with pytest.raises(RuntimeError):
            connection.connection_made(Transport())
        connection.data_received(GET)
        connection.connection_lost(None)
        assert not endpoint.connections

    rigged(scenario)


def test_an_error_of_our_own_resets_the_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Any, peer: str) -> str:
        raise RuntimeError("no such proxy")

    async def scenario(rig: Rig) -> None:
        rig.connection.data_received(GET)
        assert rig.calls == ["abort"]
        assert "internal error on the connection of 192.0.2.1:9" in caplog.text

    rigged(scenario, forwarded=broken)


# ---- many


def test_when_empty_is_called_with_the_last_connection() -> None:
    async def scenario(rig: Rig) -> None:
        said: list[str] = []
        rig.endpoint.when_empty(lambda: said.append("empty"))
        assert said == []
        rig.connection.connection_lost(None)
        assert said == ["empty"]
        rig.endpoint.when_empty(lambda: said.append("at once"))
        assert said == ["empty", "at once"]

    rigged(scenario)


def test_one_timer_serves_all_connections() -> None:
    made = site(header_timeout_ms=600, idle_timeout_ms=80)

    async def scenario() -> None:
        silent = [await made.line() for _ in range(20)]
        idle = [await made.line() for _ in range(20)]
        for line in idle:
            await line.ask("GET", "/")
        assert [await line.rest() for line in silent + idle] == [b""] * 40
        await until(lambda: made.endpoint.state.deadlines.count == 0)

    made.play(scenario)


def test_a_drain_tells_a_connection_that_is_answering_to_close() -> None:
    async def scenario(rig: Rig) -> None:
        rig.connection.data_received(GET.replace(b"/ ", b"/wait ", 1) + GET)
        rig.endpoint.drain()
        assert rig.calls == []
        rig.release.set()
        await until(lambda: rig.transport.written)
        await until(lambda: "close" in rig.calls or "write_eof" in rig.calls)
        assert b"".join(rig.transport.written).count(b"connection: close") == 1

    rigged(scenario)


def test_abort_resets_every_connection() -> None:
    async def scenario(rig: Rig) -> None:
        rig.endpoint.abort()
        assert rig.calls == ["abort"]
        rig.connection.data_received(GET)
        assert rig.transport.written == []

    rigged(scenario)


def test_an_upload_that_stops_while_its_answer_streams_is_broken_off() -> None:
    made = Site(request_timeout_ms=50, idle_timeout_ms=100)
    ended: list[str] = []

    @made.route("/echo", ["POST"], stream=True)
    async def echo(req: Any) -> Response:
        async def pieces() -> Any:
            try:
                async for piece in req.stream():
                    yield piece
                ended.append("whole")
            except BaseException as error:
                ended.append(type(error).__name__)
                raise

        return Response(200, None, pieces())

    async def scenario() -> None:
        line = await made.line()
        await line.send(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
        for _ in range(6):  # longer than both time-outs together: what moves is left alone
            await line.send(b"0123456789")
            await asyncio.sleep(0.04)  # below each of the time-outs
        assert not ended
        rest = await line.rest()  # then silence
        assert rest.startswith(b"HTTP/1.1 200") and not rest.endswith(b"0\r\n\r\n")
        await until(lambda: bool(ended))
        assert ended != ["whole"]

    made.play(scenario)
