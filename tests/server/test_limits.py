"""Limits of a listener, and who is at the other end."""

from __future__ import annotations

import ipaddress
import resource
from pathlib import Path
from typing import Any

import pytest

from siphon_http.config import ServerConfig, TlsConfig
from siphon_http.dispatch import Dispatcher
from siphon_http.registry import Generation
from siphon_http.server.endpoint import LoopState
from siphon_http.server.limits import connection_limit, endpoint_for, peer_of
from tests.stage import play, tcp, unix


class Transport:
    """What an accepted connection tells."""

    def __init__(self, **extra: Any) -> None:
        self.extra = extra

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.extra.get(name, default)


def peer(transport: Any, **more: Any) -> Any:
    return peer_of(transport, **{"scheme": "http", "asks_certificate": False, "unix": False, **more})


@pytest.mark.parametrize(
    "files, limit",
    [(1024, 960), (65, 1), (64, 1), (10, 1), (resource.RLIM_INFINITY, 1_000_000)],
)
def test_as_many_connections_as_files_less_a_reserve(monkeypatch: pytest.MonkeyPatch, files: int, limit: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (files, files))
    assert connection_limit(None) == limit
    assert connection_limit(7) == 7


@pytest.mark.parametrize(
    "name, client",
    [
        (("192.0.2.1", 80), "192.0.2.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1:80"),
    ],
)
def test_a_peer_is_its_address_and_port(name: Any, client: str) -> None:
    assert peer(Transport(peername=name)).client == client


@pytest.mark.parametrize("name", ["", None, "/run/peer", b"\0abstract"])
def test_a_peer_of_a_unix_socket_has_no_address(name: Any) -> None:
    assert peer(Transport(peername=name), unix=True).client == "unix:"


def test_a_tcp_peer_that_was_reset_before_it_was_accepted_is_not_taken_for_a_local_one() -> None:
    # A request that was sent before the reset can be read: as "unix:" it would be trusted like the loopback address.
    assert peer(Transport(peername=None)).client == "0.0.0.0:0"


def test_a_certificate_is_kept_only_where_it_is_asked_for() -> None:
    transport = Transport(peername=("192.0.2.1", 1), peercert={"subject": ()})
    assert peer(transport, scheme="https", asks_certificate=True).certificate == {"subject": ()}
    assert peer(transport, scheme="https").certificate is None
    assert peer(Transport(peername=("192.0.2.1", 1), peercert={}), asks_certificate=True).certificate is None


def test_an_endpoint_has_the_limits_of_its_listener_in_seconds_and_bytes() -> None:
    async def scenario() -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        state, handler = LoopState(loop), Dispatcher(Generation(), loop)
        config = ServerConfig(
            listen=tcp(), header_timeout_ms=1, idle_timeout_ms=2, write_timeout_ms=3, request_timeout_ms=4,
            max_body_bytes=5, max_header_bytes=2048, max_headers=7, max_connections=8,
            trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),),
        )  # fmt: skip
        made = endpoint_for(config, handler, state)
        assert (made.header_timeout, made.idle_timeout) == (0.001, 0.002)
        assert (made.write_timeout, made.request_timeout) == (0.003, 0.004)
        assert (made.max_body_bytes, made.max_header_bytes, made.max_headers, made.max_connections) == (5, 2048, 7, 8)
        assert made.scheme == "http" and made.forwarded is not None
        tls = TlsConfig(cert_path=Path("c"), key_path=Path("k"), client_ca=Path("a"))
        secure = endpoint_for(ServerConfig(listen=tcp(), tls=tls), handler, state)
        assert (secure.scheme, secure.forwarded) == ("https", None)
        told = secure.describe_peer(Transport(peername=("192.0.2.1", 9), peercert={"serialNumber": "1"}))
        assert (told.scheme, told.certificate) == ("https", {"serialNumber": "1"})
        local = endpoint_for(ServerConfig(listen=unix("/s")), handler, state)
        assert local.describe_peer(Transport(peername="")).client == "unix:"

    play(scenario)
