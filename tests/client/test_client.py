"""http.Client against a backend: what is sent, what comes back, and errors that say what went wrong."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siphon_http._core import request_id as request_ids
from siphon_http._core.message import Response
from siphon_http.errors import (
    ClientError,
    ConnectError,
    HttpStatusError,
    ReadError,
    TlsError,
    TotalTimeout,
)
from tests.client.same_loop import clients_for, running, the_pool
from tests.stage import until

# ---- what is sent


async def test_a_request_has_what_the_script_gave() -> None:
    async with running() as (backend, api):
        answer = await api.get("/a b/ü?x=1#2", params={"q": ["1", "é"], "n": None, "t": True}, headers={"X-A": "1"})
        seen = backend.requests[0]
        assert (seen.method, seen.target) == ("GET", "/a%20b/%C3%BC?x=1%232&q=1&q=%C3%A9&t=true")
        assert seen.headers["x-a"] == "1" and seen.headers["host"] == f"localhost:{backend.port}"
        assert seen.headers["accept"] == "*/*" and seen.headers["accept-encoding"] == "gzip, deflate"
        assert seen.headers["user-agent"].startswith("siphon-http/")
        assert type(answer) is Response and answer.status == 200 and answer.url == f"{backend.url}{seen.target}"
        assert answer.http_version == "1.1"


@pytest.mark.parametrize("method", ["get", "head", "options", "post", "put", "patch", "delete"])
async def test_every_method_is_sent(method: str) -> None:
    async with running() as (backend, api):
        answer = await getattr(api, method)("/x")
        assert backend.requests[0].method == method.upper()
        assert answer.text == ("" if method == "head" else f"{method.upper()} /x")


async def test_any_other_method_goes_through_request() -> None:
    async with running() as (_backend, api):
        assert (await api.request("purge", "/x")).text == "PURGE /x"
        with pytest.raises(ClientError, match="not a token"):
            await api.request("a b", "/x")
        with pytest.raises(ClientError, match="own business"):
            await api.request("CONNECT", "/x")


async def test_bodies_of_every_kind() -> None:
    async def pieces() -> Any:
        yield b"ab"
        await asyncio.sleep(0)
        yield bytearray(b"cd")

    async with running() as (backend, api):
        for body, sent in (
            (b"abc", b"abc"),
            ("ü", "ü".encode()),
            (bytearray(b"x"), b"x"),
            (memoryview(b"y"), b"y"),
            ([b"1", b"", b"23"], b"123"),
            (pieces(), b"abcd"),
            (b"x" * 500_000, b"x" * 500_000),
            ((b"y" * 50_000 for _ in range(20)), b"y" * 1_000_000),
        ):
            assert (await api.post("/echo", body=body)).body == sent
        assert (await api.post("/echo", json={"a": "ü", "b": None})).body == '{"a":"ü","b":null}'.encode()
        assert backend.requests[-1].headers["content-type"] == "application/json"
        assert (await api.post("/echo", json=None, headers={"Content-Type": "x/y"})).body == b"null"
        assert backend.requests[-1].headers["content-type"] == "x/y"
        assert backend.connections == 1


async def test_a_declared_length_takes_the_place_of_chunks() -> None:
    async with running() as (backend, api):
        await api.put("/echo", body=[b"ab", b"c"], headers={"content-length": "3"})
        assert backend.requests[0].headers["content-length"] == "3"
        with pytest.raises(ClientError, match="fewer bytes than its content-length"):
            await api.put("/echo", body=[b"ab"], headers={"content-length": "3"})
        with pytest.raises(ClientError, match="content-length is 9, but the body has 1 bytes"):
            await api.put("/echo", body=b"a", headers={"content-length": "9"})
        assert (await api.get("/after")).status == 200


async def test_fields_of_a_connection_are_not_passed_on() -> None:
    async with running() as (backend, api):
        await api.get("/", headers={"Connection": "close", "Keep-Alive": "x", "TE": "trailers", "Upgrade": "h2c"})
        assert not {"connection", "keep-alive", "te", "upgrade"} & backend.requests[0].headers.keys()
        await api.get("/", headers=[("x-a", "1"), ("Host", "other"), ("User-Agent", "me"), ("X-B", ["2", "3"])])
        assert backend.requests[1].headers["host"] == "other" and backend.requests[1].headers["user-agent"] == "me"


@pytest.mark.parametrize(
    "more, text",
    [
        ({"headers": {"x": "a\r\nb: c"}}, "control character"),
        ({"headers": {"x y": "a"}}, "not a token"),
        ({"headers": {"x": "€"}}, "beyond latin-1"),
        ({"path": "/a\nb"}, "control character"),
        ({"path": "http://user:pw@localhost/"}, "credentials"),
        ({"path": "ftp://localhost/"}, "no http:// or https:// URL"),
        ({"path": "http:///x"}, "has no host"),
        ({"path": "http://a:99999/"}, "port"),
        ({"path": "http://::1/"}, "brackets"),
        ({"headers": {"host": "a b"}}, "one authority"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is(more: dict[str, Any], text: str) -> None:
    async with running() as (backend, api):
        with pytest.raises(ClientError, match=text) as caught:
            await api.get(**{"path": "/", **more})
        assert "pw" not in str(caught.value) and backend.connections == 0


@pytest.mark.parametrize(
    "more", [{"path": 5}, {"params": 5}, {"params": {"a": object()}}, {"headers": {"a": 1}}, {"headers": ["a"]}]
)
async def test_what_is_of_another_type_is_a_type_error(more: dict[str, Any]) -> None:
    async with running() as (_, api):
        with pytest.raises(TypeError):
            await api.get(**{"path": "/", **more})


@pytest.mark.parametrize("body", [5, {"a": 1}, object()])
async def test_a_body_of_another_type_is_a_type_error(body: Any) -> None:
    async with running() as (_, api):
        with pytest.raises(TypeError, match="a body is"):
            await api.post("/", body=body)
        with pytest.raises(TypeError, match="not both"):
            await api.post("/", body=b"x", json=1)


async def test_an_iterator_that_raises_ends_the_call_with_that() -> None:
    def pieces() -> Any:
        yield b"a"
        raise KeyError("mine")

    async with running() as (_, api):
        with pytest.raises(KeyError, match="mine"):
            await api.post("/echo", body=pieces())
        with pytest.raises(TypeError, match="pieces"):
            await api.post("/echo", body=["text"])
        assert (await api.get("/after")).status == 200


# ---- what comes back


async def test_an_answer_has_its_fields_when_they_are_asked_for() -> None:
    async with running() as (backend, api):
        backend.plain["/f"] = lambda _: (
            b"HTTP/1.1 200 OK\r\nX-One:  a \r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nx-one: b\r\ncontent-length: 2\r\n\r\n{}"
        )
        answer = await api.get("/f")
        assert answer.header("X-ONE") == "a, b" and answer.header_list("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["content-length"] == "2" and answer.header("none") is None
        assert list(answer.headers) == ["x-one", "set-cookie", "content-length"] and answer.json() == {}
        answer.headers["x-one"] = "c"
        assert answer.header("x-one") == "c"


async def test_timings_name_the_phases() -> None:
    async with running() as (_, api):
        first, second = await api.get("/"), await api.get("/sleep/30")
        assert {"total", "pool", "dns", "connect", "tls", "wait", "read"} == first.timings.keys()
        assert {"total", "pool", "wait", "read"} == second.timings.keys()
        assert 25 < second.timings["wait"] <= second.timings["total"] < 1000
        assert Response().timings == {} and Response().url is None and Response().http_version is None


async def test_raise_for_status_tells_status_and_body() -> None:
    async with running() as (_, api):
        assert (await api.get("/")).raise_for_status().status == 200
        with pytest.raises(HttpStatusError, match="HTTP 503 response: b'status'"):
            (await api.get("/status/503")).raise_for_status()


async def test_gzip_is_taken_off_and_so_are_the_fields_that_spoke_of_it() -> None:
    async with running(max_response_bytes=100_000) as (_, api):
        answer = await api.get("/gzip/5000")
        assert answer.body == b"z" * 5000
        assert "content-encoding" not in answer.headers and "content-length" not in answer.headers
        for path, text in (("/gzip/100001", "decodes to more than 100000"), ("/badgzip", "damaged")):
            with pytest.raises(ReadError, match=text):
                await api.get(path)
        assert (await api.get("/after")).status == 200


async def test_a_large_answer_is_a_read_error() -> None:
    async with running(max_response_bytes=50_000) as (backend, api):
        with pytest.raises(ReadError, match="more than 50000 bytes"):
            await api.get("/pieces/100")
        assert (await api.get("/pieces/48")).body[-1] == 47
        assert backend.connections == 2


# ---- redirects


async def test_redirects_are_followed_by_their_rules() -> None:
    async with running() as (backend, api):
        answer = await api.get("/to/302/to/301/end", headers={"x-a": "1"})
        assert answer.text == "GET /end" and answer.url == f"{backend.url}/end"
        assert backend.requests[-1].headers["x-a"] == "1" and backend.connections == 1
        assert (await api.post("/to/303/end", body=b"x")).text == "GET /end"
        assert (await api.post("/to/307/echo", body=b"again")).text == "again"
        assert (await api.post("/to/308/echo", json={"a": 1})).text == '{"a":1}'
        assert backend.requests[-1].headers["content-type"] == "application/json"
        assert (await api.get("/to/302/x", follow_redirects=0)).status == 302
        assert (await api.get("/to/302/x", follow_redirects=False)).status == 302
        with pytest.raises(ReadError, match="more than 1 redirects"):
            await api.get("/to/302/to/302/x", follow_redirects=1)
        assert (await api.post("/to/307/x", body=iter([b"a"]))).status == 307, "its body cannot be sent again"


async def test_credentials_stay_behind_when_a_redirect_leaves_the_origin() -> None:
    async with running() as (other, _), running() as (backend, api):
        backend.plain["/away"] = lambda _: (
            f"HTTP/1.1 302 X\r\nlocation: {other.url}/there\r\ncontent-length: 0\r\n\r\n".encode()
        )
        answer = await api.get("/away", headers={"authorization": "secret", "x-a": "1"})
        assert answer.url == f"{other.url}/there"
        assert "authorization" not in other.requests[0].headers and other.requests[0].headers["x-a"] == "1"


async def test_the_time_runs_over_all_redirects() -> None:
    async with running() as (_, api):
        with pytest.raises(TotalTimeout):
            await api.get("/to/302/sleep/500", timeout_ms=80)


# ---- errors


async def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    async with running() as (backend, api):
        await backend.stop()
        with pytest.raises(ConnectError, match=r"GET http://localhost:\d+/x: .*refused") as caught:
            await api.get("/x")
        assert (
            caught.value.phase == "connect" and caught.value.method == "GET" and isinstance(caught.value, RuntimeError)
        )


@pytest.mark.parametrize(
    "path, text",
    [("cut", "before the end"), ("close", "before it answered"), ("junk", "status line"), ("reset", "answered")],
)
async def test_a_broken_answer_is_a_read_error(path: str, text: str) -> None:
    async with running() as (_, api):
        with pytest.raises(ReadError, match=text):
            await api.get(f"/{path}?token=secret")
        with pytest.raises(ReadError) as caught:
            await api.get(f"/{path}?token=secret")
        assert "secret" not in str(caught.value)
        assert (await api.get("/after")).status == 200


async def test_tls_where_none_is_spoken_is_a_tls_error() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, clients_for()(base_url=f"https://localhost:{server.sockets[0].getsockname()[1]}") as inline:
        with pytest.raises(TlsError, match="speaks no TLS on this port"):
            await inline.get("/")


# ---- handles


async def test_handles_of_one_name_share_connections_and_close_none() -> None:
    async with running() as (backend, api):
        for _ in range(5):
            async with type(api)("api") as other:
                assert (await other.get("/")).status == 200
        await other.close()
        assert (await other.get("/")).status == 200
        assert backend.connections == 1


async def test_an_inline_client_closes_its_connections_and_can_be_used_again() -> None:
    async with running() as (backend, _):
        async with clients_for()(base_url=backend.url) as inline:
            await inline.get("/")
        await until(lambda: not backend.open)
        assert (await inline.get("/")).status == 200
        await inline.close()


async def test_the_base_url_is_joined_as_documented() -> None:
    async with running() as (backend, _):
        made = clients_for()
        for base, path, target in (
            ("/v1", "x", "/v1/x"),
            ("/v1/", "/x", "/v1/x"),
            ("/v1", "", "/v1"),
            ("/v1", "?a=1", "/v1?a=1"),
            ("", "x/", "/x/"),
            ("", "", "/"),
        ):
            async with made(base_url=backend.url + base) as inline:
                await inline.get(path)
            assert backend.requests[-1].target == target
        async with made() as bare:
            assert (await bare.get(f"{backend.url}/y")).status == 200
            with pytest.raises(ClientError, match="no base_url"):
                await bare.get("/y")


async def test_a_wrong_configuration_is_refused_where_the_client_is_made() -> None:
    made = clients_for()
    for arguments, text in (
        ({"bse_url": "x"}, "did you mean `base_url`"),
        ({"base_url": "x"}, "base_url"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"verify": "/does/not/exist.pem"}, "does not exist"),
        ({"cert": ("a", "b", "c")}, "pair"),
    ):
        with pytest.raises(ClientError, match=text):
            made(**arguments)
    with pytest.raises(ClientError, match="no client named 'x'"):
        made("x")
    with pytest.raises(TypeError, match=r"configured in http\.yaml"):
        clients_for(api=_config())("api", timeout_ms=5)


def _config() -> Any:
    from siphon_http.config import ClientConfig

    return ClientConfig()


# ---- the coroutine


async def test_a_call_is_a_coroutine_like_any_other() -> None:
    async with running() as (_, api):
        call = api.get("/")
        assert asyncio.iscoroutine(call)
        task = asyncio.create_task(call)
        assert (await task).status == 200
        answers = await asyncio.gather(api.get("/1"), api.get("/2"))
        assert [answer.text for answer in answers] == ["GET /1", "GET /2"]
        assert (await asyncio.wait_for(api.get("/3"), 5)).text == "GET /3"
        async with asyncio.TaskGroup() as group:
            one = group.create_task(api.get("/4"))
        assert one.result().text == "GET /4"
        with pytest.raises(RuntimeError, match="already awaited"):
            await call


def test_a_call_that_is_never_awaited_is_warned_of() -> None:
    made = clients_for(api=_config())
    with pytest.warns(RuntimeWarning, match="GET /x.* was never awaited"):
        made("api").get("/x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made("api").get("/x").close()


def test_one_client_serves_one_loop_after_the_other() -> None:
    async def ask(backend_and_api: Any = None) -> None:
        async with running() as (backend, _):
            assert (await api.get(f"{backend.url}/")).status == 200

    made = clients_for(api=_config())
    api = made("api")
    for _ in range(3):
        asyncio.run(ask())
        asyncio.run(made._clients.close())


async def test_a_call_outside_a_loop_says_so() -> None:
    made = clients_for(api=_config())
    call = made("api").get("http://localhost/")
    with pytest.raises(ClientError, match="needs a running event loop"):
        await asyncio.to_thread(call.send, None)


async def test_closing_leaves_nothing_behind() -> None:
    async with running() as (backend, api):
        await asyncio.gather(*[api.get("/") for _ in range(20)])
        pool = the_pool(api)
        assert pool.open_connections == backend.connections
        await api._clients.close()
        assert not pool.tasks
        while pool.open_connections:
            await asyncio.sleep(0.001)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not [task for task in others if "connect" in repr(task.get_coro())]


@pytest.mark.parametrize("wanted", [-1, 51, "5", 2.5, 10**30, [1]])
async def test_a_number_of_redirects_that_is_none_is_refused(wanted: Any) -> None:
    async with running() as (backend, api):
        with pytest.raises(ValueError, match="follow_redirects is True, False, or how many, from 0 to 50"):
            await api.get("/to/302/x", follow_redirects=wanted)
        assert not backend.requests


async def test_true_follows_redirects_where_the_client_does_not() -> None:
    async with running(follow_redirects=0) as (_, api):
        assert (await api.get("/to/302/x")).status == 302
        assert (await api.get("/to/302/x", follow_redirects=True)).status == 200


async def test_fields_given_as_an_iterator_are_sent_to_where_a_redirect_leads_too() -> None:
    async with running() as (backend, api):
        await api.get("/to/307/x", headers=iter([("x-mine", "1")]))
        assert [seen.headers["x-mine"] for seen in backend.requests] == ["1", "1"]
        for wrong in ("x: y", b"x", 5):
            with pytest.raises(TypeError, match="headers are a dict or a list of pairs"):
                await api.get("/", headers=wrong)


async def test_the_iterator_of_a_body_runs_in_the_context_of_its_caller_and_is_closed() -> None:
    name: contextvars.ContextVar[int] = contextvars.ContextVar("name")
    seen: list[tuple[int, int]] = []
    closed: list[int] = []

    async def ask(api: Any, number: int) -> None:
        async def body() -> AsyncIterator[bytes]:
            try:
                while True:
                    seen.append((number, name.get()))
                    yield b"x" * 100_000
            finally:
                closed.append(number)

        name.set(number)
        assert (await api.post("/early", body=body())).status == 413

    async with running(max_connections=1) as (_, api):
        await asyncio.gather(*[asyncio.create_task(ask(api, number)) for number in range(4)])
    assert {mine for mine, _ in seen} == {0, 1, 2, 3} and all(mine == other for mine, other in seen)
    assert sorted(closed) == [0, 1, 2, 3]


async def test_the_id_of_a_request_goes_with_a_redirect_whoever_opened_the_connection() -> None:
    async def ask(api: Any, request_id: str) -> None:
        request_ids.CURRENT.set(request_id)
        await api.get(f"/to/302/{request_id}")

    async with running(max_connections=1) as (backend, api):
        await asyncio.gather(*[asyncio.create_task(ask(api, f"id{number}")) for number in range(3)])
        told = [(seen.target.rpartition("/")[2], seen.headers["x-request-id"]) for seen in backend.requests]
        assert len(told) == 6 and all(mine == sent for mine, sent in told)


async def test_a_status_error_names_the_request() -> None:
    async with running() as (backend, api):
        answer = await api.delete("/status/503?key=secret")
        with pytest.raises(HttpStatusError) as caught:
            answer.raise_for_status()
        error = caught.value
        assert (error.method, error.url, error.phase) == ("DELETE", f"{backend.url}/status/503?...", "status")


async def test_inline_clients_that_are_dropped_leave_nothing_behind() -> None:
    async with running() as (backend, api):
        clients = type(api)._clients

        async def use(close: bool) -> weakref.ref[Any]:
            inline = type(api)(base_url=backend.url, idle_timeout_ms=20)
            assert (await inline.get("/")).status == 200
            if close:
                await inline.close()
            (transport,) = clients._inline
            return weakref.ref(transport)

        for close in (True, False):
            transport = await use(close)
            await until(lambda transport=transport: gc.collect() >= 0 and transport() is None)  # type: ignore[misc]
            assert not list(clients._inline)
