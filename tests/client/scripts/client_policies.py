"""Redirects, retries, codings, limits and proxies of a client."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

from siphon import http

from tests.client.scripts.casebook import Casebook, View, raises, same

api = http.Client("api")
patient = http.Client("patient")  # retries: 2, short waits
wide = http.Client("wide")  # retries POST too, after 500

book = Casebook(http)


# ---- redirects


@book.cases(301, 302, 303, 307, 308)
async def redirects_are_followed(backend: View, status: int) -> None:
    answer = await api.get(f"/redirect/3?status={status}")
    same((answer.status, answer.json()["target"]), (200, "/echo"))


@book.cases(
    (301, "POST", "GET", ""),
    (302, "POST", "GET", ""),
    (303, "POST", "GET", ""),
    (303, "PUT", "GET", ""),
    (303, "HEAD", "HEAD", ""),
    (301, "PUT", "PUT", "abc"),
    (307, "POST", "POST", "abc"),
    (308, "PATCH", "PATCH", "abc"),
)
async def methods_and_content_follow_the_rules(backend: View, status: int, method: str, then: str, body: str) -> None:
    content = None if method == "HEAD" else b"abc"
    await api.request(method, f"/redirect/1?status={status}", body=content, headers={"content-type": "text/x"})
    last = (await backend.seen())[-1]
    same((last["target"], last["method"], last["body"]), ("/echo", then, body))
    fields = dict(last["fields"])
    same("content-type" in fields, method == "HEAD" or bool(body))


@book.case
async def ten_redirects_are_followed_and_no_more(backend: View) -> None:
    same((await api.get("/redirect/10")).status, 200)
    with raises(http.ReadError, "more than 10 redirects"):
        await api.get("/redirect/11")
    same((await api.get("/status/200")).status, 200)


@book.cases(0, False)
async def redirects_can_be_returned(backend: View, limit: Any) -> None:
    answer = await api.get("/redirect/1", follow_redirects=limit)
    same((answer.status, answer.header("location"), answer.body), (302, "/echo", b"moved"))


@book.case
async def a_limit_of_the_call_wins(backend: View) -> None:
    same((await api.get("/redirect/2", follow_redirects=2)).status, 200)
    with raises(http.ReadError, "more than 1 redirect"):
        await api.get("/redirect/2", follow_redirects=1)


@book.case
async def credentials_stay_within_their_origin(backend: View) -> None:
    fields = {"Authorization": "Bearer x", "Cookie": "a=1", "X-Api-Key": "k", "X-Trace": "t"}
    elsewhere = backend.url("/echo", host="localhost")
    seen = dict((await api.get(f"/redirect_to?url={quote(elsewhere)}", headers=fields)).json()["fields"])
    same({name for name in ("authorization", "cookie", "x-api-key", "x-trace") if name in seen}, {"x-trace"})
    same(seen["host"], f"localhost:{backend.ports['plain']}")
    seen = dict((await api.get("/redirect/1", headers=fields)).json()["fields"])
    same(seen["authorization"], "Bearer x")


@book.case
async def https_never_leads_to_http(backend: View) -> None:
    secure = http.Client("secure")
    with raises(http.ReadError, "in clear"):
        await secure.get(f"/redirect_to?url={quote(backend.url('/echo'))}")
    same([seen["target"] for seen in await backend.seen() if seen["kind"] == "plain"], [])


@book.cases("ftp://x/", "file:///etc/passwd", "http://[::1/", "javascript:1")
async def a_redirect_to_elsewhere_is_an_error(backend: View, url: str) -> None:
    with raises(http.ReadError, "redirect to"):
        await api.get(f"/redirect_to?url={quote(url)}")


@book.case
async def streamed_content_is_not_sent_twice(backend: View) -> None:
    answer = await api.post("/redirect/1?status=307", body=iter([b"abc"]))
    same((answer.status, answer.header("location")), (307, "/echo"))
    same((await api.post("/redirect/1?status=303", body=iter([b"abc"]))).json()["method"], "GET")


# ---- retries


@book.cases(503, 429, 502, 504, "close", "reset")
async def a_passing_trouble_is_retried(backend: View, status: object) -> None:
    same((await patient.get(f"/flaky/a/2?status={status}")).json()["asked"], 3)


@book.case
async def retries_end(backend: View) -> None:
    answer = await patient.get("/flaky/b/3")
    same((answer.status, answer.body), (503, b"again"))
    same((await backend.told())["asked"]["b"], 3)


@book.cases("close", "reset")
async def the_last_error_is_raised(backend: View, how: str) -> None:
    await patient.get("/bye")  # a used connection's end would be a replay, and no retry
    with raises(http.ReadError, ""):
        await patient.get(f"/flaky/c/9?status={how}")
    same((await backend.told())["asked"]["c"], 3)


@book.cases("PUT", "DELETE", "HEAD", "OPTIONS")
async def idempotent_methods_are_retried(backend: View, method: str) -> None:
    await patient.request(method, "/flaky/d/1")
    same((await backend.told())["asked"]["d"], 2)


@book.cases(("POST", "503"), ("PATCH", "503"), ("POST", "close"))
async def other_methods_are_sent_once(backend: View, method: str, status: str) -> None:
    try:
        same((await patient.request(method, f"/flaky/e/1?status={status}", body=b"x")).status, 503)
    except http.ReadError:
        same(status, "close")
    same((await backend.told())["asked"]["e"], 1)


@book.case
async def statuses_and_methods_can_be_chosen(backend: View) -> None:
    same((await wide.post("/flaky/f/1?status=500", body=b"again")).json(), {"asked": 2, "body": "again"})
    same((await wide.get("/flaky/g/1?status=503")).status, 503)


@book.case
async def nothing_is_retried_by_default(backend: View) -> None:
    same((await api.get("/flaky/h/1")).status, 503)


@book.case
async def content_is_sent_again_with_the_retry(backend: View) -> None:
    same((await patient.put("/flaky/i/2", body=b"abc")).json(), {"asked": 3, "body": "abc"})


@book.case
async def streamed_content_is_not_retried(backend: View) -> None:
    same((await patient.put("/flaky/j/1", body=iter([b"abc"]))).status, 503)
    same((await backend.told())["asked"]["j"], 1)


@book.case
async def retry_after_is_waited_for(backend: View) -> None:
    begun = time.monotonic()
    same((await patient.get("/flaky/k/1?status=503&retry-after=1")).json()["asked"], 2)
    assert 0.95 < time.monotonic() - begun < 1.6, time.monotonic() - begun
    same((await patient.get("/flaky/l/1?status=503&retry-after=3600")).status, 503)


@book.case
async def retries_stay_within_the_total(backend: View) -> None:
    begun = time.monotonic()
    answer = await patient.get("/flaky/m/1?status=503&retry-after=2", timeout_ms=500)
    same(answer.status, 503)
    assert time.monotonic() - begun < 0.5


@book.case
async def a_refused_connect_is_retried_and_told(backend: View) -> None:
    with raises(http.ConnectError, "refused"):
        await patient.post(backend.url("/", kind="refused"), body=b"x")


@book.case
async def retries_have_a_budget(backend: View) -> None:
    client = http.Client(base_url=backend.url(), retries={"backoff_ms": 1, "budget": 0, "budget_per_second": 5})
    await asyncio.gather(*(client.get(f"/flaky/n{i}/9") for i in range(40)))
    asked = sum(times for key, times in (await backend.told())["asked"].items() if key.startswith("n"))
    assert 40 + 5 <= asked <= 40 + 10, asked
    await client.close()


# ---- codings


@book.cases("gzip", "x-gzip", "deflate", "raw", "twice", "identity")
async def known_codings_are_taken_off(backend: View, name: str) -> None:
    answer = await api.get(f"/packed/{name}?size=100000")
    same(answer.body, b"z" * 100000)
    same((await api.get(f"/packed/{name}", stream=True)).status, 200)


@book.case
async def unknown_codings_are_left_as_they_are(backend: View) -> None:
    answer = await api.get("/packed/br")
    same((answer.body, answer.header("content-encoding")), (b"not decoded", "br"))


@book.case
async def the_fields_tell_what_the_content_is_now(backend: View) -> None:
    answer = await api.get("/packed/gzip?size=1000")
    length = answer.header("content-length")
    same((answer.header("content-encoding"), length in (None, "1000")), (None, True))


@book.case
async def empty_and_absent_content_has_no_coding(backend: View) -> None:
    same((await api.get("/empty_packed")).body, b"")
    same((await api.head("/packed/gzip")).body, b"")


@book.cases("cut", "junk", "tail")
async def damaged_content_is_a_read_error(backend: View, name: str) -> None:
    with raises(http.ReadError, "gzip"):
        await api.get(f"/packed/{name}")
    same((await api.get("/status/200")).status, 200)


@book.case
async def a_bomb_is_cut(backend: View) -> None:
    client = http.Client(base_url=backend.url(), max_response_bytes=1_000_000)
    with raises(http.ReadError, "max_response_bytes"):
        await client.get("/bomb/200")
    same((await client.get("/status/200")).status, 200)
    await client.close()


@book.case
async def packed_content_can_be_streamed(backend: View) -> None:
    answer = await api.get("/packed/gzip?size=300000", stream=True)
    same(b"".join([piece async for piece in answer.stream()]), b"z" * 300000)


# ---- proxies


def through(backend: View, kind: str, **settings: Any) -> Any:
    return http.Client(proxy=backend.url(kind=kind), verify=backend.path("ca.pem"), **settings)


@book.cases("proxy", "proxy_slow")
async def https_goes_through_a_tunnel(backend: View, kind: str) -> None:
    async with through(backend, kind) as client:
        seen = (await client.get(backend.url("/echo", kind="tls"))).json()
        same(seen["kind"], "tls")
        assert not any(name.startswith("proxy-") for name, _ in seen["fields"])
        same((await client.get(backend.url("/echo", kind="tls"))).json()["connection"], seen["connection"])
    same((await backend.told())["tunnels"], [[f"CONNECT 127.0.0.1:{backend.ports['tls']}", ""]])


@book.case
async def http_goes_to_the_proxy_in_absolute_form(backend: View) -> None:
    async with through(backend, "proxy") as client:
        url = backend.url("/echo?a=1")
        told = (await client.post(url, body=b"abc")).json()
        same(
            (told["proxied"], told["body"], told["headers"]["host"]),
            (url, "abc", f"127.0.0.1:{backend.ports['plain']}"),
        )


@book.case
async def credentials_go_to_the_proxy_only(backend: View) -> None:
    proxy = backend.url(kind="proxy_auth").replace("//", "//me:s3cret@")
    async with http.Client(proxy=proxy, verify=backend.path("ca.pem")) as client:
        fields = (await client.get(backend.url("/echo", kind="tls"))).json()["fields"]
        assert not any(name.startswith("proxy-") for name, _ in fields)
        same((await client.get(backend.url("/echo"))).status, 200)
        assert "s3cret" not in repr(client)


@book.cases(("proxy_auth", "407"), ("proxy_refuses", "403"), ("proxy_leaves", "closed"), ("proxy_talks", "after"))
async def a_proxy_that_does_not_work_is_a_connect_error(backend: View, kind: str, text: str) -> None:
    async with through(backend, kind) as client:
        with raises(http.ConnectError, text) as caught:
            await client.get(backend.url("/echo", kind="tls"))
        assert "proxy" in str(caught.error)


@book.case
async def a_proxy_that_is_not_there_is_a_connect_error(backend: View) -> None:
    async with http.Client(proxy=backend.url(kind="refused")) as client:
        with raises(http.ConnectError, "refused"):
            await client.get(backend.url("/echo"))


@book.cases("127.0.0.1", "127.0.0.0/8", "*")
async def exceptions_take_the_direct_way(backend: View, entry: str) -> None:
    async with through(backend, "proxy_refuses", no_proxy=[entry]) as client:
        same((await client.get(backend.url("/status/200"))).status, 200)
    same((await backend.told())["tunnels"], [])


@book.case
async def verification_is_on_within_a_tunnel(backend: View) -> None:
    async with through(backend, "proxy") as client:
        with raises(http.TlsError, "other.example"):
            await client.get(backend.url("/echo", kind="wrong_name"))


@book.cases("https://p:1", "socks5://p:1", "p:1")
async def a_proxy_that_is_not_http_is_refused(backend: View, url: str) -> None:
    with raises(http.ClientError, "proxy"):
        http.Client(proxy=url)
