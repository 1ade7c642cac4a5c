"""What decorators store, and every way to get it wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from siphon_http.errors import RouteConflictError, RouteError, RouteSyntaxError
from siphon_http.registry import Registry, where_is


async def handler(req: Any) -> None: ...


def plain(req: Any) -> None: ...


HERE = __file__
LINE = handler.__code__.co_firstlineno


def text_of(call: Callable[[Registry], Any], kind: type[RouteError] = RouteError) -> str:
    with pytest.raises(RouteError) as caught:
        call(Registry())
    assert type(caught.value) is kind
    return str(caught.value)


# ---- routes


def test_a_route_has_defaults() -> None:
    route = Registry().add_route(handler, "/a/{id}")
    assert (route.pattern.text, route.methods, route.name) == ("/a/{id}", ("GET",), "handler")
    assert (route.max_body_bytes, route.timeout_ms, route.stream, route.on_disconnect) == (None, None, False, "cancel")
    assert (route.is_async, route.blocking) == (True, False)
    assert route.where == f"{HERE}:{LINE}"


def test_a_plain_function_blocks_unless_it_says_that_it_does_not() -> None:
    assert Registry().add_route(plain, "/").blocking
    assert not Registry().add_route(plain, "/", blocking=False).blocking


@pytest.mark.parametrize(
    "given, kept",
    [(["get"], ("GET",)), (["POST", "post", "Put"], ("POST", "PUT")), (("PURGE",), ("PURGE",)), (iter(["X-A.b"]), ("X-A.B",)),
     (["MOVE", "COPY", "REPORT", "PROPFIND", "SUBSCRIBE"], ("MOVE", "COPY", "REPORT", "PROPFIND", "SUBSCRIBE"))],
)  # fmt: skip
def test_methods_are_upper_case_and_each_counts_once(given: Any, kept: tuple[str, ...]) -> None:
    assert Registry().add_route(handler, "/", given).methods == kept


async def no_arguments() -> None: ...
async def two_arguments(req: Any, other: Any) -> None: ...
async def keyword_only(req: Any, *, needed: int) -> None: ...


@pytest.mark.parametrize("wrong", [no_arguments, two_arguments, keyword_only])
def test_a_handler_takes_the_request_and_nothing_else(wrong: Any) -> None:
    place = f"{HERE}:{wrong.__code__.co_firstlineno}"
    assert text_of(lambda r: r.add_route(wrong, "/")) == (
        f"handler {wrong.__name__} ({place}) must take one argument, the request"
    )


async def with_default(req: Any, more: int = 1) -> None: ...
async def anything(*args: Any, **more: Any) -> None: ...


class Callable_:
    async def __call__(self, req: Any) -> None: ...
    def method(self, req: Any) -> None: ...


@pytest.mark.parametrize(
    "right, is_async",
    [(with_default, True), (anything, True), (Callable_(), True), (Callable_().method, False),
     (functools.partial(two_arguments, None), True), (functools.partial(functools.partial(plain)), False),
     (lambda req: None, False), (dict, False)],
)  # fmt: skip
def test_whatever_can_be_called_with_one_argument_is_a_handler(right: Any, is_async: bool) -> None:
    assert Registry().add_route(right, "/").is_async is is_async


def test_a_decorated_function_is_named_and_placed_as_its_author_knows_it() -> None:
    @functools.wraps(handler)
    def around(*args: Any) -> Any: ...

    route = Registry().add_route(around, "/")
    assert (route.name, route.where, route.is_async) == ("handler", f"{HERE}:{LINE}", False)


@pytest.mark.timeout(5)
def test_an_object_that_has_every_attribute_does_not_hang_the_load() -> None:
    assert Registry().add_route(Mock(), "/").is_async is False


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda r: r.add_route("x", "/"), "@http.route decorates a function, not str"),
        (lambda r: r.add_route(handler, 7), "@http.route takes a path first, not int: @http.route('/hello')"),
        (lambda r: r.add_route(handler, "/", "get"), "methods is a list: methods=['GET']"),
        (lambda r: r.add_route(handler, "/", 7), "methods is a list of str, not int"),
        (lambda r: r.add_route(handler, "/", []), "methods is empty: leave it out for GET"),
        (lambda r: r.add_route(handler, "/", ["GE T"]), "'GE T' is no HTTP method"),
        (lambda r: r.add_route(handler, "/", [""]), "'' is no HTTP method"),
        (lambda r: r.add_route(handler, "/", [b"GET"]), "b'GET' is no HTTP method"),
        (lambda r: r.add_route(handler, "/", ["connect"]),
         "CONNECT cannot be served: it is refused before any route is looked for"),
        (lambda r: r.add_route(handler, "/", ["PATHC"]),
         "'PATHC' is no HTTP method that anybody knows; did you mean 'PATCH'?"),
        (lambda r: r.add_route(handler, "/", ["DELET"]),
         "'DELET' is no HTTP method that anybody knows; did you mean 'DELETE'?"),
        (lambda r: r.add_route(handler, "/", max_body_bytes=-1),
         "max_body_bytes is a whole number from 0 to 2147483647, not -1"),
        (lambda r: r.add_route(handler, "/", max_body_bytes="1"),
         "max_body_bytes is a whole number from 0 to 2147483647, not '1'"),
        (lambda r: r.add_route(handler, "/", timeout_ms=0),
         "timeout_ms is a whole number from 1 to 2147483647, not 0"),
        (lambda r: r.add_route(handler, "/", timeout_ms=True),
         "timeout_ms is a whole number from 1 to 2147483647, not True"),
        (lambda r: r.add_route(handler, "/", timeout_ms=2**31),
         "timeout_ms is a whole number from 1 to 2147483647, not 2147483648"),
        (lambda r: r.add_route(handler, "/", timeout_ms=1.5),
         "timeout_ms is a whole number from 1 to 2147483647, not 1.5"),
        (lambda r: r.add_route(handler, "/", on_disconnect="ignore"),
         "on_disconnect is 'cancel' or 'finish', not 'ignore'"),
        (lambda r: r.add_route(plain, "/", stream=True),
         f"handler plain ({HERE}:{plain.__code__.co_firstlineno}): stream=True needs an async handler, which reads "
         "`async for chunk in req.stream()`"),
        (lambda r: r.add_middleware(3), "@http.middleware decorates a function, not int"),
        (lambda r: r.add_middleware(no_arguments),
         f"middleware ({HERE}:{no_arguments.__code__.co_firstlineno}) takes (req) or (req, call_next)"),
        (lambda r: r.add_middleware(lambda a, b, c: None), None),
        (lambda r: r.add_startup(3), "@http.on_startup decorates a function, not int"),
        (lambda r: r.add_startup(plain),
         f"@http.on_startup: the hook ({HERE}:{plain.__code__.co_firstlineno}) takes no arguments"),
        (lambda r: r.add_shutdown(plain),
         f"@http.on_shutdown: the hook ({HERE}:{plain.__code__.co_firstlineno}) takes no arguments"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_text(call: Callable[[Registry], Any], text: str | None) -> None:
    found = text_of(call)
    assert found == text or (text is None and found.endswith("takes (req) or (req, call_next)"))


@pytest.mark.parametrize("path", ["orders", "/a/{", "/a/{id", "/{*rest}/x", "/{a}/{a}", ""])
def test_a_pattern_that_cannot_be_read_tells_where(path: str) -> None:
    with pytest.raises(RouteSyntaxError) as caught:
        Registry().add_route(handler, path)
    assert 0 <= caught.value.offset <= len(path) and caught.value.pattern == path
    assert f"at offset {caught.value.offset} of {path!r}" in str(caught.value)


def test_a_second_claim_names_both_places() -> None:
    registry = Registry()
    registry.add_route(handler, "/c/{a}", ["GET", "POST"])
    with pytest.raises(RouteConflictError) as caught:
        registry.add_route(plain, "/c/{b}", ["POST"])
    text = str(caught.value)
    assert f"{HERE}:{LINE}" in text and f"{HERE}:{plain.__code__.co_firstlineno}" in text
    assert caught.value.other and caught.value.other in text


def test_methods_of_one_path_may_have_handlers_and_names_of_their_own() -> None:
    registry = Registry()
    registry.add_route(handler, "/c/{a}", ["GET"])
    registry.add_route(plain, "/c/{b}", ["POST"])
    assert [route.pattern.names for route in registry.freeze().routes] == [("a",), ("b",)]


# ---- middleware and hooks


def test_one_parameter_is_a_guard_and_two_a_wrap() -> None:
    registry = Registry()
    guard = registry.add_middleware(lambda req: None)
    wrap = registry.add_middleware(two_arguments)
    assert (guard.wraps, guard.is_async, guard.blocking) == (False, False, False)
    assert (wrap.wraps, wrap.is_async) == (True, True)
    assert registry.freeze().middleware == (guard, wrap)


def test_a_guard_may_block_on_a_thread_but_a_plain_wrap_may_not() -> None:
    assert Registry().add_middleware(lambda req: None, blocking=True).blocking
    assert not Registry().add_middleware(handler, blocking=True).blocking
    assert "blocking=True is for guards; make this one async" in text_of(
        lambda r: r.add_middleware(lambda req, call_next: None, blocking=True)
    )


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated where they stand")
@pytest.mark.parametrize("head", ["def it(req: Unknown) -> Other", "async def it(req: Unknown, call_next: Unknown)"])
def test_annotations_may_name_what_only_type_checkers_know(head: str) -> None:
    scope: dict[str, Any] = {}
    exec(compile(f"{head}:\n    return None", "script.py", "exec", dont_inherit=True), scope)
    registry = Registry()
    registry.add_middleware(scope["it"])
    if "call_next" not in head:
        registry.add_route(scope["it"], "/")
    assert registry.freeze().middleware[0].function is scope["it"]


def test_a_generation_is_what_was_registered_so_far_and_does_not_change() -> None:
    registry = Registry()
    registry.add_startup(no_arguments)
    before = registry.freeze()
    registry.add_shutdown(lambda: None)
    registry.add_route(handler, "/")
    assert [hook.function for hook in before.startup] == [no_arguments]
    assert before.routes == () and before.shutdown == ()
    assert before.startup[0].where == f"{HERE}:{no_arguments.__code__.co_firstlineno}"


@pytest.mark.parametrize("thing, place", [(len, "len"), (dict, "dict"), (Callable_(), f"{HERE}:")])
def test_what_has_no_line_is_placed_by_its_name(thing: Any, place: str) -> None:
    assert where_is(thing).startswith(place)
