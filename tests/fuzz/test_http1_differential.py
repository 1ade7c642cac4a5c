"""Seeded streams of requests, mutated and cut at random: ours against httptools with every callback.

SIPHON_HTTP_FUZZ=N runs N streams instead of the 20,000 of the suite.
"""

from __future__ import annotations

import collections
import os
import random
import re

from siphon_http._core.message import Request, Response
from siphon_http.testing import ExchangeDriver, RecordingSink
from tests.oracle import http1 as oracle
from tests.protocol.wire_samples import outcome

COUNT = int(os.environ.get("SIPHON_HTTP_FUZZ", "20000"))

METHODS = [b"GET"] * 6 + [b"POST", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"BREW", b"get"]
TARGETS = [
    b"/",
    b"/a/b?c=d",
    b"/%41%zz",
    b"http://u/x?y",
    b"http://u:80",
    b"https://[::1]:1/",
    b"*",
    b"/a?b#c",
    b"/a\xe4",
    b"x:1",
    b"//",
]
VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1"]
HOSTS = [b"t"] * 20 + [b"", b"t:80", b"[::1]", b"[::g]", b"a b", b"u@t", b"t:x", b"%41", b"[v1.a:b]", b"1.2.3.4:65536"]
FIELDS = [
    b"Accept: */*", b"Cookie: a=b", b"cookie: c=d", b"X-Empty:", b"X-Space: \t a  b \t", b"X-Latin: \xe4\xff", b"Connection: close",
    b"Connection: keep-alive", b"Connection: Keep-Alive, x", b"Connection: x, CLOSE ,", b"connection: closed", b"Connection:",
    b"Connection: close x", b"Connection: , ,close", b"Proxy-Connection: close", b"Upgrade: h2c", b"Expect: 100-continue",
    b"Expect: 200-ok", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"X-A : b",
    b"X-Y: z\r\n folded", b"Host: u", b": x", b"X-NUL: \0", b"X-Ctl: \x01", b"no colon", b"Transfer_Encoding: chunked",
    b"Content-Length : 3", b"Content-length:\t3 ", b"Trailer: X", b"TE: trailers", b"X-Long: " + b"l" * 300,
]  # fmt: skip
LENGTHS = [b"%d"] * 12 + [
    b"0%d",
    b"%d,%d",
    b"+%d",
    b"-%d",
    b"%d \t",
    b"0x%d",
    b"",
    b"1%d",
    b"99999999999999999999%d",
    b"%d, %d",
]
CODINGS = [b"chunked"] * 12 + [
    b"Chunked ",
    b"\tchunked",
    b"chunked, chunked",
    b"identity",
    b"gzip",
    b"xchunked",
    b"chunked;q=1",
    b",chunked",
    b"\x0bchunked",
    b"",
]
SPICE = [
    b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b",", b";", b"0\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: t\r\n\r\n", b"\xff",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: u\r\n", b"f", b"0", b"-", b"#",
]  # fmt: skip
EXTENSIONS = [b""] * 40 + [b";a", b";a=b", b';a="b;c"', b" ;a", b" ", b"; a = b", b";\x01", b"\t"]
TRAILERS = [b""] * 20 + [
    b"X-T: 1\r\n",
    b"A: b\r\nC: d\r\n",
    b"A : b\r\n",
    b"A: b\r\n c\r\n",
    b"A: b\n",
    b"Content-Length: 3\r\n",
    b"x\r\n",
]


def chunks(draw: random.Random, content: bytes) -> bytes:
    """Return `content` as a chunked body, with oddities."""
    out = b""
    while content:
        size = draw.randrange(1, len(content) + 1)
        number = (
            draw.choice([b"%x", b"%X", b"0%x", b"%x", b"%x", b"000000000000000%x" if draw.random() < 0.1 else b"%x"])
            % size
        )
        out += number + draw.choice(EXTENSIONS) + b"\r\n" + content[:size] + b"\r\n"
        content = content[size:]
    return out + draw.choice([b"0", b"0", b"00"]) + draw.choice(EXTENSIONS) + b"\r\n" + draw.choice(TRAILERS) + b"\r\n"


def message(draw: random.Random) -> bytes:
    """Return one request, most often a good one."""
    odd = draw.random() < 0.2
    method = draw.choice(METHODS)
    target = draw.choice(TARGETS) if odd else draw.choice(TARGETS[:5])
    version = draw.choice(VERSIONS) if odd else b"HTTP/1.1"
    lines = [method + b" " + target + b" " + version]
    if not odd or draw.random() < 0.9:
        lines.append(b"Host: " + (draw.choice(HOSTS) if odd else b"t"))
    lines += draw.sample(FIELDS if odd else FIELDS[:8], draw.randrange(3))
    content = bytes(draw.choice(b"ab\r\n0: /") for _ in range(draw.choice([0, 1, 5, 40])))
    kind = draw.randrange(3)
    if kind == 1:
        form = draw.choice(LENGTHS) if odd else b"%d"
        lines.append(b"Content-Length: " + form.replace(b"%d", b"%d" % len(content)))
    elif kind == 2:
        lines.append(b"Transfer-Encoding: " + (draw.choice(CODINGS) if odd else b"chunked"))
        content = chunks(draw, content)
    else:
        content = b""
    before = draw.choice([b"\r\n", b"\r\n\r\n", b"\n", b"\r"]) if draw.random() < 0.05 else b""
    return before + b"\r\n".join(lines) + b"\r\n\r\n" + content


def stream(draw: random.Random) -> bytes:
    """Return one to four requests, mutated every third time."""
    data = b"".join(message(draw) for _ in range(draw.randrange(1, 5)))
    if draw.random() < 0.35:
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(data) + 1)
            kind = draw.randrange(4)
            if kind == 0:
                data = data[:at] + draw.choice(SPICE) + data[at:]
            elif kind == 1:
                data = data[:at] + data[at + draw.choice([1, 1, 2, 9]) :]
            elif kind == 2 and at < len(data):
                data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
            else:
                data = data[:at]
    return data


def answer(driver: ExchangeDriver, request: Request) -> None:
    """Answer shortly."""
    driver.respond(request, Response())


def pieces(draw: random.Random, data: bytes) -> list[bytes]:
    """Cut `data` at a few places."""
    cuts = sorted(draw.randrange(len(data) + 1) for _ in range(draw.choice([1, 2, 4, 9])))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


def compare(data: bytes, sink: RecordingSink) -> str:
    """Compare what ours made of `data` with the oracle; return how it ended, for the count of what was covered."""
    verdict = oracle.parse(data)
    ends = oracle.ends(data)
    begin = 0
    for i in range(len(verdict.messages) + 1):
        ours = sink.requests[i] if i < len(sink.requests) else None
        theirs = verdict.messages[i] if i < len(verdict.messages) else None
        end = ends[i] if i < len(ends) else len(data)
        raw = data[begin:end]
        if oracle.allowed_by_us(raw):
            return "allowed by us"
        if theirs is None:
            assert ours is None, "ours takes what httptools does not"
            whole = b"\r\n\r\n" in raw.lstrip(b"\r\n")  # a head is judged when it is whole
            assert sink.is_closed or not verdict.refused or not whole, "ours waits where httptools refuses"
            return "refused by both" if verdict.refused else "incomplete" if raw else "all taken"
        rule = oracle.refused_by_us(raw)
        if rule:
            assert ours is None, f"ours takes what it should refuse by {rule}"
            assert "refused" in sink.names
            return f"refused by our rule: {rule}"
        assert ours is not None, "ours refuses what httptools takes"
        kept = theirs.keep_alive and not oracle.says_close(raw)  # it lets keep-alive win on HTTP/1.0 (RFC 9112, 9.3)
        assert (ours.method, ours.target, list(ours.fields), ours.body, ours.version, ours.keep_alive) == (
            (theirs.method, theirs.target.decode("latin-1"), theirs.fields, theirs.body, theirs.version, kept)
        )
        if not ours.keep_alive:
            assert len(sink.requests) == i + 1 and sink.is_closed
            return "closed"
        begin = end
    raise AssertionError("unreachable")


def what_counts(sink: RecordingSink) -> tuple[object, ...]:
    """Return the outcome without 100 (Continue), which depends on what has arrived when it is due, and without the
    reason of a refusal: content that is wrong twice is refused for what is found first."""
    requests, calls, written, state = outcome(sink)
    written = written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return requests, calls, re.sub(rb"(HTTP/1.1 400 .*?)content-length: .*", rb"\1", written, flags=re.DOTALL), state


def test_ours_and_httptools_agree_on_every_stream_however_it_is_cut() -> None:
    seen: collections.Counter[str] = collections.Counter()
    messages = 0
    for seed in range(COUNT):
        draw = random.Random(seed)
        data = stream(draw)
        whole = RecordingSink(answer).receive(data)
        try:
            seen[compare(data, whole)] += 1
            cut = RecordingSink(answer).receive(*pieces(draw, data))
            assert what_counts(cut) == what_counts(whole)
        except AssertionError as error:
            error.add_note(f"seed {seed}: {data!r}")
            raise
        messages += len(whole.requests)
    assert messages > COUNT / 2
    if COUNT >= 3000:  # the generator reaches every corner
        rules = {name.partition(": ")[2] for name in seen if ": " in name}
        assert rules >= {
            "empty lines",
            "request line",
            "count of hosts",
            "host",
            "transfer coding",
            "expectation",
            "chunk line",
        }
        assert (
            min(seen[name] for name in ("all taken", "closed", "refused by both", "incomplete", "allowed by us"))
            > COUNT / 100
        )
