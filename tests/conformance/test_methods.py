"""HEAD, OPTIONS, 405 and Allow, TRACE (RFC 9110, 9; design section 3: @http.route)."""

from __future__ import annotations

import pytest

from .launch import Server
from .wire import Wire, check_error_body, request


def allowed(value: str | None) -> set[str]:
    """Return the methods of an Allow field."""
    assert value is not None, "no Allow field (RFC 9110, 15.5.6)"
    return {m.strip() for m in value.split(",")}


ALLOW = {
    # OPTIONS itself may be listed or not.
    "/": {"GET", "HEAD"},
    "/seen/x": {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
    "/echo": {"POST", "PUT"},
    "/names/1": {"GET", "HEAD", "POST"},
    "/put-only": {"PUT"},
    "/head-only": {"HEAD"},
}


@pytest.mark.parametrize("target", ALLOW)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "GET"])
def test_a_method_that_is_not_registered_is_answered_405_with_allow(main: Server, target: str, method: str) -> None:
    if method in ALLOW[target]:
        assert request(main["plain"], target, method).status == 200
        return
    answer = request(main["plain"], target, method)
    if method == "TRACE" and answer.status == 501:
        return  # RFC 9110, 9.3.8: never required
    assert answer.status == 405
    assert allowed(answer.header("allow")) - {"OPTIONS"} == ALLOW[target]
    check_error_body(answer)
    assert not answer.closes


@pytest.mark.parametrize("target", ALLOW)
def test_options_is_answered_204_with_allow(main: Server, target: str) -> None:
    answer = request(main["plain"], target, "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert allowed(answer.header("allow")) - {"OPTIONS"} == ALLOW[target]


REFUSED_HEADS = {
    "no Host": (b"HEAD / HTTP/1.1\r\n\r\n", 400),
    "empty lines before": (b"\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", 400),
    "space before the colon": (b"HEAD / HTTP/1.1\r\nHost : t\r\n\r\n", 400),
    "a target over its limit": (b"HEAD /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    "fields over their limit": (b"HEAD / HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    "an expectation": (b"HEAD / HTTP/1.1\r\nHost: t\r\nExpect: x\r\n\r\n", 417),
    "a coding": (b"HEAD / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "a version": (b"HEAD / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
}


@pytest.mark.parametrize("case", REFUSED_HEADS)
def test_a_head_that_is_refused_gets_no_content_either(main: Server, case: str) -> None:
    """RFC 9110, 9.3.2: MUST NOT, whatever the status."""
    data, status = REFUSED_HEADS[case]
    with Wire(main["plain"]) as wire:
        wire.send(data)
        answer = wire.read("HEAD")
        assert (answer.status, answer.closes) == (status, True)
        wire.expect_end()


def test_a_head_that_does_not_end_gets_no_content_either(main: Server) -> None:
    with Wire(main["quick"]) as wire:
        wire.send_pieces([b"HE", b"AD / HT"])
        assert wire.read("HEAD").status == 408
        wire.expect_end()


def test_options_of_an_unknown_path_is_answered_404(main: Server) -> None:
    assert request(main["plain"], "/nothing-here", "OPTIONS").status == 404


def test_registered_options_reach_the_handler(main: Server) -> None:
    answer = request(main["plain"], "/options", "OPTIONS")
    assert (answer.status, answer.body) == (200, b"OPTIONS")


def test_a_method_list_in_lower_case_is_understood(main: Server) -> None:
    assert request(main["plain"], "/put-only", "PUT", body=b"").body == b"PUT"


def test_get_serves_head_and_the_handler_sees_it(main: Server) -> None:
    got = request(main["plain"], "/head-get")
    head = request(main["plain"], "/head-get", "HEAD")
    assert head.status == 200
    assert head.header("x-method") == "HEAD"
    assert head.header("content-length") == got.header("content-length") == "5"


def test_a_registered_head_is_served(main: Server) -> None:
    assert request(main["plain"], "/head", "HEAD").header("x-method") == "HEAD"
    assert request(main["plain"], "/head", "GET").body == b"12345"


@pytest.mark.parametrize("target", ["/nothing-here", "/put-only", "/seen/%zz"])
def test_an_error_to_head_has_no_content(main: Server, target: str) -> None:
    answer = request(main["plain"], target, "HEAD")
    assert answer.status in (400, 404, 405)


def test_head_on_a_streamed_answer_has_no_content(main: Server) -> None:
    assert request(main["plain"], "/ticks/3/1", "HEAD").status == 200


def test_head_of_a_large_answer_is_quick_and_empty(main: Server) -> None:
    assert request(main["plain"], "/bulk/5000000", "HEAD").header("content-length") == "5000000"


def test_trace_echoes_nothing(main: Server) -> None:
    """A TRACE that reflects credentials is an old attack; ours is not implemented."""
    answer = request(main["plain"], "/", "TRACE", [("Authorization", "secret-detail")])
    assert answer.status in (405, 501)
    assert b"secret-detail" not in answer.body


@pytest.mark.parametrize(
    "method", ["PROPFIND", "MKCOL", "LINK", "PURGE", "SUBSCRIBE", "QUERY", "PRI", "DESCRIBE", "ANNOUNCE"]
)
def test_a_method_of_other_protocols_is_refused_cleanly(main: Server, method: str) -> None:
    """httptools knows some of them; RFC 9110, 9.1: 405 or 501, and 400 where it does not."""
    assert request(main["plain"], "/", method).status in (400, 405, 501)


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "POST"])
def test_every_usual_method_may_have_a_body_or_none(main: Server, method: str) -> None:
    assert b'"body": ""' in request(main["plain"], "/seen", method).body
    assert b'"body": "abc"' in request(main["plain"], "/seen", method, body=b"abc").body
