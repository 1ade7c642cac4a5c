"""Handlers of every kind (design section 3, last paragraph)."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from tests.process_stage import wait_until

from .launch import APPS, Server
from .wire import PING, Wire, check_error_body, exchange, polite, request

SOURCE = (APPS / "handlers.py").read_text()
RAISES = re.findall(r'^    "([^"]+)":', SOURCE.split("RAISES = {")[1].split("\n}")[0], re.M)
VALUES = re.findall(r'^    "([^"]+)":', SOURCE.split("VALUES = {")[1].split("\n}")[0], re.M)
KINDS = ["thread", "inline", "async", "late"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", RAISES)
def test_a_handler_that_raises_is_answered_500_and_harms_nothing(handlers: Server, kind: str, what: str) -> None:
    """SystemExit, KeyboardInterrupt and CancelledError too; nothing of the exception is sent."""
    answers = exchange(handlers["plain"], polite(f"/raise/{kind}/{what}") + PING, ["GET", "GET"])
    assert answers[0].status == 500
    assert answers[0].body.strip() == b"handler error"
    check_error_body(answers[0])
    assert answers[1].body == b"ok"


def test_the_traceback_of_a_handler_is_in_the_log(handlers: Server) -> None:
    request(handlers["plain"], "/raise/async/value-error")
    text = handlers.log()
    assert "Traceback" in text
    assert "ValueError: secret-detail" in text
    assert "script.py" in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", VALUES)
def test_a_handler_that_returns_no_response_is_answered_500(handlers: Server, kind: str, what: str) -> None:
    answer = request(handlers["plain"], f"/value/{kind}/{what}")
    assert answer.status == 500
    assert b"secret-detail" not in answer.body
    check_error_body(answer)


def test_a_wrong_return_value_is_named_in_the_log(handlers: Server) -> None:
    """refs: first-run, target 5: one line with handler, file:line, got and expected."""
    request(handlers["plain"], "/value/async/dict")
    assert re.search(r"value_async.*dict|dict.*value_async", handlers.log(), re.S)


def test_async_and_inline_handlers_run_on_the_loop_and_sync_ones_do_not(handlers: Server) -> None:
    where = {k: request(handlers["plain"], f"/where/{k}").body for k in ("thread", "inline", "async")}
    assert where["inline"] == where["async"] != where["thread"]


def test_sync_handlers_run_at_the_same_time(handlers: Server) -> None:
    """Two of them meet at a barrier."""
    bodies = []
    threads = [
        threading.Thread(target=lambda: bodies.append(request(handlers["plain"], "/barrier").body)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [b"met", b"met"]


def test_a_blocking_handler_does_not_hold_up_others(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/block/400"))
        time.sleep(0.03)  # it is on its thread
        start = time.monotonic()
        assert request(main["plain"], "/").status == 200
        assert time.monotonic() - start < 0.2
        assert wire.read().body == b"blocked"


@pytest.mark.parametrize("target", ["/context/now/", "/context/late/", "/context-thread/"])
def test_context_variables_do_not_leak_into_the_next_request(handlers: Server, target: str) -> None:
    data = b"".join(polite(target + value) for value in ("a", "b", "c"))
    answers = exchange(handlers["plain"], data, ["GET"] * 3)
    assert [json.loads(a.body) for a in answers] == [["unset", "a"], ["unset", "b"], ["unset", "c"]]


TASKS = {
    "/task/current": b"[true, true, true]",
    "/task/timeout/now": b"timed out",
    "/task/timeout/late": b"timed out",
    "/task/timeout-unused": b"fine",
    "/task/wait-for": b"timed out",
    "/task/group/now": b"[0, 2, 4, 6, 8]",
    "/task/group/late": b"[0, 2, 4, 6, 8]",
    "/task/group-fails": b"1",
    "/task/empty-group": b"fine",
    "/task/gather": b"[0, 2, 4, 6]",
    "/task/self-cancel/now": b"survived",
    "/task/self-cancel/late": b"survived",
    "/task/name": b"mine",
    "/task/future": b"resolved",
    "/task/child-context/seen": b"seen",
    "/task/shield/20": b"shielded",
    "/callable": b"called",
    "/method/static": b"static",
    "/method/bound": b"bound",
}


@pytest.mark.parametrize("target", TASKS)
def test_asyncio_is_right_inside_a_handler(handlers: Server, target: str) -> None:
    """Alone, and twice in one read: what one request leaves behind must not show in the next."""
    answers = exchange(handlers["plain"], polite(target) * 3, ["GET"] * 3)
    assert [a.body for a in answers] == [TASKS[target]] * 3


def test_a_handler_that_cancels_itself_is_answered_500(handlers: Server) -> None:
    assert request(handlers["plain"], "/task/self-cancel-dies").status == 500
    assert request(handlers["plain"], "/task/current").body == b"[true, true, true]"


@pytest.mark.parametrize("suspend", ["yes", "no"])
def test_a_task_that_a_handler_kept_is_done_and_not_reused(handlers: Server, suspend: str) -> None:
    data = polite(f"/task/kept/{suspend}") * 3 + polite("/task/look")
    answers = exchange(handlers["plain"], data, ["GET"] * 4)
    assert json.loads(answers[3].body) == [[True, False, False]] * 3


def wait_for(main: Server, key: str, wanted: list[str], within: float = 2.0) -> None:
    """Wait until a handler has noted `wanted`."""

    def noted() -> object:
        return json.loads(request(main["plain"], f"/events/{key}").body)

    wait_until(lambda: noted() == wanted, within, lambda: f"{noted()}, wanted {wanted}")


def test_a_reset_cancels_the_handler(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/wait/reset/3000"))
        wait_for(main, "reset", ["start"])
        wire.abort()
    wait_for(main, "reset", ["start", "cancelled"])


def test_a_reset_behind_a_pipeline_cancels_the_handler(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/wait/reset2/3000") + PING * 100)
        wait_for(main, "reset2", ["start"])
        wire.abort()
    wait_for(main, "reset2", ["start", "cancelled"])


def test_on_disconnect_finish_lets_the_handler_end(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/finish/finish/150"))
        wait_for(main, "finish", ["start"])
        wire.abort()
    wait_for(main, "finish", ["start", "done"])


@pytest.mark.parametrize("kind", ["cancel", "finish"])
@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_client_that_leaves_during_its_upload_is_seen_as_the_route_says(main: Server, kind: str, way: str) -> None:
    """A process that dies sends an end as well as one that half-closes; the rest of the content will not come."""
    key = f"upload-{kind}-{way}"
    with Wire(main["plain"]) as wire:
        wire.send(f"POST /upload-{kind}/{key} HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc".encode())
        wait_for(main, key, ["start"])
        if way == "reset":
            wire.abort()
        else:
            wire.finish_sending()
            assert [a.status for a in wire.read_all()] == [400]
    wait_for(main, key, ["start", "CancelledError" if kind == "cancel" else "RemoteProtocolError"])


def test_an_end_of_stream_alone_is_no_departure(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/wait/halfclose/150"))
        wire.finish_sending()
        assert [a.body for a in wire.read_all()] == [b"done"]
    wait_for(main, "halfclose", ["start", "done"])


def test_a_client_that_leaves_harms_no_other(main: Server) -> None:
    for n in range(30):
        with Wire(main["plain"]) as wire:
            wire.send(polite(f"/wait/many/{1 + n % 3}") if n % 2 else polite("/bulk/3000000"))
            wire.abort()
    assert request(main["plain"], "/").status == 200


def test_a_client_that_leaves_a_blocking_handler_harms_nothing(main: Server) -> None:
    wires = [Wire(main["plain"]) for _ in range(8)]
    for wire in wires:
        wire.send(polite("/block/100"))
    time.sleep(0.02)  # they are on their threads
    for wire in wires:
        wire.abort()
    time.sleep(0.15)  # they have run to their end
    assert request(main["plain"], "/block/1").body == b"blocked"


def test_two_hundred_sleepers_sleep_at_the_same_time(main: Server) -> None:
    wires = [Wire(main["plain"]) for _ in range(200)]
    try:
        start = time.monotonic()
        for wire in wires:
            wire.send(polite("/sleep/300"))
        assert all(wire.read().body == b"slept" for wire in wires)
        assert time.monotonic() - start < 2.5
    finally:
        for wire in wires:
            wire.sock.close()


@pytest.mark.parametrize("target", ["/sleep/1", "/block/1", "/", "/seen/x"])
def test_answers_of_many_connections_do_not_mix(main: Server, target: str) -> None:
    wires = [Wire(main["plain"]) for _ in range(40)]
    try:
        for n, wire in enumerate(wires):
            wire.send(polite(target) + polite(f"/count/mix/{n}") + polite(f"/seen/{n}"))
        for n, wire in enumerate(wires):
            wire.read()
            assert wire.read().body == str(n).encode()
            assert json.loads(wire.read().body)["path_params"] == {"name": str(n)}
    finally:
        for wire in wires:
            wire.sock.close()
