"""What `siphon-http doctor` asks of the http extension: addresses, certificates, names of clients, limits."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from siphon_http.config import ClientConfig, HttpConfig, ServerConfig
from siphon_http.errors import BindError, TlsMaterialError
from siphon_http.host.api import Finding
from siphon_http.server.limits import connection_limit
from siphon_http.server.listener import Listener

__all__ = ["examine"]

SOON_DAYS = 14


def examine(config: HttpConfig) -> Iterator[Finding]:
    """Yield what is found; nothing stays bound."""
    for server in config.servers:
        yield from _address(server)
        yield from _certificate(server)
        yield from _connections(server)
    for name, client in config.clients.items():
        yield from _client(name, client)


def _address(server: ServerConfig) -> Iterator[Finding]:
    subject = str(server.listen)
    if server.listen.kind == "unix":
        yield _unix(subject, Path(server.listen.path))
        return
    listener = Listener(server)
    try:
        listener.bind()
    except BindError as error:
        text, _, fix = str(error).partition("; ")
        yield Finding(level="fail", subject=subject, text=text, fix=fix or "choose another address")
        return
    finally:
        listener.close()
    yield Finding(level="ok", subject=subject, text="is free")


def _unix(subject: str, path: Path) -> Finding:
    """Look at the folder of a unix socket; the socket itself is left alone."""
    folder = path.parent
    if not folder.is_dir():
        return Finding(level="fail", subject=subject, text=f"{folder} is no folder", fix=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(level="fail", subject=subject, text=f"this user may not write in {folder}", fix="chown or chmod")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return Finding(level="ok", subject=subject, text="is free")
    fix = "end who listens there, or choose another path"
    return Finding(level="fail", subject=subject, text="is in use", fix=fix)


def _certificate(server: ServerConfig) -> Iterator[Finding]:
    if server.tls is None:
        return
    from siphon_http.server.tls import expiry_of  # ssl costs 10 ms: only who needs it

    path = server.tls.cert_path
    try:
        days = int((expiry_of(path) - time.time()) // 86_400)
    except TlsMaterialError as error:
        yield Finding(level="fail", subject=path.name, text=str(error), fix="renew or correct it")
        return
    soon = days < SOON_DAYS
    fix = "renew it; a running server takes the new file by itself" if soon else ""
    yield Finding(level="warn" if soon else "ok", subject=path.name, text=f"is valid for {days} more days", fix=fix)


def _connections(server: ServerConfig) -> Iterator[Finding]:
    possible, wanted = connection_limit(None), server.max_connections
    if wanted is not None and wanted > possible:
        text = f"max_connections is {wanted}, but the limit of open files allows {possible}"
        yield Finding(level="warn", subject=str(server.listen), text=text, fix=f"`ulimit -n {wanted + 64}`")


def _client(name: str, client: ClientConfig) -> Iterator[Finding]:
    subject, url = f"client {name}", client.proxy or client.base_url
    if url is None:
        yield Finding(level="ok", subject=subject, text="has no base_url to look up")
        return
    parts = urlsplit(url)
    host = parts.hostname or ""
    what = "the proxy" if client.proxy else "base_url"
    try:
        found = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        text = f"{host} ({what}) cannot be looked up: {error.strerror or error}"
        yield Finding(level="fail", subject=subject, text=text, fix="correct the name, or look at /etc/resolv.conf")
        return
    addresses = ", ".join(sorted({str(one[4][0]) for one in found})[:4])
    yield Finding(level="ok", subject=subject, text=f"{host} is {addresses}")
