import asyncio
import json
import logging
import random
import re
import subprocess
import sys
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.config_access import COMBINED, JSON, AccessFormat
from siphon_http.server.access import AccessLog, masked_url
from tests.oracle import access_line
from tests.stage import Site, until


class Lines(logging.Handler):
    """What the access log has said."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [line for record in self.records for line in record.getMessage().splitlines()]


@pytest.fixture
def lines():
    logger, handler = logging.getLogger("siphon_http.access"), Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def own(line: str) -> AccessFormat:
    parts = [("field", p[1:-1]) if p.startswith("{") else ("text", p) for p in re.split(r"(\{.*?\})", line) if p]
    return AccessFormat("text", tuple(("header", v[7:]) if v.startswith("header:") else (k, v) for k, v in parts), line)


def site(form: AccessFormat, **settings: Any) -> Site:
    made = Site(access_log=form, **settings)

    @made.route("/orders/{id}", ["GET", "POST"])
    async def order(req: Any) -> Response:
        return Response(201, None, b"12345" + req.body())

    @made.route("/wait")
    async def wait(req: Any) -> Response:
        await asyncio.sleep(30)  # until its client leaves
        return Response(200)

    @made.route("/upload", ["POST"], stream=True)
    async def upload(req: Any) -> Response:
        size = 0
        async for piece in req.stream():
            size += len(piece)

        async def pieces():
            yield b"ab"
            yield b"c"

        return Response(200, None, pieces())

    return made


def test_a_json_line_has_everything(lines):
    made = site(JSON)

    async def scenario() -> None:
        fields = {"user-agent": 'x"y\\', "referer": "http://a/?token=1", "x-request-id": "abc-1"}
        await made.ask("POST", "/orders/7?a=1&token=hush", b"hello", **fields)

    made.play(scenario)
    [line] = lines.lines
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("timestamp"))
    assert found.pop("client").startswith("127.0.0.1:") and 0 <= found.pop("duration_ms") < 60_000
    assert "hush" not in line
    assert found == {
        "level": "INFO",
        "target": "siphon_http.access",
        "method": "POST",
        "path": "/orders/7?a=1&token=***",
        "route": "/orders/{id}",
        "status": 201,
        "bytes_in": 5,
        "bytes_out": 10,
        "protocol": "HTTP/1.1",
        "request_id": "abc-1",
        "host": "test",
        "referer": "http://a/?token=***",
        "user_agent": 'x"y\\',
    }


def test_a_combined_line_is_as_tools_read_it(lines):
    made = site(COMBINED)

    async def scenario() -> None:
        await made.ask("GET", "/orders/7", **{"user-agent": "curl/8"})
        await made.ask("GET", "/nothing")

    made.play(scenario)
    time = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
    assert re.fullmatch(rf'127\.0\.0\.1:\d+ - - {time} "GET /orders/7 HTTP/1\.1" 201 5 "-" "curl/8"', lines.lines[0])
    assert re.fullmatch(rf'127\.0\.0\.1:\d+ - - {time} "GET /nothing HTTP/1\.1" 404 10 "-" "-"', lines.lines[1])


def test_lines_leave_together_and_nothing_waits_for_them(lines):
    made = site(own("{target} {status}"))

    async def scenario() -> None:
        line = await made.line()
        line.writer.write(b"".join(b"GET /orders/%d HTTP/1.1\r\nhost: x\r\n\r\n" % i for i in range(50)))
        await until(lambda: made.numbers.get('requests_total{route="/orders/{id}",code="201"}') == 50)
        assert not lines.records
        await until(lambda: lines.records)

    made.play(scenario)
    assert lines.lines == [f"/orders/{i} 201" for i in range(50)]
    assert len(lines.records) <= 2 and lines.records[0].whole_lines is True


def test_what_a_peer_sends_cannot_forge_a_line(lines):
    made = site(own('"{header:x-any}" "{target}"'))

    async def scenario() -> None:
        await made.ask("GET", '/orders/"a\\', **{"x-any": 'q"\\\t\xfc'})

    made.play(scenario)
    assert lines.lines == [r'"q\x22\x5c\x09\xc3\xbc" "/orders/\x22a\x5c"']


def test_what_is_refused_before_a_handler_is_logged_too(lines):
    made = site(own("{method} {target} {status} {bytes_in} {route} {request_id}"), max_body_bytes=10)

    async def scenario() -> None:
        for data in (
            b"nonsense\r\n\r\n",
            b"POST /orders/7 HTTP/1.1\r\nhost: x\r\nx-request-id: me\r\ncontent-length: 11\r\n\r\n",
            b"GET /orders/%zz HTTP/1.1\r\nhost: x\r\nx-request-id: me\r\nconnection: close\r\n\r\n",
        ):
            line = await made.line()
            line.writer.write(data)
            await line.reader.read()

    made.play(scenario)
    assert lines.lines == [
        "- - 400 0 - -",
        "POST /orders/7 413 0 /orders/{id} me",
        "GET /orders/%zz 400 0 - me",
    ]


def test_a_client_that_leaves_is_a_499(lines):
    made = site(own("{target} {status} {bytes_out}"))

    async def scenario() -> None:
        line = await made.line()
        line.writer.write(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: made.numbers["requests_in_flight"] == 1)
        line.reset()
        await until(lambda: made.numbers["requests_in_flight"] == 0)

    made.play(scenario)
    assert lines.lines == ["/wait 499 0"]


def test_streams_are_counted_by_what_went_through(lines):
    made = site(own("{bytes_in} {bytes_out} {protocol} {scheme} {host} {user_agent}"))

    async def scenario() -> None:
        await made.ask("POST", "/upload", b"x" * 100_000)

    made.play(scenario)
    assert lines.lines == ["100000 3 HTTP/1.1 http test -"]


@pytest.mark.parametrize(
    "url, shown",
    [
        ("/a?b=1&c=2", "/a?b=1&c=2"),
        ("/a?token=1", "/a?token=***"),
        ("/a?x=1&Access_Token=abc;password=d&y=2", "/a?x=1&Access_Token=***;password=***&y=2"),
        ("/a?%74oken=abc", "/a?%74oken=***"),
        ("/a?client_secret", "/a?client_secret"),
        ("/a?api_key=1&X-Amz-Signature=2", "/a?api_key=***&X-Amz-Signature=***"),
        ("http://u:p@h/a?b=%2f", "http://***@h/a?b=%2f"),
    ],
)
def test_secrets_in_urls_are_masked(url, shown):
    assert masked_url(url) == shown


QUERIES = [
    f"{key}={value}{sign}{other}=2"
    for key in ("a", "x-api-key", "API_KEY", "apikey", "apis", "Authorization", "s", "pass", "passwd", "top%73ecret",
                "_Signature", "cookies", "to", "mytoken", "s=token", "%zz")
    for value in ("", "token", "%20", "?secret", "1;2")
    for sign in "&;"
    for other in ("secret", "b")
]  # fmt: skip


def test_every_way_to_write_a_secret_is_masked_in_the_line(lines):
    made = site(own("{target}"))
    targets = [f"/none?{query}" for query in QUERIES]
    targets += ["/none?", "/none?token", "/to@ken?a=1", "/token=1", "/none?a=b@c", "/none?TOKEN=1"]

    async def scenario() -> None:
        line = await made.line()
        for target in targets:
            await line.ask("GET", target)

    made.play(scenario)
    assert lines.lines == [masked_url(target) for target in targets]


TEXTS = ["x" * n for n in range(1, 40)]
TEXTS += [
    f"{'y' * before}{odd}{'z' * after}" for odd in '"\\' for before in (0, 3, 7, 8, 15) for after in (0, 1, 4, 8, 9)
]


@pytest.mark.parametrize("style", ["json", "text"])
def test_text_of_any_length_is_copied_and_escaped_where_it_must_be(lines, style):
    parts = (("text", '{"a":"'), ("field", "user_agent"), ("text", '"}'))
    made = site(AccessFormat(style, parts, "own"))

    async def scenario() -> None:
        line = await made.line()
        for text in [*TEXTS, "\xe4\xf6 \xff"]:
            await line.ask("GET", "/orders/7", **{"user-agent": text})

    made.play(scenario)
    if style == "json":
        assert [json.loads(line)["a"] for line in lines.lines] == [*TEXTS, "\xe4\xf6 \xff".encode().decode("latin-1")]
    else:
        escaped = [text.replace("\\", r"\x5c").replace('"', r"\x22") for text in TEXTS]
        assert lines.lines == [f'{{"a":"{text}"}}' for text in [*escaped, r"\xc3\xa4\xc3\xb6 \xc3\xbf"]]


def test_what_is_left_is_said_when_the_listener_ends(lines):
    made = site(own("{target} {client}"))

    async def scenario() -> None:
        await made.ask("GET", "/orders/7")
        assert not lines.records

    made.play(scenario)
    assert len(lines.lines) == 1


def test_a_large_batch_leaves_at_once(lines):
    made = site(own("x" * 350_000 + "{status}"))

    async def scenario() -> None:
        line = await made.line()
        for _ in range(3):
            await line.ask("GET", "/orders/7")
        assert [len(record.getMessage()) for record in lines.records] == [3 * 350_004]

    made.play(scenario)


def test_a_flush_of_nothing_says_nothing():
    seen: list[str] = []
    log = AccessLog((), json=False, combined=False, listener="", emit=seen.append, call_later=lambda *_: None)
    log.flush()
    assert seen == []


def test_a_header_field_may_have_the_name_of_a_value():
    made = """
from siphon_http.server.access import AccessLog
parts = [("field", "status"), ("text", " "), ("header", "status")]
AccessLog(parts, json=False, combined=False, listener="", emit=print, call_later=print)
"""
    subprocess.run([sys.executable, "-bb", "-c", made], check=True)  # -bb: bytes are compared with no str


def heads(count: int) -> list[bytes]:
    """Make heads that differ in everything a line has: lengths, odd bytes, case and order of names, repeats, secrets."""
    dice = random.Random(2026)

    def text(most: int, odd: str = "") -> str:
        plain = dice.random() < 0.6
        return "".join(dice.choice("abcXYZ0-._~" if plain else "aZ-" + odd) for _ in range(dice.randrange(most)))

    made = []
    for _ in range(count):
        target = "/orders/" + (text(60, '"\\{|}@:=;') or "x")
        if dice.random() < 0.5:
            keys = ["a", "page", "token", "Api_Key", "api", "x%2f", "sign", "signature", "pass", "passwd"]
            target += "?" + dice.choice("&;").join(f"{dice.choice(keys)}={text(9, '%?=')}" for _ in range(3))
        fields = [("Host", "api.example.com")]
        for name in (
            "user-agent",
            "referer",
            "x-request-id",
            "x-tenant",
            "accept",
            "x-tenants",
            "user_agent",
            "refere",
        ):
            for _ in range(dice.choice([0, 1, 1, 2]) if name != "x-request-id" else dice.choice([0, 1])):
                value = text(140 if name == "x-request-id" else 50, '"\\\t\xfc ?@')
                fields.append(
                    (
                        dice.choice([name, name.title(), name.upper()]),
                        dice.choice(["", " ", "\t "]) + value + dice.choice(["", " "]),
                    )
                )
        dice.shuffle(fields)
        lines = "".join(f"{name}:{value}\r\n" for name, value in fields)
        made.append(f"{dice.choice(['GET', 'POST'])} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
    return made


@pytest.mark.parametrize("style", ["json", "text"])
def test_lines_are_those_of_the_oracle(lines, style):
    words = "method target protocol host referer user_agent request_id route status bytes_in bytes_out header:x-tenant"
    form = AccessFormat(style, own(" ".join(f"[{{{word}}}]" for word in [*words.split(), "user_agent"])).parts, "own")
    made, asked = site(form), heads(400)

    async def scenario() -> None:
        line = await made.line()
        for head in asked:
            await line.send(head)
            assert (await line.answer()).status == 201

    made.play(scenario)
    known = {"route": "/orders/{id}", "status": "201", "bytes_in": "0", "bytes_out": "5"}
    assert lines.lines == [access_line.line(form, head, known) for head in asked]


def alike(count: int) -> list[bytes]:
    """Make heads of which many have the fields of the one before, and many differ in one byte, version or authority."""
    dice = random.Random(2027)
    targets = ["/orders/7", "/orders/8?token=x", "http://api.example.com/orders/7", "http://apj.example.com/orders/7"]
    agents = ["curl/8.5.0", "curl/8.5.1", 'say "hi"', "n" * 990, "m" * 60_000]
    made, fields = [], ""
    for i in range(count):
        if dice.random() < 0.3 or not made or 100 < i < 150:
            agent = dice.choice(agents[:3] if 100 < i < 150 or dice.random() < 0.9 else agents)
            ends = ["Referer: https://a.example/", "Referer: https://b.example/", "X-Request-ID: 7", "X-Request-ID: 8"]
            fields = f"Host: api.example.com\r\nUser-Agent: {agent}\r\n{dice.choice(ends)}\r\nX-Tenant: t{dice.randrange(3)}\r\n"
        version = "HTTP/1.0" if dice.random() < 0.1 else "HTTP/1.1"
        made.append(f"GET {dice.choice(targets)} {version}\r\nConnection: keep-alive\r\n{fields}\r\n".encode())
    return made


@pytest.mark.parametrize(
    "tail", ["{protocol} {request_id} {host} {referer} {user_agent}", "{header:x-tenant}", "{host} {status}"]
)
@pytest.mark.parametrize("style", ["json", "text"])
def test_what_is_remembered_of_a_head_is_no_others(lines, style, tail):
    form = AccessFormat(style, own("{method} {target} {status} " + tail).parts, "own")
    made, asked = site(form), alike(400)

    async def scenario() -> None:
        line = await made.line()
        for i, head in enumerate(asked):
            await line.send(head)
            assert (await line.answer()).status == 201
            if i % 50 == 0:  # one that never becomes a request leaves nothing behind
                other = await made.line()
                await other.send(b"GET /orders/7 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
                assert (await other.answer()).status == 400

    made.play(scenario)
    said = [one for one in lines.lines if " 400 " not in f"{one} "]
    assert said == [access_line.line(form, head, {"status": "201"}) for head in asked]
    assert len(lines.lines) == len(asked) + 8


def test_where_the_authority_ends_is_remembered_too(lines):
    made = site(own("{target} {host} {header:d}"))

    async def scenario() -> None:
        line = await made.line()
        for head in (b"GET http://ab/orders/7 HTTP/1.1\r\ncd: 1\r\n", b"GET http://abc/orders/7 HTTP/1.1\r\nd: 1\r\n"):
            await line.send(head + b"host: x\r\n\r\n")
            await line.answer()

    made.play(scenario)
    assert lines.lines == ["http://ab/orders/7 ab -", "http://abc/orders/7 abc 1"]


def test_ids_that_are_made_are_not_those_of_the_line_before(lines):
    made = site(own("{status} {request_id}"), request_id=True)

    async def scenario() -> None:
        line = await made.line()
        for _ in range(8):
            await line.send(b"GET /orders/7 HTTP/1.1\r\nhost: x\r\n\r\n")
            await line.answer()

    made.play(scenario)
    assert len({one for one in lines.lines if re.fullmatch("201 [0-9a-f]{32}", one)}) == 8


def test_a_line_has_room_for_all_that_a_format_repeats(lines):
    form = own("{user_agent}{header:user-agent}{target}{route}{client}" * 20)
    made = site(form)

    async def scenario() -> None:
        line = await made.line()
        for _ in range(4):
            await line.send(b"GET /orders/7 HTTP/1.1\r\nhost: x\r\nuser-agent: " + b"\xfc" * 30_000 + b"\r\n\r\n")
            await line.answer()

    made.play(scenario)
    assert [one.count("\\xfc" * 30_000) for one in lines.lines] == [40] * 4


def test_an_id_that_is_sent_twice_is_not_kept(lines):
    made = site(own("{request_id}"))

    async def scenario() -> None:
        line = await made.line()
        await line.send(b"GET /orders/7 HTTP/1.1\r\nhost: x\r\nx-request-id: a\r\nX-Request-ID: b\r\n\r\n")
        await line.answer()

    made.play(scenario)
    assert re.fullmatch("[0-9a-f]{32}", lines.lines[0])


def test_lines_that_somebody_keeps_are_not_written_over():
    made = Site(access_log=own("{target}"))
    kept: list[Any] = []
    logger, handler = logging.getLogger("siphon_http.access"), Lines()
    handler.emit = lambda record: kept.append(record.msg)  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:

        async def scenario() -> None:
            for i in range(4):
                await made.ask("GET", f"/none/{i}")
                await until(lambda i=i: len(kept) == i + 1)

        made.play(scenario)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert [bytes(one) for one in kept] == [b"/none/%d\n" % i for i in range(4)]
    assert [str(one) for one in kept] == [f"/none/{i}\n" for i in range(4)] and len(kept[0]) == 8
