"""Which origins go through a proxy, and the tunnel over a real socket pair."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from siphon_http.client import proxy as module
from siphon_http.client.proxy import Proxy, ProxySettings, TunnelError, open_tunnel
from siphon_http.errors import ConfigError

PROXY = "http://proxy.example:3128"


def settings(no_proxy: str = "", url: str | None = PROXY, **environ: str) -> ProxySettings:
    return ProxySettings.from_config(url, no_proxy.split(), environ)


# ---- settings


def test_every_origin_goes_through_the_proxy() -> None:
    for scheme, port in (("http", 80), ("https", 443)):
        assert settings().for_origin(scheme, "a.example", port) == Proxy("proxy.example", 3128)


def test_the_environment_names_no_proxy_of_its_own() -> None:
    inherited = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"), PROXY)
    assert settings(url=None, **inherited).for_origin("https", "a.example", 443) is None


@pytest.mark.parametrize(
    ("entry", "direct", "through"),
    [
        (
            "example.com",
            ["example.com", "a.example.com", "EXAMPLE.com", "example.com."],
            ["example.org", "badexample.com"],
        ),
        (".example.com", ["a.example.com", "example.com"], ["example.org"]),
        ("*.example.com", ["a.b.example.com"], ["example.org"]),
        ("Example.COM", ["example.com"], []),
        ("10.0.0.1", ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.11", "10.0.0.1.example.com"]),
        ("10.0.0.0/8", ["10.9.8.7"], ["11.0.0.1", "10.example.com"]),
        ("fd00::/8", ["fd00::1"], ["fe80::1"]),
        ("::1", ["::1"], ["::2"]),
        ("[::1]", ["::1"], ["::2"]),
        ("*", ["anything.example", "::1"], []),
    ],
)
def test_exceptions_take_the_direct_way(entry: str, direct: list[str], through: list[str]) -> None:
    for made in (
        settings(entry),
        settings(NO_PROXY=entry),
        settings(no_proxy="other.example", NO_PROXY=f"x.example, {entry}"),
    ):
        assert {host for host in direct if made.for_origin("http", host, 80)} == set()
        assert {host for host in through if not made.for_origin("http", host, 80)} == set()


def test_an_exception_with_a_port_is_for_that_port() -> None:
    made = settings("example.com:8080 [::1]:81 10.0.0.1:82")
    origins = [("example.com", 8080), ("example.com", 80), ("::1", 81), ("::1", 80), ("10.0.0.1", 82), ("10.0.0.1", 80)]
    assert [made.for_origin("http", *origin) is None for origin in origins] == [True, False] * 3


def test_the_lower_case_variable_wins() -> None:
    made = ProxySettings.from_config(PROXY, (), {"no_proxy": "a.example", "NO_PROXY": "b.example"})
    assert made.for_origin("http", "a.example", 80) is None
    assert made.for_origin("http", "b.example", 80) is not None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://p.example", Proxy("p.example", 80)),
        ("http://p.example:3128/", Proxy("p.example", 3128)),
        ("HTTP://[::1]:3128", Proxy("::1", 3128)),
        ("http://user:p%40ss:w@p.example:1", Proxy("p.example", 1, b"Basic " + base64.b64encode(b"user:p@ss:w"))),
        ("http://token@p.example:1", Proxy("p.example", 1, b"Basic " + base64.b64encode(b"token:"))),
        ("http://u:p@ss@p.example:1", Proxy("p.example", 1, b"Basic " + base64.b64encode(b"u:p@ss"))),
    ],
)
def test_a_proxy_url_is_read(url: str, expected: Proxy) -> None:
    assert settings(url=url).for_origin("http", "a.example", 80) == expected


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://user:s3cret@p.example:1", "must be http://"),
        ("socks5://user:s3cret@p.example:1", "another scheme"),
        ("p.example:3128", "without a scheme"),
        ("http://", "with a host"),
        ("http://user:s3cret@:80", "with a host"),
        ("http://user:s3cret@p.example:99999", "cannot be read"),
        ("http://user:s3cret@p.example:0", "with a host"),
        ("http://user:s3cret@p.example/x", "nothing after the port"),
        ("http://user:s3cret@p.example?x", "nothing after the port"),
        ("http://user:s3cret@[::1", "cannot be read"),
        ("http://user:s3cret@p.example\r\n:1", "proxy URL"),
    ],
)
def test_a_bad_proxy_url_is_refused_without_its_password(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        settings(url=url)
    assert "s3cret" not in str(caught.value)


def test_credentials_are_in_no_text_of_a_proxy() -> None:
    found = settings(url="http://user:s3cret@p.example:1").proxy
    assert found is not None
    assert repr(found) == "Proxy(p.example:1)"


# ---- the tunnel

Serve = Callable[[asyncio.AbstractEventLoop, socket.socket], Awaitable[None]]


async def tunnel(serve: Serve, proxy: Proxy, host: str = "a.example", port: int = 443) -> socket.socket:
    """Open a tunnel over a socket pair whose other end is `serve`; return ours."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)

    async def other_end() -> None:
        with theirs:
            await serve(loop, theirs)

    task = asyncio.ensure_future(other_end())
    try:
        await open_tunnel(loop, ours, proxy, host, port)
    except BaseException:
        ours.close()
        raise
    finally:
        await task
    return ours


def answers(*pieces: bytes, got: list[bytes] | None = None) -> Serve:
    async def serve(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        data = await loop.sock_recv(sock, 4096)
        if got is not None:
            got.append(data)
        for piece in pieces:
            await loop.sock_sendall(sock, piece)
            await asyncio.sleep(0)

    return serve


P = Proxy("p.example", 3128)


def run(coroutine: Awaitable[socket.socket]) -> None:
    async def both() -> None:
        (await coroutine).close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(both())


def test_connect_is_asked_as_the_rfc_has_it() -> None:
    got: list[bytes] = []
    run(tunnel(answers(b"HTTP/1.1 200 OK\r\n\r\n", got=got), P))
    run(tunnel(answers(b"HTTP/1.1 200 OK\r\n\r\n", got=got), Proxy("p", 1, b"Basic eA=="), "::1", 8443))
    assert got == [
        b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
        b"CONNECT [::1]:8443 HTTP/1.1\r\nhost: [::1]:8443\r\nproxy-authorization: Basic eA==\r\n\r\n",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 Connection established\r\nvia: x\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 fine\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 102 wait\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
    ],
)
def test_any_2xx_opens_the_tunnel_however_it_is_cut(answer: bytes) -> None:
    run(tunnel(answers(answer), P))
    run(tunnel(answers(*(answer[i : i + 1] for i in range(len(answer)))), P))


def test_bytes_after_the_tunnel_are_left_for_the_origin() -> None:
    async def scenario() -> socket.socket:
        async def serve(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
            await loop.sock_recv(sock, 4096)
            await loop.sock_sendall(sock, b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.sleep(0.01)  # in a read of its own
            await loop.sock_sendall(sock, b"later")

        ours = await tunnel(serve, P)
        assert await asyncio.get_running_loop().sock_recv(ours, 100) == b"later"
        return ours

    run(scenario())


def refusal(*pieces: bytes, proxy: Proxy = P) -> TunnelError:
    with pytest.raises(TunnelError) as caught:
        run(tunnel(answers(*pieces), proxy))
    return caught.value


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        (b"HTTP/1.1 407 no\r\n\r\nbody", "answered 407: it wants user and password in its URL", 407),
        (b"HTTP/1.1 403 no\r\n\r\n", "answered 403: it does not allow CONNECT to a.example:443", 403),
        (b"HTTP/1.1 502 no\r\n\r\n", "answered 502 to CONNECT a.example:443", 502),
        (b"HTTP/1.1 302 no\r\nlocation: http://evil.example/\r\n\r\n", "answered 302", 302),
        (b"HTTP/1.1 101 no\r\n\r\n", "answered 101", 101),
        (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01", "sent 3 bytes after its answer", 200),
        (b"", "closed the connection before its answer", 0),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection within its answer", 0),
        (b"SSH-2.0-OpenSSH\r\n", "speaks no HTTP/1.1", 0),
        (b"HTTP/1.1 20 OK\r\n\r\n", "cannot be read", 0),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * module.HEAD_LIMIT, "head of more than", 0),
        (b"HTTP/1.1 100 c\r\n\r\n" * 1000, "head of more than", 0),
    ],
)
def test_whatever_else_is_refused(answer: bytes, text: str, status: int) -> None:
    error = refusal(answer)
    assert str(error).startswith("proxy p.example:3128 ")
    assert text in str(error)
    assert error.status == status


def test_wrong_credentials_are_told_without_them() -> None:
    error = refusal(b"HTTP/1.1 407 no\r\n\r\n", proxy=Proxy("p", 1, b"Basic c2VjcmV0"))
    assert str(error) == "proxy p:1 answered 407: it does not take the user and password of its URL"


def test_a_proxy_that_resets_is_told() -> None:
    async def serve(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        """Leave without reading: what was sent to us makes it a reset."""

    with pytest.raises(TunnelError, match=r"p\.example:3128"):
        run(tunnel(serve, P))
