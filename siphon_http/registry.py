"""What decorators store; `freeze()` gives one immutable generation of routes, middleware and hooks."""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from siphon_http._core.pattern import Pattern, parse_pattern
from siphon_http._core.router import Router
from siphon_http.errors import RouteError
from siphon_http.records import dataclass

if TYPE_CHECKING:
    import asyncio

if sys.version_info >= (3, 14):
    from annotationlib import Format

    # Annotations are evaluated there when somebody asks, and may name what is imported for type checkers only.
    _signature = functools.partial(inspect.signature, annotation_format=Format.STRING)
else:
    _signature = inspect.signature

__all__ = ["Era", "Generation", "Hook", "Middleware", "Registry", "Route", "where_is"]

OnDisconnect = Literal["cancel", "finish"]

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One handler on one pattern."""

    pattern: Pattern
    methods: tuple[str, ...]
    handler: Callable[..., Any]
    is_async: bool
    max_body_bytes: int | None  # None: the listener's
    timeout_ms: int | None  # None: the listener's
    stream: bool  # content is read with req.stream()
    blocking: bool  # a sync handler runs on a thread
    on_disconnect: OnDisconnect
    name: str
    where: str  # "routes.py:12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Middleware:
    """One guard, or one wrap around what follows."""

    function: Callable[..., Any]
    wraps: bool  # takes (req, call_next)
    is_async: bool
    blocking: bool  # a sync one runs on a thread
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One start-up or shutdown hook."""

    function: Callable[[], Any]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Everything that one load of the script registered. Immutable; may be shared between threads."""

    routes: tuple[Route, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    startup: tuple[Hook, ...] = ()
    shutdown: tuple[Hook, ...] = ()


class Era:
    """The time in which a generation answers: held by all that does, so that its end can be seen, at no cost before."""

    __slots__ = ("__weakref__",)

    def when_over(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Call `callback()` on `loop` once nobody holds this any more, on whatever thread that happens."""
        weakref.finalize(self, _call_soon, loop, callback).atexit = False


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


def where_is(function: Callable[..., Any]) -> str:
    """Return "file.py:12" for a function: where its author finds it."""
    target: Any = inspect.unwrap(function)
    while isinstance(target, functools.partial):
        target = target.func
    call = getattr(target, "__call__", None)  # noqa: B004  (an instance's own code, not whether it is callable)
    code = getattr(target, "__code__", None) or getattr(call, "__code__", None)
    if code is None:
        return getattr(target, "__qualname__", repr(target))
    return f"{code.co_filename}:{code.co_firstlineno}"


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling `function` gives a coroutine."""
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    call = getattr(target, "__call__", None)  # noqa: B004  (an instance's own code, not whether it is callable)
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(call)


def positional_count(function: Callable[..., Any], most: int) -> int | None:
    """Return with how many positional arguments, `most` at most, `function` can be called; None: not known."""
    try:
        signature = _signature(function)
    except (TypeError, ValueError):
        return None
    for count in range(most, -1, -1):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count
    return -1


class Registry:
    """Collects what a script registers while it is loaded. Belongs to the thread that loads."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._middleware: list[Middleware] = []
        self._startup: list[Hook] = []
        self._shutdown: list[Hook] = []
        self._router = Router()

    def add_route(
        self,
        handler: Callable[..., Any],
        path: str,
        methods: Iterable[str] | None = None,
        *,
        max_body_bytes: int | None = None,
        timeout_ms: int | None = None,
        stream: bool = False,
        blocking: bool = True,
        on_disconnect: OnDisconnect = "cancel",
        name: str | None = None,
    ) -> Route:
        """Store a route. Everything that can be wrong with it is found here, while its line is on the stack.

        Raises:
            RouteError: an argument is wrong. RouteSyntaxError: the pattern. RouteConflictError: another route claims
            the same method and path shape.
        """
        if not callable(handler):
            raise RouteError(f"@http.route decorates a function, not {type(handler).__name__}")
        where = where_is(handler)
        label = f"handler {getattr(handler, '__name__', handler)!s} ({where})"
        takes = positional_count(handler, 1)
        if takes is not None and takes != 1:
            raise RouteError(f"{label} must take one argument, the request")
        if not isinstance(path, str):
            raise RouteError(f"@http.route takes a path first, not {type(path).__name__}: @http.route('/hello')")
        _check_count("max_body_bytes", max_body_bytes, 0)
        _check_count("timeout_ms", timeout_ms, 1)
        if on_disconnect not in ("cancel", "finish"):
            raise RouteError(f"on_disconnect is 'cancel' or 'finish', not {on_disconnect!r}")
        handler_is_async = is_async(handler)
        if stream and not handler_is_async:
            raise RouteError(
                f"{label}: stream=True needs an async handler, which reads `async for chunk in req.stream()`"
            )
        route = Route(
            pattern=parse_pattern(path),
            methods=_checked_methods(methods),
            handler=handler,
            is_async=handler_is_async,
            max_body_bytes=max_body_bytes,
            timeout_ms=timeout_ms,
            stream=bool(stream),
            blocking=bool(blocking) and not handler_is_async,
            on_disconnect=on_disconnect,
            name=name if name is not None else getattr(handler, "__name__", path),
            where=where,
        )
        for method in route.methods:
            self._router.insert(route.pattern, method, route, where)
        self._routes.append(route)
        return route

    def add_middleware(self, function: Callable[..., Any], *, blocking: bool = False) -> Middleware:
        """Store a guard `(req)` or a wrap `(req, call_next)`. Raises RouteError when it is neither."""
        if not callable(function):
            raise RouteError(f"@http.middleware decorates a function, not {type(function).__name__}")
        takes = positional_count(function, 2)
        if takes not in (1, 2, None):
            raise RouteError(f"middleware ({where_is(function)}) takes (req) or (req, call_next)")
        function_is_async = is_async(function)
        if blocking and takes == 2 and not function_is_async:
            raise RouteError(f"middleware ({where_is(function)}): blocking=True is for guards; make this one async")
        middleware = Middleware(
            function=function,
            wraps=takes == 2,
            is_async=function_is_async,
            blocking=bool(blocking) and not function_is_async,
            where=where_is(function),
        )
        self._middleware.append(middleware)
        return middleware

    def add_startup(self, function: Callable[[], Any]) -> None:
        """Store a start-up hook. Raises RouteError when it takes arguments."""
        self._startup.append(_checked_hook(function, "on_startup"))

    def add_shutdown(self, function: Callable[[], Any]) -> None:
        """Store a shutdown hook. Raises RouteError when it takes arguments."""
        self._shutdown.append(_checked_hook(function, "on_shutdown"))

    def freeze(self) -> Generation:
        """Return what was stored as one immutable generation."""
        return Generation(
            routes=tuple(self._routes),
            middleware=tuple(self._middleware),
            startup=tuple(self._startup),
            shutdown=tuple(self._shutdown),
        )


def _checked_hook(function: Callable[[], Any], decorator: str) -> Hook:
    if not callable(function):
        raise RouteError(f"@http.{decorator} decorates a function, not {type(function).__name__}")
    if positional_count(function, 0) not in (0, None):
        raise RouteError(f"@http.{decorator}: the hook ({where_is(function)}) takes no arguments")
    return Hook(function=function, where=where_is(function))


def _check_count(name: str, value: object, least: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 2**31 - 1):
        raise RouteError(f"{name} is a whole number from {least} to {2**31 - 1}, not {value!r}")


def _checked_methods(methods: Iterable[str] | None) -> tuple[str, ...]:
    """Return the methods in upper case, each once; GET when none are given."""
    if methods is None:
        return ("GET",)
    if isinstance(methods, str):
        raise RouteError(f"methods is a list: methods=[{methods.upper()!r}]")
    if not isinstance(methods, Iterable):
        raise RouteError(f"methods is a list of str, not {type(methods).__name__}")
    found: dict[str, None] = {}
    for method in methods:
        if not isinstance(method, str) or not method or not _TOKEN.issuperset(method):
            raise RouteError(f"{method!r} is no HTTP method")
        upper = method.upper()
        if upper == "CONNECT":
            raise RouteError("CONNECT cannot be served: it is refused before any route is looked for")
        if upper not in _KNOWN_METHODS and upper != "MOVE":
            import difflib  # only who misspells pays for it

            close = difflib.get_close_matches(upper, _KNOWN_METHODS, 1, 0.8)
            if close and len(upper) <= len(close[0]) + 1:
                raise RouteError(f"{method!r} is no HTTP method that anybody knows; did you mean {close[0]!r}?")
        found[upper] = None
    if not found:
        raise RouteError("methods is empty: leave it out for GET")
    return tuple(found)
