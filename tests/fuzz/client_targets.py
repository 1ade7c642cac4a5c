"""Fuzz targets of the client: what scripts give (URLs, fields) and what servers send (answers, redirects, content)."""

from __future__ import annotations

import ipaddress
import random
import zlib
from urllib.parse import urlsplit

import hpack

from siphon_http._core.hpack_encoder import Encoder
from siphon_http._core.url import Url, encode_query, join_url, parse_url, shown_url
from siphon_http.client.carrier import encode_host
from siphon_http.client.decode import PIECE_BYTES, decoder
from siphon_http.client.redirect import next_request
from siphon_http.errors import LocalProtocolError, ReadError
from tests.fuzz.edge_targets import has_words
from tests.http2_frames import frame
from tests.oracle import http1_answer as answer_oracle
from tests.oracle import url as url_oracle
from tests.protocol.http1_client_stage import Got, Stage
from tests.protocol.http2_client_pair import Wire
from tests.protocol.test_http2_client_differential import Play

__all__ = ["contents", "header_encoder", "http1_client", "http2_client", "http2_client_pieces", "redirects", "urls"]


# ---- URLs


def urls(data: bytes) -> None:
    """A base, what is joined with it, and a query, a line each: ours against the standard library."""
    # What is no UTF-8 becomes halves of surrogate pairs, which scripts can make too.
    base, _, rest = data.decode("utf-8", "surrogateescape").partition("\n")
    path, _, query = rest.partition("\n")
    assert "@" not in shown_url(base).partition("://")[2].partition("/")[0].removeprefix("***@")
    url = _parsed(base)
    if url is not None:
        _joined(url, base, path)
    pairs = [(name, value) for name, _, value in (one.partition("=") for one in query.split("&"))] if query else []
    try:
        encoded = encode_query(pairs)
    except UnicodeEncodeError:  # half of a surrogate pair
        return
    assert url_oracle.query_pairs(encoded) == pairs


def _parsed(text: str) -> Url | None:
    try:
        url = parse_url(text, encode_host)
    except ValueError as error:
        has_words(error)
        return None
    whole = url.text(url.target)
    assert url_oracle.parts(whole) == (url.scheme.decode(), url.host, url.port, url.target.decode())
    assert whole.isascii() and whole.isprintable() and " " not in whole and "#" not in whole
    assert url.host and url.host == url.host.lower() and not set(url.host) & set("/?#@\\%[]")
    again = parse_url(whole)
    assert (again.scheme, again.host, again.port, again.authority, again.target) == (
        (url.scheme, url.host, url.port, url.authority, url.target)
    )
    _same_host(text, url)
    return url


def _same_host(text: str, url: Url) -> None:
    """Where both read the text at all, the standard library must not send it to another host."""
    if "\\" in text or not text.isascii() or any(c in text for c in "\t\r\n"):
        return  # browsers, and we, end a host at a backslash
    try:
        read = urlsplit(text.strip(" "))
        host, port = read.hostname, read.port
    except ValueError:
        return
    if ":" in url.host:
        assert str(ipaddress.ip_address(host or "")) == url.host
    else:
        assert host == url.host
    assert port is None or port == url.port


def _joined(url: Url, base: str, path: str) -> None:
    try:
        target: bytes | None = url.join(path)
    except ValueError:
        target = None
    prefix = url.target.partition(b"?")[0]
    lead = prefix.removesuffix(b"/")
    lead = prefix if path.startswith("?") else lead if path.startswith("/") else lead + b"/"
    try:
        expected: bytes | None = lead + url_oracle.encode(path, fragment=False) if path else url.target
    except ValueError:
        expected = None
    assert target == expected
    try:
        joined = join_url(base, path)
    except ValueError:  # an absolute path, or a host that join_url does not encode
        return
    parse_url(joined)


def redirects(data: bytes) -> None:
    """The URL that was asked for, and Location: what is followed is a URL that both readers of ours read alike."""
    first, _, location = data.partition(b"\n")
    if not first:
        return
    status = (301, 302, 303, 307, 308)[first[0] % 5]
    try:
        asked = parse_url(first[1:].decode("ascii", "replace"), encode_host)
    except ValueError:
        asked = parse_url("https://a.example/b/c?d")
    url = asked.text(asked.target)
    fields = [("Authorization", "secret"), ("x-api-key", "secret"), ("accept", "*/*"), ("content-type", "a/b")]
    try:
        following = next_request(
            status,
            location.decode("latin-1"),
            method="POST" if first[0] & 64 else "GET",
            url=url,
            fields=fields,
            replayable=True,
            followed=0,
            limit=5,
        )
    except ReadError as error:
        has_words(error)
        return
    if following is None:
        assert not location
        return
    # The host that credentials are judged by is the host that is connected to.
    goes_to = parse_url(following.url)
    assert (asked.scheme, goes_to.scheme) != (b"https", b"http")
    names = {name for name, _ in following.fields}
    same = (goes_to.scheme, goes_to.host, goes_to.port) == (asked.scheme, asked.host, asked.port)
    assert same == ({"Authorization", "x-api-key"} <= names) and "accept" in names
    assert ("content-type" in names) == following.keeps_content


# ---- HTTP/1.1

METHODS = (b"GET", b"HEAD", b"POST", b"DELETE")


def http1_client(data: bytes) -> None:
    """Answers, one for each request (0xff 0xfe parts them): against httptools with every callback, whole and in pieces."""
    parts = data.split(b"\xff\xfe")[:8]
    methods = [METHODS[len(part) % 4] for part in parts]
    draw = random.Random(len(data) * 31 + sum(data[:64]))
    whole = _exchanges(parts, methods, None)
    cut = _exchanges(parts, methods, draw)
    assert len(whole[1]) == len(cut[1])
    for mine, other, part, method in zip(whole[1], cut[1], parts, methods, strict=False):
        _same_answer(mine, other)
        _agrees(mine, part, method)
    assert (whole[0].closed + whole[0].aborted > 0) == (cut[0].closed + cut[0].aborted > 0)
    assert whole[0].driver.room() == cut[0].driver.room()


def _exchanges(parts: list[bytes], methods: list[bytes], draw: random.Random | None) -> tuple[Stage, list[Got]]:
    stage = Stage()
    got = []
    for part, method in zip(parts, methods, strict=True):
        if not stage.is_reusable:
            break
        got.append(stage.ask(method))
        cuts = [] if draw is None else sorted(draw.randrange(len(part) + 1) for _ in range(draw.choice([1, 3, 9, 40])))
        for begin, end in zip([0, *cuts], [*cuts, len(part)], strict=True):
            if begin < end:
                stage.driver.receive_data(part[begin:end])
        if not got[-1].ended and not got[-1].failure:
            stage.driver.eof_received()
            assert got[-1].ended or got[-1].failure
    return stage, got


def _same_answer(whole: Got, cut: Got) -> None:
    assert (whole.ended, whole.failure, whole.unprocessed) == (cut.ended, cut.failure, cut.unprocessed)
    if whole.ended:
        assert whole.outcome == cut.outcome
    else:  # of what fails, more is told when it comes in pieces
        assert whole.status in (0, cut.status)
        assert cut.content.startswith(whole.content)


def _agrees(ours: Got, data: bytes, method: bytes) -> None:
    theirs = answer_oracle.final(data, method)
    if ours.ended:
        assert not theirs.refused, "ours takes what httptools does not"
        lines = [line.partition(":") for line in ours.fields.decode("latin-1").split("\r\n")[:-1]]
        fields = [(name.lower(), value.strip(" \t")) for name, _, value in lines]
        assert (ours.status, fields, ours.content) == (theirs.status, theirs.fields, theirs.body)
    elif theirs.complete:
        known = any(rule in ours.reason for rule in answer_oracle.OUR_RULES)
        assert known, f"ours refuses what httptools takes: {ours.reason}"


# ---- HTTP/2

STATUS = ("200", "200", "204", "304", "404", "100", "101", "700", "")
SECTION = (
    ("x", "1"), ("server", "s"), ("content-length", "3"), ("content-length", "0"), ("Bad", "1"), ("te", "x"),
    ("connection", "close"), ("x-long", "v" * 1500), ("set-cookie", "a=b"), (":path", "/"), ("x", "a\0"), ("x", ""),
)  # fmt: skip
HOW = ("plain", "plain", "padded", "priority", "continued")
BEGUN = ((b"GET", 0, -2), (b"POST", 10, -2), (b"POST", 70000, -2), (b"POST", 0, -1), (b"HEAD", 0, -2), (b"PUT", 0, 30))
LEAVES = ("", "", "head_received", "content_received")
CALLS = ("cork", "uncork", "pause", "resume", "shut_down", "check_alive")
IDS = (1, 3, 5, 7, 1, 3, 2, 0)


class Bytes:
    """Numbers and strings out of fuzzed bytes; zero where there are no more."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def number(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


class Session(Play):
    """Leaves out what a server must not send and both take in ways of their own: frames of streams that it refused."""

    def __init__(self) -> None:
        self.last = 1 << 31  # named by GOAWAY
        super().__init__()

    def frame(self, name: int, flags: int, id: int, payload: bytes) -> None:
        if name == 7 and id == 0 and len(payload) >= 8:
            self.last = min(self.last, int.from_bytes(payload[:4], "big") & 0x7FFFFFFF)
        # hyperframe, and so h2, takes no padding behind nothing; RFC 9113, 6.2 has nothing against it.
        padded = name == 1 and flags & 8 and payload[:1] >= bytes([len(payload) - 1 & 255])
        if not padded and id <= self.last:
            self.step(("raw", frame(name, flags, id, payload)))


def http2_client(data: bytes) -> None:
    """What callers do and a server sends, an operation after the other: frames read in C against h2 for all of them."""
    play = Session()
    for side in play.sides:
        side.begin(b"GET", 0, -2, True, "")
        side.begin(b"POST", 70000, -2, True, "")
    source = Bytes(data)
    try:
        for _ in range(60):
            if not source:
                break
            _operation(play, source)
    except LocalProtocolError:  # content passes its declared length
        return
    play.compare()


def _operation(play: Session, source: Bytes) -> None:
    kind = source.number()
    if kind < 40:
        how, leaves = BEGUN[kind % len(BEGUN)], LEAVES[source.number() % len(LEAVES)]
        play.step(("begin", *how, bool(kind & 8), leaves))
    elif kind < 110:
        id, picks, status = IDS[kind % len(IDS)], source.take(source.number() % 4), source.number()
        section = [SECTION[pick % len(SECTION)] for pick in picks]
        section = ([(":status", STATUS[status % len(STATUS)])] if status < 200 else []) + section
        if id <= play.last:
            play.step(("headers", HOW[status % len(HOW)], bool(kind & 16), id, section))
    elif kind < 150:
        content = source.take(source.number() % 20) * (1000 if kind & 16 else 1)
        play.frame(0, kind & 1, IDS[kind % len(IDS)], content[:16384])
    elif kind < 220:
        name, flags, id = source.number() % 12, source.number(), IDS[source.number() % len(IDS)]
        play.frame(name, flags, id, source.take(source.number() % 40))
    elif kind < 226:
        play.step((CALLS[kind % len(CALLS)],))
    elif kind < 236:
        play.step(("taken", source.number() % 6, 1 + source.number() * 256))
    elif kind < 246:
        play.step(("send", source.number() % 6, b"x" * source.number() * 100, bool(kind & 1)))
    else:
        play.step(("leave", source.number() % 6))


def http2_client_pieces(data: bytes) -> None:
    """What a server sends to three exchanges, in one read and byte by byte."""
    data = data[:600]
    sides = [Wire(), Wire()]
    callers = [[wire.begin(method) for method in (b"GET", b"HEAD", b"POST")] for wire in sides]
    sides[0].feed(data)
    for at in range(len(data)):
        sides[1].feed(data[at : at + 1])
    told = [[(c.status, c.fields, c.body, c.ended, c.failure) for c in side] for side in callers]
    assert told[0] == told[1]
    assert sides[0].client.calls == sides[1].client.calls
    for wire in sides:
        wire.driver.eof_received()
        wire.driver.lost("gone")
    assert all(caller.over for side in callers for caller in side)


def header_encoder(data: bytes) -> None:
    """Requests, one a line, and table sizes: hpack's decoder reads what was meant, and both keep one table (RFC 7541)."""
    encoder, theirs = Encoder(), hpack.Decoder(max_header_list_size=1 << 20)
    kept: dict[bytes, bytes] = {}
    for line in data.split(b"\n")[:40]:
        if line[:1] == b"*":
            size = int.from_bytes(line[1:3], "big")
            encoder.limit(size)
            theirs.max_allowed_table_size = min(size, 4096)
            continue
        target, *rest = line.split(b"\t")
        fields = [one.partition(b":") for one in rest if b"\r" not in one and one.partition(b":")[0]]
        pairs = [(name, value.lstrip(b" ")) for name, sign, value in fields if sign]
        block = b"".join(name + b": " + value + b"\r\n" for name, value in pairs)
        length = len(target) - 1 if rest else -1
        out = encoder.encode(b"GET", b"https", b"a.example", target, kept.setdefault(block, block), length)
        read = [(bytes(name), bytes(value)) for name, value in theirs.decode(out, raw=True)]
        wanted = [(name.lower(), value) for name, value in pairs]
        dropped = {
            b"connection", b"host", b"content-length", b"transfer-encoding", b"keep-alive", b"upgrade",
            b"proxy-connection",
        }  # fmt: skip
        wanted = [one for one in wanted if one[0] not in dropped and (one[0] != b"te" or one[1] == b"trailers")]
        if length >= 0:
            wanted.append((b"content-length", b"%d" % length))
        assert read[3:] == [(b":path", target), *wanted]
        assert encoder.entries() == [(bytes(n), bytes(v)) for n, v in theirs.header_table.dynamic_entries]


# ---- content

CODINGS = ("gzip", "deflate", "x-gzip", "gzip, deflate", "deflate, gzip", "raw deflate", "identity", "br")


def contents(data: bytes) -> None:
    """Content as a server sends it, or coded here and then damaged: whole, in pieces, and by one call of zlib."""
    source = Bytes(data)
    choice, limit, damage = source.number(), source.number() * 64, source.number()
    raw = data[source.at :]
    coding = CODINGS[choice & 7]
    if choice & 8:
        raw = _coded(raw * (1 + (choice >> 4)), coding)
        if damage and raw:
            at = damage * len(raw) // 256
            raw = raw[:at] + (bytes([raw[at] ^ 1 << (damage & 7)]) + raw[at + 1 :] if damage & 1 else b"")
    coding = "deflate" if coding == "raw deflate" else coding
    whole = _decoded(coding, [raw], limit)
    step = 1 + choice % 7
    assert _decoded(coding, [raw[at : at + step] for at in range(0, len(raw), step)], limit) == whole
    if isinstance(whole, bytes) and "," not in coding and coding in ("gzip", "x-gzip", "deflate"):
        assert whole == _inflated(raw, coding)


def _coded(data: bytes, coding: str) -> bytes:
    for name in coding.split(", "):
        window = {"gzip": 31, "x-gzip": 31, "deflate": 15, "raw deflate": -15}.get(name)
        if window is not None:
            packer = zlib.compressobj(6, zlib.DEFLATED, window)
            data = packer.compress(data) + packer.flush()
    return data


def _decoded(coding: str, pieces: list[bytes], limit: int) -> bytes | str | None:
    """Return the content, None when nothing is to be done, or "refused"."""
    taken = decoder(coding, limit)
    if taken is None:
        return None
    out = b""
    try:
        for piece in pieces:
            for one in taken.pieces(piece):
                assert 0 < len(one) <= PIECE_BYTES
                out += one
                assert len(out) <= limit
        taken.end()
    except ReadError as error:
        has_words(error)
        return "refused"
    return out


def _inflated(data: bytes, coding: str) -> bytes:
    """Decode what is known to be good."""
    if coding == "deflate":
        try:
            return zlib.decompress(data) if data else b""
        except zlib.error:
            return zlib.decompress(data, -15)
    out = b""
    while data:
        member = zlib.decompressobj(31)
        out += member.decompress(data)
        data = member.unused_data
    return out
