"""The import path of the original's SDK, for tests of scripts that were written for it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

from siphon_http._core.message import Response
from siphon_http.client.api import Client
from siphon_http.errors import HttpStatusError
from siphon_http.testing.harness import HttpTestHarness
from siphon_http.testing.http_double import HttpDouble
from siphon_http.testing.request_double import make_request

__all__ = ["install_sdk_alias"]

PACKAGE = "siphon_sdk"


def install_sdk_alias(*, replace: bool = False) -> Callable[[], None]:
    """Let `siphon_sdk.http_testing` and `siphon_sdk.http` be ours; call it in `conftest.py`. Returns what undoes it.

    `HttpTestHarness` is ours, `MockResponse` is `http.Response`, `MockRequest` makes a real `http.Request`.

    replace: where the SDK itself is installed, take the place of these two modules of it; the others stay.

    Raises RuntimeError when the SDK is installed and `replace` is not given: it is never shadowed unasked.
    """
    installed = PACKAGE in sys.modules or importlib.util.find_spec(PACKAGE) is not None
    if installed and not replace:
        raise RuntimeError(
            "siphon_sdk is installed: its tests run on it as they are; "
            "install_sdk_alias(replace=True) lets them run on siphon_http.testing instead"
        )
    package = importlib.import_module(PACKAGE) if installed else ModuleType(PACKAGE, __doc__)
    if not installed:
        package.__path__ = []
    http = ModuleType(f"{PACKAGE}.http", __doc__)
    http.__dict__.update(
        HttpStatusError=HttpStatusError,
        MockClient=Client,
        MockHttp=HttpDouble,
        MockRequest=make_request,
        MockResponse=Response,
    )
    testing = ModuleType(f"{PACKAGE}.http_testing", __doc__)
    testing.__dict__.update(
        HttpTestHarness=HttpTestHarness, MockHttp=HttpDouble, MockRequest=make_request, MockResponse=Response
    )
    modules = {PACKAGE: package, http.__name__: http, testing.__name__: testing}
    names = {"http": http, "http_testing": testing, "HttpTestHarness": HttpTestHarness}
    modules_before = {name: sys.modules.get(name) for name in modules}
    names_before = {name: package.__dict__.get(name) for name in names}
    sys.modules.update(modules)
    package.__dict__.update(names)

    def undo() -> None:
        for name, module in modules_before.items():
            if module is not None:
                sys.modules[name] = module
            else:
                sys.modules.pop(name, None)
        for name, value in names_before.items():
            if value is not None:
                package.__dict__[name] = value
            else:
                package.__dict__.pop(name, None)

    return undo
