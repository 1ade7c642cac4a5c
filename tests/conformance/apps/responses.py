"""Every rule on responses: what construction refuses, what goes out."""

from __future__ import annotations

import asyncio

from siphon import http

closed: list[str] = []


class Odd:
    """No body type."""


def pieces(*parts):
    yield from parts


async def apieces(*parts):
    for part in parts:
        await asyncio.sleep(0)
        yield part


def breaks(*parts):
    yield from parts
    raise ValueError("secret-detail")


async def abreaks(*parts):
    for part in parts:
        await asyncio.sleep(0)
        yield part
    raise ValueError("secret-detail")


def touched(**changes):
    res = http.Response(body=b"x")
    for name, value in changes.items():
        setattr(res, name, value)
    return res


def with_field(name, value, body=b"x"):
    res = http.Response(body=body)
    res.headers[name] = value
    return res


R = http.Response
BAD = {
    "status-0": lambda: R(0),
    "status-99": lambda: R(99),
    "status-1000": lambda: R(1000),
    "status-negative": lambda: R(-200),
    "status-str": lambda: R("abc"),
    "status-none": lambda: R(None),
    "status-huge": lambda: R(2**70),
    "name-empty": lambda: R(headers={"": "v"}),
    "name-space": lambda: R(headers={"a b": "v"}),
    "name-trailing-space": lambda: R(headers={"a ": "v"}),
    "name-colon": lambda: R(headers={"a:b": "v"}),
    "name-crlf": lambda: R(headers={"a\r\nb": "v"}),
    "name-lf": lambda: R(headers={"a\nb": "v"}),
    "name-nul": lambda: R(headers={"a\0b": "v"}),
    "name-non-ascii": lambda: R(headers={"ä": "v"}),
    "name-int": lambda: R(headers={5: "v"}),
    "value-crlf": lambda: R(headers={"x-a": "v\r\nx-evil: 1"}),
    "value-cr": lambda: R(headers={"x-a": "v\rw"}),
    "value-lf": lambda: R(headers={"x-a": "v\nw"}),
    "value-nul": lambda: R(headers={"x-a": "v\0w"}),
    "value-crlf-at-end": lambda: R(headers={"x-a": "v\r\n"}),
    "value-leading-lf": lambda: R(headers={"x-a": "\nv"}),
    "value-int": lambda: R(headers={"x-a": 5}),
    "value-none": lambda: R(headers={"x-a": None}),
    "value-list-bad": lambda: R(headers={"x-a": ["fine", "v\r\nx-evil: 1"]}),
    "value-list-int": lambda: R(headers={"x-a": ["fine", 5]}),
    "pairs-bad-value": lambda: R(headers=[("x-a", "v\r\nx-evil: 1")]),
    "pairs-bad-name": lambda: R(headers=[("x a", "v")]),
    "pairs-of-three": lambda: R(headers=[("a", "b", "c")]),
    "headers-int": lambda: R(headers=5),
    "headers-str": lambda: R(headers="a: b"),
    "body-int": lambda: R(body=5),
    "body-dict": lambda: R(body={"a": 1}),
    "body-object": lambda: R(body=Odd()),
    "body-float": lambda: R(body=1.5),
    "set-status": lambda: touched(status=1000),
    "set-status-str": lambda: touched(status="abc"),
    "set-header-crlf": lambda: with_field("x-a", "v\r\nx-evil: 1"),
    "set-header-name": lambda: with_field("x a", "v"),
    "set-header-int": lambda: with_field("x-a", 5),
    "set-default-crlf": lambda: R().headers.setdefault("x-a", "v\r\nx-evil: 1"),
    "update-crlf": lambda: R().headers.update({"x-a": "v\r\nx-evil: 1"}),
}

GOOD = {
    "empty": lambda: R(),
    "bytes": lambda: R(body=b"bytes"),
    "bytearray": lambda: R(body=bytearray(b"bytes")),
    "memoryview": lambda: R(body=memoryview(b"bytes")),
    "memoryview-slice": lambda: R(body=memoryview(b"xxbytesxx")[2:7]),
    "memoryview-strided": lambda: R(body=memoryview(b"b-y-t-e-s")[::2]),
    "str": lambda: R(body="grüße €"),
    "positional": lambda: R(201, {"x-a": "b"}, b"made"),
    "headers-list": lambda: R(headers={"x-a": ["1", "2"]}),
    "headers-pairs": lambda: R(headers=[("x-a", "1"), ("x-a", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    "header-empty-value": lambda: R(headers={"x-a": ""}),
    "header-latin1": lambda: R(headers={"x-a": "grüße"}),
    "header-live": lambda: with_field("x-a", "set"),
    "status-set": lambda: touched(status=202),
    "status-299": lambda: R(299, body=b"x"),
    "status-599": lambda: R(599, body=b"x"),
    "length-right": lambda: R(headers={"Content-Length": "5"}, body=b"bytes"),
    "length-small": lambda: R(headers={"Content-Length": "2"}, body=b"bytes"),
    "length-large": lambda: R(headers={"Content-Length": "50"}, body=b"bytes"),
    "length-junk": lambda: R(headers={"Content-Length": "abc"}, body=b"bytes"),
    "length-twice": lambda: R(headers=[("Content-Length", "5"), ("content-length", "5")], body=b"bytes"),
    "length-live": lambda: with_field("content-length", "2", b"bytes"),
    "te-chunked": lambda: R(headers={"Transfer-Encoding": "chunked"}, body=b"bytes"),
    "te-gzip": lambda: R(headers={"Transfer-Encoding": "gzip"}, body=b"bytes"),
    "te-stream": lambda: R(headers={"Transfer-Encoding": "chunked"}, body=pieces(b"by", b"tes")),
    "date-own": lambda: R(headers={"Date": "Mon, 01 Jan 2001 00:00:00 GMT"}, body=b"bytes"),
    "connection-close": lambda: R(headers={"Connection": "close"}, body=b"bytes"),
    "connection-keep-alive": lambda: R(headers={"Connection": "keep-alive"}, body=b"bytes"),
    "204": lambda: R(204),
    "204-body": lambda: R(204, body=b"bytes"),
    "204-length": lambda: R(204, headers={"Content-Length": "0"}),
    "204-stream": lambda: R(204, body=pieces(b"bytes")),
    "304": lambda: R(304, headers={"etag": '"x"'}),
    "304-body": lambda: R(304, body=b"bytes"),
    "205": lambda: R(205),
    "100": lambda: R(100),
    "101": lambda: R(101, headers={"upgrade": "x", "connection": "upgrade"}),
    "199": lambda: R(199),
    "sync-stream": lambda: R(body=pieces(b"by", b"tes")),
    "async-stream": lambda: R(body=apieces(b"by", b"tes")),
    "stream-empty-parts": lambda: R(body=apieces(b"", b"by", b"", b"tes", b"")),
    "stream-nothing": lambda: R(body=apieces()),
    "sync-stream-nothing": lambda: R(body=pieces()),
    "stream-one-large": lambda: R(body=apieces(b"z" * 3_000_000)),
    "stream-many": lambda: R(body=apieces(*[b"%04d" % n for n in range(2000)])),
    "stream-bytearray": lambda: R(body=apieces(bytearray(b"by"), memoryview(b"tes"))),
    "stream-length-right": lambda: R(headers={"content-length": "5"}, body=apieces(b"by", b"tes")),
    "stream-length-short": lambda: R(headers={"content-length": "9"}, body=apieces(b"by", b"tes")),
    "stream-length-long": lambda: R(headers={"content-length": "3"}, body=apieces(b"by", b"tes")),
    "stream-breaks": lambda: R(body=breaks(b"by", b"tes")),
    "stream-breaks-async": lambda: R(body=abreaks(b"by", b"tes")),
    "stream-breaks-first": lambda: R(body=breaks()),
    "stream-breaks-first-async": lambda: R(body=abreaks()),
    "stream-str": lambda: R(body=apieces(b"by", "tes")),
    "stream-int": lambda: R(body=apieces(b"by", 5)),
    "iterator": lambda: R(body=iter([b"by", b"tes"])),
    "large": lambda: R(body=bytes(range(256)) * 40_000),
    "reason-unknown": lambda: R(478, body=b"x"),
}


@http.route("/")
async def index(req):
    return http.Response(body=b"ok")


@http.route("/build/{case}")
async def build(req):
    """Construct in the handler; say what happened."""
    try:
        BAD[req.path_params["case"]]()
    except Exception as exc:
        return http.Response(headers={"x-raised": type(exc).__name__}, body=b"refused")
    return http.Response(status=200, body=b"built")


@http.route("/bad/{case}")
async def bad(req):
    return BAD[req.path_params["case"]]()


@http.route("/good/{case}")
async def good(req):
    return GOOD[req.path_params["case"]]()


@http.route("/good-late/{case}")
async def good_late(req):
    await asyncio.sleep(0)
    return GOOD[req.path_params["case"]]()


@http.route("/good-thread/{case}")
def good_thread(req):
    return GOOD[req.path_params["case"]]()


@http.route("/post/{case}", methods=["POST"])
async def posted(req):
    return GOOD[req.path_params["case"]]()


async def watched(key):
    try:
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)
    finally:
        closed.append(key)


def sync_watched(key):
    try:
        while True:
            yield b"t" * 10_000
    finally:
        closed.append(key)


@http.route("/watched/{key}")
async def watched_stream(req):
    return http.Response(body=watched(req.path_params["key"]))


@http.route("/sync-watched/{key}")
async def sync_watched_stream(req):
    return http.Response(body=sync_watched(req.path_params["key"]))


@http.route("/closed/{key}")
async def was_closed(req):
    return http.Response(body=b"yes" if req.path_params["key"] in closed else b"no")


shared = http.Response(body=b"shared", headers={"x-a": "1"})


@http.route("/shared")
async def shared_answer(req):
    return shared


@http.route("/reading")
async def reading(req):
    """The reading side of a Response."""
    res = http.Response(headers=[("X-A", "1"), ("x-a", "2")], body=b'{"k": [1]}')
    good = [
        res.header("x-A") == "1, 2",
        list(res.header_list("X-a")) == ["1", "2"],
        res.header("nope") is None,
        res.json() == {"k": [1]},
        res.text == '{"k": [1]}',
        res.body == b'{"k": [1]}',
        res.raise_for_status() is res,
    ]
    try:
        http.Response(status=404, body=b"gone").raise_for_status()
        good.append(False)
    except RuntimeError as exc:
        good.append(isinstance(exc, http.HttpStatusError) and exc.status == 404 and exc.body == b"gone")
    return http.Response(body=str(good))
