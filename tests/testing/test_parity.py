"""Our harness beside the SDK's: one file of tests runs on both, and what the SDK has, ours has too."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from siphon_http.testing import HttpTestHarness, install_sdk_alias

from ..examples.serving import ROOT

HAS_SDK = importlib.util.find_spec("siphon_sdk") is not None
needs_sdk = pytest.mark.skipif(not HAS_SDK, reason="the SDK is not installed: pip install siphon-sip")

OTHER_NAMES = {
    ("route", "path"), ("route", "methods"), ("middleware", "fn"), ("on_startup", "fn"),
}  # fmt: skip
"""Parameters of decorators: given by position wherever a script is written as documented."""
OTHER_DEFAULTS = {("MockClient", "http2_prior_knowledge")}
"""None is our "not given", for a default that may come from elsewhere."""


def run_shared(*plugin: str) -> subprocess.CompletedProcess[str]:
    """Run the shared tests in a process of their own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, "tests/testing/shared_harness_tests.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@needs_sdk
def test_the_shared_tests_pass_on_the_sdk() -> None:
    done = run_shared("-W", "default")  # it leaves its loop open where nobody closes it
    assert done.returncode == 0, done.stdout


def test_the_shared_tests_pass_on_ours() -> None:
    done = run_shared("-p", "tests.testing.sdk_alias_plugin")
    assert done.returncode == 0, done.stdout


# ---- names and signatures


@pytest.fixture
def both() -> dict[str, tuple[Any, Any]]:
    """Each public class of the SDK's two modules, and what has its place in ours."""
    theirs = {**public("siphon_sdk.http"), **public("siphon_sdk.http_testing")}
    undo = install_sdk_alias(replace=True)
    try:
        ours = {**public("siphon_sdk.http"), **public("siphon_sdk.http_testing")}
    finally:
        undo()
    assert ours["HttpTestHarness"] is HttpTestHarness is not theirs["HttpTestHarness"]
    return {name: (theirs[name], ours.get(name)) for name in theirs}


def public(module: str) -> dict[str, Any]:
    found = vars(importlib.import_module(module))
    return {n: o for n, o in found.items() if inspect.isclass(o) and o.__module__.startswith("siphon_sdk")} | {
        n: o for n, o in found.items() if n.startswith("Mock") or n in ("HttpTestHarness", "HttpStatusError")
    }


def members(kind: Any) -> dict[str, Any]:
    """Return the public methods, properties and attributes of a class."""
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


@needs_sdk
def test_every_name_of_the_sdk_is_there(both: dict[str, tuple[Any, Any]]) -> None:
    assert {name for name, (_, ours) in both.items() if ours is None} == set()
    with HttpTestHarness() as harness:
        missing = {
            f"{name}.{member}"
            for name, (theirs, ours) in both.items()
            for member in members(theirs)
            if name not in ("HttpStatusError", "MockRequest")
            and not hasattr(harness.http if name == "MockHttp" else ours, member)
        }
    assert missing == set()


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    found.pop("self", None)
    return found


def differences(name: str, theirs: Any, ours: Any) -> list[str]:
    """Say in what a call that the SDK takes would not be taken, or would mean something else."""
    mine = parameters(ours)
    found = []
    for one in parameters(theirs).values():
        if (name.rpartition(".")[2], one.name) in OTHER_NAMES:
            continue
        same = mine.get(one.name)
        if same is None:
            found.append(f"{name}: no {one.name}")
        elif same.kind is not one.kind:
            found.append(f"{name}: {one.name} is {same.kind.description}, there {one.kind.description}")
        elif same.default != one.default and (name, one.name) not in OTHER_DEFAULTS and one.default != b"":
            found.append(f"{name}: {one.name} is {same.default!r} by default, there {one.default!r}")
    required = [
        p.name for p in mine.values() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    found += [f"{name}: {p} is required" for p in required if p not in parameters(theirs) and p != "function"]
    return found


@needs_sdk
def test_every_call_that_the_sdk_takes_is_taken(both: dict[str, tuple[Any, Any]]) -> None:
    found: list[str] = []
    with HttpTestHarness() as harness:
        for name, (theirs, ours) in both.items():
            if name in ("HttpStatusError", "MockResponse"):  # an exception; called in the shared tests
                continue
            if name != "MockHttp":
                found += differences(name, theirs, ours)
            for member, function in members(theirs).items():
                if inspect.isfunction(function):
                    mine = getattr(harness.http if name == "MockHttp" else ours, member, None)
                    if mine is not None:
                        found += differences(f"{name}.{member}", function, mine)
    assert found == []


# ---- the alias


@needs_sdk
def test_an_installed_sdk_is_not_shadowed_unasked() -> None:
    with pytest.raises(RuntimeError, match=r"siphon_sdk is installed: .*replace=True"):
        install_sdk_alias()


@needs_sdk
def test_the_alias_can_be_undone() -> None:
    import siphon_sdk.http_testing
    import siphon_sdk.testing

    theirs = siphon_sdk.http_testing.HttpTestHarness
    undo = install_sdk_alias(replace=True)
    import siphon_sdk.testing as still_there
    from siphon_sdk.http_testing import HttpTestHarness as aliased

    assert aliased is HttpTestHarness
    assert siphon_sdk.HttpTestHarness is HttpTestHarness
    assert still_there is siphon_sdk.testing
    undo()
    from siphon_sdk.http_testing import HttpTestHarness as restored

    assert restored is theirs is siphon_sdk.HttpTestHarness


def test_without_the_sdk_the_alias_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, package: str | None = None) -> None:
        return None

    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "siphon_sdk"}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", find)
    undo = install_sdk_alias()
    from siphon_sdk import HttpTestHarness as one
    from siphon_sdk.http import MockResponse
    from siphon_sdk.http_testing import HttpTestHarness as two

    assert one is two is HttpTestHarness
    assert MockResponse(204).status == 204
    assert isinstance(sys.modules["siphon_sdk"], ModuleType)
    undo()
    assert not [name for name in sys.modules if name.partition(".")[0] == "siphon_sdk"]
