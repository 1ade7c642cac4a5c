"""`http.Client` in a harness: calls are noted, and answered with what the test has laid out."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from siphon_http.errors import ReadTimeout, ScriptError
from siphon_http.testing import HttpTestHarness

from .scripts import CALLS_OUT


@pytest.fixture
def harness() -> Iterator[HttpTestHarness]:
    with HttpTestHarness() as one:
        one.load_source(CALLS_OUT)
        yield one


def test_what_the_script_sent_is_noted(harness: HttpTestHarness) -> None:
    assert harness.request("POST", "/ask", body=b"question").status == 200
    assert harness.sent_requests == [
        {
            "method": "POST",
            "path": "/v1/things",
            "url": "/v1/things",
            "name": "api",
            "base_url": None,
            "params": {"a": "b c"},
            "headers": {"X-Trace": "7"},
            "body": b"question",
        }
    ]
    assert harness.http.sent_requests is harness.sent_requests


def test_answers_come_from_the_queue_then_by_path_then_the_default_then_200(harness: HttpTestHarness) -> None:
    response = harness.http.Response
    harness.set_response("/v1/things", response(203))
    harness.http.set_default_response(response(500))
    harness.add_response(response(201))
    harness.add_response(response(202))
    assert [harness.request("POST", "/ask").status for _ in range(4)] == [201, 202, 203, 203]
    harness.http.clear()
    assert harness.sent_requests == []
    harness.http.set_default_response(response(418))
    assert harness.request("POST", "/ask").status == 418
    harness.http.clear()
    answer = harness.request("POST", "/ask")
    assert (answer.status, answer.body) == (200, b"")


def test_an_answer_laid_out_for_a_path_is_given_whole_each_time(harness: HttpTestHarness) -> None:
    harness.set_response("/v1/things", harness.http.Response(200, {"X-Kind": ["a", "b"]}, "thing"))
    for _ in range(2):
        answer = harness.request("POST", "/ask")
        assert (answer.header("x-kind"), answer.body) == ("a, b", b"thing")


def test_an_exception_in_the_place_of_an_answer_is_raised_in_the_script(harness: HttpTestHarness) -> None:
    harness.add_response(ReadTimeout("nothing for 5 s"))
    answer = harness.request("POST", "/ask")
    assert (answer.status, answer.body) == (504, b"nothing for 5 s")
    harness.http.add_response(ValueError("who expects this"))
    assert harness.request("POST", "/ask").status == 500


def test_json_goes_out_as_json_and_comes_back(harness: HttpTestHarness) -> None:
    harness.add_response(harness.http.Response(body='{"b": 2}'))
    assert harness.request("GET", "/json").body == b"{'b': 2}"
    sent = harness.sent_requests[0]
    assert (sent["method"], sent["headers"]["content-type"]) == ("PUT", "application/json")
    assert sent["body"].replace(b" ", b"") == b'{"a":1}'


def test_bodies_stream_both_ways(harness: HttpTestHarness) -> None:
    harness.add_response(harness.http.Response(body=iter([b"one ", b"two"])))
    answer = harness.request("POST", "/streams", body=iter([b"up ", b"load"]))
    assert (answer.body, harness.sent_requests[0]["body"]) == (b"one two", b"up load")
    harness.add_response(harness.http.Response(body=b"whole"))
    assert harness.request("POST", "/streams", body=b"x").body == b"whole"


def test_an_answer_can_be_handed_on_as_it_is(harness: HttpTestHarness) -> None:
    canned = harness.http.Response(206, {"Connection": "x-hop", "X-Hop": "1", "X-Kind": "k"}, b"whole")
    harness.set_response("/v1/forward", canned)
    for path in ("/forwards", "/forwards?stream"):
        answer = harness.request("GET", path)
        assert (answer.status, answer.body, answer.header("x-kind"), answer.header("x-hop")) == (
            206,
            b"whole",
            "k",
            None,
        )


def test_an_answer_knows_what_one_from_the_network_knows(harness: HttpTestHarness) -> None:
    harness.add_response(harness.http.Response(body="text"))
    assert harness.request("GET", "/facts").text == "http://things.test/x?a=1 1.1 0.0 text"


def test_inline_clients_have_urls(harness: HttpTestHarness) -> None:
    harness.set_response("http://other.test/x", harness.http.Response(body=b"not for HEAD"))
    assert harness.request("GET", "/inline").body == b""
    assert [(sent["method"], sent["path"], sent["url"], sent["name"]) for sent in harness.sent_requests] == [
        ("GET", "things", "http://things.test/base/things", None),
        ("HEAD", "http://other.test/x", "http://other.test/x", None),
    ]


def test_with_clients_in_the_configuration_names_and_urls_are_theirs() -> None:
    with HttpTestHarness({"clients": {"api": {"base_url": "https://api.test/base"}}}) as harness:
        harness.load_source(CALLS_OUT)
        harness.request("POST", "/ask")
        sent = harness.sent_requests[0]
        assert (sent["base_url"], sent["url"]) == ("https://api.test/base", "https://api.test/base/v1/things?a=b%20c")
    with HttpTestHarness({"clients": {"appi": {"base_url": "https://api.test"}}}) as harness:
        with pytest.raises(ScriptError, match="no client named 'api': did you mean 'appi'"):
            harness.load_source(CALLS_OUT)


def test_what_is_no_answer_is_refused_where_it_is_laid_out(harness: HttpTestHarness) -> None:
    with pytest.raises(TypeError, match="an answer is a Response or an exception, not int"):
        harness.add_response(200)  # type: ignore[arg-type]
    harness.add_response(SimpleNamespace(status=203, headers={"x-kind": "sdk"}, body=b"like the SDK's"))  # type: ignore[arg-type]
    answer = harness.request("POST", "/ask")
    assert (answer.status, answer.header("x-kind"), answer.body) == (203, "sdk", b"like the SDK's")


def test_http_is_the_namespace_of_the_script(harness: HttpTestHarness) -> None:
    import siphon  # type: ignore[import-not-found]

    assert harness.http.Client is siphon.http.Client
    with pytest.raises(AttributeError, match=r"siphon\.http has no `rout`"):
        harness.http.rout


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("get('/x', headers={'x': 'a\\r\\nb: c'})", "ClientError"),
        ("get('/x', headers={'a b': 'c'})", "ClientError"),
        ("get('/x', headers={'x': 1})", "TypeError"),
        ("get('/x\\ny')", "ClientError"),
        ("get('ftp://x/')", "ClientError"),
        ("get('http://user:password@x/')", "ClientError"),
        ("get('/x', params='a=b')", "TypeError"),
        ("request('GE T', '/')", "ClientError"),
        ("post('/x', body=b'abc', headers={'content-length': '5'})", "ClientError"),
        ("get('http://b\\u00fccher.example/x', headers=iter([('X-A', '1')]))", "200"),
    ],
)
@pytest.mark.parametrize("client", ["'api'", "base_url='http://up.example/v1'"])
def test_what_the_network_could_not_be_sent_is_refused_here_too(call: str, error: str, client: str) -> None:
    with HttpTestHarness() as harness:
        harness.load_source(f"""
            from siphon import http
            @http.route("/")
            async def ask(req):
                try:
                    return http.Response(body=str((await http.Client({client}).{call}).status))
                except (http.ClientError, TypeError) as error:
                    return http.Response(body=type(error).__name__)
        """)
        assert harness.request("GET", "/").body.decode() == error
        assert len(harness.sent_requests) == (error == "200")
