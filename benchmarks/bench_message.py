"""Response as handlers make it."""

from __future__ import annotations

from typing import Any

import pytest

from siphon_http._core.message import Response

CASES: dict[str, tuple[Any, ...]] = {
    "status": (204,),
    "bytes": (200, None, b"hello"),
    "str": (200, None, "hello"),
    "one_field": (200, {"content-type": "application/json"}, b"{}"),
    "own_field": (200, {"X-My-Own-Name": "some value"}, b"{}"),
    "five_fields": (200, {"Content-Type": "text/plain", "ETag": '"x"', "Vary": "a", "X-A": "b", "X-B": "c"}, b"{}"),
    "pairs": (200, [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")], b"{}"),
}


@pytest.mark.parametrize("name", CASES)
def test_response(benchmark: Any, name: str) -> None:
    assert benchmark(Response, *CASES[name]).status in (200, 204)


def test_headers_set_after_construction(benchmark: Any) -> None:
    def make() -> Response:
        response = Response(200)
        response.headers["x-a"] = "b"
        return response

    assert benchmark(make).header("x-a") == "b"
