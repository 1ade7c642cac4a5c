"""HTTP/2 over real sockets: which protocol it is, time-outs, leaving clients, drain, TLS."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from siphon_http._core.message import Response
from siphon_http.config import TlsConfig
from tests.http2_client import PREFACE, Client
from tests.server.http2_talk import talk
from tests.server.rig import GET, site
from tests.stage import on_each_loop, small_window, until

# ---- which of the two


@on_each_loop
def test_both_protocols_are_spoken_on_one_port(loop: str) -> None:
    made = site()

    async def scenario() -> None:
        got = await (await talk(made)).get("/", "POST", b"abc")
        assert (got.status, got.body, got.headers["content-length"]) == (200, b"abc", "3")
        assert (await made.ask("POST", "/", b"abc")).body == b"abc"
        assert made.endpoint.accepted == 2 and made.endpoint.requests == 2

    made.play(scenario, loop)


@pytest.mark.parametrize("at", range(1, 26))
def test_the_preface_may_come_in_pieces(at: int) -> None:
    made = site()

    async def scenario() -> None:
        found = await talk(made)
        id = found.client.ask("/", "POST", b"abc")
        data = found.client.take()
        await found.line.send(data[:at])
        await asyncio.sleep(0.005)  # the first piece is read alone
        assert made.endpoint.requests == 0
        await found.line.send(data[at:])
        await found.until(lambda: found.client.streams[id].over)
        assert found.client.streams[id].body == b"abc"
        assert len(made.endpoint.connections) == made.endpoint.accepted == 1

    made.play(scenario)


@pytest.mark.parametrize("data", [b"P", b"PRI", PREFACE[:16], PREFACE[:23]])
@pytest.mark.parametrize("how", ["time", "end"])
def test_what_does_not_become_a_preface_is_http_1(data: bytes, how: str) -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        line = await made.line()
        await line.send(data)
        if how == "end":
            line.writer.write_eof()
        got = await line.rest()
        assert got == b"" or got.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))
        assert got or how == "end"

    made.play(scenario)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_request_that_begins_like_the_preface_is_answered(cut: int) -> None:
    made = site()

    async def scenario() -> None:
        line = await made.line()
        data = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
        await line.send(data[:cut])
        await asyncio.sleep(0.005)  # the first piece is read alone
        await line.send(data[cut:] + GET)
        assert (await line.answer()).body == b"abc"
        assert (await line.answer()).status == 200

    made.play(scenario)


def test_with_http2_switched_off_the_preface_is_a_bad_request() -> None:
    made = site(http2=False)

    async def scenario() -> None:
        line = await made.line()
        await line.send(PREFACE)
        assert (await line.rest()).startswith(b"HTTP/1.1 505 ")

    made.play(scenario)


def test_with_http1_switched_off_its_requests_are_told_so() -> None:
    made = site(http1=False)

    async def scenario() -> None:
        line = await made.line()
        await line.send(GET)
        got = await line.rest()
        assert got.startswith(b"HTTP/1.1 505 ") and got.endswith(b"this listener speaks HTTP/2 only\n")
        line = await made.line()
        await line.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        assert await line.rest() == b""
        assert made.endpoint.requests == 0
        assert (await (await talk(made)).get("/")).status == 200

    made.play(scenario)


def test_h2_is_imported_when_the_first_client_speaks_it() -> None:
    code = (
        "import sys, siphon_http.extension, siphon_http.server.secure;"
        "assert not {'h2', 'hpack', 'siphon_http.server.http2_connection'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- time


def test_a_silent_connection_is_closed_when_the_time_for_its_preface_is_over() -> None:
    made = site(header_timeout_ms=60)

    async def scenario() -> None:
        began = time.monotonic()  # before the server's clock, which starts when it accepts
        line = await made.line()
        await line.send(PREFACE)
        await line.rest()
        assert 0.04 < time.monotonic() - began < 1

    made.play(scenario)


@pytest.mark.parametrize("asks", [False, True])
def test_an_idle_connection_is_told_and_closed(asks: bool) -> None:
    made = site(idle_timeout_ms=80, header_timeout_ms=5000, write_timeout_ms=5000)

    async def scenario() -> None:
        found = await talk(made)
        if asks:
            await found.get("/")
        began = time.monotonic()
        await found.end()
        assert 0.05 < time.monotonic() - began < 1
        assert found.client.goaways[-1] == (1 if asks else 0, 0)

    made.play(scenario)


def test_pings_do_not_keep_an_idle_connection() -> None:
    made = site(idle_timeout_ms=100)

    async def scenario() -> None:
        found = await talk(made)
        began = time.monotonic()
        reading = asyncio.ensure_future(found.end())
        while not reading.done() and time.monotonic() - began < 2:
            found.client.h2.ping(b"12345678")
            found.flush()
            await asyncio.sleep(0.01)
        await reading
        assert time.monotonic() - began < 1

    made.play(scenario)


def test_requests_keep_a_connection() -> None:
    made = site(idle_timeout_ms=120)

    async def scenario() -> None:
        found = await talk(made)
        for _ in range(12):
            assert (await found.get("/")).status == 200
            await asyncio.sleep(0.03)  # below idle_timeout_ms, which twelve of them pass
        began = time.monotonic()
        await found.end()
        assert time.monotonic() - began < 0.5

    made.play(scenario)


def test_part_of_a_frame_has_the_time_of_a_head() -> None:
    made = site(header_timeout_ms=80, idle_timeout_ms=5000)

    async def scenario() -> None:
        found = await talk(made)
        await found.get("/")
        began = time.monotonic()
        await found.line.send(b"\x00\x00\x10\x01")
        await found.end()
        assert 0.05 < time.monotonic() - began < 1

    made.play(scenario)


def test_each_request_has_its_own_time_and_the_connection_goes_on() -> None:
    made = site(request_timeout_ms=100)

    async def scenario() -> None:
        found = await talk(made)
        slow = found.client.streams[found.client.ask("/sleep")]
        short = found.client.streams[found.client.ask("/", "POST", b"abc", end=False)]
        assert (await found.get("/")).status == 200
        await found.until(lambda: slow.over and short.over)
        assert (slow.status, slow.body) == (504, b"gateway timeout\n")
        assert (short.status, short.body) == (408, b"request timeout\n")
        assert (await found.get("/")).status == 200
        await until(lambda: not made.dispatcher.running)

    made.play(scenario)


def test_a_client_that_takes_no_window_loses_the_stream() -> None:
    made = site(write_timeout_ms=120)

    async def scenario() -> None:
        found = await talk(made, takes=False)
        got = found.client.streams[found.client.ask("/large")]
        await found.until(lambda: got.over)
        assert (got.status, len(got.body), got.reset) == (200, 65535, 8)

    made.play(scenario)


def test_a_client_that_reads_nothing_is_reset() -> None:
    made = site(write_timeout_ms=120)

    async def scenario() -> None:
        listener = made.server.listeners[0]
        with small_window() as sock:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", listener.port))
            client = Client()
            client.h2.increment_flow_control_window(2**30)
            client.h2.update_settings({4: 2**30})
            client.ask("/large")
            sock.send(client.take())
            await until(lambda: made.endpoint.requests == 1)
            await until(lambda: not made.endpoint.connections)

    made.play(scenario)


def test_a_large_answer_arrives_whole() -> None:
    made = site()

    async def scenario() -> None:
        found = await talk(made)
        got = found.client.streams[found.client.ask("/large")]
        await found.until(lambda: got.over, within=30)
        assert got.ended and len(got.body) == 16_000_000

    made.play(scenario)


# ---- clients that leave


class Notes:
    """A site with a handler that is cancelled, and one that finishes, when the client leaves."""

    def __init__(self) -> None:
        self.site = site()
        self.said: list[str] = []
        self.go_on = asyncio.Event()

        async def wait(req: Any) -> Response:
            self.said.append("start")
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.said.append("cancelled")
                raise
            self.said.append("done")
            return Response(200)

        self.site.route("/wait")(wait)
        self.site.route("/finish", on_disconnect="finish")(wait)


@pytest.mark.parametrize("how", ["RST_STREAM", "reset", "a broken rule"])
@pytest.mark.parametrize("path", ["/wait", "/finish"])
def test_a_client_that_leaves_cancels_its_handler_unless_the_route_finishes(how: str, path: str) -> None:
    notes = Notes()

    async def scenario() -> None:
        found = await talk(notes.site)
        id = found.client.ask(path)
        found.flush()
        await until(lambda: notes.said == ["start"])
        if how == "RST_STREAM":
            found.client.h2.reset_stream(id)
            assert (await found.get("/")).status == 200
        elif how == "reset":
            found.line.reset()
        else:
            await found.line.send(b"\x00\x00\x00\x00\x00\x00\x00\x00\x00")
        if path == "/finish":
            await asyncio.sleep(0.02)  # a cancellation would come now
            notes.go_on.set()
        await until(lambda: len(notes.said) == 2)
        assert notes.said[1] == ("done" if path == "/finish" else "cancelled")
        await until(lambda: not notes.site.dispatcher.running)

    notes.site.play(scenario)


def test_a_half_closed_client_still_gets_its_answer() -> None:
    notes = Notes()

    async def scenario() -> None:
        found = await talk(notes.site)
        id = found.client.ask("/wait")
        found.flush()
        found.line.writer.write_eof()
        found.silent = True
        await until(lambda: notes.said == ["start"])
        notes.go_on.set()
        await found.until(lambda: found.client.streams[id].over)
        assert found.client.streams[id].status == 200
        await found.end()

    notes.site.play(scenario)


# ---- limits, drain, ends


def test_connections_beyond_the_limit_are_refused() -> None:
    made = site(max_connections=1)

    async def scenario() -> None:
        found = await talk(made)
        assert (await found.get("/")).status == 200
        line = await made.line()
        assert (await line.rest()).startswith(b"HTTP/1.1 503 ")
        assert (await found.get("/")).status == 200

    made.play(scenario)


def test_streams_beyond_the_limit_are_refused() -> None:
    made = site(max_concurrent_streams=3)

    async def scenario() -> None:
        found = await talk(made)
        await found.get("/")
        assert found.client.h2.remote_settings.max_concurrent_streams == 3

    made.play(scenario)


def test_drain_lets_streams_finish_and_then_closes() -> None:
    notes = Notes()

    async def scenario() -> None:
        found = await talk(notes.site)
        got = found.client.streams[found.client.ask("/wait")]
        idle = await talk(notes.site)
        await idle.get("/")
        found.flush()
        await until(lambda: notes.said)
        draining = asyncio.ensure_future(notes.site.server.drain(5))
        await idle.end()
        assert idle.client.goaways == [(2**31 - 1, 0), (1, 0)]
        await found.until(lambda: len(found.client.goaways) == 2)
        assert not draining.done() and not got.over
        notes.go_on.set()
        await found.until(lambda: got.over)
        assert got.status == 200
        await found.end()
        assert await draining is True

    notes.site.play(scenario)


def test_drain_does_not_wait_for_a_client_that_ignores_it() -> None:
    made = site()

    async def scenario() -> None:
        found = await talk(made)
        await found.get("/")
        began = time.monotonic()
        draining = asyncio.ensure_future(made.server.drain(5))
        found.client.feed(await found.line.rest())
        found.line.close()
        assert found.client.goaways == [(2**31 - 1, 0), (1, 0)]
        assert await draining is True
        assert 0.5 < time.monotonic() - began < 2

    made.play(scenario)


def test_an_abort_resets_every_connection() -> None:
    notes = Notes()

    async def scenario() -> None:
        found = await talk(notes.site)
        found.client.ask("/wait")
        found.flush()
        await until(lambda: notes.said)
        notes.site.server.close()
        await until(lambda: notes.said[1:] == ["cancelled"])
        assert await found.line.rest() is not None

    notes.site.play(scenario)


# ---- TLS


AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsConfig:
    folder = tmp_path_factory.mktemp("h2tls")
    found = AUTHORITY.issue_cert("localhost")
    (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in found.cert_chain_pems))
    (folder / "key.pem").write_bytes(found.private_key_pem.bytes())
    return TlsConfig(cert_path=Path(folder / "cert.pem"), key_path=Path(folder / "key.pem"))


def trusting(alpn: list[str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def test_alpn_chooses_and_both_are_served(tls: TlsConfig) -> None:
    made = site(tls=tls)

    async def scenario() -> None:
        found = await talk(made, ssl=trusting(["h2", "http/1.1"]), server_hostname="localhost")
        assert found.line.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert (await found.get("/", "POST", b"x" * 60_000)).body == b"x" * 60_000
        for alpn in (["http/1.1"], []):
            line = await made.line(ssl=trusting(alpn), server_hostname="localhost")
            assert (await line.ask("GET", "/")).status == 200

    made.play(scenario)


@pytest.mark.parametrize("http1", [False, True])
def test_the_switches_hold_over_tls(tls: TlsConfig, http1: bool) -> None:
    made = site(tls=tls, http1=http1, http2=not http1)

    async def scenario() -> None:
        line = await made.line(ssl=trusting(["h2", "http/1.1"]), server_hostname="localhost")
        chosen = line.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        assert chosen == ("http/1.1" if http1 else "h2")
        line = await made.line(ssl=trusting([]), server_hostname="localhost")
        assert (await line.ask("GET", "/")).status == (200 if http1 else 505)

    made.play(scenario)
