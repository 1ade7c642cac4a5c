"""Health, readiness, metrics: a responder of the host's own, for probes and scrapers.

It answers GET and HEAD on a few fixed paths and nothing else, one request at a time, with small limits; it belongs on an
address that the public does not reach. A worker may run it, or the supervisor of several.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import httptools

from siphon_http import __version__
from siphon_http.errors import BindError
from siphon_http.host.config import HostConfig
from siphon_http.host.config_admin import AdminConfig, Endpoint, MetricsConfig
from siphon_http.host.ledger import Series
from siphon_http.host.metrics import CONTENT_TYPE, as_json, as_text, everything, running_workers

__all__ = ["Admin", "State", "admin_of_one"]

State = Literal["starting", "ready", "draining"]

HEAD_BYTES = 16_384
"""Of a request; more is answered 431."""
IDLE_SECS = 30.0
HEAD_SECS = 5.0
"""From a request's first byte to its end."""
CONNECTIONS = 64
"""At once; more are closed."""

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed"}
_REASONS |= {413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error"}
_REASONS |= {503: "Service Unavailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    kind: str = "application/json"
    more: str = ""


class Admin:
    """The listeners of `admin.listen` and `metrics.prometheus.listen`. Order of calls: bind, serve, close.

    state: tells where the process is in its life. numbers: returns everything that is counted, sorted by name.
    health: more for `/admin/health`; stats: more for `/admin/stats`.
    """

    def __init__(
        self,
        admin: AdminConfig,
        metrics: MetricsConfig,
        *,
        state: Callable[[], State],
        numbers: Callable[[], list[Series]],
        health: Callable[[], dict[str, Any]] = dict,
        stats: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._admin = admin
        self._path = metrics.prometheus.path
        self._state = state
        self._numbers = numbers
        self._health = health
        self._stats = stats
        self._began = time.monotonic()
        self._sockets: list[tuple[socket.socket, bool]] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._files: list[Path] = []
        self._connections: set[_Connection] = set()
        self._places = [(admin.listen, True)] if admin.listen is not None else []
        scraped = metrics.prometheus.listen
        if scraped is not None and scraped != admin.listen:
            self._places.append((scraped, False))

    @property
    def urls(self) -> list[str]:
        """Where it listens, for the start-up lines."""
        names = []
        for sock, all_paths in self._sockets:
            name = sock.getsockname()
            place = f"unix:{name}" if isinstance(name, str) else f"http://{Endpoint(name[0], name[1])}"
            names.append(place + ("/admin/health" if all_paths else self._path))
        return names

    def bind(self) -> None:
        """Bind without listening. Raises BindError."""
        try:
            for place, all_paths in self._places:
                self._sockets.append((self._bound(place), all_paths))
        except OSError as error:
            self.close()
            key = "admin.listen" if all_paths else "metrics.prometheus.listen"
            raise BindError(
                f"cannot bind {place} ({key}): {error.strerror or error}; choose another address"
            ) from error

    def _bound(self, place: Endpoint) -> socket.socket:
        if place.path:
            path = Path(place.path)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
                    path.unlink()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            where: Any = place.path
        else:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sock = socket.socket(found[0][0], socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            where = found[0][4]
        try:
            sock.setblocking(False)
            sock.bind(where)
        except OSError:
            sock.close()
            raise
        if place.path:
            self._files.append(Path(place.path))
        return sock

    async def serve(self) -> None:
        """Listen and accept on the running loop; returns at once. Raises BindError when another listens by now."""
        loop = asyncio.get_running_loop()
        for sock, all_paths in self._sockets:
            try:
                sock.listen(CONNECTIONS)
                make = lambda everything=all_paths: _Connection(self, everything)  # noqa: E731
                self._servers.append(await loop.create_server(make, sock=sock))
            except OSError as error:
                raise BindError(f"cannot listen on {sock.getsockname()}: {error.strerror or error}") from error

    def close(self) -> None:
        """Stop listening and cut what is left. May be called at any time."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for sock, _ in self._sockets:
            sock.close()
        self._sockets.clear()
        for path in self._files:
            with contextlib.suppress(OSError):
                path.unlink()
        self._files.clear()
        for connection in list(self._connections):
            connection.abort()

    # ---- what is answered

    def answer(self, path: str, authorization: str, *, all_paths: bool) -> Answer:
        """Return the answer to a GET."""
        if all_paths and path == "/admin/health":
            uptime = int(time.monotonic() - self._began)
            return _json(200, {"status": "ok", "uptime_seconds": uptime, **self._health()})
        if all_paths and path == "/admin/ready":
            state = self._state()
            return _json(200 if state == "ready" else 503, {"status": state})
        is_metrics = path == self._path or (all_paths and path == "/metrics")
        if not is_metrics and not (all_paths and path in {"/admin/stats", "/admin/metrics.json"}):
            return _json(404, {"error": "not found"})
        auth = self._admin.auth
        if auth.protect_reads and not hmac.compare_digest(authorization.encode(), f"Bearer {auth.token}".encode()):
            return Answer(
                status=401, body=b'{"error": "a token is needed"}\n', more='www-authenticate: Bearer realm="admin"\r\n'
            )
        if is_metrics:
            return Answer(status=200, body=as_text(self._numbers()).encode(), kind=CONTENT_TYPE)
        if path == "/admin/metrics.json":
            return _json(200, as_json(self._numbers()))
        base = {"version": __version__, "pid": os.getpid(), "status": self._state()}
        base["uptime_seconds"] = round(time.monotonic() - self._began, 3)
        return _json(200, {**base, **self._stats(), "metrics": as_json(self._numbers())})

    def joined(self, connection: _Connection) -> bool:
        """Note a connection; False when there are too many."""
        if len(self._connections) >= CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def left(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)


def admin_of_one(config: HostConfig, counters: memoryview, state: Callable[[], State]) -> Admin:
    """Return the admin listeners of a process that serves alone. A supervisor gives `Admin` the numbers of all."""

    def numbers() -> list[Series]:
        found = [*everything({"0": counters}, {"0": os.getpid()}), running_workers(state() == "ready")]
        return sorted(found, key=lambda one: one.name)

    return Admin(config.admin, config.metrics, state=state, numbers=numbers)


class _Connection(asyncio.Protocol):
    """One client: a probe, a scraper, a person with curl. httptools judges what it sends (RFC 9112)."""

    def __init__(self, admin: Admin, everything: bool) -> None:
        self._admin = admin
        self._everything = everything
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        """Be ready for the next request."""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._seen = 0
        self._target = b""
        self._authorization = ""
        self._content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._admin.joined(self):
            self._wait(IDLE_SECS)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._parser = None  # it holds our callbacks
        self._admin.left(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._seen == 0:
            self._wait(HEAD_SECS)
        self._seen += len(data)
        if self._seen > HEAD_BYTES:
            self._send(_json(431, {"error": f"a request has at most {HEAD_BYTES} bytes"}), keep=False)
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._send(_json(400, {"error": "bad request"}), keep=False)

    # ---- callbacks of the parser

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self._authorization = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._content = True

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        method = self._parser.get_method()
        keep = self._parser.should_keep_alive() and not self._content
        if method not in {b"GET", b"HEAD"}:
            answer = Answer(status=405, body=b'{"error": "only GET and HEAD"}\n', more="allow: GET, HEAD\r\n")
        else:
            path = self._target.decode("latin-1").partition("?")[0]
            try:
                answer = self._admin.answer(path, self._authorization, all_paths=self._everything)
            except Exception as error:  # a number that cannot be read must not end the probe's connection unanswered
                answer = _json(500, {"error": f"{type(error).__name__} while the answer was made"})
        self._send(answer, keep=keep, head=method == b"HEAD")
        self._seen, self._target, self._authorization = 0, b"", ""
        self._wait(IDLE_SECS)

    # ---- output and time

    def _send(self, answer: Answer, *, keep: bool, head: bool = False) -> None:
        if self._transport is None:
            return
        lines = (
            f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\ncontent-type: {answer.kind}\r\n"
            f"content-length: {len(answer.body)}\r\ncache-control: no-store\r\n{answer.more}"
            f"{'' if keep else 'connection: close' + chr(13) + chr(10)}\r\n"
        )
        self._transport.write(lines.encode("latin-1") + (b"" if head else answer.body))
        if not keep:
            self._transport.close()

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()


def _json(status: int, value: Any) -> Answer:
    return Answer(status=status, body=json.dumps(value).encode() + b"\n")


def _answers(path: Path) -> bool:
    """Tell whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True
