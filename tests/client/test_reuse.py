"""What a client uses again, and what scripts keep of exchanges that are over; see tests/test_reuse.py."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.client.api import Clients, client_class
from siphon_http.client.request import ClientRequest
from siphon_http.config import ClientConfig
from siphon_http.errors import ClientError
from tests.client.same_loop import Backend, clients_for, running, the_pool
from tests.protocol.http1_client_stage import Stage
from tests.protocol.http2_client_pair import Pair

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
MANY = 200


# ---- requests out of the free list


class Kept:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.requests: list[ClientRequest] = []

    async def answer(self) -> Response:
        return Response()

    def send(self, request: ClientRequest) -> Any:
        self.requests.append(request)
        return self.answer()

    async def close(self) -> None: ...


def all_of(request: ClientRequest) -> tuple[object, ...]:
    return (
        request.name, request.base_url, request.method, request.path, request.headers, request.params, request.body,
        request.is_json, request.stream, request.timeout_ms, request.follow_redirects,
    )  # fmt: skip


async def test_a_request_that_was_another_before_is_a_new_one() -> None:
    kept = Kept()
    made = client_class(Clients({"api": ClientConfig(base_url="http://a")}, lambda name, config: kept))
    api = made("api")
    for number in range(MANY):
        await api.post(
            f"/{number}", json={"a": number}, headers={"x": "y"}, params={"q": "1"}, timeout_ms=5, stream=True,
            follow_redirects=3,
        )  # fmt: skip
    places = {id(one) for one in kept.requests}
    kept.requests.clear()
    for _ in range(MANY):
        await api.get("/")
    assert places & {id(one) for one in kept.requests}, "nothing was used again"
    plain = ("api", "http://a", "GET", "/", None, None, None, False, False, None, None)
    assert [all_of(one) for one in kept.requests] == [plain] * MANY


# ---- answers that are kept


@pytest.mark.parametrize("stream", [False, True])
async def test_answers_outlive_their_connection_and_their_client(stream: bool) -> None:
    answers = []
    async with running() as (_, api):
        for number in range(MANY):
            answer = await api.post("/echo", body=b"body %d" % number, headers={"x-n": str(number)}, stream=stream)
            if stream:
                await answer.read()
            answers.append(answer)
    gc.collect()
    for number, answer in enumerate(answers):
        assert answer.body == b"body %d" % number
        assert answer.header("content-length") == str(len(answer.body)) and answer.status == 200
        assert answer.url.endswith("/echo") and answer.timings["total"] > 0 and answer.http_version == "1.1"
        answer.headers["x"] = "mine"
    assert len({id(answer.headers) for answer in answers}) == MANY


async def test_a_stream_that_is_kept_after_its_connection_says_so_and_no_more() -> None:
    kept = []
    async with running() as (_, api):
        for _ in range(10):
            answer = await api.get("/pieces/50000", stream=True)  # more than all buffers hold
            kept.append((answer, answer.stream()))
            await anext(kept[-1][1])
    gc.collect()
    for answer, pieces in kept:
        with pytest.raises(ClientError):
            async for _ in pieces:
                pass
        assert [piece async for piece in pieces] == []
        await answer.close()


async def test_a_call_that_is_over_cannot_be_begun_again() -> None:
    async with running() as (backend, api):
        call = api.get("/x")
        assert (await call).status == 200
        for _ in range(3):
            with pytest.raises(RuntimeError, match="reuse"):
                await call
        call.close()
        with pytest.raises(ValueError, match="mine"):
            call.throw(ValueError("mine"))
        left = api.get("/gate")
        assert left.send(None) is not None
        left.close()
        left.close()
        with pytest.raises(RuntimeError, match="reuse"):
            left.send(None)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del call, left
            api.get("/never")
            gc.collect()
        assert [str(one.message)[-30:] for one in caught] == ["never awaited: nothing was sent"[-30:]]
        assert (await api.get("/x")).status == 200
        assert {seen.target for seen in backend.requests} <= {"/x", "/gate"}


async def test_a_call_that_was_not_awaited_has_no_url() -> None:
    async with running() as (_, api):
        call = api.get("/x")
        with pytest.raises(AttributeError, match="await the call"):
            _ = call.url
        with pytest.raises(AttributeError):
            _ = call.status
        assert (await call).url.endswith("/x")
        call = api.get("ftp://nowhere/")
        with pytest.raises(ClientError):
            await call
        with pytest.raises(AttributeError, match="await the call"):
            _ = call.url


# ---- numbers of exchanges that are over


def test_the_number_of_an_exchange_that_is_over_does_nothing_over_http1() -> None:
    stage = Stage()
    stage.exchange(OK)
    first = stage.number
    got = stage.ask(b"POST", length=-1)
    sent = stage.sent
    assert stage.driver.send(first, b"late", True)
    stage.driver.taken(first, 1 << 40)
    stage.driver.leave(first)
    assert stage.sent == sent and not stage.aborted and not got.failure
    stage.driver.lost("gone")
    assert got.failure
    for number in (first, stage.number, 0, -1, 1 << 40):
        assert stage.driver.send(number, b"late", True)
        stage.driver.taken(number, 1)
        stage.driver.leave(number)
    stage.driver.receive_data(OK)
    stage.driver.eof_received()
    stage.driver.lost("again")
    assert stage.sent == sent and stage.driver.room() == 0


@pytest.mark.parametrize("through_h2", [False, True])
def test_the_number_of_an_exchange_that_is_over_does_nothing_over_http2(through_h2: bool) -> None:
    pair = Pair(through_h2=through_h2)
    first = pair.get()
    assert first.ended
    second = pair.begin(b"POST", length=-1)
    pair.run()
    for number in (first.id, 0, -1, 99, 1 << 40):
        assert pair.driver.send(number, b"late", True)
        pair.driver.taken(number, 1 << 40)
        pair.driver.leave(number)
    pair.run()
    assert not second.over and pair.asked[second.id].reset is None and not pair.client.is_closed
    assert pair.driver.send(second.id, b"in time", True)
    pair.run()
    assert pair.asked[second.id].body == b"in time"
    pair.driver.lost("gone")
    assert second.failure is not None
    written = list(pair.client.writes)
    for number in (first.id, second.id, 99):
        assert pair.driver.send(number, b"late", True)
        pair.driver.taken(number, 1)
        pair.driver.leave(number)
    pair.driver.receive_data(b"\0\0\0\x04\0\0\0\0\0")
    pair.driver.lost("again")
    pair.driver.uncork()
    assert pair.client.writes == written


@pytest.mark.parametrize("through_h2", [False, True])
def test_who_leaves_within_each_event_is_not_called_again(through_h2: bool) -> None:
    for event in ("head_received", "content_received", "answer_ended"):
        pair = Pair(through_h2=through_h2)

        def leave(caller: Any, name: str, *, event: str = event, pair: Pair = pair) -> None:
            if name == event:
                pair.driver.leave(caller.id)
                gc.collect(0)

        callers = [pair.begin(then=leave) for _ in range(3)]
        pair.run()
        for caller in callers:
            if pair.asked[caller.id].reset is None:
                pair.answer(caller.id, 200, b"x" * 10_000)
        assert all(caller.calls[-1] == event for caller in callers)
        assert pair.get().ended


# ---- counts of references, the collector, and threads


@pytest.mark.parametrize("path", ["/x", "/gzip/1000", "/to/302/x", "/status/404", "/pieces/3"])
async def test_references_are_given_back_as_often_as_they_are_taken(path: str) -> None:
    times = 150
    async with running() as (backend, api):
        headers, body = {"x-a": "1"}, b"some content of my own"
        watched: list[Any] = [
            None, True, False, b"", "", (), "GET", "POST", "content-type", "location", 200, 404, Response, ClientRequest,
            asyncio.get_running_loop(), api, headers, body, path, dict, list, tuple,
        ]  # fmt: skip
        for _ in range(20):
            await api.post(path, headers=headers, body=body)
        backend.requests.clear()  # it keeps what it gets
        gc.collect()
        before = [sys.getrefcount(one) for one in watched]
        for _ in range(times):
            await api.post(path, headers=headers, body=body)
        backend.requests.clear()  # it keeps what it gets
        gc.collect()
        after = [sys.getrefcount(one) for one in watched]
        moved = {repr(one): now - was for one, was, now in zip(watched, before, after, strict=True)}
        assert {name: by for name, by in moved.items() if abs(by) > times * 0.8} == {}


@pytest.mark.usefixtures("collecting")
async def test_the_collector_may_run_at_any_moment() -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b"x" * 1000

    async with running(max_connections=3) as (_, api):
        for path in ("/x", "/gzip/1000", "/to/302/x", "/cut", "/reset", "/junk", "/badgzip", "/pieces/5", "/last"):
            for stream in (False, True):
                try:
                    answer = await api.post(path, body=pieces(), stream=stream)
                    await answer.read()
                except ClientError:
                    pass
        tasks = [asyncio.ensure_future(api.get("/sleep/5")) for _ in range(6)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[5].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await api.get("/pieces/5000", stream=True)  # forgotten
        assert (await api.get("/x")).status == 200


def test_loops_in_two_threads_share_one_client_and_the_free_lists() -> None:
    errors: list[BaseException] = []
    shared: list[Response] = []
    backends = [Backend(), Backend()]
    made = clients_for(api=ClientConfig(timeout_ms=30_000))

    async def use(backend: Backend) -> None:
        await backend.start()
        api = made("api")

        async def caller(number: int) -> None:
            for step in range(60):
                answer = await api.get(f"{backend.url}/n{number}.{step}", headers={"x-n": str(step)})
                assert answer.text == f"GET /n{number}.{step}"
                shared.append(answer)
                del shared[:-50]

        await asyncio.gather(*(caller(number) for number in range(8)))
        assert all(int(seen.headers["x-n"]) == int(seen.target.rpartition(".")[2]) for seen in backend.requests)
        the_pool(api).close()
        await backend.stop()

    def work(backend: Backend) -> None:
        try:
            asyncio.run(asyncio.wait_for(use(backend), 40))
        except BaseException as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        running_threads = [threading.Thread(target=work, args=(backend,)) for backend in backends]
        for thread in running_threads:
            thread.start()
        for thread in running_threads:
            thread.join(50)
    finally:
        sys.setswitchinterval(before)
    assert errors == []
    assert all(answer.status == 200 and answer.text.startswith("GET /n") for answer in shared)
