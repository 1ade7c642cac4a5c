"""http.Client over HTTP/2 against real servers: our own program, in cleartext and over TLS, and nginx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from siphon_http.client.api import Clients, client_class
from siphon_http.client.pool import PoolTransport
from tests.conformance.launch import Server, serving
from tests.examples.nginx import nginx as run_nginx

pytestmark = pytest.mark.wire

Http = client_class(Clients({}, PoolTransport))
SCRIPT = """
from siphon import http

@http.route("/echo", methods=["POST"])
async def echo(req):
    return http.Response(200, {"x-version": req.http_version}, req.body())

@http.route("/{name}")
async def hello(req):
    return http.Response(200, body=req.path_params["name"])
"""
RULES = "keepalive_requests 100; http2_max_concurrent_streams 20; location = / { return 200 hello; }"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, authority: tuple[trustme.CA, Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ours")
    issued = authority[0].issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    tls = {"cert_path": "cert.pem", "key_path": "key.pem"}
    yield from serving(folder, SCRIPT, {"plain": {"max_concurrent_streams": 10}, "tls": {"tls": tls}})


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("nginx")
    with run_nginx(folder, RULES, http2=True) as port:
        (folder / "www" / "large").write_bytes(bytes(range(256)) * 12_000)
        yield port


@pytest.mark.parametrize("secure", [False, True], ids=["h2c", "tls"])
async def test_our_own_server_answers_many_requests_at_once(
    ours: Server, authority: tuple[trustme.CA, Path], secure: bool
) -> None:
    host, port = ours["tls" if secure else "plain"]  # type: ignore[misc]
    more: dict[str, Any] = {"verify": authority[1]} if secure else {"http2_prior_knowledge": True}
    async with Http(base_url=f"http{'s' if secure else ''}://{host}:{port}", **more) as http:

        async def caller(name: int) -> None:
            for number in range(20):
                assert (await http.get(f"/{name}-{number}")).body == b"%d-%d" % (name, number)
                content = b"%d" % number * 3000
                answer = await http.post("/echo", body=content)
                assert answer.body == content
                assert answer.header("x-version") == "2"

        await asyncio.gather(*(caller(name) for name in range(25)))


async def test_nginx_takes_leave_after_some_requests_and_nothing_fails(nginx: int) -> None:
    async with Http(base_url=f"http://127.0.0.1:{nginx}", http2_prior_knowledge=True) as http:

        async def caller() -> None:
            for _ in range(40):
                answer = await http.get("/")
                assert (answer.status, answer.body) == (200, b"hello")

        await asyncio.gather(*(caller() for _ in range(40)))


async def test_nginx_sends_large_files_to_many(nginx: int) -> None:
    async with Http(base_url=f"http://127.0.0.1:{nginx}", http2_prior_knowledge=True) as http:
        answers = await asyncio.gather(*(http.get("/large") for _ in range(8)))
        assert all(answer.body == bytes(range(256)) * 12_000 for answer in answers)
        assert (await http.head("/large")).header("content-length") == "3072000"
        missing = await http.get("/none")
        assert missing.status == 404
