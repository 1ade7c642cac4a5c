"""Every test of HTTP/2 runs twice: with hot streams, and with every frame through h2."""

from __future__ import annotations

import pytest

from tests.protocol.http2_client_pair import Client
from tests.protocol.http2_pair import Owner


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what makes HTTP/2 connections with both ways."""
    name = metafunc.module.__name__.rpartition(".")[2]
    if name.startswith("test_http2_") and not name.endswith("_differential"):
        metafunc.fixturenames.append("through_h2")
        metafunc.parametrize("through_h2", [False, True], ids=["hot", "h2"], indirect=True)


@pytest.fixture
def through_h2(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections made by `Owner` and `Client` send every frame through h2, or not."""
    monkeypatch.setattr(Owner, "through_h2", request.param)
    monkeypatch.setattr(Client, "through_h2", request.param)
