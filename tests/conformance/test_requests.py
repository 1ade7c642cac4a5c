"""What a script sees of a request (design section 3: http.Request)."""

from __future__ import annotations

import json

import pytest

from .launch import Server
from .wire import PING, Wire, one, polite, request


def seen(main: Server, data: bytes) -> dict[str, object]:
    """Return what /seen shows."""
    answer = one(main["plain"], data)
    assert answer.status == 200
    found = json.loads(answer.body)
    assert isinstance(found, dict)
    return found


def fields(*lines: str) -> bytes:
    """Return a GET of /seen with these field lines."""
    return "\r\n".join(["GET /seen HTTP/1.1", "Host: t", *lines, "", ""]).encode("latin-1")


def test_the_attributes_of_a_plain_request(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/two/a/b%20c?x=1&a=2", "PUT", [("X-Y", "z")], b"body"))
        found = json.loads(wire.read().body)
        port = wire.sock.getsockname()[1]
    assert found["method"] == "PUT"
    assert found["path"] in ("/two/a/b c", "/two/a/b%20c")
    assert found["raw_path"].startswith("/two/a/b%20c")
    assert found["path_params"] == {"first": "a", "second": "b c"}
    assert found["query_params"] == {"x": "1", "a": "2"}
    assert found["headers"] == {"host": "t", "x-y": "z", "content-length": "4"}
    assert found["client"] == f"127.0.0.1:{port}"
    assert found["scheme"] == "http"
    assert found["host"] == "t"
    assert found["url"] == "http://t/two/a/b%20c?x=1&a=2"
    assert found["http_version"] == "1.1"
    assert found["route"] == "/two/{first}/{second}"
    assert found["body"] == "body"
    assert found["types"] == ["bytes", "dict", "dict"]
    assert found["state"] == {}
    assert found["missing"] is None
    assert found["peer_certificate"] is False


def test_http_1_0_is_shown_as_such(main: Server) -> None:
    assert seen(main, b"GET /seen HTTP/1.0\r\n\r\n")["http_version"] == "1.0"


@pytest.mark.parametrize("host", ["t", "t:8080", "example.com", "[::1]:80", "T.Example"])
def test_host_is_shown_with_its_port(main: Server, host: str) -> None:
    found = seen(main, f"GET /seen HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert str(found["host"]).lower() == host.lower()
    assert str(found["url"]).lower() == f"http://{host}/seen".lower()
    assert found["headers"] == {"host": host}


JOINED = {
    "one": (["X-Multi: a"], "x-multi", "a"),
    "two": (["X-Multi: a", "X-Multi: b"], "x-multi", "a, b"),
    "three, apart": (["X-Multi: a", "X-O: z", "x-multi: b", "X-MULTI: c"], "x-multi", "a, b, c"),
    "with an empty one": (["X-Multi: a", "X-Multi:", "X-Multi: c"], "x-multi", "a, , c"),
    "cookie": (["Cookie: a=1", "Cookie: b=2"], "cookie", "a=1; b=2"),
    "accept": (["Accept: a/b", "Accept: c/d"], "accept", "a/b, c/d"),
}


@pytest.mark.parametrize("name", JOINED)
def test_repeated_fields_are_joined(main: Server, name: str) -> None:
    lines, key, value = JOINED[name]
    found = seen(main, fields(*lines))
    headers = found["headers"]
    assert isinstance(headers, dict)
    assert headers[key] == value
    assert all(k == k.lower() for k in headers)
    if key == "x-multi":
        assert found["x_multi"] == value, "req.header() and req.headers agree"


COOKIES = {
    "one": ("a=1", {"a": "1"}),
    "two": ("a=1; b=2", {"a": "1", "b": "2"}),
    "no space": ("a=1;b=2", {"a": "1", "b": "2"}),
    "equals in the value": ("a=b=c", {"a": "b=c"}),
    "empty value": ("a=", {"a": ""}),
    "trailing semicolon": ("a=1;", {"a": "1"}),
    "quoted": ('a="b c"', {"a": "b c"}),
    "not decoded": ("a=%41+b", {"a": "%41+b"}),
}


@pytest.mark.parametrize("name", COOKIES)
def test_cookies(main: Server, name: str) -> None:
    """RFC 6265, 4.2.1; quotes may be kept or taken off."""
    text, wanted = COOKIES[name]
    found = seen(main, fields(f"Cookie: {text}"))["cookies"]
    assert found in (wanted, {"a": '"b c"'}) if name == "quoted" else found == wanted


@pytest.mark.parametrize("text", ["", "a", ";", "=", "=b", ";;;=;;", 'a="', "a=\xe4"])
def test_odd_cookies_harm_nothing(main: Server, text: str) -> None:
    assert isinstance(seen(main, fields(f"Cookie: {text}"))["cookies"], dict)


def test_no_cookie_is_no_cookies(main: Server) -> None:
    assert seen(main, fields())["cookies"] == {}


@pytest.mark.parametrize("size", [0, 1, 100, 65_535, 65_536, 65_537, 300_000, 1_048_576])
@pytest.mark.parametrize("target", ["/echo", "/echo-sync", "/stream-back"])
def test_a_body_arrives_whole(main: Server, size: int, target: str) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert request(main["plain"], target, "POST", body=body).body == body


@pytest.mark.parametrize("target", ["/echo", "/echo-sync", "/stream-back"])
def test_a_body_in_pieces_arrives_whole(main: Server, target: str) -> None:
    body = bytes(range(256)) * 200
    data = polite(target, "POST", body=body)
    with Wire(main["plain"]) as wire:
        wire.send_pieces([data[n : n + 5000] for n in range(0, len(data), 5000)], 0.002)
        assert wire.read("POST").body == body
        wire.expect_open()


JSON = {
    "object": (b'{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
    "string": ('"ü€"'.encode(), "ü€"),
    "white space": (b" \n [] ", []),
    "escaped": (b'"\\u00fc"', "ü"),
}


@pytest.mark.parametrize("name", JSON)
def test_json_is_read(main: Server, name: str) -> None:
    body, value = JSON[name]
    answer = request(main["plain"], "/json", "POST", [("Content-Type", "application/json")], body)
    assert json.loads(answer.body) == {"got": value}


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"\xff", b'{"a":1}x'], ids=repr)
def test_bad_json_is_an_error_of_the_handler_or_of_the_client(main: Server, body: bytes) -> None:
    """json() raises; a handler that lets it through is answered 500 (400 if the product maps it)."""
    assert request(main["plain"], "/json", "POST", body=body).status in (400, 500)


@pytest.mark.parametrize("text", ["", "plain", "grüße €", "😀\r\nline"])
def test_text_is_utf_8(main: Server, text: str) -> None:
    assert request(main["plain"], "/text", "POST", body=text.encode()).body.decode() == text


def test_a_stream_shows_the_body_as_it_comes(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(
            polite("/stream", "POST", body=b"")[:-4].replace(b"Content-Length: 0", b"Content-Length: 30") + b"\r\n\r\n"
        )
        wire.send_pieces([b"x" * 10] * 3, 0.03)
        answer = json.loads(wire.read("POST").body)
        wire.expect_open()
    assert answer["total"] == 30
    assert answer["parts"] >= 2


def test_a_stream_of_chunks_shows_their_data_only(main: Server) -> None:
    data = b"POST /stream-back HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
    assert one(main["plain"], data, "POST").body == b"abcde"


def test_an_empty_stream_ends_at_once(main: Server) -> None:
    assert json.loads(request(main["plain"], "/stream", "POST", body=b"").body) == {"total": 0, "parts": 0}
    assert json.loads(request(main["plain"], "/stream", "POST").body) == {"total": 0, "parts": 0}


def test_a_streamed_body_that_is_not_read_is_no_second_request(main: Server) -> None:
    """Its unread bytes are skipped, or the connection closes: one of both, and announced."""
    with Wire(main["plain"]) as wire:
        wire.send(polite("/stream-unread", "POST", body=PING * 10) + PING)
        answer = wire.read("POST")
        assert (answer.status, answer.body) == (403, b"no")
        if answer.closes:
            wire.expect_end()
        else:
            assert wire.read().body == b"ok"
            wire.expect_open()


def test_a_half_read_stream_is_no_second_request(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        body = PING * 20_000
        wire.send(polite("/stream-one", "POST", body=body)[:200_000])
        answer = wire.read("POST")
        assert answer.body == b"first"
        assert answer.closes or wire.buffer == b""


def test_reading_a_stream_slowly_holds_back_the_sender(main: Server) -> None:
    """stream=True is for bodies that do not fit: memory stays bounded while the handler sleeps."""
    before = main.rss_kib()
    with Wire(main["plain"], timeout=10) as wire:
        wire.send(b"POST /stream-slow HTTP/1.1\r\nHost: t\r\nContent-Length: 90000000\r\n\r\n")
        wire.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 80_000_000:
                sent += wire.sock.send(b"x" * 262_144)
        except TimeoutError:
            pass
        assert sent < 40_000_000, "only the buffers of both systems are full"
        assert main.rss_kib() - before < 30_000


def test_requests_of_one_connection_share_no_state(main: Server) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(polite("/seen/a?q=1", headers=[("X-A", "1"), ("Cookie", "a=1")]) + polite("/seen"))
        wire.read()
        second = json.loads(wire.read().body)
    assert (second["headers"], second["query_params"], second["path_params"], second["cookies"]) == (
        {"host": "t"},
        {},
        {},
        {},
    )
