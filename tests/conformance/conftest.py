"""Server processes, one for each configuration and session; stopped and examined at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .launch import Server, serving

PLAIN = {
    "plain": {},
    "small": {"max_body_bytes": 1000, "max_header_bytes": 2048, "max_headers": 10},
    "quick": {"header_timeout_ms": 300, "idle_timeout_ms": 400, "request_timeout_ms": 300, "write_timeout_ms": 500},
    "few": {"max_connections": 2},
}
"""Listeners of the main server: settings belong to one listener and to no other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a server process."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.name != "test_wire_client.py":
            item.add_marker(pytest.mark.wire)


@pytest.fixture(scope="session")
def main(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/main.py on several listeners."""
    yield from serving(tmp_path_factory.mktemp("main"), "main.py", PLAIN)


@pytest.fixture(scope="session")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/handlers.py; its request time-out is short enough for a test."""
    yield from serving(tmp_path_factory.mktemp("handlers"), "handlers.py", {"plain": {"request_timeout_ms": 5000}})


@pytest.fixture(scope="session")
def responses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/responses.py."""
    yield from serving(tmp_path_factory.mktemp("responses"), "responses.py", {"plain": {}})


@pytest.fixture(scope="session")
def middleware(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/middleware.py."""
    yield from serving(tmp_path_factory.mktemp("middleware"), "middleware.py", {"plain": {"request_timeout_ms": 1000}})
