"""Guards and wraps (design section 3: @http.middleware)."""

from __future__ import annotations

import json

import pytest

from .launch import Server
from .wire import check_error_body, request

ORDER = ["outer", "guard", "sync", "thread", "inner"]


def test_middleware_runs_in_the_order_of_registration_both_kinds_mixed(middleware: Server) -> None:
    answer = request(middleware["plain"], "/trail/1")
    assert json.loads(answer.body) == ORDER
    assert answer.header("x-outer") == "seen"


def test_middleware_applies_to_sync_handlers(middleware: Server) -> None:
    answer = request(middleware["plain"], "/trail-sync")
    assert json.loads(answer.body) == ORDER
    assert answer.header("x-outer") == "seen"


@pytest.mark.parametrize("method,target", [("GET", "/nothing-here"), ("POST", "/trail/1"), ("OPTIONS", "/trail/1")])
def test_middleware_runs_only_when_a_route_matched(middleware: Server, method: str, target: str) -> None:
    """Not for 404, 405 or the automatic OPTIONS."""
    before = json.loads(request(middleware["plain"], "/ran").body).count(target)
    answer = request(middleware["plain"], target, method)
    assert answer.status in (404, 405, 204)
    assert answer.header("x-outer") is None
    assert json.loads(request(middleware["plain"], "/ran").body).count(target) == before


def test_middleware_runs_for_head(middleware: Server) -> None:
    assert request(middleware["plain"], "/trail/1", "HEAD").header("x-outer") == "seen"


def test_a_guard_may_answer_itself(middleware: Server) -> None:
    answer = request(middleware["plain"], "/trail/1", headers=[("X-Deny", "1")])
    assert (answer.status, answer.body, answer.header("x-outer")) == (401, b"unauthorized", "seen")


@pytest.mark.parametrize("junk", ["0", "false", "text", "true", "dict"])
def test_a_guard_that_returns_junk_is_answered_500(middleware: Server, junk: str) -> None:
    answer = request(middleware["plain"], "/trail/1", headers=[("X-Junk", junk)])
    assert answer.status == 500
    check_error_body(answer)


@pytest.mark.parametrize("header", ["X-Guard-Raises", "X-Guard-Exits"])
def test_a_guard_that_raises_is_answered_500(middleware: Server, header: str) -> None:
    answer = request(middleware["plain"], "/trail/1", headers=[(header, "1")])
    assert answer.status == 500
    assert b"secret-detail" not in answer.body
    check_error_body(answer)


@pytest.mark.parametrize("target", ["/raise-lookup", "/raise-lookup-late", "/raise-lookup-thread"])
def test_call_next_raises_what_the_handler_raised(middleware: Server, target: str) -> None:
    answer = request(middleware["plain"], target)
    assert (answer.status, answer.body) == (409, b"outer saw KeyError")


def test_an_exception_that_no_wrap_catches_is_answered_500(middleware: Server) -> None:
    answer = request(middleware["plain"], "/raise-value")
    assert (answer.status, answer.body.strip()) == (500, b"handler error")


def test_a_handler_without_answer_is_answered_500_through_wraps(middleware: Server) -> None:
    assert request(middleware["plain"], "/none").status == 500


@pytest.mark.parametrize("header,status", [("X-Inner-None", 500), ("X-Inner-Raises", 500), ("X-Inner-Short", 418)])
def test_what_a_wrap_itself_does(middleware: Server, header: str, status: int) -> None:
    assert request(middleware["plain"], "/trail/1", headers=[(header, "1")]).status == status


def test_a_wrap_may_change_the_answer(middleware: Server) -> None:
    assert request(middleware["plain"], "/trail/1", headers=[("X-Change", "1")]).status == 299


def test_a_wrap_may_replace_the_answer(middleware: Server) -> None:
    answer = request(middleware["plain"], "/trail/1", headers=[("X-Replace", "1")])
    assert (answer.status, answer.body, answer.header("x-outer")) == (203, b"replaced", "seen")


def test_a_wrap_that_calls_next_twice_harms_nothing(middleware: Server) -> None:
    answer = request(middleware["plain"], "/trail/1", headers=[("X-Inner-Twice", "1")])
    assert answer.status in (200, 500)
    assert request(middleware["plain"], "/trail/1").status == 200


@pytest.mark.parametrize("target", ["/visible", "/visible-thread", "/visible-late"])
def test_context_variables_of_a_guard_are_visible_in_the_handler(middleware: Server, target: str) -> None:
    assert request(middleware["plain"], target).body == b"by guard"


def test_a_blocking_guard_runs_on_a_thread(middleware: Server) -> None:
    assert request(middleware["plain"], "/threads").body == b"True"


def test_a_wrapped_stream_goes_out(middleware: Server) -> None:
    answer = request(middleware["plain"], "/streamed")
    assert (answer.body, answer.header("x-outer")) == (b"ab", "seen")


def test_a_wrapped_handler_is_timed_out(middleware: Server) -> None:
    assert request(middleware["plain"], "/wait").status == 504


def test_parameters_and_body_reach_a_wrapped_handler(middleware: Server) -> None:
    answer = request(middleware["plain"], "/params/%C3%BC", "POST", body=b"body")
    assert json.loads(answer.body) == [{"a": "ü"}, "body", ORDER]
