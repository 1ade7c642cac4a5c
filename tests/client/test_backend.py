"""The backend itself: what it does is what its cases say, seen with the standard library's client and bare sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.client.backend import Backend
from tests.client.black_box import complaints


@pytest.fixture(scope="module")
def shared() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
def backend(shared: Backend) -> Backend:
    shared.clear()
    return shared


def raw(backend: Backend, target: str, method: str = "GET", kind: str = "plain") -> bytes:
    """Send one request and return all bytes up to the end; a reset shows as b"RESET" at the end."""
    with socket.create_connection(("127.0.0.1", backend.ports[kind]), timeout=3) as sock:
        sock.sendall(f"{method} {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        got = b""
        try:
            while piece := sock.recv(65536):
                got += piece
        except ConnectionResetError:
            got += b"RESET"
        except TimeoutError:
            got += b"SILENT"
    return got


def ask(backend: Backend, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", backend.ports["plain"], timeout=5)
    try:
        line.request(method, target, body)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def test_what_came_is_told(backend: Backend) -> None:
    status, body = ask(backend, "POST", "/echo/x?y=1", b"abc")
    told = json.loads(body)
    assert (status, told["method"], told["target"], told["body"]) == (200, "POST", "/echo/x?y=1", "abc")
    assert [(one.method, one.body) for one in backend.seen] == [("POST", b"abc")]


def test_another_process_can_ask_what_was_seen(backend: Backend) -> None:
    ask(backend, "GET", "/status/204")
    told = json.loads(raw(backend, "/told", kind="control").partition(b"\r\n\r\n")[2])
    assert [seen["target"] for seen in told["seen"]] == ["/status/204"]
    told = json.loads(raw(backend, "/clear", kind="control").partition(b"\r\n\r\n")[2])
    assert told["seen"] == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/bytes/3", b"xxx"),
        ("/chunked/3", b"y" * 15),
        ("/eof", b"until the end"),
        ("/http10", b"old"),
    ],
)
def test_good_answers_are_good(backend: Backend, target: str, expected: bytes) -> None:
    assert ask(backend, "GET", target) == (200, expected)


def test_a_flaky_key_fails_as_often_as_told(backend: Backend) -> None:
    assert [ask(backend, "GET", "/flaky/k/2?status=503")[0] for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("/close", b""),
        ("/reset", b"RESET"),
        ("/reset/20", b"HTTP/1.1 200 OK\r\nconRESET"),
        ("/cut/20", b"HTTP/1.1 200 OK\r\ncon"),
        ("/lie", b"content-length: 3\r\n\r\nlie"),
        ("/bye", b"connection: close\r\n\r\nbye"),
        ("/close_later/1", b"later"),
    ],
)
def test_bad_ends_are_bad(backend: Backend, target: str, end: bytes) -> None:
    assert raw(backend, target).endswith(end)


def test_packed_content_unpacks(backend: Backend) -> None:
    assert gzip.decompress(ask(backend, "GET", "/packed/gzip?size=10")[1]) == b"z" * 10


def test_refused_is_refused_and_full_is_full(backend: Backend) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", backend.ports["refused"]))
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", backend.ports["full"]), timeout=0.1)


@pytest.mark.parametrize(
    ("kind", "code"), [("tls", None), ("tls12", None), ("wrong_name", 64), ("expired", 10), ("self_signed", 20)]
)
def test_certificates_are_as_bad_as_their_kind(backend: Backend, kind: str, code: int | None) -> None:
    context = ssl.create_default_context(cafile=backend.certificates.path("ca.pem"))
    found = None
    try:
        with socket.create_connection(("127.0.0.1", backend.ports[kind])) as sock:
            context.wrap_socket(sock, server_hostname="127.0.0.1").close()
    except ssl.SSLCertVerificationError as exc:
        found = exc.verify_code
    assert found == code


def test_the_proxy_makes_tunnels(backend: Backend) -> None:
    line = http.client.HTTPConnection("127.0.0.1", backend.ports["proxy"], timeout=5)
    line.set_tunnel("127.0.0.1", backend.ports["plain"])
    line.request("GET", "/bytes/2")
    assert line.getresponse().read() == b"xx"
    line.close()
    assert [target for target, _ in backend.tunnels] == [f"CONNECT 127.0.0.1:{backend.ports['plain']}"]


def test_a_cut_head_is_told_as_odd(backend: Backend) -> None:
    with socket.create_connection(("127.0.0.1", backend.ports["plain"])) as sock:
        sock.sendall(b"GET / HTT")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert backend.oddities == ["cut head: b'GET / HTT'"]


LEFT = """\
selector_events.py:864: ResourceWarning: unclosed transport <_SelectorSocketTransport fd=7>
  _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
ResourceWarning: Enable tracemalloc to get the object allocation traceback
"""
SOCKET = "a.py:8: ResourceWarning: unclosed <socket.socket fd={}, family=2, type=1, proto=6>\n  one = None\n"


@pytest.mark.parametrize("log", [LEFT, SOCKET.format(7) + LEFT, LEFT + SOCKET.format(7)])
def test_what_a_closed_loop_of_asyncio_leaves_is_no_complaint(log: str) -> None:
    assert complaints(log) == []


@pytest.mark.parametrize("log", [SOCKET.format(7), LEFT + SOCKET.format(17), LEFT.replace("_Selector", "TCP")])
def test_what_else_is_not_closed_is_a_complaint(log: str) -> None:
    assert len(complaints(log)) == 1
