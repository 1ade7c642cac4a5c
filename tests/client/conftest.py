"""The program that runs the cases of one test module, and the backend beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.client.backend import Backend
from tests.client.black_box import Program, program


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with the script that the module names in SCRIPT."""
    script: str = request.module.SCRIPT
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(Backend())
        if script == "client_http2":
            served = {"max_concurrent_streams": 50}
            listeners = (served, served | {"tls": backend.certificates.server_files()})
            origin = program("origin", tmp_path_factory.mktemp("origin"), {}, backend, *listeners)
            backend.ports["h2c"], backend.ports["h2"] = stack.enter_context(origin).ports
        yield stack.enter_context(program(script, tmp_path_factory.mktemp(script), clients(backend), backend))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """An authority for certificates, and the file of its own one."""
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, path


def clients(backend: Backend) -> dict[str, Any]:
    """Return `clients:` of http.yaml."""
    plain = backend.url()
    trusted = {"verify": backend.certificates.path("ca.pem")}
    if "h2" in backend.ports:
        return {
            "h2c": {"base_url": backend.url(kind="h2c"), "http2_prior_knowledge": True},
            "h2": {"base_url": backend.url(kind="h2").replace("http:", "https:")} | trusted,
        }
    return {
        "api": {"base_url": plain},
        "based": {"base_url": f"{plain}/echo/v1/"},
        "one": {"base_url": plain, "max_connections": 1, "pool_timeout_ms": 150},
        "quick": {"base_url": plain, "connect_timeout_ms": 200} | trusted,
        "few": {"base_url": plain, "max_connections": 3, "pool_size": 1},
        "storm": {"base_url": plain, "max_connections": 64, "pool_size": 64, "pool_timeout_ms": 30_000},
        "secure": {"base_url": backend.url(kind="tls")} | trusted,
        "patient": {"base_url": plain, "retries": {"attempts": 2, "backoff_ms": 5, "budget_per_second": 1000}},
        "wide": {"base_url": plain, "retries": {"backoff_ms": 5, "methods": ["POST"], "statuses": [500]}},
    }
