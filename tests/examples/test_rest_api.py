"""examples/rest_api.py, tested as its users would test it: without server, network or API."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from siphon_http.testing import HttpTestHarness

from .serving import ROOT


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpTestHarness]:
    monkeypatch.chdir(ROOT)
    with HttpTestHarness() as one:
        one.load_script("examples/rest_api.py")
        yield one


def test_a_user_is_looked_up_in_the_api(harness: HttpTestHarness) -> None:
    harness.add_response(harness.http.Response(status=200, body=b'{"name":"alice"}'))
    answer = harness.request("GET", "/users/42")
    assert (answer.status, answer.body) == (200, b'{"name":"alice"}')
    assert harness.sent_requests[0]["path"] == "/v1/users/42"
    assert harness.sent_requests[0]["name"] == "api"


def test_what_the_api_says_of_a_stranger_is_passed_on(harness: HttpTestHarness) -> None:
    harness.set_response("/v1/users/43", harness.http.Response(status=404, body=b"who?"))
    answer = harness.request("GET", "/users/43")
    assert (answer.status, answer.body) == (404, b"who?")


def test_an_api_that_is_down_is_an_error_of_ours(harness: HttpTestHarness) -> None:
    harness.add_response(harness.http.ConnectError("connection refused"))
    assert harness.request("GET", "/users/42").status == 500
    assert isinstance(harness.errors[0], RuntimeError)


def test_health_needs_no_api(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/healthz").body == b"ok"
    assert harness.sent_requests == []


def test_the_configuration_beside_it_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "API_URL", "http://api.test")
    with HttpTestHarness(ROOT / "examples/rest_api/http.yaml") as harness:
        harness.load_script(ROOT / "examples/rest_api.py")
        harness.request("GET", "/users/42")
        assert harness.sent_requests[0]["url"] == "http://api.test/v1/users/42"
