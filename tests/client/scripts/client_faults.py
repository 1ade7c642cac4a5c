"""Servers that break HTTP: each is one typed error, and the pool works afterwards."""

from __future__ import annotations

import asyncio

from siphon import http

from tests.client.scripts.casebook import Casebook, View, raises, same

api = http.Client("api")

book = Casebook(http)


async def fails(
    path: str, kind: type[Exception], text: str = "", method: str = "GET", body: bytes | None = None
) -> Exception:
    """Ask with a fresh connection; then the pool must be clean."""
    await api.get("/bye")
    with raises(kind, text) as caught:
        await api.request(method, path, body=body, timeout_ms=3000)
    for _ in range(3):
        same((await api.get("/bytes/5")).body, b"xxxxx")
    error: Exception = caught.error
    return error


@book.cases(
    "garbage", "ssh", "http09", "two_lengths", "bad_length", "negative_length", "huge_length", "length_and_chunked",
    "unknown_coding", "bad_chunk", "chunk_without_end", "huge_chunk", "bad_status", "status_99", "bad_version",
    "nul_in_field", "space_in_name", "no_colon", "switching",
)  # fmt: skip
async def what_breaks_the_rfc_is_a_read_error(backend: View, name: str) -> None:
    error = await fails(f"/raw/{name}", http.ReadError)
    assert len(str(error)) < 400, "bytes of the peer are shortened"


@book.cases("unasked", "too_long")
async def bytes_nobody_asked_for_reach_no_other_call(backend: View, name: str) -> None:
    for _ in range(5):
        answer = await api.get(f"/raw/{name}")
        assert answer.body in (b"hello world", b"hello"), answer.body
        same((await api.get("/bytes/5")).body, b"xxxxx")


@book.cases(1, 10, 17, 40, 54, 60, 65)
async def an_answer_that_is_cut_is_a_read_error(backend: View, size: int) -> None:
    await fails(f"/cut/{size}", http.ReadError)


@book.cases(46, 52, 60, 70, 72)
async def a_chunked_answer_that_is_cut_is_a_read_error(backend: View, size: int) -> None:
    await fails(f"/cut/{size}?chunked=1", http.ReadError)


@book.cases(5, 40, 60)
async def a_reset_within_the_answer_is_a_read_error(backend: View, size: int) -> None:
    await fails(f"/reset/{size}", http.ReadError)


@book.cases("/close", "/reset")
async def no_answer_at_all_is_a_read_error(backend: View, path: str) -> None:
    error = await fails(path, http.ReadError)
    assert "closed" in str(error) or "reset" in str(error), str(error)


@book.cases("/close", "/reset")
async def a_post_without_answer_was_sent_once(backend: View, path: str) -> None:
    await fails(path, http.ReadError, method="POST", body=b"pay 5 EUR")
    same(sum(seen["method"] == "POST" for seen in await backend.seen()), 1)


@book.case
async def an_answer_cut_in_its_content_is_never_given_as_whole(backend: View) -> None:
    answer = await api.get("/cut/60", stream=True)
    with raises(http.ReadError, ""):
        async for _ in answer.stream():
            pass


@book.cases("/giant_head/200000", "/many_fields/2000", "/endless_head")
async def a_head_without_bounds_is_a_read_error(backend: View, path: str) -> None:
    await fails(path, http.ReadError)


@book.case
async def a_large_head_is_fine(backend: View) -> None:
    same((await api.get("/giant_head/16000")).header("x-big"), "a" * 16000)


@book.case
async def endless_interim_answers_are_an_error(backend: View) -> None:
    await api.get("/bye")
    with raises(http.ReadError, ""):
        await api.get("/endless_interim", timeout_ms=5000)


@book.cases("/early/413", "/early/413?drain=1")
async def an_answer_before_the_content_has_gone_is_the_answer(backend: View, path: str) -> None:
    answer = await api.post(path, body=b"x" * 20_000_000)
    same((answer.status, answer.body), (413, b"too large"))
    same((await api.get("/status/200")).status, 200)


@book.case
async def an_early_answer_ends_streamed_content(backend: View) -> None:
    made = 0

    async def endless() -> object:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 10_000
            await asyncio.sleep(0)

    answer = await api.post("/early/413", body=endless())
    same(answer.status, 413)
    before = made
    await asyncio.sleep(0.05)  # more would be taken from it by now
    same(made, before)


@book.case
async def a_reset_while_content_goes_up_does_not_hide_the_answer(backend: View) -> None:
    for _ in range(10):
        answer = await api.post("/early_reset", body=b"x" * 20_000_000)
        same((answer.status, answer.body), (413, b"too large"))
    same((await api.get("/status/200")).status, 200)


@book.case
async def an_expired_limit_of_content_is_a_read_error(backend: View) -> None:
    client = http.Client(base_url=backend.url(), max_response_bytes=1000)
    same(len((await client.get("/bytes/1000")).body), 1000)
    for path in ("/bytes/1001", "/chunked/1001?size=1", "/endless_body"):
        with raises(http.ReadError, "max_response_bytes"):
            await client.get(path)
    same((await client.get("/status/200")).status, 200)
    await client.close()


@book.case
async def http_on_a_tls_port_is_an_error(backend: View) -> None:
    with raises(http.ReadError, ""):
        await api.get(backend.url("/echo", kind="tls").replace("https:", "http:"))
