"""The API of http.Client as design section 3 has it: clients, answers, errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from siphon import http, log

from tests.client.scripts.casebook import Casebook, View, echoed, raises, same

api = http.Client("api")  # at module level: the pool does not exist yet

book = Casebook(http)
started: list[Any] = []


@http.on_startup
async def look_up_at_the_start() -> None:
    started.append(json.loads((await api.get("/echo")).body)["method"])


@http.on_shutdown
async def deregister() -> None:
    answer = await api.delete("/echo/registration")
    if answer.status != 200:
        log.error("Traceback: the client did not work on shutdown")


# ---- clients


@book.case
async def a_named_client_works_in_a_startup_hook(backend: View) -> None:
    same(started, ["GET"])


@book.cases("nobody", "", "API")
async def an_unknown_name_raises_at_construction_and_names_itself(backend: View, name: str) -> None:
    with raises(http.ClientError, repr(name)) as caught:
        http.Client(name)
    assert "api" in str(caught.error), "the known names are told"


@book.case
async def a_misspelt_name_gets_a_suggestion(backend: View) -> None:
    with raises(http.ClientError, "did you mean 'based'"):
        http.Client("baesd")


@book.case
async def every_handle_of_a_name_shares_one_pool(backend: View) -> None:
    await api.get("/echo")
    before = await backend.accepted()
    for _ in range(5):
        async with http.Client("api") as client:
            await client.get("/echo")
    same(await backend.accepted(), before)


@book.case
async def closing_a_named_client_closes_nothing(backend: View) -> None:
    client = http.Client("api")
    first = await echoed(client.get("/echo"))
    await client.close()
    async with client:
        pass
    same((await echoed(client.get("/echo")))["connection"], first["connection"])


@book.case
async def an_inline_client_closes_its_connections_and_can_be_used_again(backend: View) -> None:
    async with http.Client(base_url=backend.url()) as client:
        first = await echoed(client.get("/echo"))
    second = await echoed(client.get("/echo"))
    assert first["connection"] != second["connection"]
    await client.close()
    await client.close()


@book.case
async def inline_settings_are_checked_like_those_of_the_file(backend: View) -> None:
    for settings in (
        {"timeout_ms": 0},
        {"timeout_ms": "soon"},
        {"base_url": "ftp://a"},
        {"pool_size": -1},
        {"nonsense": 1},
    ):
        with raises(http.ClientError, next(iter(settings))):
            http.Client(**settings)


@book.case
async def settings_cannot_be_given_beside_a_name(backend: View) -> None:
    with raises(TypeError, "timeout_ms"):
        http.Client("api", timeout_ms=1)


@book.case
async def a_client_works_from_a_thread_with_a_loop_of_its_own(backend: View) -> None:
    def elsewhere() -> list[int]:
        async def twice() -> list[int]:
            return [(await api.get("/status/200")).status for _ in range(2)]

        return asyncio.run(twice())

    same(await asyncio.to_thread(elsewhere), [200, 200])
    same((await api.get("/status/200")).status, 200)


@book.case
async def calls_at_once_are_all_answered(backend: View) -> None:
    answers = await asyncio.gather(*(api.get(f"/echo/{i}") for i in range(50)))
    same([json.loads(answer.body)["target"] for answer in answers], [f"/echo/{i}" for i in range(50)])


# ---- answers


@book.case
async def an_answer_has_status_fields_and_content(backend: View) -> None:
    answer = await api.get("/status/201", params={"X-A": "1", "content-type": "text/plain"})
    same((answer.status, answer.headers["x-a"], answer.header("X-A"), answer.body), (201, "1", "1", b"status 201"))
    same((answer.text, type(answer.body)), ("status 201", bytes))


@book.case
async def repeated_fields_are_kept(backend: View) -> None:
    answer = await api.get("/cookie")
    same(answer.headers["x-many"], "1, 2")
    same((answer.header_list("x-many"), answer.header_list("set-cookie")), (["1", "2"], ["a=1", "b=2"]))


@book.case
async def cookies_are_not_kept(backend: View) -> None:
    await api.get("/cookie")
    assert "cookie" not in (await echoed(api.get("/echo")))["headers"]


@book.case
async def json_of_an_answer_is_read(backend: View) -> None:
    same((await api.post("/echo", body=b"x")).json()["body"], "x")
    with raises(json.JSONDecodeError, ""):
        (await api.get("/bytes/3")).json()


@book.cases(204, 304)
async def an_answer_without_content_leaves_the_connection_usable(backend: View, status: int) -> None:
    answer = await api.get(f"/status/{status}", params={"content-length": "10"} if status == 304 else None)
    same((answer.status, answer.body), (status, b""))
    same((await api.get("/status/200")).status, 200)


@book.case
async def interim_answers_are_passed_over(backend: View) -> None:
    answer = await api.get("/interim")
    same((answer.status, answer.body), (200, b"final"))


@book.cases("/chunked/5", "/eof", "/http10", "/chunked/1?size=100000")
async def every_framing_is_read(backend: View, path: str) -> None:
    expected = {"/chunked/5": b"y" * 25, "/eof": b"until the end", "/http10": b"old"}.get(path, b"y" * 100000)
    same((await api.get(path)).body, expected)
    same((await api.get("/status/200")).status, 200)


@book.cases(200, 204, 301, 399)
async def raise_for_status_returns_a_good_answer(backend: View, status: int) -> None:
    answer = await api.get(f"/status/{status}")
    assert answer.raise_for_status() is answer


@book.cases(400, 404, 500, 599)
async def raise_for_status_raises_with_status_and_excerpt(backend: View, status: int) -> None:
    answer = await api.get(f"/status/{status}")
    with raises(http.HttpStatusError, f"HTTP {status}") as caught:
        answer.raise_for_status()
    same((caught.error.status, caught.error.body), (status, b"status %d" % status))
    assert isinstance(caught.error, RuntimeError)


@book.case
async def an_answer_can_be_streamed_down(backend: View) -> None:
    answer = await api.get("/chunked/10?size=1000&ms=20", stream=True)
    same(answer.status, 200)
    pieces = [piece async for piece in answer.stream()]
    same(b"".join(pieces), b"y" * 10000)
    assert len(pieces) > 1
    same((await api.get("/status/200")).status, 200)


@book.case
async def a_streamed_answer_that_is_left_does_not_poison_the_pool(backend: View) -> None:
    for _ in range(3):
        answer = await api.get("/chunked/1000?size=10000", stream=True)
        async for _piece in answer.stream():
            break
        del answer, _piece
    same([(await api.get("/status/200")).status for _ in range(3)], [200] * 3)


@book.case
async def a_streamed_answer_holds_the_server_back(backend: View) -> None:
    answer = await api.get("/endless_body", stream=True, timeout_ms=2000)
    taken = 0
    async for piece in answer.stream():
        taken += len(piece)
        await asyncio.sleep(0.001)  # a reader that is slower than the server
        if taken > 2_000_000:
            break


# ---- errors


@book.case
async def every_error_is_a_client_error_and_a_runtime_error(backend: View) -> None:
    with raises(http.ConnectError, "refused") as caught:
        await api.get(backend.url("/", kind="refused"))
    error = caught.error
    assert isinstance(error, http.ClientError) and isinstance(error, http.HttpError) and isinstance(error, RuntimeError)
    same((error.phase, error.method, error.url), ("connect", "GET", backend.url("/", kind="refused")))
    assert str(backend.ports["refused"]) in str(error)


@book.case
async def an_error_shows_no_userinfo(backend: View) -> None:
    url = backend.url("/", kind="refused").replace("http://", "http://me:hunter2@")
    with raises(http.ClientError, "credentials") as caught:
        await api.get(url)
    assert "hunter2" not in f"{caught.error} {caught.error.url} {caught.error!r}"


@book.case
async def a_name_that_does_not_exist_is_a_connect_error(backend: View) -> None:
    with raises(http.ConnectError, "does-not-exist.invalid"):
        await api.get("http://does-not-exist.invalid/")


@book.case
async def every_error_class_is_in_the_namespace(backend: View) -> None:
    for name in (
        "ClientError", "ConnectError", "ConnectTimeout", "TlsError", "PoolTimeout", "ReadError", "ReadTimeout",
        "TotalTimeout", "WriteError", "WriteTimeout", "HttpStatusError", "HttpError",
    ):  # fmt: skip
        assert issubclass(getattr(http, name), Exception), name


# ---- what an answer tells of its call


@book.case
async def an_answer_tells_where_it_came_from(backend: View) -> None:
    answer = await api.get("/redirect/1")
    same((answer.url, answer.http_version), (backend.url("/echo"), "1.1"))
    same((await api.get("/echo", params={"a": "b"})).url, backend.url("/echo?a=b"))


@book.case
async def an_answer_tells_how_long_its_phases_took(backend: View) -> None:
    async with http.Client(base_url=backend.url()) as client:
        first, second = await client.get("/delay/50"), await client.get("/delay/50")
    for answer in (first, second):
        assert all(value >= 0 for value in answer.timings.values()), answer.timings
        assert 50 <= max(answer.timings.values()) < 1000, answer.timings
    assert first.timings.keys() >= {"connect"}, first.timings


@book.case
async def the_rest_of_a_stream_can_be_read_at_once(backend: View) -> None:
    answer = await api.get("/chunked/5", stream=True)
    same(await answer.read(), b"y" * 25)
    async with await api.get("/chunked/5", stream=True) as answer:
        same(answer.status, 200)
    same((await api.get("/status/200")).status, 200)


@book.case
async def an_answer_that_is_whole_can_be_streamed_too(backend: View) -> None:
    answer = await api.get("/bytes/10")
    same(b"".join([piece async for piece in answer.stream()]), b"x" * 10)


@book.case
async def a_call_is_awaited_once(backend: View) -> None:
    call = api.get("/status/200")
    same((await call).status, 200)
    with raises(RuntimeError, ""):
        await call


@book.case
async def calls_are_awaitables_for_asyncio(backend: View) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in (api.get("/status/200"), api.get("/status/404"))]
    same([task.result().status for task in tasks], [200, 404])
    same((await asyncio.wait_for(api.get("/status/200"), 5)).status, 200)
    done, _ = await asyncio.wait([asyncio.ensure_future(api.get("/status/200"))])
    same(done.pop().result().status, 200)
    same((await asyncio.shield(api.get("/status/200"))).status, 200)


@book.case
async def an_answer_can_be_given_on(backend: View) -> None:
    """A proxy in one line: the answer of a call is what a handler may return."""
    answer = await api.get("/cookie")
    made = http.Response(answer.status, headers={"x-many": answer.header_list("x-many")}, body=answer.body)
    same(made.header_list("x-many"), ["1", "2"])
