"""Streams of messages, good and bad, that the tests of HTTP/1.1 cut into pieces."""

from __future__ import annotations

import re
from typing import Any

from siphon_http._core.message import Request, Response
from siphon_http.testing import ExchangeDriver, RecordingSink

GET = b"GET /a?b=c HTTP/1.1\r\nHost: t\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"

GOOD = {
    "get": GET,
    "fields": b"GET / HTTP/1.1\r\nHost: t\r\nCookie: a=b\r\nX-One:\r\nX-Two: \t two  \r\nCOOKIE: c=d\r\n\r\n",
    "post": b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\nhello world",
    "no_content": b"PUT /p HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
    "chunked": CHUNKED + b"5;a=b\r\nhello\r\n06\r\n world\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
    "empty_lines": b"\r\n\r\n" + GET + b"\r\n" + GET,
    "pipeline": GET
    + b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
    + CHUNKED
    + b"1\r\nx\r\n0\r\n\r\n"
    + GET,
    "close": b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" + GET,
    "old": b"GET / HTTP/1.0\r\n\r\n" + GET,
    "old_kept": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET,
    "newer": b"GET / HTTP/1.7\r\nHost: t\r\n\r\n" + GET,
    "unknown_method": b"M-SEARCH /x HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi" + GET,
    "lower_case_method": b"get / HTTP/1.1\r\nHost: t\r\n\r\n",
    "upgrade": b"POST / HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nhi"
    + GET,
    "proxy_connection": b"GET / HTTP/1.1\r\nHost: t\r\nProxy-Connection: close\r\n\r\n" + GET,
    "absolute": b"GET http://u:80/x?y HTTP/1.1\r\nHost: t\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
    "head": b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n" + GET,
}

BAD = {
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n",
    "fold": b"GET / HTTP/1.1\r\nHost: t\r\nX: y\r\n z\r\n\r\n",
    "bare_lf": b"GET / HTTP/1.1\nHost: t\r\n\r\n",
    "bare_lf_in_fields": b"GET / HTTP/1.1\r\nHost: t\n\r\n",
    "bare_cr": b"GET / HTTP/1.1\r\nHost: t\rX: y\r\n\r\n",
    "bare_cr_before": b"\rGET / HTTP/1.1\r\nHost: t\r\n\r\n",
    "bare_lf_before": b"\nGET / HTTP/1.1\r\nHost: t\r\n\r\n",
    "many_empty_lines": b"\r\n" * 5 + GET,
    "space_before_colon": b"GET / HTTP/1.1\r\nHost : t\r\n\r\n",
    "two_spaces": b"GET  / HTTP/1.1\r\nHost: t\r\n\r\n",
    "nine": b"GET /\r\n\r\n",
    "two": b"GET / HTTP/2.0\r\nHost: t\r\n\r\n",
    "connect": b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n",
    "both": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n",
    "old_chunked": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk_size": CHUNKED + b"g\r\n",
    "chunk_end": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "chunk_lf": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"0\r\nX y\r\n\r\n",
    "trailer_fold": CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +3\r\n\r\nabc",
    "second_bad": GET + b"GET / HTTP/1.1\r\n\r\n" + GET,
    "expectation": b"POST / HTTP/1.1\r\nHost: t\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n",
    "noise": b"\x16\x03\x01\x02\x00",
}


def without_date(data: bytes) -> bytes:
    """Return answers without what changes from second to second."""
    return re.sub(rb"date: [^\r]*\r\n", b"", data)


def outcome(sink: RecordingSink) -> tuple[Any, ...]:
    """Return all that a stream has come to; how often the sink was asked to write does not count.

    Nor does whether a close after whole answers lingers: it does when more has come, which hangs on how the stream is cut.
    """
    calls = [c for c in sink.calls if c[0] != "hold"]
    if not any(c[0] == "refused" for c in calls):
        calls = [("close",) if c[0] == "close" else c for c in calls]
    return sink.requests, calls, without_date(sink.written), sink.connection.state


def echo(driver: ExchangeDriver, request: Request) -> None:
    """Answer with the content of the request."""
    driver.respond(request, Response(200, {"x-method": request.method}, request.body()))
