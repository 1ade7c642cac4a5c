"""Types of dispatch_routes.pyx."""

from collections.abc import Callable
from typing import Any, final

from siphon_http.registry import Era, Middleware, Route

__all__ = ["Entry", "Step"]

@final
class Step:
    """One middleware, made ready."""

    def __init__(self, middleware: Middleware) -> None: ...

@final
class Entry:
    """One route, made ready: what a request that matched it needs to know."""

    @property
    def pattern(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def handler(self) -> Callable[..., Any]: ...
    @property
    def where(self) -> str: ...
    def __init__(self, route: Route, steps: tuple[Step, ...], era: Era) -> None: ...
