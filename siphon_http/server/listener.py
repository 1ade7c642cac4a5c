"""One listener: bind, then listen and accept, then stop accepting."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siphon_http._core.exchange import Handler
from siphon_http.config import ServerConfig
from siphon_http.errors import BindError
from siphon_http.server.endpoint import Endpoint, LoopState
from siphon_http.server.forwarded import ClientAddress
from siphon_http.server.limits import endpoint_for, settings_of

if TYPE_CHECKING:
    from siphon_http.server.tls import Credentials

__all__ = ["Listener", "holder_of", "turn_away"]

_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

BACKLOG = 4096
"""Connections that the kernel may hold for us, as far as it agrees (net.core.somaxconn)."""
_SO_ATTACH_FILTER = 26
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the flags of the TCP header (RFC 9293, 3.1)
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # only SYN?
    (0x06, 0, 0, 0),  # then drop it,
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep it
)
"""A filter of the kernel's (socket(7), SO_ATTACH_FILTER): operation, jumps, operand."""
OWN_SOCKETS = True
"""Whether several processes have a listening socket each, where `reuse_port` does not say; else they share one.

Shared, the process that wakes first takes most of what waits: of 8 connections at once one of two workers got all, of 64
three quarters. With a socket each the kernel spreads them by a hash of their addresses (benchmarks/load/workers.py)."""
WATCH_SECONDS = 1.0
"""Between two looks at the files of a certificate."""


class Listener:
    """One entry of `servers:`. Binds without listening first, so that nobody is accepted before start-up has ended.

    inherited: sockets that another process has bound, in the place of `bind`; they stay bound when we stop. copies: how
    many processes we bind for; each needs sockets of its own where the port is shared by SO_REUSEPORT.
    """

    def __init__(self, config: ServerConfig, inherited: Sequence[socket.socket] = (), copies: int = 1) -> None:
        self.config = config
        self.copies = copies
        self._has_copies = False  # our sockets were bound with SO_REUSEPORT, for each process its own
        self._others: list[list[socket.socket]] = []  # of the processes from the second on
        self.endpoint: Endpoint | None = None
        self._credentials: Credentials | None = None
        self._make: Callable[[], Any]
        self._sockets: list[socket.socket] = list(inherited)
        self._servers: list[asyncio.AbstractServer] = []
        self._path: Path | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._file = (0, 0)  # device and inode of the unix socket that we made

    @property
    def port(self) -> int:
        """Port that is bound; 0 before, and for a unix socket."""
        if self.config.listen.kind == "unix" or not self._sockets:
            return 0
        return int(self._sockets[0].getsockname()[1])

    @property
    def handles(self) -> list[list[int]]:
        """Descriptors of the sockets that are bound: one list for all processes, or one for each."""
        return [[sock.fileno() for sock in sockets] for sockets in (self._sockets, *self._others)]

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
        """What is spoken, for people: "h2, http/1.1", with "mTLS" when clients must show a certificate."""
        tls = self.config.tls
        return ", ".join(self.config.alpn) + (" mTLS" if tls is not None and tls.client_ca is not None else "")

    def bind(self) -> None:
        """Bind the address, without listening.

        Raises:
            BindError: it is in use, not ours, or not allowed; says who holds it where the kernel tells.
        """
        address = self.config.listen
        try:
            if self._sockets:
                pass  # inherited, or taken over
            elif address.kind == "unix":
                self._bind_unix(Path(address.path))
            else:
                self._has_copies = self._wants_copies()
                self._bind_tcp(address.host, address.port, self._sockets)
            while self._has_copies and len(self._others) < self.copies - 1:
                self._others.append([])
                self._bind_tcp(address.host, self.port, self._others[-1])
        except OSError as error:
            self.close()
            raise BindError(_explain(self.config, error)) from error
        except BaseException:
            self.close()
            raise

    def spare(self) -> list[list[socket.socket]]:
        """Give away the sockets of processes that will be no more; `take` has them back."""
        spare = self._others[self.copies - 1 :]
        del self._others[self.copies - 1 :]
        return spare

    def take(self, spare: Sequence[list[socket.socket]]) -> None:
        """Have sockets for further processes, in the place of some that `bind` would make."""
        self._others.extend(spare)

    def _wants_copies(self) -> bool:
        """Whether each process gets sockets of its own. Raises OSError when somebody else has the address."""
        if self.config.reuse_port is not None or not OWN_SOCKETS or self.copies == 1:
            return self.config.reuse_port is True
        # With SO_REUSEPORT alone, a second server would take a part of our clients, and nobody would be told.
        first: list[socket.socket] = []
        if self.config.listen.port:
            try:
                self._bind_tcp(self.config.listen.host, self.config.listen.port, first)
            finally:
                for sock in first:
                    sock.close()
        return True

    def _bind_tcp(self, host: str, port: int, sockets: list[socket.socket]) -> None:
        # As bytes: a str is encoded by IDNA, whose tables take a millisecond to load, and change no name of ASCII.
        name = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        seen = set()
        missing: OSError | None = None
        for family, kind, protocol, _, where in found:
            if (family, where) in seen or family not in (socket.AF_INET, socket.AF_INET6):
                continue
            seen.add((family, where))
            if port == 0 and self.port:
                where = (where[0], self.port, *where[2:])
            try:
                sockets.append(self._bound(socket.socket(family, kind, protocol), where, dual=host == "::"))
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error  # `localhost` is often ::1 too, where there is no IPv6: its other address will do
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def _bound(self, sock: socket.socket, where: tuple[Any, ...], *, dual: bool) -> socket.socket:
        """Bind `sock`, or close it. dual: an IPv6 socket takes IPv4 too."""
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._has_copies:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if sock.family == socket.AF_INET6:
                # [::] takes IPv4 too, as its users expect; a name's addresses are bound one by one.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
            sock.bind(where)
        except BaseException:
            sock.close()
            raise
        return sock

    def _bind_unix(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.stat().st_mode):
                self._remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets.append(sock)
        sock.setblocking(False)
        sock.bind(str(path))
        self._path = path
        self._file = _identity(path)
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
            except (TimeoutError, BlockingIOError):
                pass  # its queue is full: somebody is there
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    async def serve(self, handler: Handler, state: LoopState) -> None:
        """Listen and accept; returns at once. Raises BindError when another process listens by now."""
        self.endpoint = endpoint_for(self.config, handler, state)
        self._use(self._credentials_of(self.config), self.endpoint)
        loop = asyncio.get_running_loop()
        unix = self.config.listen.kind == "unix"
        create: Callable[..., Awaitable[asyncio.AbstractServer]]
        create = loop.create_unix_server if unix else loop.create_server
        # From Python 3.13 on a loop removes the file when its server closes, also that of other processes; `stop` knows.
        keeps: dict[str, Any] = {"cleanup_socket": False} if unix and sys.version_info >= (3, 13) else {}
        try:
            if self._path is not None and _identity(self._path) != self._file:
                # Bound but not listening, ours looks like a dead one to another process that starts meanwhile.
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            for sock in self._sockets:
                sock.listen(BACKLOG)  # uvloop would only log that it cannot, and serve nobody
                self._servers.append(await create(lambda: self._make(), sock=sock, backlog=BACKLOG, **keeps))  # noqa: PLW0108
        except OSError as error:
            raise BindError(_explain(self.config, error)) from error

    @staticmethod
    def _credentials_of(config: ServerConfig) -> Credentials | None:
        """Read the certificate of a listener that has one. Raises TlsMaterialError."""
        if config.tls is None:
            return None
        from siphon_http.server.tls import Credentials  # ssl costs 10 ms of start-up: only who needs it

        return Credentials(config.tls, alpn=config.alpn)

    def _use(self, credentials: Credentials | None, endpoint: Endpoint) -> None:
        """Make new connections with these and by the configuration; look every second whether their files change."""
        make: Callable[[], Any] = endpoint.connection
        if credentials is not None:
            from siphon_http.server.secure import SecureTransport  # see _credentials_of

            make = lambda: SecureTransport(endpoint, credentials.context)  # noqa: E731
        if self.config.proxy_protocol:
            from siphon_http.server.proxy_protocol import ProxiedFactory

            trusted = self.config.trusted_proxies
            make = ProxiedFactory(endpoint, make, ClientAddress(trusted).believes if trusted else None)
        self._make = make
        self._credentials = credentials
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._look()

    def _look(self) -> None:
        if self._credentials is not None:
            self._credentials.refresh()
            self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    def changing(self, config: ServerConfig) -> Callable[[], None]:
        """Prepare to serve by `config` on the same sockets; return what does it, in one step that cannot fail.

        New connections get all of it, open ones see `Endpoint.change`. Raises TlsMaterialError.
        """
        kept = self._credentials is not None and config.tls == self.config.tls and config.alpn == self.config.alpn
        credentials = self._credentials if kept else self._credentials_of(config)
        settings = {} if self.endpoint is None else settings_of(config, self.endpoint.state)

        def change() -> None:
            if self._path is not None and config.unix_mode not in (None, self.config.unix_mode):
                with contextlib.suppress(OSError):  # somebody has removed it
                    self._path.chmod(config.unix_mode or 0)
            self.config = config
            if self.endpoint is not None:
                self.endpoint.change(**settings)
                self._use(credentials, self.endpoint)

        return change

    async def retire(self) -> None:
        """Stop accepting; what waits in the kernel until then is served: a socket that closes resets its queue."""
        last: list[socket.socket] = []
        if self.endpoint is not None:
            with contextlib.suppress(OSError):  # no descriptor is left
                last.extend(sock.dup() for sock in self._sockets)
        self.stop()
        waiting: list[socket.socket] = []
        for sock in last:
            # Nothing stands between the two: who comes there is reset.
            waiting.extend(_queued(sock))
            sock.close()
        loop = asyncio.get_running_loop()
        for sock in waiting:
            try:
                await loop.connect_accepted_socket(self._make, sock)
            except OSError:  # its client has gone
                sock.close()

    def stop(self) -> None:
        """Stop accepting; connections that are open stay."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for server in self._servers:
            server.close()
        self._servers.clear()
        for sock in (sock for sockets in (self._sockets, *self._others) for sock in sockets):
            sock.close()
        self._sockets.clear()
        self._others.clear()
        if self._path is not None:
            with contextlib.suppress(OSError):
                if _identity(self._path) == self._file:  # not that of a successor
                    self._path.unlink()
            self._path = None

    def close(self) -> None:
        """Stop accepting, and reset every connection that is left."""
        self.stop()
        if self.endpoint is not None:
            self.endpoint.abort()


def turn_away(listening: socket.socket) -> None:
    """Have the kernel drop what opens new connections to a socket that will close, whichever process closes it last.

    A client sends that again, after a second: to who else listens at the address then. Handshakes under way go on.
    """
    if sys.platform != "linux" or listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    import array  # for few moments of few processes
    import struct

    program = array.array("B", b"".join(struct.pack("HBBI", *one) for one in _NO_SYN))
    with contextlib.suppress(OSError):  # a kernel without filters: some are reset
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_NO_SYN), program.buffer_info()[0])
        )


def _queued(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept what waits, but not without end what comes meanwhile."""
    listening.setblocking(False)
    with contextlib.suppress(OSError):  # nothing more, or no descriptor
        for _ in range(BACKLOG):
            yield listening.accept()[0]


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells a file from another one of the same name; (0, 0) when there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _explain(config: ServerConfig, error: OSError) -> str:
    """Say what is wrong with an address and what to do."""
    address = config.listen
    text = f"cannot bind {address}: {error.strerror or error}"
    if isinstance(error, socket.gaierror):
        return f"{text}; `{address.host}` is no host name that can be resolved here"
    if address.kind == "unix" and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{text}; its folder does not exist"
    if address.kind == "unix" and error.errno == errno.EADDRINUSE and _is_no_socket(Path(address.path)):
        return f"cannot bind {address}: a file of that name exists and is no socket; remove it or choose another path"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(address.port) if address.kind == "tcp" else None
        if holder is not None and holder.startswith(f"pid {os.getpid()} "):
            return (
                f"{text}: this process itself has it (another listener, admin.listen, metrics.prometheus.listen or the "
                "script); choose another address, or restart if that one is to give way"
            )
        text += f" ({holder} has it)" if holder else ""
        free = _next_free(address.host, address.port) if address.kind == "tcp" else None
        return f"{text}; end that process or choose another address" + (f", port {free} is free" if free else "")
    if error.errno == errno.EACCES:
        if address.kind == "tcp" and address.port < 1024:
            return f"{text}; ports below 1024 need CAP_NET_BIND_SERVICE"
        return f"{text}; this user may not write there"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{text}; this machine has no such address"
    if error.errno == errno.EAFNOSUPPORT:
        return f"{text}; IPv6 is switched off here, an IPv4 address such as 0.0.0.0 can be used"
    return text


def _is_no_socket(path: Path) -> bool:
    """Tell whether there is something at `path` that is no socket."""
    try:
        return not stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


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
