"""Routes and middleware of one generation, made ready: what a request needs to know of them, in C fields."""

cimport cython

from siphon_http._core.router cimport Router
from siphon_http._core.traffic cimport Traffic

__all__ = ["Entry", "Step"]


@cython.final
cdef class Step:
    """One middleware, made ready."""

    def __init__(self, middleware):
        self.function = middleware.function
        self.wraps = middleware.wraps
        self.blocking = middleware.blocking
        self.where = middleware.where


@cython.final
cdef class Entry:
    """One route, made ready: what a request that matched it needs to know."""

    def __init__(self, route, tuple steps, era):
        self.era = era
        self.pattern = route.pattern.text
        self.names = route.pattern.names
        self.handler = route.handler
        self.where = route.where
        self.own_kind = KIND_ASYNC if route.is_async else KIND_THREAD if route.blocking else KIND_DIRECT
        self.kind = KIND_CHAIN if steps else self.own_kind
        self.steps = steps
        self.cap = -1 if route.max_body_bytes is None else route.max_body_bytes
        self.timeout_ms = route.timeout_ms or 0
        self.stream = route.stream
        self.finishes = route.on_disconnect == "finish"


cdef tuple build_table(generation, Traffic traffic, era):
    """Return the router of a generation, and what an `allow` field says of all its methods, as bytes."""
    cdef tuple steps = tuple([Step(middleware) for middleware in generation.middleware])
    cdef Router router = Router()
    cdef Entry entry
    methods = {"OPTIONS"}
    for route in generation.routes:
        entry = Entry(route, steps, era)
        entry.counts = traffic.route(route.pattern.text)
        for method in route.methods:
            router.insert(route.pattern, method, entry, route.where)
            methods.add(method)
    if "GET" in methods:
        methods.add("HEAD")
    router.freeze()
    return router, ", ".join(sorted(methods)).encode("ascii")
