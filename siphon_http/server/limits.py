"""Deadlines and limits of a listener, as its connections use them."""

from __future__ import annotations

import logging
import resource
from asyncio import BaseTransport
from typing import Any

from siphon_http._core.exchange import Handler
from siphon_http._core.message import Peer
from siphon_http.config import ServerConfig
from siphon_http.config_access import AccessFormat
from siphon_http.server.access import AccessLog, Lines
from siphon_http.server.endpoint import Endpoint, LoopState
from siphon_http.server.forwarded import ClientAddress, format_client

__all__ = ["access_log_for", "connection_limit", "endpoint_for", "peer_of", "settings_of"]

access = logging.getLogger("siphon_http.access")

UNKNOWN_CLIENT = "0.0.0.0:0"

RESERVED_FILES = 64
"""File descriptors kept for everything that is no connection: listeners, logs, files of the script."""


def connection_limit(configured: int | None) -> int:
    """Return how many connections may be open: what is configured, else the limit of open files less 64."""
    if configured is not None:
        return configured
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return 1_000_000
    return max(1, files - RESERVED_FILES)


def peer_of(transport: BaseTransport, *, scheme: str, asks_certificate: bool, unix: bool) -> Peer:
    """Describe who is at the other end of an accepted connection.

    unix: whether the listener is a unix socket. A TCP peer that was reset before it was accepted has no address any
    more, but what it sent can still be read: it is "0.0.0.0:0", and never taken for a local one.
    """
    name = transport.get_extra_info("peername")
    client = "unix:" if unix else UNKNOWN_CLIENT
    if not unix and isinstance(name, tuple):
        client = format_client(name[0], name[1])
    certificate = transport.get_extra_info("peercert") if asks_certificate else None
    return Peer(client, scheme, certificate or None)


def access_log_for(form: AccessFormat, listener: str, state: LoopState) -> AccessLog:
    """Return the access log of one listener. Its lines go to the logger `siphon_http.access`, many in one record."""

    def emit(lines: Lines) -> None:
        if access.isEnabledFor(logging.INFO):
            record = access.makeRecord(access.name, logging.INFO, "", 0, lines, (), None, extra={"whole_lines": True})
            access.handle(record)

    return AccessLog(
        form.parts,
        json=form.style == "json",
        combined=form.clock == "combined",
        listener=listener,
        emit=emit,
        call_later=state.loop.call_later,
    )


def endpoint_for(config: ServerConfig, handler: Handler, state: LoopState) -> Endpoint:
    """Return the endpoint of one listener: its limits, in seconds and bytes, around `handler`."""
    return Endpoint(handler, state, **settings_of(config, state))


def settings_of(config: ServerConfig, state: LoopState) -> dict[str, Any]:
    """Return the settings of an endpoint, at construction or for a change."""
    scheme = "http" if config.tls is None else "https"
    asks = config.tls is not None and config.tls.client_ca is not None
    unix = config.listen.kind == "unix"
    return {
        "describe_peer": lambda transport: peer_of(transport, scheme=scheme, asks_certificate=asks, unix=unix),
        "header_timeout": config.header_timeout_ms / 1000,
        "idle_timeout": config.idle_timeout_ms / 1000,
        "write_timeout": config.write_timeout_ms / 1000,
        "request_timeout": config.request_timeout_ms / 1000,
        "max_body_bytes": config.max_body_bytes,
        "max_header_bytes": config.max_header_bytes,
        "max_headers": config.max_headers,
        "max_connections": connection_limit(config.max_connections),
        "max_concurrent_streams": config.max_concurrent_streams,
        "http2_ping_interval": (config.http2_ping_interval_ms or 0) / 1000,
        "http2_through_h2": config.http2_through_h2,
        "http1": config.http1,
        "http2": config.http2,
        "scheme": scheme,
        "forwarded": ClientAddress(config.trusted_proxies, config.forwarded_header) if config.trusted_proxies else None,
        "access": None if config.access_log is None else access_log_for(config.access_log, str(config.listen), state),
        "request_ids": config.request_id,
        "slow_request_ms": config.slow_request_ms or 0,
    }
