"""What http.Client sends: URLs, methods, content, fields."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from siphon import http

from tests.client.scripts.casebook import Casebook, View, echoed, raises, same

api = http.Client("api")
based = http.Client("based")

book = Casebook(http)


# ---- URLs


@book.cases(
    ("things", "/echo/v1/things"),
    ("/things", "/echo/v1/things"),
    ("things/", "/echo/v1/things/"),
    ("/things?a=1", "/echo/v1/things?a=1"),
    ("/a%20b", "/echo/v1/a%20b"),
    ("/a b", "/echo/v1/a%20b"),
    ("/ä", "/echo/v1/%C3%A4"),
    ("/a?x=ä&y=1+1", "/echo/v1/a?x=%C3%A4&y=1+1"),
    ("/a#b", "/echo/v1/a%23b"),  # a user part of a SIP URI may have one
)
async def a_path_is_joined_onto_the_base(backend: View, path: str, target: str) -> None:
    same((await echoed(based.get(path)))["target"], target)


@book.case
async def an_absolute_url_replaces_the_base(backend: View) -> None:
    seen = await echoed(based.get(backend.url("/echo/x", host="localhost")))
    same((seen["target"], seen["headers"]["host"]), ("/echo/x", f"localhost:{backend.ports['plain']}"))


@book.cases(
    ({"a": "1", "b": "x y"}, "?a=1&b=x+y", "?a=1&b=x%20y"),
    ({"a": ["1", "2"]}, "?a=1&a=2", "?a=1&a=2"),
    ([("a", "1"), ("a", "2")], "?a=1&a=2", "?a=1&a=2"),
    ({"a": 1, "b": True, "c": 1.5}, "?a=1&b=true&c=1.5", "?a=1&b=True&c=1.5"),
    ({"a": "ä&=#+"}, "?a=%C3%A4%26%3D%23%2B", "?a=%C3%A4%26%3D%23%2B"),
    ({}, "", ""),
)
async def params_become_the_query(backend: View, params: Any, one: str, other: str) -> None:
    target = (await echoed(api.get("/echo", params=params)))["target"]
    assert target in (f"/echo{one}", f"/echo{other}"), target


@book.case
async def params_are_added_to_the_query_of_the_path(backend: View) -> None:
    same((await echoed(api.get("/echo?a=1", params={"b": "2"})))["target"], "/echo?a=1&b=2")


@book.cases("http://", "http://[::1", "http://a b/", "ftp://a.example/", "//a.example/x", "http://127.0.0.1:99999/")
async def what_is_no_url_is_an_error(backend: View, url: str) -> None:
    with raises(http.ClientError, ""):
        await http.Client().get(url)


@book.case
async def a_relative_path_needs_a_base(backend: View) -> None:
    with raises(http.ClientError, "base_url"):
        await http.Client().get("/echo")


@book.cases("/a\r\nx: 1", "/a\0b")
async def a_target_cannot_break_the_request(backend: View, path: str) -> None:
    try:
        target = (await echoed(api.get("/echo" + path)))["target"]
    except http.ClientError:
        return
    assert target in ("/echo/a%0D%0Ax:%201", "/echo/a%00b"), target


# ---- methods and content


@book.cases("get", "options", "post", "put", "patch", "delete")
async def every_method_is_sent(backend: View, method: str) -> None:
    same((await echoed(getattr(api, method)("/echo")))["method"], method.upper())


@book.case
async def head_has_no_content(backend: View) -> None:
    answer = await api.head("/bytes/1000")
    same((answer.status, answer.body, answer.headers["content-length"]), (200, b"", "1000"))
    same((await api.get("/bytes/3")).body, b"xxx")


@book.cases("PURGE", "get", "M-SEARCH")
async def any_method_can_be_asked_for(backend: View, method: str) -> None:
    same((await echoed(api.request(method, "/echo")))["method"], method.upper())


@book.cases("", "GET /", "GE\nT", "GÄT")
async def what_is_no_method_is_refused(backend: View, method: str) -> None:
    try:
        await api.request(method, "/echo")
    except (http.ClientError, ValueError, TypeError):
        return
    raise AssertionError("it was sent")


@book.case
async def content_is_bytes_text_or_a_buffer(backend: View) -> None:
    for body, sent in (
        (b"\x00\xff", "\x00\xff"),
        ("ä", "\xc3\xa4"),
        (bytearray(b"ab"), "ab"),
        (memoryview(b"ab"), "ab"),
        (b"", ""),
    ):
        seen = await echoed(api.post("/echo", body=body))
        same((seen["body"], seen["headers"]["content-length"]), (sent, str(len(sent))))


@book.case
async def a_post_without_content_says_so(backend: View) -> None:
    same((await echoed(api.post("/echo")))["headers"].get("content-length"), "0")
    assert "content-length" not in (await echoed(api.get("/echo")))["headers"]


@book.case
async def json_is_sent_as_json(backend: View) -> None:
    seen = await echoed(api.post("/echo", json={"a": [1, "ä"]}))
    same(json.loads(seen["body"].encode("latin-1")), {"a": [1, "ä"]})
    same(seen["headers"]["content-type"], "application/json")
    same((await echoed(api.post("/echo", json=None)))["body"], "null")
    own = {"Content-Type": "application/merge-patch+json"}
    same((await echoed(api.patch("/echo", json={}, headers=own)))["headers"]["content-type"], own["Content-Type"])


@book.case
async def json_and_body_exclude_each_other(backend: View) -> None:
    with raises(TypeError, "not both"):
        await api.post("/echo", json=1, body=b"x")


@book.cases(({"a": 1},), 1, 1.5, True)
async def what_is_no_content_is_refused(backend: View, body: Any) -> None:
    with raises(TypeError, "body"):
        await api.post("/echo", body=body)


@book.case
async def content_can_be_streamed_up(backend: View) -> None:
    async def slowly() -> Any:
        for i in range(3):
            await asyncio.sleep(0.001)  # each piece in a turn of its own
            yield b"%d," % i

    seen = await echoed(api.post("/echo", body=slowly()))
    same((seen["body"], seen["headers"].get("transfer-encoding")), ("0,1,2,", "chunked"))
    same((await echoed(api.post("/echo", body=iter([b"a", b"", b"b"]))))["body"], "ab")


@book.case
async def streamed_content_of_a_known_length_is_sent_with_it(backend: View) -> None:
    seen = await echoed(api.post("/echo", body=iter([b"ab", b"cd"]), headers={"content-length": "4"}))
    same(
        (seen["body"], seen["headers"].get("content-length"), seen["headers"].get("transfer-encoding")),
        ("abcd", "4", None),
    )


@book.cases("3", "5")
async def a_wrong_length_never_reaches_the_next_request(backend: View, length: str) -> None:
    try:
        await api.post("/echo", body=iter([b"ab", b"cd"]), headers={"content-length": length}, timeout_ms=1000)
    except (http.ClientError, ValueError):
        pass
    else:
        raise AssertionError("it was taken")
    same((await api.get("/status/200")).status, 200)


@book.case
async def an_iterator_that_raises_fails_the_call_with_its_error(backend: View) -> None:
    async def broken() -> Any:
        yield b"a"
        raise KeyError("mine")

    with raises(KeyError, "mine"):
        await api.post("/echo", body=broken())
    same((await api.get("/status/200")).status, 200)


@book.case
async def large_content_goes_up_and_down(backend: View) -> None:
    body = bytes(range(256)) * 16384
    same(json.loads((await api.post("/sink", body=body)).body), {"size": len(body)})
    same(len((await api.get("/bytes/4194304")).body), 4194304)


# ---- fields


@book.case
async def header_fields_are_sent(backend: View) -> None:
    seen = await echoed(api.get("/echo", headers={"X-One": "1", "X-Many": ["a", "b"]}))
    same(
        [pair for pair in seen["fields"] if pair[0].startswith("x-")],
        [["x-one", "1"], ["x-many", "a"], ["x-many", "b"]],
    )
    seen = await echoed(api.get("/echo", headers=[("x", "1"), ("x", "2")]))
    same([value for name, value in seen["fields"] if name == "x"], ["1", "2"])


@book.case
async def the_usual_fields_are_there_once(backend: View) -> None:
    seen = await echoed(api.get("/echo"))
    names = [name for name, _ in seen["fields"]]
    same(len(names), len(set(names)))
    same(seen["headers"]["host"], f"127.0.0.1:{backend.ports['plain']}")
    same(seen["headers"]["accept-encoding"], "gzip, deflate")
    assert "cookie" not in seen["headers"]


@book.case
async def the_callers_fields_win(backend: View) -> None:
    own = {"Host": "other.example", "Accept-Encoding": "identity", "Accept": "text/plain", "User-Agent": "mine"}
    seen = await echoed(api.get("/echo", headers=own))
    for name, value in own.items():
        same([v for n, v in seen["fields"] if n == name.lower()], [value])


@book.cases({"x": "a\r\nb: c"}, {"x": "a\nb"}, {"x\r\n": "a"}, {"x y": "a"}, {"": "a"}, {"x": "a\0"}, {"x:": "a"})
async def a_field_cannot_break_the_request(backend: View, headers: dict[str, str]) -> None:
    try:
        await api.get("/echo", headers=headers)
    except (http.ClientError, ValueError):
        same(await backend.seen(), [])
        return
    raise AssertionError("it was sent")


@book.cases({"x": 1}, {"x": None}, {1: "x"}, {"x": b"1"}, "x: 1", 5)
async def what_is_no_field_is_a_type_error(backend: View, headers: Any) -> None:
    with raises(TypeError, ""):
        await api.get("/echo", headers=headers)


@book.cases("connection", "transfer-encoding", "upgrade", "te")
async def fields_of_the_connection_do_no_harm(backend: View, name: str) -> None:
    value = {"connection": "close", "transfer-encoding": "chunked", "upgrade": "h2c", "te": "trailers"}[name]
    try:
        await api.post("/echo", body=b"abc", headers={name: value})
    except (http.ClientError, ValueError):
        pass
    same(json.loads((await api.post("/echo", body=b"next")).body)["body"], "next")
