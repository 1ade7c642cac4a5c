"""Our client and our server, back to back, with nothing between them; every split of the bytes."""

from __future__ import annotations

import random

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.testing import ExchangeDriver
from tests.protocol.http2_client_pair import REFUSED, Caller, Client
from tests.protocol.http2_pair import Answer, Owner, always, echo, keep


class Both:
    """A client and a server of ours. `split`: how many bytes are carried at a time, or None."""

    def __init__(self, answer: Answer = echo, split: int | None = None, **limits: object) -> None:
        self.owner = Owner(answer, cap=10_000_000, max_streams=limits.pop("server_streams", 128))
        self.client = Client(**limits)
        self.driver = self.client.driver
        self.split = split
        self.now = 100.0
        self.driver.uncork()
        self.run()

    def run(self) -> Both:
        """Carry bytes to and fro until nothing moves."""
        server = self.owner.connection
        self.now += 0.1
        while True:
            there, back = self.client.take(), b"".join(self.owner.writes)
            self.owner.writes.clear()
            if not there and not back:
                return self
            step = self.split or max(len(there), len(back))
            for at in range(0, max(len(there), len(back)), step):
                if there[at : at + step]:
                    server.receive_data(there[at : at + step], self.now)
                if back[at : at + step]:
                    self.driver.receive_data(back[at : at + step])


@pytest.mark.parametrize("split", [None, 1, 2, 7, 1000])
def test_what_is_asked_is_answered_whatever_the_split(split: int | None) -> None:
    both = Both(split=split)
    sizes = [0, 1, 100, 3000] + ([] if split and split < 5 else [16384, 16385, 200_000])
    for _ in range(3):
        callers = [both.client.begin(b"POST", b"/%d" % size, b"X-A: b\r\n", b"x" * size) for size in sizes]
        both.run()
        for caller, size in zip(callers, sizes, strict=True):
            assert caller.status == 200
            assert caller.ended
            assert caller.body == (b"x" * size or b"/0")
            assert dict(caller.fields)["content-length"] == str(len(caller.body))
    assert both.driver.is_idle()


def test_fields_of_answers_arrive_as_they_were_set() -> None:
    both = Both(always(201, {"X-One": "1", "Set-Cookie": ["a=b", "c=d"]}, "text"))
    caller = both.client.begin()
    both.run()
    assert caller.status == 201
    assert [one for one in caller.fields if one[0] in {"x-one", "set-cookie"}] == [
        ("x-one", "1"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ]
    assert caller.body == b"text"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_answers_without_content_end(method: bytes, status: int) -> None:
    both = Both(always(status, None, b"content" if status == 200 else None))
    caller = both.client.begin(method)
    both.run()
    assert caller.ended
    assert caller.body == (b"content" if status == 200 and method == b"GET" else b"")


def test_exchanges_that_are_left_end_the_handlers_and_nothing_else() -> None:
    both = Both(keep)
    callers = [both.client.begin() for _ in range(10)]
    both.run()
    for caller in callers[::2]:
        both.driver.leave(caller.id)
    both.run()
    assert both.owner.names.count("request_abandoned") == 5
    for driver, request in zip(both.owner.drivers, both.owner.requests, strict=True):
        driver.respond(request, Response(200, body=b"late"))
    both.run()
    assert [caller.body for caller in callers] == [b"", b"late"] * 5
    assert not both.client.is_closed


def test_a_server_that_drains_answers_what_it_took_and_the_connection_ends() -> None:
    both = Both(keep)
    first = both.client.begin()
    both.run()
    both.owner.connection.drain()
    both.run()
    assert both.driver.room() == 0
    both.owner.drivers[0].respond(both.owner.requests[0], Response(200, body=b"last"))
    both.run()
    assert first.body == b"last"
    assert both.client.is_closed


def test_a_client_that_shuts_down_is_answered_first() -> None:
    both = Both(keep)
    first = both.client.begin()
    both.driver.shut_down()
    both.run()
    both.owner.drivers[0].respond(both.owner.requests[0], Response(200, body=b"last"))
    both.run()
    assert first.body == b"last"
    assert both.client.is_closed
    assert ("close", True) in both.owner.calls


def test_more_exchanges_than_the_server_takes_are_refused_unprocessed() -> None:
    both = Both(keep, server_streams=3)
    client = Client()  # it has not seen the server's settings
    owner = Owner(keep, max_streams=3)
    callers = [client.begin() for _ in range(5)]
    owner.connection.receive_data(client.take(), 100.0)
    client.driver.receive_data(b"".join(owner.writes))
    assert [caller.failure for caller in callers] == [None, None, None, (REFUSED, True), (REFUSED, True)]
    assert both.driver.room() == 3


def test_a_storm_of_exchanges_and_departures_leaves_nothing_behind() -> None:
    chance = random.Random(7)

    kept: list[tuple[ExchangeDriver, Request]] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        if chance.random() < 0.8:
            driver.respond(request, Response(200, body=request.body() + b"!"))
        else:
            kept.append((driver, request))

    both = Both(answer, split=chance.choice([None, 500]), window=70000)
    open_: list[Caller] = []
    done = 0
    for _ in range(2000):
        if both.driver.room() and chance.random() < 0.7:
            size = chance.choice([0, 5, 40000])
            open_.append(both.client.begin(b"POST", content=b"z" * size))
        if open_ and chance.random() < 0.25:
            caller = open_.pop(chance.randrange(len(open_)))
            both.driver.leave(caller.id)
        if kept and chance.random() < 0.2:
            driver, request = kept.pop(0)
            driver.respond(request, Response(200, body=request.body() + b"?"))
        if chance.random() < 0.5:
            both.run()
        done += sum(caller.ended for caller in open_)
        assert not any(caller.failure for caller in open_)
        open_ = [caller for caller in open_ if not caller.over]
    for caller in open_:
        both.driver.leave(caller.id)
    both.run()
    assert done > 500
    assert both.driver.is_idle()
    assert both.owner.connection.streams == {}
    assert not both.client.is_closed
    for driver, request in kept:
        driver.respond(request, Response(200))
    both.owner.answer = echo
    caller = both.client.begin(b"POST", content=b"q" * 200_000)
    both.run()
    assert caller.ended and caller.body == b"q" * 200_000
