"""`http.Client`: the class that scripts construct, and the seam behind it, Transport.

    http.Client("api").get("/x") -> ClientRequest -> Transport.send

The class of a namespace is made by `client_class`: it knows the clients of that http.yaml and how transports are made,
so that no module keeps state and a test harness can put its own transports there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypedDict, overload
from weakref import WeakSet

from siphon_http._core.message import Response
from siphon_http.client.request import ClientHandle, ClientRequest
from siphon_http.config import ClientConfig
from siphon_http.config_inline import inline_client
from siphon_http.errors import ClientError, ConfigError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

__all__ = ["Client", "ClientRequest", "ClientSettings", "Clients", "Transport", "TransportFactory", "client_class"]


class Transport(Protocol):
    """Where the requests of one client go: the pool, or a recorder of a test harness."""

    def send(self, request: ClientRequest, /) -> Awaitable[Response]:
        """Send a request; an `async def` will do. Raises ClientError when awaited."""
        ...

    async def close(self) -> None:
        """Close what is open. Not called for named clients before the process ends; may be called twice."""
        ...


TransportFactory = Callable[[str | None, ClientConfig], Transport]
"""Makes the transport of one client: its name, or None for an inline one, and its configuration. Weakly referenced."""


class Clients:
    """The clients of one http.yaml: each name has one transport, made when it is first asked for."""

    def __init__(self, configs: Mapping[str, ClientConfig], factory: TransportFactory) -> None:
        self._configs = dict(configs)
        self._factory = factory
        self._named: dict[str, Transport] = {}
        # A client that a script has dropped is forgotten once nothing of it is open.
        self._inline: WeakSet[Transport] = WeakSet()
        self._earlier: WeakSet[Transport] = WeakSet()  # those that an earlier load of the script has made
        self._lock = Lock()  # scripts make clients on any thread

    def named(self, name: str) -> tuple[ClientConfig, Transport]:
        """Return configuration and transport of a named client. Raises ClientError for a name that is not known."""
        config = self._configs.get(name)
        if config is None:
            raise ClientError(self._unknown(name))
        transport = self._named.get(name)
        if transport is None:  # two threads may be here at once: both get the first one
            transport = self._named.setdefault(name, self._factory(name, config))
        return config, transport

    def inline(self, config: ClientConfig) -> Transport:
        """Return a transport of its own for an inline client."""
        transport = self._factory(None, config)
        with self._lock:
            self._inline.add(transport)
        return transport

    async def close_inline(self, transport: Transport) -> None:
        """Close the transport of one inline client."""
        await transport.close()

    def load_begins(self) -> None:
        """A load of the script begins: inline clients that there are belong to an earlier one."""
        with self._lock:
            self._earlier = WeakSet(self._inline)

    def take_earlier(self) -> list[Transport]:
        """The load has succeeded: return the transports of earlier inline clients, to be closed by the caller."""
        with self._lock:
            taken = list(self._earlier)
            self._inline.difference_update(taken)
            self._earlier = WeakSet()
        return taken

    async def close(self) -> None:
        """Close every transport; handles that are left open new connections if they are used again."""
        with self._lock:
            inline = list(self._inline)
            self._inline.clear()
        for transport in [*self._named.values(), *inline]:
            await transport.close()

    def _unknown(self, name: str) -> str:
        import difflib  # only for this message

        near = difflib.get_close_matches(name, self._configs, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(self._configs)) or "none"
        return f"http.yaml has no client named {name!r}: {hint}clients: has {known}"


class ClientSettings(TypedDict, total=False):
    """The keys of `clients:` that an inline client takes beside the arguments that `Client` names."""

    key: str | Path | None
    pool_size: int
    idle_timeout_ms: int
    max_connections: int
    connect_timeout_ms: int
    pool_timeout_ms: int
    retries: int | Mapping[str, Any]
    write_timeout_ms: int | None
    read_timeout_ms: int | None
    follow_redirects: int
    max_response_bytes: int
    proxy: str | None
    no_proxy: list[str] | tuple[str, ...]


class Client(ClientHandle):
    """An outbound client: `http.Client("api")` as http.yaml configures it, or an inline one.

    name: a key under `clients:`; nothing else may be given with it. Otherwise base_url: relative paths are joined onto
    it; verify: PEM bundle, the only CAs trusted; cert: client certificate, a combined PEM or a pair (cert, key); the
    other arguments are the keys of `clients:` of the same name.

    Every handle of one name shares one pool per event loop. `close()` and `async with` on a named client close nothing;
    on an inline one they close its connections, and it opens new ones when it is used again. Safe to construct at module
    level and on any thread; requests belong to the loop that they are awaited on.
    """

    _clients: ClassVar[Clients]

    @overload
    def __init__(self, name: str) -> None: ...

    @overload
    def __init__(
        self,
        name: None = None,
        *,
        base_url: str | None = None,
        verify: str | Path | None = None,
        cert: str | Path | tuple[str | Path, str | Path] | None = None,
        timeout_ms: int | None = None,
        http2_prior_knowledge: bool | None = None,
        **more: Unpack[ClientSettings],
    ) -> None: ...

    def __init__(
        self,
        name: str | None = None,
        *,
        base_url: str | None = None,
        verify: str | Path | None = None,
        cert: str | Path | tuple[str | Path, str | Path] | None = None,
        timeout_ms: int | None = None,
        http2_prior_knowledge: bool | None = None,
        **more: object,
    ) -> None:
        given = {
            "base_url": base_url, "verify": verify, "cert": cert, "timeout_ms": timeout_ms,
            "http2_prior_knowledge": http2_prior_knowledge, **more,
        }  # fmt: skip
        given = {key: value for key, value in given.items() if value is not None}
        self._own: Transport | None = None
        if name is None:
            config = _inline_config(given)
            transport = self._own = self._clients.inline(config)
        else:
            if not isinstance(name, str):
                raise TypeError(f"the name of a client is a str, not {type(name).__name__}")
            if given:
                keys = ", ".join(given)
                raise TypeError(f"http.Client({name!r}) is configured in http.yaml: {keys} cannot be given here")
            config, transport = self._clients.named(name)
        self._bind(transport, name, config.base_url)

    def __repr__(self) -> str:
        return f"<http.Client {self.name or 'inline'} {self.base_url or ''}>"

    async def close(self) -> None:
        """Close the connections of an inline client; a named client shares them, and they stay."""
        if self._own is not None:
            await self._clients.close_inline(self._own)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _inline_config(given: dict[str, object]) -> ClientConfig:
    """Return the configuration of an inline client, checked like http.yaml. Raises ClientError with what is wrong."""
    cert = given.get("cert")
    if isinstance(cert, (tuple, list)):
        if len(cert) != 2:
            raise ClientError(f"cert is one PEM file or a pair (cert, key), not {len(cert)} entries")
        given["cert"], given["key"] = cert
    try:
        return inline_client(given)
    except ConfigError as error:
        raise ClientError(str(error)) from error


def client_class(clients: Clients) -> type[Client]:
    """Return the class `http.Client` of one namespace."""
    return type("Client", (Client,), {"_clients": clients, "__doc__": Client.__doc__, "__module__": "siphon.http"})
