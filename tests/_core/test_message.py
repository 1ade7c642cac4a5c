from __future__ import annotations

import http
from collections.abc import Iterator

import pytest

from siphon_http._core.message import Peer, Request, Response, answer_405
from siphon_http.errors import HttpStatusError
from siphon_http.testing import ExchangeDriver, RecordingSink


def received(data: bytes, *, streams: bool = False) -> Request:
    """Return the request that a connection makes of `data`."""
    seen: list[Request] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        seen.append(request)

    RecordingSink(answer, streams=streams).receive(data)
    return seen[0]


def get(target: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> Request:
    """Return a request with these field lines."""
    length = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: t:80", *lines, *length])
    return received(head.encode("latin-1") + b"\r\n\r\n" + body)


# ---- Request


def test_a_script_cannot_make_one() -> None:
    """An empty one would have no peer to name."""
    with pytest.raises(TypeError, match="made of what a client sent"):
        Request()


def test_the_parts_of_a_target() -> None:
    request = get("/a%20b/%C3%BC+c?x=%41+b&x=2&y")
    assert request.method == "GET"
    assert request.path == "/a b/ü+c"
    assert request.raw_path == "/a%20b/%C3%BC+c"
    assert request.query_string == "x=%41+b&x=2&y"
    assert request.query_params == {"x": "2", "y": ""}
    assert request.query_list("x") == ["A b", "2"]
    assert request.url == "http://t:80/a%20b/%C3%BC+c?x=%41+b&x=2&y"
    assert (request.host, request.scheme, request.http_version) == ("t:80", "http", "1.1")
    assert repr(request) == "<Request GET /a%20b/%C3%BC+c>"
    assert get("/").query_params == {} and get("/").query_string == ""


@pytest.mark.parametrize(
    "target, host, path, url",
    [
        ("http://u:8/x?y", "u:8", "/x", "http://u:8/x?y"),
        ("http://u", "u", "/", "http://u"),
        ("http://u?y", "u", "/", "http://u?y"),
        ("*", "t:80", "*", "http://t:80"),
    ],
)
def test_an_absolute_target_beats_the_host_field(target: str, host: str, path: str, url: str) -> None:
    request = get(target, method="OPTIONS")
    assert (request.host, request.path, request.url) == (host, path, url)
    assert request.header("Host") == host and request.headers["host"] == host


def test_fields_are_read_in_any_case_and_joined() -> None:
    lines = ("X-A: 1", "x-a:2", "Cookie: a=b", "cookie: c=d", "X-L: \xe4", "X-E:", "X-S: \t s \t")
    for whole_first in (False, True):
        request = get("/", *lines)
        if whole_first:
            assert request.headers == {
                "host": "t:80", "x-a": "1, 2", "cookie": "a=b; c=d", "x-l": "\xe4", "x-e": "", "x-s": "s"
            }  # fmt: skip
            assert request.headers is request.headers
        for name, value in (("X-a", "1, 2"), ("COOKIE", "a=b; c=d"), ("x-l", "\xe4"), ("x-e", ""), ("X-S", "s")):
            assert request.header(name) == value
        for missing in ("x", "x-aa", "", "x-a:", "ä", "€", "x-a: 1\r\nx-a"):
            assert request.header(missing) is None


def test_a_field_is_found_by_its_whole_name_only() -> None:
    request = get("/", "AB: 1", "A: 2", "B: A: 3", "ABC: 4")
    assert [request.header(n) for n in ("a", "b", "ab", "abc", "c")] == ["2", "A: 3", "1", "4", None]


def test_cookies_are_read_as_sent_the_first_of_duplicates() -> None:
    request = get("/", 'Cookie: a=1; b="two"; a=3; ; =x; y; c=d=e;f=')
    assert request.cookies == {"a": "1", "b": "two", "c": "d=e", "f": ""}
    assert get().cookies == {}


def test_content_as_bytes_text_and_json() -> None:
    assert get().body() == b"" and get().text() == ""
    request = get("/", method="POST", body='{"ä": 1}'.encode())
    assert request.body() == '{"ä": 1}'.encode() and request.text() == '{"ä": 1}' and request.json() == {"ä": 1}
    latin = get("/", "Content-Type: text/plain; Charset=latin-1", method="POST", body=b"\xe4")
    assert latin.text() == "ä"
    with pytest.raises(ValueError):
        get("/", method="POST", body=b"{").json()
    with pytest.raises(UnicodeDecodeError):
        get("/", method="POST", body=b"\xff").text()
    for unknown in ("nonsense", "", "zlib", "base64", "undefined", "a\\0b"):  # the peer's choice, not the script's
        line = f"Content-Type: text/plain; charset={unknown}"
        assert get("/", line, method="POST", body="ä".encode()).text() == "ä"


def test_a_request_that_streams_has_no_body_and_one_that_does_not_no_stream() -> None:
    streamed = received(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx", streams=True)
    for read in (streamed.body, streamed.text, streamed.json):
        with pytest.raises(RuntimeError, match="stream=True"):
            read()
    with pytest.raises(RuntimeError, match="body"):
        get().stream()


def test_facts_of_the_connection() -> None:
    request = get()
    assert (request.client, request.scheme, request.peer_certificate) == ("192.0.2.1:4711", "http", None)
    assert request.route is None and request.path_params == {}
    request.state["a"] = 1
    assert request.state == {"a": 1}
    assert received(b"GET / HTTP/1.0\r\n\r\n").http_version == "1.0"
    assert received(b"GET / HTTP/1.0\r\n\r\n").host == ""
    assert Peer("x", "https", {"a": 1}).certificate == {"a": 1}


def test_attributes_are_read_only() -> None:
    for name in ("method", "path", "headers", "client"):
        with pytest.raises(AttributeError):
            setattr(get(), name, "x")


# ---- Response


@pytest.mark.parametrize(
    "body, content",
    [(None, b""), (b"a", b"a"), ("ä", "ä".encode()), (bytearray(b"b"), b"b"), (memoryview(b"cd")[1:], b"d"), ("", b"")],
)
def test_a_body_becomes_bytes(body: bytes | str | None, content: bytes) -> None:
    response = Response(200, None, body)
    assert response.body == content and type(response.body) is bytes
    response = Response()
    response.body = body
    assert response.body == content


def test_an_iterator_as_body_is_streamed() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"

    response = Response(200, None, made := pieces())
    assert response.body is made and "streamed" in repr(response)
    with pytest.raises(RuntimeError):
        response.text
    response.body = b"x"
    assert response.text == "x" and repr(response) == "<Response 200, 1 bytes>"


@pytest.mark.parametrize("body", [1, 1.5, {"a": 1}, {1}, object(), True])
def test_what_is_no_body_is_refused_at_construction(body: object) -> None:
    with pytest.raises(TypeError):
        Response(200, None, body)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, 999, -200, 2**40, 2**70])
def test_a_status_that_is_not_final_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        Response(status)
    response = Response()
    with pytest.raises(ValueError):
        response.status = status
    assert response.status == 200


@pytest.mark.parametrize("status", ["200", 200.0, None, True, b"200"])
def test_a_status_is_an_int(status: object) -> None:
    with pytest.raises(TypeError):
        Response(status)  # type: ignore[arg-type]
    assert Response(http.HTTPStatus.NOT_FOUND).status == 404


@pytest.mark.parametrize(
    "headers, pairs",
    [
        ({"A": "b", "C": ["d", "e"]}, [("a", "b"), ("c", "d"), ("c", "e")]),
        ([("A", "b"), ("a", ("c", "d"))], [("a", "b"), ("a", "c"), ("a", "d")]),
        (Response(200, {"x": "y"}).headers, [("x", "y")]),
        ({}, []),
        (None, []),
    ],
)
def test_headers_in_every_form(headers: dict[str, str], pairs: list[tuple[str, str]]) -> None:
    assert Response(200, headers).headers.pairs() == pairs
    response = Response(200, {"old": "1"})
    live = response.headers
    response.headers = headers
    assert response.headers.pairs() == live.pairs() == pairs


@pytest.mark.parametrize(
    "headers, error",
    [
        ({"a": "b\r\nc: d"}, ValueError), ({"a\r\nb": "c"}, ValueError), ({"a": "\0"}, ValueError), ({"": "a"}, ValueError), ({"a": 1}, TypeError),
        ({1: "a"}, TypeError), ([("a",)], TypeError), (["ab"], TypeError), ("ab", TypeError), (1, TypeError), ({"a": ["b\n"]}, ValueError),
        ({"a": None}, TypeError), ({"a": "€"}, ValueError), ({"a b": "c"}, ValueError), ({"a:": "c"}, ValueError),
    ],
)  # fmt: skip
def test_headers_that_would_split_or_break_an_answer_are_refused(headers: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Response(200, headers)  # type: ignore[arg-type]
    response = Response(200, {"old": "1"})
    with pytest.raises(error):
        response.headers = headers  # type: ignore[assignment]
    assert response.headers.pairs() == [("old", "1")]


def test_two_responses_do_not_share_their_headers() -> None:
    one = Response(200, {"a": "1"})
    two = Response(200, one.headers)
    two.headers["a"] = "2"
    assert one.header("A") == "1" and two.header("a") == "2"
    assert two.header("b") is None and two.header_list("a") == ["2"]


def test_reading_an_answer() -> None:
    response = Response(200, {"content-type": "text/plain; charset=latin-1"}, b'"\xe4"')
    assert response.text == '"ä"'
    assert Response(200, None, "[1]").json() == [1]
    assert response.raise_for_status() is response
    with pytest.raises(HttpStatusError) as caught:
        Response(404, None, b"x" * 300).raise_for_status()
    assert caught.value.status == 404 and len(caught.value.body) == 200


@pytest.mark.parametrize(
    "fields, body",
    [
        ({"content-length": "3"}, b"ab"),
        ({"content-length": "x"}, b"ab"),
        ({"content-length": "-1"}, None),
        ({"content-length": "+2"}, b"ab"),
        ({"content-length": "²"}, b"ab"),
        ({"content-length": "9" * 19}, None),
        ({"content-length": ["2", "3"]}, b"ab"),
        ({"content-length": "2, 2"}, b"ab"),
        ({"content-length": ""}, None),
        ({"transfer-encoding": "gzip"}, b"ab"),
        ({"transfer-encoding": "gzip, chunked"}, b"ab"),
    ],
)
def test_framing_fields_that_contradict_the_content_are_refused_before_anything_is_sent(
    fields: dict[str, str], body: bytes | None
) -> None:
    seen: list[str] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        with pytest.raises(ValueError) as caught:
            driver.respond(request, Response(200, fields, body))
        seen.append(str(caught.value))
        driver.respond(request, Response())

    sink = RecordingSink(answer).receive(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert len(seen) == 1 and sink.written.count(b"HTTP/1.1 ") == 1


def test_the_answer_to_a_method_that_is_not_there_names_those_that_are() -> None:
    assert answer_405(b"GET, HEAD", False).status == 405
    assert answer_405(b"GET, HEAD", True).status == 204
    for options in (False, True):
        assert answer_405(b"GET, HEAD", options).header("Allow") == "GET, HEAD"
