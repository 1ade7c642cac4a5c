"""Tests of scripts as users write them, for the SDK's harness and for ours: test_parity runs them on both.

Not collected by itself: `siphon_sdk` is the real one or `install_sdk_alias()`.
"""

import pytest
from siphon_sdk.http import HttpStatusError, MockRequest, MockResponse
from siphon_sdk.http_testing import HttpTestHarness

PROXY = """
from siphon import http, log

@http.middleware
async def require_token(req):
    if req.header("authorization") != "Bearer s3cr3t":
        return http.Response(status=401, body=b"unauthorized")
    return None            # None -> continue to the route handler

@http.on_startup
async def warm():
    log.info("http addon starting up")

@http.route("/items", methods=["GET"])
async def list_items(req):
    limit = int(req.query_params.get("limit", "100"))
    return http.Response(body=f"{limit} {req.client}")

@http.route("/items/{id}", methods=["put", "POST"])
def put(req):
    return http.Response(status=201, headers={"Content-Type": "text/plain"}, body=req.path_params["id"].encode() + req.body())

@http.route("/static/{*rest}")
async def static(req):
    return http.Response(body=req.path_params["rest"])

@http.route("/junk")
async def junk(req):
    return None

@http.route("/check")
async def check(req):
    async with http.Client("api") as c:
        resp = await c.get("/v1/things", headers={"x-a": "1"})
        resp.raise_for_status()
    created = await http.Client(base_url="http://other.test/").post("/new", body="text")
    return http.Response(status=created.status, body=resp.body)
"""
TOKEN = {"Authorization": "Bearer s3cr3t"}


@pytest.fixture
def harness():
    one = HttpTestHarness()
    one.load_source(PROXY)
    yield one
    one.close()


def test_user_proxy():
    harness = HttpTestHarness()
    # canned upstream response for the outbound http.Client call
    harness.add_response(MockResponse(status=200, body=b'{"name":"alice"}'))
    harness.load_script("examples/rest_api.py")

    resp = harness.request("GET", "/users/42")
    assert resp.status == 200

    # assert on what the script sent upstream
    assert harness.sent_requests[0]["path"] == "/v1/users/42"


def test_healthz():
    h = HttpTestHarness()
    h.load_script("examples/rest_api.py")
    assert h.request("GET", "/healthz").body == b"ok"


def test_the_guard_answers_instead_of_the_handler(harness):
    refused = harness.request("GET", "/items")
    assert (refused.status, refused.body) == (401, b"unauthorized")
    allowed = harness.request("GET", "/items", headers=TOKEN)
    assert (allowed.status, allowed.body) == (200, b"100 127.0.0.1:0")


def test_query_from_the_path_and_from_the_argument(harness):
    assert harness.request("GET", "/items?limit=7", headers=TOKEN).body == b"7 127.0.0.1:0"
    answer = harness.request("GET", "/items", headers=TOKEN, query_params={"limit": "8"}, client="192.0.2.1:5")
    assert answer.body == b"8 192.0.2.1:5"


def test_parameters_bodies_and_methods(harness):
    answer = harness.request("PUT", "/items/42", headers=TOKEN, body=b" bytes")
    assert (answer.status, answer.body, answer.header("content-type")) == (201, b"42 bytes", "text/plain")
    assert harness.request("post", "/items/42", headers=TOKEN, body=" text").body == b"42 text"
    assert harness.request("GET", "/static/a/b.css", headers=TOKEN).body == b"a/b.css"
    assert harness.request("PUT", "/items/{id}", path_params={"id": "9"}, headers=TOKEN).body == b"9"


def test_what_is_no_response_is_a_500(harness):
    assert harness.request("GET", "/junk", headers=TOKEN).status == 500


def test_no_route_is_a_404(harness):
    assert harness.request("GET", "/nothing", headers=TOKEN).status == 404


def test_startup_and_log(harness):
    assert harness.log.messages == []
    harness.run_startup()
    assert ("info", "http addon starting up") in harness.log.messages


def test_outbound_calls_are_recorded_and_answered(harness):
    harness.add_response(MockResponse(status=200, body="first"))
    harness.set_response("/new", MockResponse(202, {"X-Id": "1"}))
    answer = harness.request("GET", "/check", headers=TOKEN)
    assert (answer.status, answer.body) == (202, b"first")
    first, second = harness.sent_requests
    assert (first["method"], first["path"], first["name"], first["body"]) == ("GET", "/v1/things", "api", b"")
    assert first["headers"] == {"x-a": "1"}
    assert (second["method"], second["url"], second["name"]) == ("POST", "http://other.test/new", None)
    assert (second["base_url"], second["body"]) == ("http://other.test/", b"text")
    assert harness.http.sent_requests == harness.sent_requests


def test_without_an_answer_laid_out_it_is_200_and_empty(harness):
    answer = harness.request("GET", "/check", headers=TOKEN)
    assert (answer.status, answer.body) == (200, b"")
    harness.http.set_default_response(MockResponse(203))
    assert harness.request("GET", "/check", headers=TOKEN).status == 203


def test_reset_forgets(harness):
    harness.request("GET", "/check", headers=TOKEN)
    harness.reset()
    assert harness.sent_requests == [] and harness.log.messages == []
    harness.load_source(PROXY, name="again")
    assert harness.request("GET", "/items", headers=TOKEN).status == 200


def test_responses_and_requests_by_themselves():
    response = MockResponse(404, {"X-A": "b"}, "text")
    assert (response.status, response.header("x-a"), response.header("y"), response.body) == (404, "b", None, b"text")
    with pytest.raises(HttpStatusError):
        response.raise_for_status()
    assert MockResponse().raise_for_status().status == 200
    request = MockRequest(method="post", path="/a", path_params={"id": "1"}, headers={"X-A": "b"}, body="text")
    assert (request.method, request.path, request.path_params) == ("POST", "/a", {"id": "1"})
    assert (request.header("x-A"), request.headers["x-a"], request.body()) == ("b", "b", b"text")
    assert (request.client, request.query_params) == ("127.0.0.1:0", {})
