"""Fuzz targets of header fields: how scripts read those of a request, and what answers and access logs make of fields."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_plus

import hpack
import httptools

from siphon_http._core.headers import Headers, serialise_head
from siphon_http._core.message import Peer, Request, Response
from siphon_http.config_access import AccessFormat
from siphon_http.server.access import AccessLog
from siphon_http.server.endpoint import Endpoint, LoopState
from siphon_http.testing import ExchangeDriver, MemoryTransport, RecordingHandler, RecordingSink, prepare_request
from siphon_http.testing.driver import received_answer, request_facts
from tests.fuzz.edge_targets import has_words
from tests.oracle import access_line
from tests.oracle import fields as oracle
from tests.protocol import http2_pair

__all__ = ["access_lines", "answer_heads", "fields"]


# ---- what scripts read


def fields(data: bytes) -> None:
    """A target and names to ask for, a word each; then a field each line: looked up in a request of either protocol."""
    first, *lines = data.split(b"\n")
    target, *asked = first.decode("utf-8", "replace").split(" ")
    lines = [b"Host: test", *(line for line in lines if line)]
    sent = target.encode("latin-1", "replace")
    sink = RecordingSink(lambda driver, request: None)
    sink.receive(b"GET " + sent + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")
    if sink.current is not None:
        absolute = re.match(rb"(?i)https?://([^/?]*)", sent)
        _looked_up(sink.current, oracle.pairs(lines), asked, absolute and absolute[1].decode())
    pairs = oracle.pairs(lines[1:])
    owner = http2_pair.Owner(http2_pair.keep)
    block = hpack.Encoder().encode(
        [*http2_pair.fields(), *((n.encode("latin-1"), v.encode("latin-1")) for n, v in pairs)]
    )
    owner.connection.receive_data(http2_pair.PREFACE + http2_pair.SETTINGS)
    owner.connection.receive_data(http2_pair.frame(1, 5, 1, block))
    for request in owner.requests:
        _looked_up(request, pairs, asked, "test")


def _looked_up(request: Request, pairs: list[tuple[str, str]], asked: list[str], authority: str | None) -> None:
    # Another reader of the same lines: that of answers, which keeps repeats apart.
    block = request_facts(request)["fields"]
    answer = received_answer(200, block, b"", False, None)
    expected = oracle.joined(pairs)
    if authority:
        expected["host"] = authority
    names = [*asked, *expected, "Cookie", "HOST"]
    found = [request.header(name) for name in names]
    assert found == [expected.get(name.lower()) for name in names]
    assert request.cookies == oracle.cookies(expected.get("cookie", ""))
    assert request.request_id == oracle.kept_id(expected.get("x-request-id")) or re.fullmatch(
        "[0-9a-f]{32}", request.request_id
    )
    assert request.headers == expected
    assert [request.header(name) for name in names] == found, "once all are read, each is what it was"
    for name in set(names) - {"host", "HOST"}:
        assert answer.header_list(name) == [value for one, value in pairs if one == name.lower()]


# ---- what answers have


def answer_heads(data: bytes) -> None:
    """Status and switches in two bytes, then fields apart by 0xff: those that may be set are on the wire, and no others."""
    status, switches = 200 + data[0] * 400 // 256 if data else 200, data[1] if len(data) > 1 else 0
    response = Response(status)
    expected: list[tuple[str, str]] = []
    for given in data[2:].split(b"\xff")[:40]:
        name, _, value = given.decode("utf-8", "surrogateescape").partition(":")
        replaces = name.startswith("=")  # else it is added
        _set(response.headers, expected, name.removeprefix("="), value, replaces)
        assert response.headers.pairs() == expected
    assert dict(response.headers.items()) == oracle.joined(expected) | _first_cookie(expected)
    flat = [text for pair in expected for text in pair]
    for flags in range(16):
        framed = {"content-length", "transfer-encoding"} | ({"connection"} if flags & 3 else set())
        ours = [("transfer-encoding", "chunked")] if flags & 4 else [] if flags & 8 else [("content-length", "12345")]
        wire = _parsed(serialise_head(status, flat, 12345, flags), status)
        if not any(name == "date" for name, _ in expected):
            ours.append(("date", dict(wire)["date"]))
        ours += [("connection", "close" if flags & 1 else "keep-alive")] if flags & 3 else []
        assert wire == [pair for pair in expected if pair[0] not in framed] + ours
    _answered(response, expected, switches)


def _set(headers: Headers, expected: list[tuple[str, str]], name: str, value: str, replaces: bool) -> None:
    pair = oracle.checked(name, value)
    try:
        if replaces:
            headers[name] = value
        else:
            headers.add(name, value)
    except ValueError as error:
        has_words(error)
        assert pair is None
        return
    assert pair is not None
    places = [i for i, (one, _) in enumerate(expected) if one == pair[0]] if replaces else []
    for place in reversed(places):
        del expected[place]
    expected.insert(places[0] if places else len(expected), pair)


def _first_cookie(expected: list[tuple[str, str]]) -> dict[str, str]:
    """Return what reads as its first value, as it cannot be joined (RFC 9110, 5.3), or as all others do."""
    out = dict(reversed([pair for pair in expected if pair[0] == "set-cookie"]))
    values = [value for name, value in expected if name == "cookie"]
    return out | ({"cookie": ", ".join(values)} if values else {})  # only in requests it is joined otherwise


def _parsed(head: bytes, status: int) -> list[tuple[str, str]]:
    """Read a head, line by line."""
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 %d [A-Za-z '-]*" % status, first)
    assert not any(c in b"\r\n\0" for line in lines for c in line), "a line end or NUL that is not ours"
    return [
        (name.decode("ascii"), value.decode("latin-1")) for name, _, value in (one.partition(b": ") for one in lines)
    ]


class _Client:
    """What httptools reads of answers."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.ended = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("ascii"), value.decode("latin-1").strip(" \t")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


def _answered(response: Response, expected: list[tuple[str, str]], switches: int) -> None:
    """The same through a connection: a client reads one answer, with these fields and no line of its content."""
    content = b"" if response.status in (204, 205, 304) or switches & 1 else b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n"
    response.body = content
    refused: list[str] = []

    def answer(driver: ExchangeDriver, request: Request) -> None:
        try:
            if switches & 2 and content:
                assert driver.start(request, response) and driver.chunk(request, content) and driver.end(request)
            else:
                assert driver.respond(request, response)
        except ValueError as error:
            refused.append(str(error))

    sink = RecordingSink(answer).receive(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    if refused:  # it contradicts its content: the server answers 500 instead
        assert not sink.written and {"content-length", "transfer-encoding"} & {name for name, _ in expected}
        return
    client = _Client()
    parser = httptools.HttpResponseParser(client)
    try:
        parser.feed_data(sink.written)
    except httptools.HttpParserUpgrade:
        pass
    ours = {"content-length", "transfer-encoding", "connection", "date"}
    head = _parsed(sink.written.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", response.status)
    assert client.fields == head
    assert [pair for pair in head if pair[0] not in ours] == [pair for pair in expected if pair[0] not in ours]
    assert parser.get_status_code() == response.status and client.body == content
    assert client.ended == 1


# ---- what the access log makes of a request

WORDS = "method target protocol host referer user_agent request_id status bytes_in bytes_out route"
PLACES = [("field", word) for word in WORDS.split()] + [
    ("header", "x-tenant"),
    ("header", "referer"),
    ("field", "target"),
]
HIDDEN = re.compile("(?i)authorization|cookie|token|secret|passw|api[-_]?key|signature")


def _form(style: str) -> AccessFormat:
    parts: list[tuple[str, str]] = []
    for i, place in enumerate(PLACES):
        parts += [("text", f'{"," if i else "{"}"{i}":"' if style == "json" else " [" if i else "["), place]
        parts.append(("text", '"' if style == "json" else "]"))
    return AccessFormat(style, (*parts, ("text", "}" if style == "json" else "")), "own")  # type: ignore[arg-type]


class _Loop:
    """A loop on which nothing is ever due."""

    def call_later(self, seconds: float, callback: object) -> _Loop:
        return self

    def cancel(self) -> None:
        pass


class _Site:
    """One connection with an access log; it answers 201 to everything."""

    def __init__(self, form: AccessFormat) -> None:
        self.lines: list[str] = []
        self.heads: list[Request] = []
        state = LoopState(_Loop())  # type: ignore[arg-type]
        self.log = AccessLog(
            form.parts,
            json=form.style == "json",
            combined=False,
            listener="",
            emit=self._emit,
            call_later=_Loop().call_later,
        )
        self.endpoint = Endpoint(
            RecordingHandler(self), state, describe_peer=lambda _: Peer("192.0.2.1:9"), access=self.log
        )
        self.transport = MemoryTransport(self.endpoint.connection())

    def _emit(self, lines: object) -> None:
        self.lines += str(lines).splitlines(keepends=True)

    def accept(self, request: Request, limit: int) -> int:
        prepare_request(request, Peer("192.0.2.1:9"), False)
        return limit

    def dispatch(self, exchange: Any, request: Request) -> None:
        self.heads.append(request)
        ExchangeDriver(exchange).respond(request, Response(201))

    def cancel(self, request: Request, gone: bool) -> None:
        raise AssertionError("every request is answered at once")


def access_lines(data: bytes) -> None:
    """Heads, apart by empty lines, each a target and a field each line; each is sent twice, as lines are remembered."""
    for style in ("text", "json"):
        form = _form(style)
        site = _Site(form)
        asked = []
        for one in data.split(b"\n\n")[:8]:
            target, *lines = one.split(b"\n")
            head = b"".join(line + b"\r\n" for line in lines if line)
            asked += [b"GET " + target + b" HTTP/1.1\r\nHost: t\r\n" + head + b"\r\n"] * 2
        for i, head in enumerate(asked):
            if site.transport.is_closing() or site.transport.wrote_eof:
                break
            site.transport.receive(head)
            site.log.flush()
            if len(site.lines) <= i:  # it waits for content
                break
            _is_one_line(site.lines[i], style)
            if len(site.heads) > i:
                known = {"status": "201", "bytes_in": "0", "bytes_out": "0", "route": "" if style == "json" else "-"}
                ids = [value for name, value in oracle.pairs(head.split(b"\r\n")[1:]) if name == "x-request-id"]
                if len(ids) > 1 and oracle.kept_id(ids[0]):  # two are none: one is made
                    known["request_id"] = site.heads[i].request_id
                    assert re.fullmatch("[0-9a-f]{32}", known["request_id"])
                assert site.lines[i] == access_line.line(form, head, known) + "\n"
        assert len(site.lines) <= len(asked)


def _is_one_line(line: str, style: str) -> None:
    """Nothing that a client sends forges another line, or a field of this one; and no secret is in it."""
    assert line.endswith("\n") and line[:-1].isascii() and line[:-1].isprintable()
    if style == "json":
        values = json.loads(line)
        assert len(values) == len(PLACES)
        target, referer = values["1"], values["4"]
    else:
        values = re.fullmatch(r'\[(?:[^"\\]|\\x[0-9a-f]{2})*\]\n', line)
        assert values is not None
        return
    for url in (target, referer):
        assert not re.search(r"://(?!\*\*\*@)[^/?#@\s]+@", url)
        for piece in re.split("[&;]", url.partition("?")[2]):
            key, equals, value = piece.partition("=")
            assert not equals or value == "***" or not HIDDEN.search(unquote_plus(key))
