"""PROXY protocol in front of every kind of listener (design section 4: `proxy_protocol`)."""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from .launch import Server, serving
from .wire import Wire, polite

AUTHORITY = trustme.CA()
V1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 9, 192, 0, 2, 1]) + b"\x12\x67\x01\xbb"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
CLIENT = "203.0.113.9:4711"


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/peers.py behind load balancers that speak the PROXY protocol."""
    folder = tmp_path_factory.mktemp("balanced")
    pair = AUTHORITY.issue_cert("localhost")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    with tempfile.TemporaryDirectory(prefix="sh") as short:  # a socket's path has room for 108 bytes
        listeners = {
            "tcp": {"trusted_proxies": ["127.0.0.1"]},
            "tls": {"tls": {"cert_path": "cert.pem", "key_path": "key.pem"}, "trusted_proxies": ["127.0.0.1"]},
            "unix": {"listen": f"unix:{short}/http.sock"},
            "strange": {"trusted_proxies": ["10.0.0.0/8"]},
            "quick": {"trusted_proxies": ["127.0.0.1"], "header_timeout_ms": 300},
        }
        listeners = {name: {**settings, "proxy_protocol": True} for name, settings in listeners.items()}
        yield from serving(folder, "peers.py", listeners)


def client(wire: Wire) -> str:
    """Return req.client as the handler sees it."""
    wire.send(polite("/peer"))
    return str(json.loads(wire.read().body)["client"])


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("listener", ["tcp", "unix"])
def test_the_header_names_the_client_of_every_request(balanced: Server, listener: str, header: bytes) -> None:
    with Wire(balanced[listener]) as wire:
        wire.send(header)
        assert [client(wire), client(wire)] == [CLIENT, CLIENT]


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_the_header_comes_before_tls(balanced: Server, header: bytes) -> None:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    with Wire(balanced["tls"]) as wire:
        wire.send(header)
        wire.sock = context.wrap_socket(wire.sock, server_hostname="localhost")
        assert client(wire) == CLIENT


def test_the_balancers_own_connections_keep_its_address(balanced: Server) -> None:
    for listener, own in (("tcp", "127.0.0.1:"), ("unix", "unix:")):
        with Wire(balanced[listener]) as wire:
            wire.send(LOCAL)
            assert client(wire).startswith(own)


@pytest.mark.parametrize(
    "listener, data",
    [("tcp", b""), ("unix", b""), ("tcp", b"PROXY TCP4 a b c d\r\n"), ("strange", V1), ("strange", V2)],
)
def test_what_has_no_good_header_or_no_right_to_one_gets_no_answer(
    balanced: Server, listener: str, data: bytes
) -> None:
    with Wire(balanced[listener]) as wire:
        try:
            wire.send(data + polite("/peer"))
            found = wire.sock.recv(100)
        except ConnectionError:  # it was reset
            found = b""
        assert found == b""


def test_a_header_that_does_not_come_has_no_time_without_end(balanced: Server) -> None:
    with Wire(balanced["quick"]) as wire:
        wire.send(V1[:20])
        try:
            assert wire.sock.recv(100) == b""
        except ConnectionResetError:
            pass


def test_the_log_says_why_and_not_again_and_again(balanced: Server) -> None:
    for _ in range(20):
        with Wire(balanced["unix"]) as wire:
            wire.send(polite("/"))
    with Wire(balanced["tcp"]) as wire:
        wire.send(V2)
        assert client(wire) == CLIENT
    lines = [line for line in Path(balanced.folder, "stderr").read_text().splitlines() if "proxy_protocol" in line]
    assert 1 <= len(lines) <= 6
