"""Objects that are used again (free lists, spare tasks, buffers), and what scripts keep of those that are over.

Nothing of an earlier use shows in a later one, and nothing that somebody keeps changes or goes. Under the sanitizers
(`make asan`) a touch of freed memory ends these tests; without them the values tell.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from siphon_http import dispatch, threads
from siphon_http._core.message import Request, Response
from siphon_http.client import outgoing
from siphon_http.client import request as client_request
from siphon_http.errors import RemoteProtocolError
from siphon_http.testing import RecordingSink
from siphon_http.testing.driver import ExchangeDriver, received_answer, request_facts
from tests.protocol.http2_pair import Pair, fields, keep
from tests.server.http2_talk import talk
from tests.stage import Site, until
from tests.test_dispatch_leaks import KINDS

SOURCES = Path(dispatch.__file__).parent
LISTED = re.compile(r"^@cython\.freelist\(\d+\)\ncdef class (\w+)", re.MULTILINE)
MANY = 200  # more than any free list holds

RICH = (
    b"POST http://rich.example:81/a%20b/c?x=1&y=2&x=3 HTTP/1.0\r\nHost: rich.example:81\r\nCookie: a=b; c=d\r\n"
    b"X-Forwarded-For: 1.2.3.4\r\nX-Request-ID: rich-1\r\nContent-Type: text/plain; charset=latin-1\r\n"
    b"Connection: keep-alive\r\nContent-Length: 4\r\n\r\n\xe4bcd"
)
POOR = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.mark.skipif(not any(SOURCES.glob("*.pyx")), reason="there is no source tree beside an installed wheel")
def test_these_are_all_classes_with_free_lists() -> None:
    found = {name for path in SOURCES.rglob("*.pyx") for name in LISTED.findall(path.read_text())}
    assert found == {"Request", "Response", "Job", "Completion", "ThreadCompletion", "ClientRequest", "Outgoing"}
    assert "@cython.freelist" not in "".join(LISTED.sub("", path.read_text()) for path in SOURCES.rglob("*.pyx"))
    assert threads.Job is not None and client_request.ClientRequest is not None and outgoing.Outgoing is not None


# ---- responses


def facts(response: Response) -> tuple[object, ...]:
    """Return all that can be read of a response."""
    return (
        response.status, response.body, response.headers.pairs(), response.url, response.http_version,
        response.timings, response.header("x-a"), response.header_list("x-a"), repr(response),
    )  # fmt: skip


def sent(response: Response) -> bytes:
    """Return the answer that it makes, without its date."""
    sink = RecordingSink(lambda driver, _: driver.respond(_, response)).receive(POOR)
    return re.sub(rb"date: [^\r]*\r\n", b"", sink.written)


class Received:
    """What a client notes beside an answer."""

    url, http_version, decoded = "http://a/", "2", True

    def timings(self) -> dict[str, float]:
        return {"total": 1.0}


def used() -> list[Response]:
    """Return responses with everything set that can be."""
    out = []
    for number in range(MANY):
        if number % 3 == 0:
            one = received_answer(404, b"x-a: 1\r\ncontent-encoding: gzip\r\n", iter([b""]), True, Received())
        elif number % 3 == 1:
            one = Response(599, {"X-A": ["1", "2"], "Connection": "close", "Content-Length": "3"}, b"abc")
            sent(one)
        else:
            one = Response(201, [("x-a", "1")], iter([b"x"]))
        if number % 2:
            one.headers["x-b"] = "kept"
        out.append(one)
    return out


def test_a_response_that_was_another_before_is_a_new_one() -> None:
    old = used()
    places = {id(one) for one in old}
    del old
    new = [Response() for _ in range(MANY)]
    assert places & {id(one) for one in new}, "nothing was used again"
    for one in new:
        assert facts(one) == (200, b"", [], None, None, {}, None, [], "<Response 200, 0 bytes>")
        assert sent(one) == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def test_headers_outlive_their_response_and_share_nothing_with_the_next() -> None:
    kept = [(one.headers, iter(one.headers), one.headers.items()) for one in used()]
    new = [Response() for _ in range(MANY)]
    gc.collect()
    for headers, names, items in kept:
        assert next(names) == "x-a" and dict(items)["x-a"].startswith("1")
        headers["x-c"] = "later"
        headers.clear()
    assert [one.headers.pairs() for one in new] == [[]] * MANY


def test_one_response_may_be_sent_again_and_again() -> None:
    shared = Response(200, {"x-a": "1"}, b"abc")
    before = sys.getrefcount(shared), sys.getrefcount(shared.body)
    answers = {sent(shared) for _ in range(MANY)}
    assert answers == {b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 3\r\n\r\nabc"}
    gc.collect()  # connections that were not told of their end are cycles
    assert (sys.getrefcount(shared), sys.getrefcount(shared.body)) == before
    shared.headers["connection"] = "close"
    assert b"connection: close" in sent(shared)
    del shared.headers["connection"]
    assert {sent(shared)} == answers


def test_a_response_that_was_not_initialised_is_an_empty_one() -> None:
    bare = Response.__new__(Response)
    assert facts(bare) == (200, b"", [], None, None, {}, None, [], "<Response 200, 0 bytes>")
    assert sent(Response.__new__(Response)) == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


# ---- requests


def seen(req: Request) -> dict[str, Any]:
    """Return all that can be read of a request."""
    names = ("method", "path", "raw_path", "query_string", "path_params", "query_params", "headers", "cookies",
             "client", "scheme", "peer_certificate", "host", "url", "http_version", "route", "state")  # fmt: skip
    out = {name: getattr(req, name) for name in names}
    hidden = request_facts(req)
    return out | {name: hidden[name] for name in hidden if name != "head"}


def test_a_request_that_was_another_before_is_a_new_one() -> None:
    snapshots: list[dict[str, Any]] = []
    places: list[int] = []

    def answer(driver: ExchangeDriver, req: Request) -> None:
        places.append(id(req))
        snapshots.append(seen(req))
        if req.method == "POST":
            req.state["secret"] = req.headers["x-forwarded-for"]
            req.headers["mine"] = req.query_params["mine"] = req.path_params["mine"] = req.cookies["mine"] = "1"
            assert req.request_id == "rich-1"
        else:
            assert req.request_id != "rich-1"
        driver.respond(req, Response())

    for _ in range(MANY):
        RecordingSink(answer).receive(RICH)
    first = len(snapshots)
    for _ in range(MANY):
        RecordingSink(answer).receive(POOR)
    assert set(places[:first]) & set(places[first:]), "nothing was used again"
    poor = snapshots[first]
    assert (poor["state"], poor["query_params"], poor["path_params"], poor["cookies"]) == ({}, {}, {}, {})
    assert poor["headers"] == {"host": "t"} and poor["content"] in (None, b"")
    assert snapshots[first:] == [poor] * MANY


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_requests_that_a_script_keeps_stay_what_they_were(version: str) -> None:
    kept: list[tuple[Request, Any, memoryview, Any]] = []
    site = Site()

    @site.route("/{name}", ["POST"])
    async def handler(req: Any) -> Response:
        kept.append((req, iter(req.headers.items()), memoryview(req.body()), req.query_params.items()))
        return Response(200, None, req.body())

    @site.route("/other")
    async def other(req: Any) -> Response:
        return Response(200, {"x": req.host}, req.path)

    async def scenario() -> None:
        for client in range(4):
            ask = await asker(site, version)
            for number in range(client * 25, client * 25 + 25):
                await ask("POST", f"/n{number}?q={number}", b"body %d" % number)
        ask = await asker(site, version)
        for _ in range(70):  # more than a free list holds
            await ask("GET", "/other", None)

    site.play(scenario)
    gc.collect()
    assert len(kept) == 100
    for number, (req, items, body, query) in enumerate(kept):
        assert dict(items) == req.headers and dict(query) == {"q": str(number)}
        assert bytes(body) == req.body() == b"body %d" % number
        assert (req.path, req.path_params, req.route) == (f"/n{number}", {"name": f"n{number}"}, "/{name}")
        assert req.http_version == version and req.client.startswith("127.0.0.1:") and req.scheme == "http"
        assert req.url == f"http://{req.host}/n{number}?q={number}" and req.host == req.headers["host"]


async def asker(site: Site, version: str) -> Callable[[str, str, bytes | None], Awaitable[bytes]]:
    """Return what asks over one connection, and gives the content of the answer."""
    if version == "2":
        talking = await talk(site)

        async def ask_2(method: str, path: str, body: bytes | None) -> bytes:
            content = bytes((await talking.get(path, method, body)).body)
            talking.client.streams.clear()  # counts of references are of the server
            return content

        return ask_2
    line = await site.line()

    async def ask_1(method: str, path: str, body: bytes | None) -> bytes:
        return (await line.ask(method, path, body)).body

    return ask_1


# ---- tokens of exchanges that are over


def refuses_everything(driver: ExchangeDriver, req: Request, *, gone: bool) -> None:
    """Try all that an answer can be made with, on an exchange that is over."""
    woken: list[int] = []
    assert driver.respond(req, Response(200, None, b"late")) == 0
    assert driver.start(req, Response(), -1) == 0
    assert driver.chunk(req, b"late") == 0
    assert driver.end(req) == 0
    assert driver.fail(req) == 0
    assert not driver.is_open(req)
    driver.is_writable(req)
    try:
        assert not driver.read_content(req)
    except RemoteProtocolError:
        assert gone
    driver.wait(req, lambda: woken.append(1))
    assert woken == [1], "who waits for the end of what is over waits for ever"


@pytest.mark.parametrize("streams", [False, True])
def test_an_http1_exchange_that_is_over_takes_nothing(streams: bool) -> None:
    held: list[tuple[ExchangeDriver, Request]] = []
    sink = RecordingSink(lambda driver, req: held.append((driver, req)), streams=streams)
    sink.receive(RICH if not streams else RICH[:-2])
    driver, first = held[0]
    if not streams:
        driver.respond(first, Response())
        refuses_everything(driver, first, gone=False)
        sink.receive(POOR)
        second = held[1][1]
        written = sink.written
        refuses_everything(driver, first, gone=False)
        assert sink.written == written and driver.is_open(second), "the token of one is no token of the next"
    waked: list[int] = []
    driver.wait(held[-1][1], lambda: waked.append(1))
    sink.connection.detach()
    assert waked == [1]
    sink.connection.detach()
    written = sink.written
    for _, req in held:
        refuses_everything(driver, req, gone=True)
    assert sink.written == written
    del sink
    gc.collect()
    for _, req in held:
        refuses_everything(driver, req, gone=True)
        seen(req)


@pytest.mark.parametrize("through_h2", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_an_http2_exchange_that_is_over_takes_nothing(streams: bool, through_h2: bool) -> None:
    pair = Pair(keep, streams=streams, through_h2=through_h2)
    for id in (1, 3, 5):
        pair.client.send_headers(id, fields(f"/{id}", "POST"))
        if id == 5:
            pair.client.send_data(id, b"part")
        else:
            pair.client.send_data(id, b"abc", end_stream=True)
    pair.run()
    if not streams:
        drivers, requests = pair.owner.drivers, pair.owner.requests
        assert drivers[0].respond(requests[0], Response()) == 1
        refuses_everything(drivers[0], requests[0], gone=False)
        # The request of one stream is no token on another.
        assert drivers[1].respond(requests[0], Response()) == 0
    pair.client.reset_stream(3)
    pair.run()
    pair.server.detach()
    pair.server.detach()
    held = list(zip(pair.owner.drivers, pair.owner.requests, strict=True))
    assert len(held) == (3 if streams else 2)
    written = len(pair.owner.writes)
    owner = pair.owner
    del pair
    gc.collect()
    for driver, req in held:
        refuses_everything(driver, req, gone=True)
        seen(req)
    assert len(owner.writes) == written


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("policy", ["cancel", "finish"])
def test_a_handler_may_go_on_with_everything_after_its_connection_is_gone(version: str, policy: str) -> None:
    site = Site()
    outcomes: list[dict[str, Any]] = []
    began = asyncio.Event()

    @site.route("/{name}", ["POST"], on_disconnect=policy, stream=True)
    async def handler(req: Any) -> Response:
        pieces = req.stream()
        first = await anext(pieces)
        began.set()
        try:
            await asyncio.sleep(0.03)  # its connection goes meanwhile
        except asyncio.CancelledError:
            pass  # a script may do so
        gc.collect()
        with pytest.raises(RemoteProtocolError):
            while True:
                await anext(pieces)
        outcomes.append(seen(req) | {"first": first})
        return Response(200, req.headers, iter([b"x" * 100_000] * 3))

    async def scenario() -> None:
        for number in range(3):
            began.clear()
            line = await site.line()
            if version == "2":
                talking = await talk(site)
                talking.client.h2.send_headers(1, fields(f"/n{number}", "POST"))
                talking.client.h2.send_data(1, b"part")
                talking.flush()
                line = talking.line
            else:
                await line.send(b"POST /n%d HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\npart" % number)
            await began.wait()
            line.reset()
            await until(lambda: len(outcomes) > number, within=9)
        await until(lambda: not site.dispatcher.running)

    site.play(scenario)
    assert [one["first"] for one in outcomes] == [b"part"] * 3
    assert [one["path_params"] for one in outcomes] == [{"name": f"n{n}"} for n in range(3)]


# ---- counts of references


def counts(watched: list[Any]) -> list[int]:
    return [sys.getrefcount(one) for one in watched]


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("broken off", "none")])
@pytest.mark.usefixtures("small_heap")
def test_references_are_given_back_as_often_as_they_are_taken(kind: str, version: str, caplog: Any) -> None:
    caplog.set_level(100, "siphon_http")
    site = Site()
    function, options = KINDS[kind]
    site.route("/{id}", ["GET", "POST"], **options)(function)
    site.middleware(lambda req: None)
    times = 40

    async def scenario() -> None:
        # Objects that every request touches; one reference too few frees them after enough requests.
        watched: list[Any] = [
            None, True, False, b"", "", (), "GET", "POST", "content-type", "content-length", "host", "1.1", "2", 200, 500,
            function, Response, Request, asyncio.Task, site.dispatcher, asyncio.get_running_loop(), dict, list, tuple,
        ]  # fmt: skip
        ask = await asker(site, version)
        seen = []  # the interpreter makes references of its own, once: what is lost with each request moves each time
        for _ in range(4):
            for _ in range(times):
                await ask("POST", "/1?a=b", b"content")
            await until(lambda: not site.dispatcher.running and not site.dispatcher.pool.waiting)
            gc.collect()
            seen.append(counts(watched))
        moved = {}
        for one, *found in zip(watched, *seen, strict=True):
            moved[repr(one)] = min((now - was for was, now in itertools.pairwise(found)), key=abs)
        assert {name: by for name, by in moved.items() if abs(by) > times * 0.8} == {}

    site.play(scenario)
