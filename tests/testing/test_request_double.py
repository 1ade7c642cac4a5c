"""Requests made for a handler that a test calls itself."""

from __future__ import annotations

import pytest

from siphon_http._core.message import Request
from siphon_http.testing import make_request


def test_it_is_a_real_request() -> None:
    request = make_request(
        method="put",
        path="/users/J%C3%BCrg?a=1&a=2",
        path_params={"name": "Jürg"},
        query_params={"b": "ü"},
        headers={"Content-Type": "application/json", "X-Many": ["1", "2"]},
        client="[2001:db8::1]:80",
        body='{"k": "v"}',
    )
    assert isinstance(request, Request)
    assert (request.method, request.path, request.path_params) == ("PUT", "/users/Jürg", {"name": "Jürg"})
    assert (request.query_list("a"), request.query_params["b"]) == (["1", "2"], "ü")
    assert (request.header("x-many"), request.json(), request.client) == ("1, 2", {"k": "v"}, "[2001:db8::1]:80")


def test_it_is_an_empty_get_of_the_root_unless_told_otherwise() -> None:
    request = make_request()
    assert (request.method, request.path, request.body(), request.client) == ("GET", "/", b"", "127.0.0.1:0")
    assert (request.path_params, request.query_params) == ({}, {})


def test_many_headers_and_a_large_body_are_the_handler_s_business() -> None:
    request = make_request(method="POST", headers={f"x-{n}": "v" * 1000 for n in range(500)}, body=b"x" * 3_000_000)
    assert (len(request.headers), len(request.body())) == (502, 3_000_000)


def test_what_the_server_would_refuse_is_refused() -> None:
    with pytest.raises(ValueError, match="the server would refuse this request: "):
        make_request(headers={"Bad Name": "x"})
    with pytest.raises(TypeError, match="is bytes or str"):
        make_request(body=iter([b"x"]))
