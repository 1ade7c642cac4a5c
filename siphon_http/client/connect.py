"""Makes connections: look-up, TCP, the proxy's tunnel, TLS; each failure told as what it is."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

from siphon_http.client.connection import ClientConnection
from siphon_http.client.proxy import Proxy, ProxySettings, open_tunnel
from siphon_http.client.resolve import Resolver, open_socket
from siphon_http.errors import ClientError, ConnectError, ConnectTimeout, TlsError, TlsMaterialError

if TYPE_CHECKING:
    from siphon_http._core.url import Url
    from siphon_http.client.carrier import Settings
    from siphon_http.client.pool import Origin
    from siphon_http.client.tls import ClientTls

__all__ = ["Connector", "hand_over"]


class Connector:
    """Makes the connections of one client on one loop. settings: of the client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        self._loop = loop
        self._settings = settings
        self._resolver = Resolver(loop)
        self._proxies = ProxySettings.from_config(settings.config.proxy, settings.config.no_proxy)
        self._tls: ClientTls | None = None

    def proxy_for(self, url: Url) -> Proxy | None:
        """Return the proxy that the origin of `url` is reached through, or None."""
        return self._proxies.for_origin(url.scheme.decode(), url.host, url.port)

    def close(self) -> None:
        """End the look-ups that are running."""
        self._resolver.close()

    async def connect(self, origin: Origin) -> None:
        """Make a connection to `origin`, and tell it the outcome. Raises nothing but CancelledError."""
        steps: list[str] = []
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                connection = await self._connection(origin, steps)
        except TimeoutError:
            limit = f"{self._settings.connect_timeout * 1000:.0f} ms (connect_timeout_ms)"
            reason = f"no connection to {_place(origin)} within {limit}, waiting for {steps[-1]}"
            origin.not_connected(ConnectTimeout, reason)
        except ClientError as error:
            origin.not_connected(type(error), str(error))
        except asyncio.CancelledError:
            origin.not_connected(ConnectError, "the client was closed while it connected")
            raise
        except Exception as error:  # so that nobody waits for what will not come
            origin.not_connected(ConnectError, f"{type(error).__name__}: {error}")
        else:
            origin.connected(connection)

    async def _connection(self, origin: Origin, steps: list[str]) -> ClientConnection:
        """Return a connection to `origin`; what it waits for is appended to `steps`."""
        began = time.perf_counter()
        proxy = origin.proxy
        host, port = (origin.url.host, origin.url.port) if proxy is None else (proxy.host, proxy.port)
        through = "" if proxy is None else f"proxy {proxy}: "
        try:
            steps.append(f"the addresses of {host}")
            addresses = await self._resolver.resolve(host, port)
            resolved = time.perf_counter()
            steps.append(f"{through}TCP")
            sock = await open_socket(self._loop, addresses)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectError(f"{through}{error}") from error
        connection: ClientConnection | None = None
        try:
            if proxy is not None and origin.absolute is None:
                steps.append(f"proxy {proxy} to open a tunnel")
                await open_tunnel(self._loop, sock, proxy, origin.url.host, origin.url.port)
            reached = time.perf_counter()
            if origin.is_secure:
                steps.append("the TLS handshake")
                connection = await self._secured(origin, sock)
            else:
                connection = ClientConnection(origin, self._settings.http2_prior_knowledge)
                await hand_over(self._loop, sock, connection)
            secured = time.perf_counter() - reached if origin.is_secure else 0.0
            connection.set_timings(resolved - began, reached - resolved, secured)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectError(str(error)) from error
        finally:
            if connection is None:
                sock.close()
        return connection

    async def _secured(self, origin: Origin, sock: socket.socket) -> ClientConnection:
        """Return a connection over TLS that speaks what ALPN has chosen. Raises TlsError."""
        from siphon_http.client.secure import SecureClientTransport  # ssl costs 10 ms: only who needs it
        from siphon_http.client.tls import ClientTls

        if self._tls is None:
            config = self._settings.config
            self._tls = ClientTls(config.verify, config.cert, config.key)
        try:
            context = self._tls.context(http2=True)
        except TlsMaterialError as error:
            reasons = (f"{one.reason}; {one.hint}" if one.hint else one.reason for one in error.problems)
            raise TlsError("; ".join(reasons)) from error
        secure = SecureClientTransport(self._loop, context, origin.url.host)
        await hand_over(self._loop, sock, secure)
        try:
            chosen = await secure.handshake
        except BaseException:
            secure.abort()
            raise
        connection = ClientConnection(origin, chosen == "h2", True)
        secure.open(connection)
        return connection


async def hand_over(loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: Any) -> None:
    """Let a transport of `loop` have `sock`, and call `protocol`. After an error closing `sock` is the caller's.

    A server may end the connection while this is awaited. uvloop has closed the descriptor then, and only learns of the
    socket object afterwards, which would close the number again: by that time somebody else's connection.
    """
    keeps = isinstance(loop, asyncio.BaseEventLoop)  # asyncio's own transports close the object itself
    try:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    except BaseException:
        if not keeps:
            sock.detach()
        raise
    if transport.is_closing() and not keeps:
        sock.detach()


def _place(origin: Origin) -> str:
    return origin.url.authority.decode("ascii")
