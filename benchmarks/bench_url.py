"""URLs as a client makes them for each call."""

from __future__ import annotations

from typing import Any

import pytest

from siphon_http._core.url import encode_query, join_url, parse_url

BASE = "https://api.example.com:8443/v1/"


def test_parse_url(benchmark: Any) -> None:
    assert benchmark(parse_url, BASE + "orders/1347?page=2").port == 8443


def test_join_to_a_base(benchmark: Any) -> None:
    assert benchmark(parse_url(BASE).join, "/orders/J%C3%BCrg?page=2") == b"/v1/orders/J%C3%BCrg?page=2"


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"page": 2, "state": "open"}, id="two"),
        pytest.param({"q": "Jürg Müller & Co", "tag": ["a", "b"], "all": True}, id="escaped"),
    ],
)
def test_encode_query(benchmark: Any, params: Any) -> None:
    assert b"=" in benchmark(encode_query, params)


def test_join_url(benchmark: Any) -> None:
    assert benchmark(join_url, BASE, "orders", {"page": 2}) == BASE + "orders?page=2"
