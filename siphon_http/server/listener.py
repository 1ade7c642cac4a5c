"""One listener: bind, then listen and accept, then stop accepting."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from siphon_http._core.exchange import Handler
from siphon_http.config import ServerConfig
from siphon_http.errors import BindError
from siphon_http.server.connection import Endpoint, LoopState
from siphon_http.server.limits import endpoint_for

__all__ = ["Listener", "holder_of"]

BACKLOG = 4096
"""Connections that the kernel may hold for us, as far as it agrees (net.core.somaxconn)."""


class Listener:
    """One entry of `servers:`. Binds without listening first, so that nobody is accepted before start-up has ended."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.endpoint: Endpoint | None = None
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._path: Path | None = None

    @property
    def port(self) -> int:
        """Port that is bound; 0 before, and for a unix socket."""
        if self._path is not None or not self._sockets:
            return 0
        return int(self._sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """URL of the listener, as a person would type it."""
        address = self.config.listen
        scheme = "http" if self.config.tls is None else "https"
        if address.kind == "unix":
            return f"unix:{address.path}"
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{scheme}://{host}:{self.port or address.port}"

    @property
    def protocols(self) -> str:
        """What is spoken, for people: "http/1.1", with "mTLS" when clients must show a certificate."""
        tls = self.config.tls
        return "http/1.1" + (" mTLS" if tls is not None and tls.client_ca is not None else "")

    def bind(self) -> None:
        """Bind the address, without listening.

        Raises:
            BindError: it is in use, not ours, or not allowed; says who holds it where the kernel tells.
        """
        address = self.config.listen
        try:
            if address.kind == "unix":
                self._bind_unix(Path(address.path))
            else:
                self._bind_tcp(address.host, address.port)
        except OSError as error:
            self.close()
            raise BindError(_explain(self.config, error)) from error

    def _bind_tcp(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        seen = set()
        for family, kind, protocol, _, where in found:
            if (family, where) in seen or family not in (socket.AF_INET, socket.AF_INET6):
                continue
            seen.add((family, where))
            sock = socket.socket(family, kind, protocol)
            self._sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.config.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # [::] takes IPv4 too, as its users expect; a name's addresses are bound one by one.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
            if port == 0 and self.port:
                where = (where[0], self.port, *where[2:])
            sock.bind(where)

    def _bind_unix(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.stat().st_mode):
                self._remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets.append(sock)
        sock.setblocking(False)
        sock.bind(str(path))
        self._path = path
        if self.config.unix_mode is not None:
            path.chmod(self.config.unix_mode)

    @staticmethod
    def _remove_stale(path: Path) -> None:
        """Remove the socket of a process that has gone; one that answers is in use."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    async def serve(self, handler: Handler, state: LoopState) -> None:
        """Listen and accept; returns at once. Raises BindError when another process listens by now."""
        self.endpoint = endpoint = endpoint_for(self.config, handler, state)
        factory: Callable[[], Any] = endpoint.connection
        if self.config.tls is not None:
            # ssl costs 10 ms of start-up: only who needs it
            from siphon_http.server.secure import SecureTransport
            from siphon_http.server.tls import server_context

            context = server_context(self.config.tls, alpn=("http/1.1",))
            factory = functools.partial(SecureTransport, endpoint, context)
        loop = asyncio.get_running_loop()
        create: Callable[..., Awaitable[asyncio.AbstractServer]]
        create = loop.create_server if self._path is None else loop.create_unix_server
        try:
            for sock in self._sockets:
                self._servers.append(await create(factory, sock=sock, backlog=BACKLOG))
        except OSError as error:
            raise BindError(_explain(self.config, error)) from error

    def stop(self) -> None:
        """Stop accepting; connections that are open stay."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._path = None

    def close(self) -> None:
        """Stop accepting, and reset every connection that is left."""
        self.stop()
        if self.endpoint is not None:
            self.endpoint.abort()


def _explain(config: ServerConfig, error: OSError) -> str:
    """Say what is wrong with an address and what to do."""
    address = config.listen
    text = f"cannot bind {address}: {error.strerror or error}"
    if isinstance(error, socket.gaierror):
        return f"{text}; `{address.host}` is no host name that can be resolved here"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(address.port) if address.kind == "tcp" else None
        text += f" ({holder} has it)" if holder else ""
        free = _next_free(address.host, address.port) if address.kind == "tcp" else None
        return f"{text}; end that process or choose another address" + (f", port {free} is free" if free else "")
    if error.errno == errno.EACCES:
        if address.kind == "tcp" and address.port < 1024:
            return f"{text}; ports below 1024 need CAP_NET_BIND_SERVICE"
        return f"{text}; this user may not write there"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{text}; this machine has no such address"
    return text


def _next_free(host: str, port: int) -> int | None:
    """Return the next port that can be bound now, within ten, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port + 1, min(port + 11, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    return None


def holder_of(port: int) -> str | None:
    """Return "pid 123 (name)" of the process that listens on `port`, or None where the kernel does not tell us."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                    inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in inodes for link in (entry / "fd").iterdir()):
                name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"pid {entry.name} ({name})"
    return None
