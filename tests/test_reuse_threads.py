"""The cyclic collector at every moment, and loops in two threads: what is used again stays whole (see test_reuse.py)."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.testing import RecordingSink
from tests.protocol.http2_pair import Pair, echo, fields
from tests.stage import Line, Site, play
from tests.test_dispatch_leaks import KINDS
from tests.test_reuse import POOR, RICH, asker, seen


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.usefixtures("collecting")
def test_the_collector_may_run_at_any_moment(version: str, caplog: Any) -> None:
    caplog.set_level(100, "siphon_http")
    site = Site()
    for number, (function, options) in enumerate(KINDS.values()):
        if function is not None:
            site.route(f"/{number}/{{id}}", ["GET", "POST"], **options)(function)

    async def scenario() -> None:
        for number, kind in enumerate(KINDS):
            if kind == "broken off":
                continue
            ask = await asker(site, version)
            for _ in range(3):
                await ask("POST", f"/{number}/1?a=b", b"content")
        lines = [await site.line() for _ in range(3)]
        for line in lines:
            await line.send(b"POST /1/1 HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nab")
            line.reset()

    site.play(scenario)


@pytest.mark.usefixtures("collecting")
def test_the_collector_may_run_within_every_call_of_a_connection() -> None:
    for data in (RICH, POOR * 5, RICH[:-1] + POOR, POOR + b"BAD\r\n\r\n"):
        for cut in range(0, len(data), 3):
            sink = RecordingSink(lambda driver, req: (seen(req), driver.respond(req, Response(200, {"x-a": req.path}))))
            sink.receive(data[:cut], data[cut:])
            sink.connection.detach()
    for through_h2 in (False, True):
        pair = Pair(echo, through_h2=through_h2)
        for id in (1, 3, 5):
            pair.client.send_headers(id, fields(f"/{id}", "POST"))
            pair.client.send_data(id, b"abc" * 1000, end_stream=True)
            pair.run()
        pair.server.detach()
        assert [pair.answers[id].body for id in (1, 3, 5)] == [b"abc" * 1000] * 3


def test_loops_in_two_threads_share_the_free_lists(caplog: Any) -> None:
    caplog.set_level(100, "siphon_http")
    errors: list[BaseException] = []
    exchanged: list[Response] = []  # made on one loop, answered on another, and freed where the last reference goes
    kept: list[Request] = []

    def serve(name: str) -> None:
        site = Site()

        @site.route("/{id}", ["POST"])
        async def handler(req: Any) -> Response:
            exchanged.append(Response(200, {"x-by": name}, req.body()))
            kept.append(req)
            del kept[:-70]
            return Response(200, {"x-id": req.path_params["id"]}, req.body() + name.encode())

        @site.route("/{id}/thread", ["POST"])
        def threaded(req: Any) -> Response:
            return Response(200, {"x-id": req.path_params["id"]}, req.body() + name.encode())

        @site.route("/other")
        async def other(req: Any) -> Response:
            return exchanged.pop() if exchanged else Response(204)

        async def scenario() -> None:
            async def client(number: int) -> None:
                line: Line = await site.line()
                for step in range(60):
                    body = f"{name}{number}.{step}".encode()
                    for path in (f"/{number}-{step}", f"/{number}-{step}/thread"):
                        answer = await line.ask("POST", path, body)
                        assert answer.body == body + name.encode()
                        assert answer.headers["x-id"] == f"{number}-{step}"
                    assert (await line.ask("GET", "/other")).status in (200, 204)

            await asyncio.gather(*(client(number) for number in range(4)))

        async def served() -> None:
            async with site.serving():
                await scenario()

        try:
            play(served, within=40)
        except BaseException as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        running = [threading.Thread(target=serve, args=(name,)) for name in ("one", "two")]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(50)
    finally:
        sys.setswitchinterval(before)
    assert errors == []
    assert all(seen(req)["method"] == "POST" for req in kept)
