"""The serving examples of the seeds, word for word; what they leave out is not added."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from .launch import APPS, Server
from .wire import Wire, polite, request


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for one seed script (it has no `/`, so any answer will do)."""
    server = Server(tmp_path_factory.mktemp("seed"), (APPS / request.param).read_text(), {"plain": {}}, {})
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


TOKEN = [("Authorization", "Bearer s3cr3t")]


@pytest.mark.parametrize("seed", ["seed_000_hello.txt"], indirect=True)
def test_seed_000_hello(seed: Server) -> None:
    assert request(seed["plain"], "/hello/world").body == b"hi world"
    assert request(seed["plain"], "/hello/J%C3%BCrg").body == "hi Jürg".encode()
    assert request(seed["plain"], "/hello/").status == 404
    assert request(seed["plain"], "/hello/world", "POST").status == 405


@pytest.mark.parametrize("seed", ["seed_000_orders.txt"], indirect=True)
def test_seed_000_orders(seed: Server) -> None:
    got = request(seed["plain"], "/orders/42")
    assert (got.status, got.header("content-type"), json.loads(got.body)) == (200, "application/json", {"id": "42"})
    assert request(seed["plain"], "/orders/42", "DELETE").status == 204
    assert request(seed["plain"], "/orders/42", "HEAD").header("content-length") == str(len(got.body))


@pytest.mark.parametrize("seed", ["seed_001_script.txt"], indirect=True)
def test_seed_001_script(seed: Server) -> None:
    assert request(seed["plain"], "/orders/42").status == 401
    assert request(seed["plain"], "/orders/42").body == b"unauthorized"
    assert request(seed["plain"], "/orders/42", headers=[("Authorization", "Bearer wrong")]).status == 401
    assert json.loads(request(seed["plain"], "/orders/42", headers=TOKEN).body) == {"id": "42"}
    assert request(seed["plain"], "/orders/42", "DELETE", TOKEN).status == 204
    assert request(seed["plain"], "/nothing-here").status == 404, "a guard runs only when a route matched"
    assert "http addon starting up" in seed.log()


@pytest.mark.parametrize("seed", ["seed_001_script.txt"], indirect=True)
def test_seed_001_a_handler_that_returns_none_is_answered_500(seed: Server) -> None:
    """As printed, list_items ends in `...`; with a limit that is no number it raises."""
    assert request(seed["plain"], "/items?limit=5", headers=TOKEN).status == 500
    assert request(seed["plain"], "/items?limit=five", headers=TOKEN).status == 500
    assert request(seed["plain"], "/items?limit=5").status == 401


@pytest.mark.parametrize("seed", ["seed_002_healthz.txt"], indirect=True)
def test_seed_002_healthz(seed: Server) -> None:
    assert request(seed["plain"], "/healthz").body == b"ok"


@pytest.mark.parametrize("seed", ["seed_000_hello.txt"], indirect=True)
def test_the_first_request_after_the_start_is_quick(seed: Server) -> None:
    with Wire(seed["plain"]) as wire:
        start = time.monotonic()
        wire.send(polite("/hello/x"))
        assert wire.read().status == 200
        assert time.monotonic() - start < 0.5
