"""Tests of a script as their author writes them, and other names of siphon_http that are public; see script.py."""

from __future__ import annotations

from typing import Any, assert_type

from siphon_http._core.headers import Headers
from siphon_http._core.message import Peer, Request, Response
from siphon_http.errors import ClientError, ConfigError, Problem
from siphon_http.host.api import Context, Extension, Finding, Task
from siphon_http.testing import HttpTestHarness, make_request

# ---- the harness


async def a_harness_gives_what_a_server_sends(harness: HttpTestHarness) -> None:
    assert_type(harness.request("GET", "/", headers={"x": "y"}, body=b"", json=None), Response)
    assert_type(harness.request("POST", body=iter([b"piece"])), Response)
    assert_type(await harness.arequest(), Response)
    assert_type(harness.log.messages, list[tuple[str, str]])
    assert_type(harness.sent_requests, list[dict[str, Any]])
    assert_type(harness.errors, list[BaseException])
    assert_type(make_request(path="/"), Request)
    harness.add_response(Response(404))
    harness.add_response(harness.http.Response(404))
    harness.add_response(harness.http.ReadTimeout("late"))
    harness.http.set_default_response(Response(500))
    harness.add_response(404)  # type: ignore[arg-type]
    harness.http.Respons(404)  # type: ignore[attr-defined]
    with harness.open("GET", "/") as exchange:
        assert_type(exchange.status, int)
        assert_type(exchange.response(), Response)
        for piece in exchange:
            assert_type(piece, bytes)
    async with harness.open("GET", "/") as exchange:
        assert_type(await exchange.aresponse(), Response)
        async for piece in exchange:
            assert_type(piece, bytes)


# ---- header fields and peers


def headers_are_a_mapping(headers: Headers) -> None:
    assert_type(headers["x"], str)
    assert_type(headers.get("x"), str | None)
    assert_type(headers.get("x", "y"), str)
    assert_type(headers.get("x", 1), str | int)
    assert_type(headers.getlist("x"), list[str])
    assert_type(headers.pairs(), list[tuple[str, str]])
    assert_type(headers.pop("x"), str)
    assert_type(dict(headers), dict[str, str])
    for name in headers:
        assert_type(name, str)
    headers["x"] = "y"
    headers["x"] = ["y", "z"]
    headers["x"] = 1  # type: ignore[assignment]
    headers.add("x", "y")
    headers.update({"x": "y"}, z=["1", "2"])


def who_is_there(peer: Peer) -> None:
    assert_type(peer.client, str)
    assert_type(peer.certificate, dict[str, Any] | None)


def errors_say_where(error: ConfigError, client: ClientError) -> None:
    assert_type(error.problems, list[Problem])
    assert_type(error.exit_code, int)
    assert_type(client.phase, str)


# ---- what extensions are made of


def an_extension(extension: Extension, context: Context) -> None:
    assert_type(extension.task(context), Task)
    assert_type(context.name, str)
    Finding(level="fine", subject="x", text="y")  # type: ignore[arg-type]
