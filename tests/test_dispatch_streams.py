"""Content in pieces, both ways, over a real listener."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.errors import RemoteProtocolError
from siphon_http.task import AVAILABLE_MODES
from tests.stage import Site, on_each_loop, said, small_window, until

on_each_way = pytest.mark.parametrize("mode", AVAILABLE_MODES)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Pieces:
    """The body of an answer in each of its shapes, and whether it was closed."""

    def __init__(self, count: int = 3, size: int = 1) -> None:
        self.count = count
        self.size = size
        self.begun = 0
        self.closed: list[threading.Thread] = []

    def plain(self) -> Iterator[bytes]:
        try:
            for _ in range(self.count):
                self.begun += 1
                yield b"x" * self.size
        finally:
            self.closed.append(threading.current_thread())

    async def asynchronous(self) -> AsyncIterator[bytes]:
        try:
            for n in range(self.count):
                self.begun += 1
                if n % 2:
                    await asyncio.sleep(0)
                yield b"x" * self.size
        finally:
            await asyncio.sleep(0)
            self.closed.append(threading.current_thread())


SHAPES = ("async", "loop", "thread")
on_each_shape = pytest.mark.parametrize("shape", SHAPES)


def serve_pieces(site: Site, shape: str, pieces: Pieces, path: str = "/", **headers: str) -> None:
    if shape == "async":

        @site.route(path)
        async def by_async(req: Any) -> Response:
            return Response(200, dict(headers), pieces.asynchronous())

    else:

        @site.route(path, blocking=shape == "thread")
        def by_plain(req: Any) -> Response:
            return Response(200, dict(headers), pieces.plain())


@on_each_loop
@on_each_shape
@on_each_way
def test_an_iterator_is_sent_piece_by_piece_and_the_connection_goes_on(
    loop: str, shape: str, mode: str, caplog: Any
) -> None:
    site, pieces = Site(), Pieces()
    site.pool_settings["task_mode"] = mode
    serve_pieces(site, shape, pieces)

    async def scenario() -> None:
        line = await site.line()
        for _ in range(2):
            answer = await line.ask("GET", "/")
            assert (answer.body, answer.headers["transfer-encoding"]) == (b"xxx", "chunked")
        assert len(pieces.closed) == 2
        assert not site.dispatcher.running

    site.play(scenario, loop)
    assert not said(caplog)


@on_each_shape
def test_what_has_no_content_closes_its_iterator_unread(shape: str) -> None:
    site, pieces = Site(), Pieces()
    serve_pieces(site, shape, pieces)

    async def scenario() -> None:
        line = await site.line()
        answer = await line.ask("HEAD", "/")
        assert (answer.status, pieces.begun) == (200, 0)
        assert (await line.ask("GET", "/")).body == b"xxx"

    site.play(scenario)


def test_a_plain_iterator_of_a_blocking_handler_runs_and_ends_on_threads_in_its_context() -> None:
    site = Site()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[tuple[str, bool]] = []
    here = threading.current_thread()

    def pieces() -> Iterator[bytes]:
        try:
            seen.append((variable.get(), threading.current_thread() is here))
            yield b"a"
        finally:
            seen.append((variable.get(), threading.current_thread() is here))

    @site.route("/")
    def handler(req: Any) -> Response:
        variable.set("handler")
        return Response(200, None, pieces())

    async def scenario() -> None:
        assert (await site.ask("GET", "/")).body == b"a"

    site.play(scenario)
    assert seen == [("handler", False), ("handler", False)]


@on_each_shape
def test_a_declared_length_frames_the_answer(shape: str) -> None:
    site = Site()
    serve_pieces(site, shape, Pieces(), **{"content-length": "3"})

    async def scenario() -> None:
        answer = await site.ask("GET", "/")
        assert (answer.body, answer.headers["content-length"]) == (b"xxx", "3")

    site.play(scenario)


@on_each_shape
@pytest.mark.parametrize(
    "declared, sent, text",
    [("2", b"xx", "content-length is 2, but the body goes on after that"),
     ("5", b"xxx", "content-length is 5, but the body ended after 3 bytes")],
)  # fmt: skip
def test_a_length_that_lies_breaks_the_answer_off(
    shape: str, declared: str, sent: bytes, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    site, pieces = Site(), Pieces()
    serve_pieces(site, shape, pieces, **{"content-length": declared})

    async def scenario() -> None:
        line = await site.line()
        await line.send(GET)
        assert (await line.rest()).partition(b"\r\n\r\n")[2] == sent
        await until(lambda: pieces.closed and not site.dispatcher.running)

    site.play(scenario)
    assert text in caplog.text and "GET /: the answer is broken off after" in caplog.text


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
@on_each_shape
def test_an_iterator_that_raises_breaks_the_answer_off(
    shape: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()

    def plain() -> Iterator[bytes]:
        yield b"a"
        raise error

    async def asynchronous() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0)
        raise error

    @site.route("/", blocking=shape == "thread")
    def handler(req: Any) -> Response:
        return Response(200, None, asynchronous() if shape == "async" else plain())

    async def scenario() -> None:
        line = await site.line()
        await line.send(GET)
        assert (await line.rest()).partition(b"\r\n\r\n")[2] == b"1\r\na\r\n"
        await until(lambda: not site.dispatcher.running)
        assert (await site.ask("GET", "/none")).status == 404

    site.play(scenario)
    assert caplog.text.count("broken off after 1 bytes") == 1 and "handler error" not in caplog.text
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("piece", [None, 7, ["x"]])
def test_a_piece_that_is_no_bytes_breaks_the_answer_off(piece: Any, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.route("/")(lambda req: Response(200, None, iter([b"a", piece])))

    async def scenario() -> None:
        line = await site.line()
        await line.send(GET)
        assert (await line.rest()).endswith(b"1\r\na\r\n")

    site.play(scenario)
    assert f"a piece of a body is bytes, not {type(piece).__name__}" in caplog.text


def test_pieces_may_be_text_and_views() -> None:
    site = Site()
    site.route("/")(lambda req: Response(200, None, iter(["\u00e9", bytearray(b"b"), memoryview(b"c"), b""])))

    async def scenario() -> None:
        assert (await site.ask("GET", "/")).body == "\u00e9bc".encode()

    site.play(scenario)


# ---- back-pressure, fairness, departures


@on_each_loop
@on_each_shape
def test_a_client_that_does_not_read_holds_the_iterator_up(loop: str, shape: str) -> None:
    site, pieces = Site(), Pieces(count=4000, size=16_000)
    serve_pieces(site, shape, pieces)

    async def scenario() -> None:
        sock = small_window()
        running = asyncio.get_running_loop()
        await running.sock_connect(sock, ("127.0.0.1", site.server.listeners[0].port))
        with sock:
            await running.sock_sendall(sock, GET)
            await until(lambda: pieces.begun)
            before = -1
            while before != pieces.begun:
                before = pieces.begun
                await asyncio.sleep(0.03)
            assert pieces.begun < 2000
            assert len(await running.sock_recv(sock, 65536)) > 0
        await until(lambda: pieces.closed and not site.dispatcher.running)

    site.play(scenario, loop)


@on_each_loop
@on_each_shape
@on_each_way
def test_a_client_that_leaves_closes_the_iterator(loop: str, shape: str, mode: str, caplog: Any) -> None:
    site, pieces = Site(), Pieces(count=10**9, size=1000)
    site.pool_settings["task_mode"] = mode
    serve_pieces(site, shape, pieces)

    async def scenario() -> None:
        line = await site.line()
        await line.send(GET)
        await line.reader.readexactly(50_000)
        line.reset()
        await until(lambda: pieces.closed and not site.dispatcher.running)

    site.play(scenario, loop)
    assert not said(caplog)


def test_a_client_that_leaves_while_a_thread_makes_the_next_piece_closes_the_iterator(caplog: Any) -> None:
    site = Site()
    begun, release = threading.Event(), threading.Event()
    closed: list[bool] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
            begun.set()
            release.wait(5)
            yield b"b"
        finally:
            closed.append(True)

    site.route("/")(lambda req: Response(200, None, pieces()))

    async def scenario() -> None:
        line = await site.line()
        await line.send(GET)
        await until(begun.is_set)
        line.reset()
        await until(lambda: not site.server.open_connections)
        assert not closed
        release.set()
        await until(lambda: closed and not site.dispatcher.running)

    site.play(scenario)
    assert not said(caplog)


@on_each_loop
@pytest.mark.parametrize("shape", ["async", "loop"])
def test_an_answer_that_never_waits_lets_others_have_their_turn(loop: str, shape: str) -> None:
    site = Site()
    ended = False

    def plain() -> Iterator[bytes]:
        until_then = time.monotonic() + 1
        while time.monotonic() < until_then and not ended:
            time.sleep(0.002)
            yield b"x"

    async def asynchronous() -> AsyncIterator[bytes]:
        for piece in plain():
            yield piece

    @site.route("/endless", blocking=False)
    def endless(req: Any) -> Response:
        return Response(200, None, asynchronous() if shape == "async" else plain())

    async def scenario() -> None:
        nonlocal ended
        line = await site.line()
        await line.send(GET.replace(b"/ ", b"/endless ", 1))
        began = time.monotonic()
        assert (await site.ask("GET", "/none")).status == 404
        assert time.monotonic() - began < 0.5
        ended = True
        assert (await line.answer()).status == 200

    site.play(scenario, loop)


# ---- content that is read in pieces


def serve_reader(site: Site, **options: Any) -> list[Any]:
    seen: list[Any] = []

    @site.route("/up", ["POST"], stream=True, **options)
    async def up(req: Any) -> Response:
        size = 0
        try:
            async for piece in req.stream():
                seen.append(piece)
                size += len(piece)
        except RemoteProtocolError as error:
            seen.append(error)
            raise
        return Response(200, None, str(size))

    return seen


@on_each_loop
def test_content_is_read_as_it_arrives(loop: str) -> None:
    site = Site()
    seen = serve_reader(site)

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"POST /up HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: seen == [b"abc"])
        await line.send(b"2\r\nde\r\n0\r\n\r\n")
        assert (await line.answer()).body == b"5"
        for body, size in ((b"x" * 300_000, b"300000"), (b"", b"0"), (b"y", b"1")):
            assert (await line.ask("POST", "/up", body)).body == size

    site.play(scenario, loop)


def test_content_over_the_limit_is_413_in_the_middle() -> None:
    site = Site()
    serve_reader(site, max_body_bytes=10)

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"POST /up HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n")
        await line.send(b"8\r\nabcdefgh\r\n0\r\n\r\n")
        assert (await line.answer()).status == 413
        await until(lambda: not site.dispatcher.running)

    site.play(scenario)


@pytest.mark.parametrize("policy, seen_error", [("cancel", False), ("finish", True)])
def test_a_client_that_leaves_ends_the_content(policy: str, seen_error: bool) -> None:
    site = Site()
    seen = serve_reader(site, on_disconnect=policy)

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"POST /up HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        await until(lambda: seen == [b"abc"])
        line.reset()
        await until(lambda: not site.dispatcher.running)
        assert (type(seen[-1]) is RemoteProtocolError) is seen_error

    site.play(scenario)


def test_a_handler_that_does_not_read_holds_the_client_up() -> None:
    site = Site(max_body_bytes=1 << 30)
    go_on = asyncio.Event()

    @site.route("/up", ["POST"], stream=True)
    async def up(req: Any) -> Response:
        await go_on.wait()
        return Response(200, None, str(sum([len(piece) async for piece in req.stream()])))

    async def scenario() -> None:
        line = await site.line()
        size = 30_000_000
        await line.send(b"POST /up HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        sending = asyncio.ensure_future(line.send(bytes(size)))
        await asyncio.sleep(0.1)  # all buffers are full
        assert not sending.done()
        go_on.set()
        assert (await line.answer()).body == str(size).encode()
        await sending

    site.play(scenario)


@on_each_loop
def test_an_answer_may_be_made_from_the_content_while_it_arrives(loop: str) -> None:
    site = Site()

    @site.route("/echo", ["POST"], stream=True)
    async def echo(req: Any) -> Response:
        return Response(200, None, req.stream())

    async def scenario() -> None:
        line = await site.line()
        await line.send(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nabc")
        await line.reader.readuntil(b"3\r\nabc\r\n")
        await line.send(b"def")
        await line.reader.readuntil(b"3\r\ndef\r\n0\r\n\r\n")
        assert (await line.ask("POST", "/echo", b"again")).body == b"again"

    site.play(scenario, loop)


def test_stream_and_body_say_which_of_them_a_route_has(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    @site.route("/body", ["POST"])
    async def buffered(req: Any) -> Response:
        return Response(200, None, req.stream())

    @site.route("/stream", ["POST"], stream=True)
    async def streamed(req: Any) -> Response:
        return Response(200, None, req.body())

    async def scenario() -> None:
        assert (await site.ask("POST", "/body", b"x")).status == 500
        assert (await site.ask("POST", "/stream", b"x")).status == 500

    site.play(scenario)
    assert "stream() is for routes with stream=True" in caplog.text
    assert "this route has stream=True: read the content with" in caplog.text
