"""What is counted, how long it took, what is said of slow ones, and whose id a request has."""

import asyncio
import logging
import os
import re
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http._core.request_id import current_id, is_request_id, new_id
from tests.stage import Site, said, until


def site(**settings: Any) -> Site:
    made = Site(**settings)

    @made.route("/id")
    async def show(req: Any) -> Response:
        await asyncio.sleep(0)
        return Response(200, {"x-inside": str(await asyncio.create_task(inside()))}, req.request_id)

    async def inside() -> str | None:
        return current_id()

    @made.route("/thread")
    def thread(req: Any) -> Response:
        return Response(200, None, str(current_id()))

    @made.route("/own")
    async def own(req: Any) -> Response:
        return Response(200, {"X-Request-ID": "mine"})

    @made.route("/broken/{x}", ["GET", "POST"])
    async def broken(req: Any) -> Response:
        raise RuntimeError("broken")

    @made.route("/slow")
    async def slow(req: Any) -> Response:
        await asyncio.sleep(0.03)  # beyond what counts as slow
        return Response(200)

    return made


def test_requests_are_counted_by_route_and_status():
    made = site(max_body_bytes=5)

    async def scenario() -> None:
        await made.ask("GET", "/broken/1")
        await made.ask("GET", "/broken/2")
        await made.ask("GET", "/none")
        await made.ask("POST", "/broken/1", b"123456")
        found = made.numbers
        assert found['requests_total{route="/broken/{x}",code="500"}'] == 2
        assert found['requests_total{route="/broken/{x}",code="413"}'] == 1
        assert found['requests_total{route="",code="404"}'] == 1
        assert found['handler_errors_total{route="/broken/{x}"}'] == 2
        assert found['request_duration_seconds{route="/broken/{x}"}'] == 3
        assert found['request_duration_seconds{route="/id"}'] == 0
        assert found['refused_total{code="413"}'] == 1
        assert found["requests_in_flight"] == 0 and found["connections_total"] == 4
        assert found["received_bytes_total"] > 150 and found["sent_bytes_total"] > 500
        await until(lambda: made.numbers["connections_open"] == 0)

    made.play(scenario)


def test_connections_that_turn_to_http2_are_counted_once():
    made = site()

    async def scenario() -> None:
        line = await made.line()
        line.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        await line.reader.read(9)
        assert (made.numbers["connections_total"], made.numbers["connections_open"]) == (1, 1)
        line.reset()
        await until(lambda: made.numbers["connections_open"] == 0)

    made.play(scenario)


def test_too_many_connections_are_refused_and_counted():
    made = site(max_connections=1)

    async def scenario() -> None:
        await made.line()
        await until(lambda: made.numbers["connections_open"] == 1)
        second = await made.line()
        assert b"503" in await second.reader.read()
        assert made.numbers['refused_total{code="503"}'] == 1

    made.play(scenario)


def test_a_slow_request_is_said_with_its_place(caplog):
    made = site(slow_request_ms=10)

    async def scenario() -> None:
        await made.ask("GET", "/slow")
        await made.ask("GET", "/id")
        assert made.numbers["slow_requests_total"] == 1

    with caplog.at_level(logging.WARNING):
        made.play(scenario)
    [line] = [text for text in said(caplog) if text.startswith("slow request")]
    assert re.fullmatch(r"slow request: GET /slow \(.*test_traffic\.py:\d+\) took \d+ ms, status 200", line)


def test_how_late_the_loop_is_is_measured():
    made = site()

    async def scenario() -> None:
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.2, __import__("time").sleep, 0.3)
        await until(lambda: made.numbers["loop_lag_seconds"] > 0.1)

    made.play(scenario)


def test_ids_are_kept_sent_back_and_known_inside():
    made = site(request_id=True)

    async def scenario() -> None:
        answer = await made.ask("GET", "/id", **{"x-request-id": "abc.1"})
        assert answer.headers["x-request-id"] == answer.headers["x-inside"] == answer.body.decode() == "abc.1"
        answer = await made.ask("GET", "/id")
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
        assert answer.headers["x-request-id"] == answer.headers["x-inside"] == answer.body.decode()
        answer = await made.ask("GET", "/thread", **{"x-request-id": "t"})
        assert answer.body == b"t"
        assert (await made.ask("GET", "/none", **{"x-request-id": "n"})).headers["x-request-id"] == "n"
        assert (await made.ask("GET", "/own")).headers["x-request-id"] == "mine"
        assert current_id() is None

    made.play(scenario)


def test_ids_are_in_the_log_of_a_broken_handler(caplog):
    made = site(request_id=True)
    made.play(lambda: made.ask("GET", "/broken/1", **{"x-request-id": "abc"}))
    [record] = [r for r in caplog.records if "handler error" in r.getMessage()]
    assert record.request_id == "abc"


def test_ids_go_out_with_the_calls_of_a_handler():
    from siphon_http.client.outgoing import serialise_fields

    made, sent = site(request_id=True), []

    @made.route("/calls")
    async def calls(req: Any) -> Response:
        sent.extend([serialise_fields(None), serialise_fields({"X-Request-ID": "other"}), serialise_fields({}, True)])
        return Response(204)

    made.play(lambda: made.ask("GET", "/calls", **{"x-request-id": "abc"}))
    assert b"x-request-id: abc\r\n" in sent[0] and b"x-request-id: abc\r\n" in sent[2]
    assert sent[1].count(b"x-request-id") == 1 and b"x-request-id: other\r\n" in sent[1]
    assert b"x-request-id" not in serialise_fields(None)


def test_ids_differ_in_a_child_of_a_fork():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 32).decode() != new_id()
    os.close(read)
    os.close(write)


def test_without_being_asked_for_ids_are_made_only_for_who_reads_them():
    made = site()

    async def scenario() -> None:
        answer = await made.ask("GET", "/id", **{"x-request-id": "abc"})
        assert "x-request-id" not in answer.headers and answer.headers["x-inside"] == "None"
        assert answer.body == b"abc"

    made.play(scenario)


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "a\x7f", "\xe9"])
def test_an_id_that_is_not_fit_for_a_log_is_replaced(sent):
    assert not is_request_id(sent)
    made = site(request_id=True)

    async def scenario() -> None:
        answer = await made.ask("GET", "/id", **{"x-request-id": sent})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])

    if sent.isprintable():
        made.play(scenario)


def test_new_ids_differ_and_are_fit_to_be_kept():
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000 and all(map(is_request_id, made)) and is_request_id("!" * 128)
