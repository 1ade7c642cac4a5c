"""http.Client over HTTP/2: prior knowledge and ALPN, against backends that behave and such that do not (RFC 9113)."""

from __future__ import annotations

import asyncio
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from siphon_http.client.api import Client, Clients, client_class
from siphon_http.client.pool import PoolTransport
from siphon_http.errors import ClientError, ReadError, ReadTimeout, TotalTimeout
from tests.client.http2_backend import Backend, Request
from tests.stage import until

Http = client_class(Clients({}, PoolTransport))


def client(backend: Backend, **more: Any) -> Client:
    """Return a client of `backend` that speaks HTTP/2 at once."""
    return Http(base_url=backend.url, http2_prior_knowledge=True, **more)


def echo(request: Request) -> None:
    """Answer with the content, or the path."""
    request.respond(bytes(request.body) or request.path.encode())


def silent(request: Request) -> None:
    """Answer nothing."""


async def test_many_requests_share_one_connection() -> None:
    async with Backend(echo) as backend, client(backend) as http:
        answers = await asyncio.gather(*(http.get(f"/{number}") for number in range(100)))
        assert [answer.body for answer in answers] == [b"/%d" % number for number in range(100)]
        assert all(answer.status == 200 for answer in answers)
        await http.post("/", body=b"again")
        assert len(backend.peers) == 1
        assert backend.errors == []


@pytest.mark.parametrize("size", [1, 65535, 65536, 1_000_000])
async def test_content_of_any_size_goes_both_ways(size: int) -> None:
    async with Backend(echo) as backend, client(backend) as http:
        content = random.Random(size).randbytes(size)
        answers = await asyncio.gather(*(http.post("/", body=content) for _ in range(5)))
        assert all(answer.body == content for answer in answers)
        assert backend.errors == []


async def test_streamed_content_waits_for_the_server() -> None:
    async def pieces() -> Any:
        for number in range(50):
            yield b"%04d" % number * 2000

    async with Backend(echo, {4: 20000}) as backend, client(backend) as http:
        await http.get("/first")
        answer = await http.post("/", body=pieces())
        assert answer.body == b"".join(b"%04d" % number * 2000 for number in range(50))


async def test_windows_of_a_few_bytes_carry_everything() -> None:
    async with Backend(echo, {4: 7}, piece=3) as backend, client(backend) as http:
        await http.get("/first")  # its settings are known then
        answers = await asyncio.gather(*(http.post("/", body=b"%03d" % number * 50) for number in range(10)))
        assert [answer.body for answer in answers] == [b"%03d" % number * 50 for number in range(10)]


async def test_a_server_that_takes_one_at_a_time_gets_one_at_a_time() -> None:
    open_ = most = 0

    async def slow(request: Request) -> None:
        nonlocal open_, most
        open_ += 1
        most = max(most, open_)
        await asyncio.sleep(0)
        open_ -= 1
        echo(request)

    async with Backend(slow, {3: 1}) as backend, client(backend, max_connections=1) as http:
        await http.get("/first")  # its settings are known then
        answers = await asyncio.gather(*(http.get(f"/{number}") for number in range(30)))
        assert [answer.body for answer in answers] == [b"/%d" % number for number in range(30)]
        assert most == 1
        assert len(backend.peers) == 1


async def test_what_a_full_server_refuses_is_sent_again() -> None:
    refused: set[str] = set()

    def sometimes(request: Request) -> None:
        if request.path not in refused and len(refused) < 20:
            refused.add(request.path)
            request.refuse()
        else:
            echo(request)

    async with Backend(sometimes) as backend, client(backend) as http:
        answers = await asyncio.gather(*(http.post(f"/{number}", body=b"x%d" % number) for number in range(60)))
        assert [answer.body for answer in answers] == [b"x%d" % number for number in range(60)]
        assert len(refused) == 20


async def test_a_storm_of_goaway_fails_nothing_that_was_not_processed() -> None:
    """The server takes leave after every tenth request, and processes nothing above the last that it names."""

    def leaving(request: Request) -> None:
        peer = request.peer
        last = getattr(peer, "last", None)
        if last is not None and request.id > last:
            return
        echo(request)
        if request.id >= 19 and last is None:
            peer.last = request.id  # type: ignore[attr-defined]
            peer.goaway(request.id)

    async with Backend(leaving) as backend, client(backend) as http:

        async def caller(name: int) -> None:
            for number in range(20):
                answer = await http.post("/", body=b"%d/%d" % (name, number))
                assert answer.body == b"%d/%d" % (name, number)

        await asyncio.gather(*(caller(name) for name in range(10)))
        assert len(backend.peers) > 10


async def test_goaway_while_idle_is_no_failure() -> None:
    async with Backend(echo) as backend, client(backend) as http:
        for number in range(5):
            assert (await http.post("/", body=b"x")).body == b"x"
            backend.peers[-1].goaway(0x7FFFFFFF)
            await until(lambda number=number: backend.gone == number + 1)  # type: ignore[misc]
        assert len(backend.peers) == 5


async def test_a_server_that_closes_at_any_moment_fails_no_get() -> None:
    """Each connection ends without a word after a few requests; what was not answered is replayed once."""

    def closing(request: Request) -> None:
        if request.id >= 15:
            request.peer.transport.abort()
        else:
            echo(request)

    async with Backend(closing) as backend, client(backend) as http:
        for number in range(60):
            assert (await http.get(f"/{number}")).body == b"/%d" % number
        assert 7 <= len(backend.peers) <= 9


async def test_a_reset_is_an_error_of_its_request_alone() -> None:
    def odd(request: Request) -> None:
        if request.path.endswith("bad"):
            request.refuse(2)
        else:
            echo(request)

    async with Backend(odd) as backend, client(backend) as http:
        answers = await asyncio.gather(
            *(http.get(f"/{number}{'bad' * (number % 2)}") for number in range(40)), return_exceptions=True
        )
        for number, answer in enumerate(answers):
            if number % 2:
                assert isinstance(answer, ReadError)
                assert "INTERNAL_ERROR" in str(answer)
            else:
                assert not isinstance(answer, BaseException)
                assert answer.body == b"/%d" % number
        assert len(backend.peers) == 1


BROKEN = {
    "DATA before a head": b"\0\0\1\0\1\0\0\0\1x",
    "PUSH_PROMISE": b"\0\0\5\5\4\0\0\0\1\0\0\0\2\x82",
    "a frame above the limit": b"\0\x40\1\0\0\0\0\0\1",
    "a bad field block": b"\0\0\2\1\5\0\0\0\1\xff\x20",
    "HTTP/1": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_server_that_breaks_the_rules_is_left_and_the_next_connection_works(name: str) -> None:
    broken = True

    def answer(request: Request) -> None:
        if broken:
            request.peer.raw(BROKEN[name])
        else:
            echo(request)

    async with Backend(answer) as backend, client(backend) as http:
        with pytest.raises(ReadError):
            await http.get("/")
        broken = False
        assert (await http.get("/again")).body == b"/again"
        assert len(backend.peers) == 2


async def test_a_server_that_never_answers_runs_into_the_time_out_and_holds_up_nobody() -> None:
    def some(request: Request) -> None:
        if request.path != "/never":
            echo(request)

    async with Backend(some) as backend, client(backend, timeout_ms=150) as http:
        waiting = [asyncio.ensure_future(http.get("/never")) for _ in range(5)]
        for _ in range(20):
            assert (await http.get("/now")).body == b"/now"
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(error, (TotalTimeout, ReadTimeout))
        await until(lambda: sum(request.reset for request in backend.peers[0].requests.values()) == 5)
        assert len(backend.peers) == 1


async def test_a_storm_of_cancellations_leaves_a_connection_that_works() -> None:
    chance = random.Random(3)

    async def slow(request: Request) -> None:
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
        echo(request)

    async with Backend(slow, piece=700) as backend, client(backend) as http:

        async def one(number: int) -> int:
            content = b"%d." % number * chance.choice([1, 1000, 20000])
            task = asyncio.ensure_future(http.post("/", body=content))
            if chance.random() < 0.5:
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.002, 0.004]))
                task.cancel()
            try:
                answer = await task
            except asyncio.CancelledError:
                return 0
            assert answer.body == content
            return 1

        done = 0
        for _ in range(20):
            done += sum(await asyncio.gather(*(one(number) for number in range(40))))
        assert done > 300
        answer = await http.post("/", body=b"z" * 500_000)
        assert len(answer.body) == 500_000
        assert len(backend.peers) == 1
        assert backend.errors == []


async def test_a_slow_reader_of_one_answer_holds_up_no_other() -> None:
    def large(request: Request) -> None:
        request.respond(b"x" * (3_000_000 if request.path == "/large" else 10))

    async with Backend(large) as backend, client(backend) as http:
        answer = await http.get("/large", stream=True)
        await asyncio.sleep(0.05)  # all that the windows let through is here
        waiting = sum(len(body) for body in backend.peers[0].waiting.values())
        assert waiting > 1_500_000  # no more has left than its window
        for _ in range(20):
            assert (await http.get("/small")).body == b"x" * 10
        size = 0
        async for piece in answer.stream():
            size += len(piece)
        assert size == 3_000_000
        assert len(backend.peers) == 1


async def test_an_early_answer_ends_an_upload() -> None:
    def early(request: Request) -> None:
        request.respond(b"too large", 413)

    async with Backend(silent, {4: 1000}, early=early, takes=False) as backend, client(backend) as http:
        await http.get("/first")
        answer = await http.post("/", body=b"x" * 1_000_000)
        assert (answer.status, answer.body) == (413, b"too large")
        assert (await http.post("/", body=b"x" * 500)).status == 413
        assert len(backend.peers) == 1


async def test_a_server_that_has_died_silently_is_found_out_and_a_get_goes_elsewhere() -> None:
    async with Backend(echo) as backend, client(backend, timeout_ms=10_000) as http:
        await http.get("/")
        backend.peers[0].is_deaf = True
        order = http.post("/b", body=b"x", timeout_ms=3500)
        one, other = await asyncio.gather(http.get("/a"), order, return_exceptions=True)
        assert not isinstance(one, BaseException)
        assert one.body == b"/a"
        assert isinstance(other, TotalTimeout)  # it may have been processed, and the answer may still come
        assert len(backend.peers) == 2


@pytest.mark.parametrize("protocols", [["h2", "http/1.1"], ["h2"]])
async def test_alpn_chooses_http_2(authority: tuple[trustme.CA, Path], protocols: list[str]) -> None:
    ca, path = authority
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(protocols)
    async with Backend(echo, context=context) as backend, Http(base_url=backend.url, verify=path) as http:
        answers = await asyncio.gather(*(http.post(f"/{number}", body=b"x" * 50_000) for number in range(30)))
        assert all(answer.body == b"x" * 50_000 for answer in answers)
        assert len(backend.peers) == 1
        assert backend.peers[0].requests[1].fields[":scheme"] == "https"


async def test_requests_after_close_open_a_new_connection() -> None:
    async with Backend(echo) as backend, client(backend) as http:
        await http.get("/")
        await http.close()
        await until(lambda: backend.gone == 1)
        await http.get("/")
        assert len(backend.peers) == 2


async def test_close_while_answers_are_awaited_lets_them_end() -> None:
    async def slow(request: Request) -> None:
        await asyncio.sleep(0.05)  # longer than the close takes
        echo(request)

    async with Backend(slow) as backend:
        http = client(backend)
        tasks = [asyncio.ensure_future(http.get("/")) for _ in range(5)]
        await until(lambda: backend.count == 5)
        await http.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, ClientError) or one.body == b"/" for one in results)  # type: ignore[union-attr]
