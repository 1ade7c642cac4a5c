"""The harness is the server without its socket: the same script gives the same answers to both."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from siphon_http.testing import HttpTestHarness

from ..examples.serving import Served, serving
from .scripts import EVERYTHING

pytestmark = pytest.mark.wire

CASES: list[tuple[str, str, bytes | None, dict[str, str]]] = [
    ("GET", "/hello/world", None, {}),
    ("GET", "/hello/Jos%C3%A9", None, {}),
    ("GET", "/hello/a%2Fb+c", None, {}),
    ("GET", "/hello/%zz", None, {}),
    ("GET", "/hello/", None, {}),
    ("GET", "//hello/x", None, {}),
    ("HEAD", "/hello/x", None, {}),
    ("HEAD", "/pieces", None, {}),
    ("OPTIONS", "/seen", None, {}),
    ("DELETE", "/seen", None, {}),
    ("BREW", "/seen", None, {}),
    ("GET", "/pieces?count=4&size=9000", None, {}),
    ("POST", "/upload", b"x" * 100_000, {}),
    ("POST", "/small", b"x" * 10, {}),
    ("POST", "/small", b"x" * 11, {}),
    ("POST", "/small", b"x" * 11, {"Expect": "100-continue"}),
    ("POST", "/small", b"x", {"Content-Length": "+1"}),
    ("POST", "/small", b"x", {"Transfer-Encoding": "gzip"}),
    ("POST", "/small", b"x", {"Transfer-Encoding": "gzip", "Content-Length": "1"}),
    ("GET", "/hello/x", None, {"Host": "a b"}),
    ("GET", "/hello/x", None, {"X-Long": "v" * 70_000}),
    ("GET", "/sleeps", None, {}),
    ("GET", "/raises", None, {}),
    ("GET", "/junk", None, {}),
    ("GET", "/background", None, {}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("served")
    (folder / "siphon.yaml").write_text("script: {path: routes.py}\nextensions: {http: http.yaml}\n")
    (folder / "http.yaml").write_text("servers: [{listen: '127.0.0.1:${PORT}'}]\n")
    (folder / "routes.py").write_text(EVERYTHING)
    with serving(folder) as one:
        yield one


@pytest.fixture(scope="module")
def harness() -> Iterator[HttpTestHarness]:
    with HttpTestHarness() as one:
        one.load_source(EVERYTHING)
        yield one


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]} {len(case[2] or b'')} {list(case[3])}")
def test_the_answer_is_the_same(
    server: Served, harness: HttpTestHarness, case: tuple[str, str, bytes | None, dict[str, str]]
) -> None:
    method, path, body, headers = case
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None and not {"Content-Length", "Transfer-Encoding"} & set(headers):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    served = connection.getresponse()
    content = served.read()
    mine = harness.request(method, path, body=body, headers=headers)
    assert (mine.status, mine.body) == (served.status, content)
    theirs = [(name.lower(), value) for name, value in served.getheaders() if name.lower() not in ("date", "x-client")]
    assert [pair for pair in mine.headers.pairs() if pair[0] not in ("date", "x-client")] == theirs
    connection.close()
