"""HTTP/2 by prior knowledge and by ALPN, against our own server: one connection, many requests."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from siphon import http

from tests.client.scripts.casebook import Casebook, View, done_or_cancelled, raises, same

plain = http.Client("h2c")
secure = http.Client("h2")
BOTH = {"h2c": plain, "h2": secure}

book = Casebook(http)


@book.cases("h2c", "h2")
async def http2_is_spoken(backend: View, name: str) -> None:
    told = (await BOTH[name].get("/echo")).json()
    same((told["version"], told["method"]), ("2", "GET"))


@book.cases("h2c", "h2")
async def first_calls_at_once_share_one_connect(backend: View, name: str) -> None:
    base = backend.url(kind=name)
    client = http.Client(base_url=base, verify=backend.path("ca.pem"), http2_prior_knowledge=name == "h2c")
    answers = await asyncio.gather(*(client.get("/delay/20") for _ in range(10)))
    same(len({answer.body for answer in answers}), 1)
    await client.close()


@book.case
async def a_server_without_http2_gets_http1(backend: View) -> None:
    client = http.Client(verify=backend.path("ca.pem"))
    same((await client.get(backend.url("/echo", kind="tls"))).json()["version"], "HTTP/1.1")
    same((await client.get(backend.url("/echo", kind="h2"))).json()["version"], "2")
    await client.close()


@book.case
async def prior_knowledge_of_a_server_that_has_none_is_an_error(backend: View) -> None:
    client = http.Client(base_url=backend.url(), http2_prior_knowledge=True)
    try:
        await client.get("/raw/garbage", timeout_ms=3000)
    except (http.ReadError, http.ConnectError):
        pass  # the second when it ends the connection before the request is sent
    else:
        raise AssertionError("no error was raised")
    await client.close()


@book.cases("h2c", "h2")
async def methods_fields_and_content_go_both_ways(backend: View, name: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await BOTH[name].request(
            method, "/echo", body=b"abc", headers={"X-Mine": "1", "Connection": "keep-alive"}
        )
        told = answer.json()
        same((told["method"], told["body"], told["headers"]["x-mine"]), (method, "abc", "1"))
        assert "connection" not in told["headers"]
        same(answer.header_list("x-one"), ["1", "2"])


@book.case
async def the_authority_is_the_origins(backend: View) -> None:
    same((await plain.get("/echo")).json()["headers"]["host"], f"127.0.0.1:{backend.ports['h2c']}")
    same((await plain.get("/echo", headers={"Host": "other.example"})).json()["headers"]["host"], "other.example")


@book.cases("h2c", "h2")
async def more_calls_than_streams_are_all_answered(backend: View, name: str) -> None:
    answers = await asyncio.gather(*(BOTH[name].get("/delay/5") for _ in range(200)))
    same({answer.status for answer in answers}, {200})


@book.cases("h2c", "h2")
async def large_content_respects_the_windows(backend: View, name: str) -> None:
    body = bytes(range(256)) * 20_000
    answers = await asyncio.gather(*(BOTH[name].post("/sink", body=body) for _ in range(3)))
    same([answer.json()["size"] for answer in answers], [len(body)] * 3)
    answers = await asyncio.gather(*(BOTH[name].get("/bytes/3000000") for _ in range(3)))
    same([len(answer.body) for answer in answers], [3_000_000] * 3)


@book.cases("h2c", "h2")
async def content_is_streamed_up_and_down(backend: View, name: str) -> None:
    async def made() -> Any:
        for _ in range(50):
            yield b"u" * 10_000

    same((await BOTH[name].post("/sink", body=made())).json(), {"size": 500_000})
    answer = await BOTH[name].get("/pieces/300", stream=True)
    same(sum([len(piece) async for piece in answer.stream()]), 300_000)


@book.case
async def a_slow_reader_holds_up_no_other_call(backend: View) -> None:
    answer = await plain.get("/pieces/100000", stream=True, timeout_ms=20_000)
    same(answer.status, 200)
    for _ in range(5):
        same(len((await plain.get("/bytes/500000", timeout_ms=5000)).body), 500_000)
    async for _ in answer.stream():
        break


@book.case
async def a_cancelled_call_leaves_the_others_alone(backend: View) -> None:
    others = [asyncio.ensure_future(plain.get("/delay/100")) for _ in range(5)]
    cancelled = [asyncio.ensure_future(plain.get("/delay/5000")) for _ in range(5)]
    await asyncio.sleep(0.03)  # all of them are under way
    for call in cancelled:
        call.cancel()
    answers = await asyncio.gather(*others)
    same(len({answer.body for answer in answers}), 1)
    same((await plain.get("/delay/0")).body, answers[0].body)


@book.case
async def a_timed_out_call_leaves_the_others_alone(backend: View) -> None:
    other = asyncio.ensure_future(plain.get("/delay/300"))
    with raises(http.TotalTimeout, ""):
        await plain.get("/delay/5000", timeout_ms=100)
    first = (await other).body
    same((await plain.get("/delay/0")).body, first)


@book.cases(204, 304, 404)
async def answers_without_content_end(backend: View, status: int) -> None:
    answer = await plain.get(f"/status/{status}")
    same((answer.status, answer.body), (status, b""))


@book.case
async def head_has_no_content(backend: View) -> None:
    answer = await plain.head("/bytes/1000")
    same((answer.status, answer.body, answer.header("content-length")), (200, b"", "1000"))


@book.case
async def an_answer_before_the_content_has_gone_is_the_answer(backend: View) -> None:
    for _ in range(5):
        same((await plain.post("/small", body=b"x" * 5_000_000)).status, 413)
    same((await plain.get("/status/200")).status, 200)


@book.case
async def redirects_are_followed(backend: View) -> None:
    same((await plain.get("/redirect")).json()["version"], "2")


@book.case
async def a_limit_of_content_is_kept(backend: View) -> None:
    client = http.Client(base_url=backend.url(kind="h2c"), http2_prior_knowledge=True, max_response_bytes=1000)
    with raises(http.ReadError, "max_response_bytes"):
        await client.get("/bytes/100000")
    same(len((await client.get("/bytes/1000")).body), 1000)
    await client.close()


@book.cases("h2c", "h2")
async def cancellations_at_random_leave_a_connection_that_works(backend: View, name: str) -> None:
    rng = random.Random(3)
    client = BOTH[name]
    paths = ["/bytes/5000", "/bytes/200000", "/pieces/20", "/delay/3", "/echo", "/status/204"]
    tally = {"ok": 0, "cancelled": 0, "error": 0}

    async def call() -> None:
        try:
            if rng.random() < 0.3:
                await client.post("/sink", body=b"y" * rng.randrange(200_000), timeout_ms=rng.choice([3, 5000]))
            else:
                await client.get(rng.choice(paths), timeout_ms=rng.choice([1, 5, 5000]))
            tally["ok"] += 1
        except http.ClientError:
            tally["error"] += 1

    async def worker() -> None:
        for _ in range(100):
            after = rng.choice([0, 0.0005, 0.002]) if rng.random() < 0.5 else None
            await done_or_cancelled(call(), after, tally)

    async with asyncio.timeout(60):
        await asyncio.gather(*(worker() for _ in range(20)))
    assert tally["ok"] > 200 and tally["cancelled"] > 200, tally
    for i in range(100):
        same((await client.get(f"/bytes/{i}")).body, b"x" * i)
    told = json.loads((await client.post("/echo", body=b"whole")).body)
    same(told["body"], "whole")
