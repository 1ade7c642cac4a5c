"""HTTP/1.1 requests as httptools reads them when it is fed everything at once with every callback, and, in plain
Python, what we refuse or allow beyond it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re

import httptools

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rf"({TOKEN}) ([!-\"$-~]+) HTTP/1\.([0-9])".encode())
REG_NAME = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[^\r\n]*)?\r\n")
KNOWN = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"}


@dataclasses.dataclass
class Message:
    """One request that httptools took, or began to."""

    method: str = ""
    target: bytes = b""
    fields: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    version: str = ""
    keep_alive: bool = False
    complete: bool = False
    end: int = -1  # one past its last byte in the stream; only when fed byte by byte


class Reader:
    """Callbacks that note everything."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.parser = httptools.HttpRequestParser(self)
        self.in_content = False

    def on_message_begin(self) -> None:
        self.messages.append(Message())
        self.in_content = False

    def on_url(self, url: bytes) -> None:
        self.messages[-1].target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_content:  # else a trailer
            self.messages[-1].fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.in_content = True

    def on_body(self, data: bytes) -> None:
        self.messages[-1].body += data

    def on_message_complete(self) -> None:
        message = self.messages[-1]
        message.method = self.parser.get_method().decode()
        message.version = self.parser.get_http_version()
        message.keep_alive = self.parser.should_keep_alive()
        message.complete = True


@dataclasses.dataclass
class Verdict:
    """Messages that are whole, and whether httptools refused what follows them."""

    messages: list[Message]
    refused: bool


def parse(stream: bytes) -> Verdict:
    """Feed `stream` at once."""
    reader = Reader()
    refused = False
    try:
        reader.parser.feed_data(stream)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        refused = True
    whole = [message for message in reader.messages if message.complete]
    return Verdict(whole, refused)


def ends(stream: bytes) -> list[int]:
    """Return where each message ends, found byte by byte."""
    reader = Reader()
    found: list[int] = []
    for i in range(len(stream)):
        try:
            reader.parser.feed_data(stream[i : i + 1])
        except (httptools.HttpParserUpgrade, httptools.HttpParserError):
            break
        if sum(m.complete for m in reader.messages) > len(found):
            found.append(i + 1)
    return found


# ---- our own rules, for the bytes of one message


def _is_authority(text: str) -> bool:
    match = re.fullmatch(r"(\[([^\]]*)\]|[^:]*)(?::([0-9]*))?", text)
    if not match or int(match[3] or 0) > 65535:
        return False
    if match[2] is None:
        return bool(REG_NAME.fullmatch(match[1]))
    if re.fullmatch(r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+", match[2]):
        return True
    try:
        return "%" not in match[2] and bool(ipaddress.IPv6Address(match[2]))
    except ValueError:
        return False


def _refused_target(method: bytes, target: bytes) -> str:
    if target.startswith(b"/"):
        return ""
    if target == b"*":
        return "" if method == b"OPTIONS" else "asterisk"
    match = re.match(rb"(?i)https?://([^/?]*)", target)
    if not match:
        return "form of the target"
    return "" if _is_authority(match[1].decode()) else "authority"


def _refused_content(body: bytes) -> str:
    """Check the chunks and trailers of a message that is whole."""
    while True:
        match = CHUNK_LINE.match(body)
        if not match:
            return "chunk line"
        size = int(match[1], 16)
        body = body[match.end() :]
        if not size:
            break
        if body[size : size + 2] != b"\r\n":
            return "chunk end"
        body = body[size + 2 :]
    if re.search(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]", b"\r\n" + body):
        return "trailer line"
    return ""


def refused_by_us(raw: bytes) -> str:
    """Return the rule that refuses one message, empty lines before it included; "" when none does."""
    text = raw.lstrip(b"\r\n")
    before = raw[: len(raw) - len(text)]
    if before not in [b"\r\n" * n for n in range(5)]:
        return "empty lines"
    head, mark, body = text.partition(b"\r\n\r\n")
    if not mark or re.search(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]", head):
        return "line ends"
    line, *lines = head.split(b"\r\n")
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        return "request line"
    method, target, minor = match.groups()
    if method == b"CONNECT":
        return "CONNECT"
    values: dict[str, list[str]] = {}
    for field in lines:
        name, _, value = field.decode("latin-1").partition(":")
        values.setdefault(name.lower(), []).append(value.strip(" \t"))
    hosts = values.get("host", [])
    codings = values.get("transfer-encoding", [])
    lengths = values.get("content-length", [])
    if len(hosts) > 1 or (not hosts and minor != b"0"):
        return "count of hosts"
    if hosts and hosts[0] and not _is_authority(hosts[0]):
        return "host"
    if codings and ([c.lower() for c in codings] != ["chunked"] or lengths or minor == b"0"):
        return "transfer coding"
    if len(lengths) > 1 or (lengths and not re.fullmatch("[0-9]{1,18}", lengths[0])):
        return "content length"
    if minor != b"0" and any(v.lower() != "100-continue" for v in values.get("expect", [])):
        return "expectation"
    return _refused_target(method, target) or (_refused_content(body) if codings else "")


def allowed_by_us(raw: bytes) -> bool:
    """Tell whether we show httptools something else than what was sent, so that it may differ from here on."""
    head = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")[0]
    match = REQUEST_LINE.match(head)
    return bool(
        (match and (match[1] not in KNOWN or match[3] > b"1"))
        or re.search(rb"(?i)\r\n(upgrade|proxy-connection|transfer-encoding:[^\r\n]*\t *(?![^\r])):?", head)
    )


def says_close(raw: bytes) -> bool:
    """Tell whether Connection has the option `close`."""
    head = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")[0]
    options = b",".join(re.findall(rb"(?i)\r\nconnection:([^\r\n]*)", head))
    return b"close" in [option.strip(b" \t").lower() for option in options.split(b",")]
