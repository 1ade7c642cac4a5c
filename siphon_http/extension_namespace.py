"""The namespace `http` of scripts, and what the functions that its decorators take must look like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Set
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, overload

from siphon_http import errors
from siphon_http._core.client_traffic import ClientTraffic
from siphon_http._core.message import Request, Response
from siphon_http.client.api import Client, Clients, Transport, client_class
from siphon_http.config import ClientConfig
from siphon_http.errors import RouteError
from siphon_http.registry import Generation, OnDisconnect, Registry

__all__ = [
    "AsyncHandler",
    "AsyncWrap",
    "CallNext",
    "Guard",
    "Handler",
    "Hook",
    "HttpNamespace",
    "Methods",
    "MiddlewareDecorator",
    "Wrap",
    "pooled_transport",
]

AsyncHandler: TypeAlias = Callable[[Request], Awaitable[Response]]
Handler: TypeAlias = AsyncHandler | Callable[[Request], Response]
"""What `@http.route` takes. A handler that returns anything but a Response is answered 500."""

CallNext: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]
"""The second argument of a wrap."""

Guard: TypeAlias = Callable[[Request], Response | Awaitable[Response | None] | None]
AsyncWrap: TypeAlias = Callable[[Request, CallNext], Awaitable[Response]]
Wrap: TypeAlias = AsyncWrap | Callable[[Request, CallNext], Response]
"""What `@http.middleware` takes: one argument or two."""

Hook: TypeAlias = Callable[[], object]
Methods: TypeAlias = list[str] | tuple[str, ...] | Set[str]
"""Not Iterable: a str is one, too."""

HandlerT = TypeVar("HandlerT", bound=Handler)
AsyncHandlerT = TypeVar("AsyncHandlerT", bound=AsyncHandler)
GuardT = TypeVar("GuardT", bound=Guard)
WrapT = TypeVar("WrapT", bound=Wrap)
AsyncWrapT = TypeVar("AsyncWrapT", bound=AsyncWrap)
HookT = TypeVar("HookT", bound=Hook)


class MiddlewareDecorator(Protocol):
    """What `@http.middleware(blocking=True)` returns: only a guard may block, on a thread."""

    @overload
    def __call__(self, function: GuardT, /) -> GuardT: ...

    @overload
    def __call__(self, function: AsyncWrapT, /) -> AsyncWrapT: ...


def pooled_transport(name: str | None, config: ClientConfig, traffic: ClientTraffic | None = None) -> Transport:
    """Return what carries the requests of one client over the network. traffic: where they are counted."""
    from siphon_http.client.pool import PoolTransport  # only who sends pays for it

    return PoolTransport(name, config, None if traffic is None else traffic.client(name))


class HttpNamespace:
    """What scripts import: `from siphon import http`.

    clients: what `http.Client` finds by name; None: there are no named ones.
    """

    Request = Request
    Response = Response
    CallNext = CallNext
    HttpError = errors.HttpError
    HttpStatusError = errors.HttpStatusError
    RouteError = errors.RouteError
    RemoteProtocolError = errors.RemoteProtocolError
    ClientError = errors.ClientError
    PoolTimeout = errors.PoolTimeout
    ConnectTimeout = errors.ConnectTimeout
    WriteTimeout = errors.WriteTimeout
    ReadTimeout = errors.ReadTimeout
    TotalTimeout = errors.TotalTimeout
    ConnectError = errors.ConnectError
    TlsError = errors.TlsError
    WriteError = errors.WriteError
    ReadError = errors.ReadError

    def __init__(self, clients: Clients | None = None) -> None:
        self._open: Registry | None = Registry()
        self.Client: type[Client] = client_class(clients or Clients({}, pooled_transport))

    def __repr__(self) -> str:
        return "<namespace siphon.http>"

    if not TYPE_CHECKING:  # or a checker takes any name

        def __getattr__(self, name: str) -> Any:
            import difflib  # only who misspells pays for it

            known = [word for word in dir(self) if not word.startswith("_")]
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean `{close[0]}`? " if close else ""
            raise AttributeError(f"siphon.http has no `{name}`; {hint}it has {', '.join(known)}")

    @overload
    def route(
        self,
        path: str,
        methods: Methods | None = None,
        *,
        max_body_bytes: int | None = None,
        timeout_ms: int | None = None,
        stream: Literal[False] = False,
        blocking: bool = True,
        on_disconnect: OnDisconnect = "cancel",
        name: str | None = None,
    ) -> Callable[[HandlerT], HandlerT]: ...

    @overload
    def route(
        self,
        path: str,
        methods: Methods | None = None,
        *,
        max_body_bytes: int | None = None,
        timeout_ms: int | None = None,
        stream: bool,
        blocking: bool = True,
        on_disconnect: OnDisconnect = "cancel",
        name: str | None = None,
    ) -> Callable[[AsyncHandlerT], AsyncHandlerT]: ...

    def route(
        self,
        path: str,
        methods: Methods | None = None,
        *,
        max_body_bytes: int | None = None,
        timeout_ms: int | None = None,
        stream: bool = False,
        blocking: bool = True,
        on_disconnect: OnDisconnect = "cancel",
        name: str | None = None,
    ) -> Any:
        """Register a handler: a function of one argument, the Request, that returns a Response.

        path: `/orders/{id}`, `/static/{*rest}`; methods: default GET. max_body_bytes (413) and timeout_ms (408, 504)
        take the place of the listener's. stream: read the content with `req.stream()`. blocking=False: a plain function
        runs on the loop instead of a thread. on_disconnect: "cancel" or "finish" when the client leaves.

        Raises:
            RouteError: an argument is wrong. RouteSyntaxError: the pattern. RouteConflictError: claimed twice.
        """
        if callable(path):
            raise RouteError("@http.route needs a path: @http.route('/hello')")

        def register(handler: HandlerT) -> HandlerT:
            self._registry.add_route(
                handler,
                path,
                methods,
                max_body_bytes=max_body_bytes,
                timeout_ms=timeout_ms,
                stream=stream,
                blocking=blocking,
                on_disconnect=on_disconnect,
                name=name,
            )
            return handler

        return register

    @overload
    def middleware(self, function: GuardT) -> GuardT: ...

    @overload
    def middleware(self, function: WrapT) -> WrapT: ...

    @overload
    def middleware(self, *, blocking: bool = False) -> MiddlewareDecorator: ...

    def middleware(self, function: Guard | Wrap | None = None, *, blocking: bool = False) -> Any:
        """Register a guard `(req)`, or a wrap `(req, call_next)`, for every route; the first registered is outermost.

        A guard returns a Response to answer, None to go on. blocking=True runs a plain guard on a thread.
        """
        if function is None:

            def register(function: Guard | Wrap) -> Guard | Wrap:
                self._registry.add_middleware(function, blocking=blocking)
                return function

            return register
        self._registry.add_middleware(function, blocking=blocking)
        return function

    def on_startup(self, function: HookT) -> HookT:
        """Register a hook without arguments, run to completion before any listener accepts."""
        self._registry.add_startup(function)
        return function

    def on_shutdown(self, function: HookT) -> HookT:
        """Register a hook without arguments, run once after the last request has ended; in reverse order."""
        self._registry.add_shutdown(function)
        return function

    @property
    def _registry(self) -> Registry:
        """What is being registered; a decorator that is used after the load would have no effect."""
        if self._open is None:
            raise RouteError(
                "routes, middleware and hooks are registered while the script is loaded; it is too late for that now"
            )
        return self._open

    def _begin(self) -> None:
        """Forget what is registered: a load of the script begins."""
        self._open = Registry()

    def _end(self) -> Generation:
        """Return what the script has registered, and take nothing more."""
        generation = self._registry.freeze()
        self._open = None
        return generation
