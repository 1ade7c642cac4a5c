"""HTTP/1.1 answers as httptools reads them, byte by byte with every callback, each by a parser of its own."""

from __future__ import annotations

import dataclasses
import re

import httptools

OUR_RULES = (
    "a Transfer-Encoding other than chunked",
    "both Transfer-Encoding and Content-Length",
    "more than one Content-Length",
    "Content-Length is not valid",
    "Transfer-Encoding in an HTTP/1.0 answer",
    "a folded field line",
    "a line of the head does not end in CR LF",
    "does not begin with an HTTP/1.1 status line",
    "has a version other than 1.0 and 1.1",
    "the status is not three digits",
    "the status is not within 100 to 599",
    "the head of the answer",
    "101 (Switching Protocols)",
    "interim answers",
    "a chunk size has too many digits",
    "chunk extensions are too large",
    "the trailer section",
    "a trailer line",
    "a chunk line",
    "a chunk",
)
"""Reasons of ours for which an answer is refused that httptools takes, or waits to be the rest of."""


@dataclasses.dataclass
class Answer:
    """One answer: what was seen of it."""

    status: int = 0
    fields: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    headed: bool = False
    complete: bool = False
    refused: bool = False
    end: int = 0  # one past its last byte


class Reader:
    """Callbacks that note everything."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.answer.headed:
            self.answer.fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.answer.headed = True
        self.answer.status = self.parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.answer.body += data

    def on_message_complete(self) -> None:
        self.answer.complete = True


def one(data: bytes, method: bytes) -> Answer:
    """Read the answer that `data` begins with."""
    reader = Reader()
    status = re.match(rb"HTTP/1\.[01] ([0-9]{3})[ \r]", data)
    shown = data
    if status is not None and (method == b"HEAD" or status[1] in (b"204", b"304") or status[1].startswith(b"1")):
        # It cannot know what was asked, and takes 101 for another protocol: any head without content is one of 304.
        shown = data[:9] + b"304" + data[12:]
    for at in range(len(shown)):
        try:
            reader.parser.feed_data(shown[at : at + 1])
        except (httptools.HttpParserUpgrade, httptools.HttpParserError):
            reader.answer.refused = not reader.answer.complete
        reader.answer.end = at + 1
        if reader.answer.refused or reader.answer.complete:
            break
    if shown is not data and status is not None:
        reader.answer.status = int(status[1])
    return reader.answer


def final(data: bytes, method: bytes) -> Answer:
    """Read interim answers, and the final one behind them."""
    while True:
        answer = one(data, method)
        if not answer.complete or answer.status >= 200:
            return answer
        data = data[answer.end :]
