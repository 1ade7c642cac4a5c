"""Unix sockets, IPv6, host names, several listeners in one process (design section 4: `listen`)."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .launch import Server, serving
from .wire import Address, Wire, exchange, polite, refused, request


def has_ipv6() -> bool:
    """Whether this machine has the loopback address of version 6."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


NAMES = ["unix", "name", "any", *(["six"] if has_ipv6() else [])]


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/peers.py on a unix socket, a host name, the wildcard and IPv6."""
    with tempfile.TemporaryDirectory(prefix="sh") as short:  # a socket's path has room for 108 bytes
        listeners = {
            "unix": {"listen": f"unix:{short}/http.sock"},
            "name": {"listen": "localhost:{port}"},
            "any": {"listen": "0.0.0.0:{port}"},
        }
        if has_ipv6():
            listeners["six"] = {"listen": "[::1]:{port}"}
        yield from serving(tmp_path_factory.mktemp("edges"), "peers.py", listeners)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_address_serves(edges: Server, name: str) -> None:
    body = bytes(range(256)) * 1000
    answers = exchange(edges[name], polite("/echo", "POST", body=body) * 2 + polite("/"), ["POST", "POST", "GET"])
    assert [a.body for a in answers] == [body, body, b"ok"]


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_address_refuses(edges: Server, name: str) -> None:
    refused(edges[name], b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.skipif("six" not in NAMES, reason="no IPv6 loopback here")
def test_an_ipv6_client_is_shown_in_brackets(edges: Server) -> None:
    with Wire(edges["six"]) as wire:
        wire.send(polite("/peer"))
        assert json.loads(wire.read().body)["client"] == f"[::1]:{wire.sock.getsockname()[1]}"


def test_a_client_on_a_unix_socket_is_shown_as_something(edges: Server) -> None:
    found = json.loads(request(edges["unix"], "/peer").body)
    assert isinstance(found["client"], str)


def test_a_unix_socket_is_gone_after_the_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And one that a crash left behind does not stop the next start."""
    with tempfile.TemporaryDirectory(prefix="sh") as short:
        path = Path(short) / "http.sock"
        listeners = {"unix": {"listen": f"unix:{path}"}}
        for server in serving(tmp_path_factory.mktemp("first"), "peers.py", listeners):
            address: Address = server["unix"]
            assert request(address, "/").status == 200
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        for server in serving(tmp_path_factory.mktemp("second"), "peers.py", listeners):
            assert request(server["unix"], "/").status == 200


def test_two_processes_do_not_take_a_living_unix_socket_from_each_other(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with tempfile.TemporaryDirectory(prefix="sh") as short:
        listeners = {"unix": {"listen": f"unix:{short}/http.sock"}}
        for first in serving(tmp_path_factory.mktemp("first"), "peers.py", listeners):
            second = Server(tmp_path_factory.mktemp("second"), "peers.py", listeners)
            second.spawn()
            try:
                assert second.wait(10) == 3, second.log()
            finally:
                second.kill()
            assert request(first["unix"], "/").status == 200
