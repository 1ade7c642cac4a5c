"""The arrows: who may import whom. A new arrow is a decision about the design, and is made here, in the open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.source.reading import PACKAGE, ROOT, imports, package_files

EVERYTHING = {
    "_core", "certs", "client", "config", "dispatch", "errors", "extension", "host",
    "protocol", "records", "registry", "server", "settings", "task", "testing", "threads",
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "settings": {"records", "errors"},
    "config": {"settings", "records", "errors"},
    "certs": {"records", "errors"},
    "_core": {"records", "errors"},
    "task": {"_core"},
    "threads": set(),
    "protocol": {"_core", "errors"},
    "registry": {"_core", "records", "errors"},
    "dispatch": {"registry", "task", "threads", "_core", "errors"},
    "server": {"protocol", "_core", "config", "certs", "errors"},
    "client": {"protocol", "_core", "config", "certs", "errors"},
    "extension": {"host.api", "registry", "dispatch", "server", "client", "config", "_core", "errors"},
    "host": {"settings", "records", "errors"},
    "testing": EVERYTHING,
    "__init__": set(),
    "__main__": {"host.cli"},
}
"""Layer -> layers, or single modules, that it may import beside itself. All may import the package's own names."""

NO_IO = {"asyncio", "concurrent", "select", "selectors", "socket", "ssl", "threading", "time", "uvloop"}
"""What `_core` and `protocol` do without: they are driven by calls, and time is an argument."""

SOURCES = package_files(".py", ".pyx", ".pxd", ".pyi")


def layer_name(component: str) -> str:
    """Return the layer of a module by its first component: `settings_yaml` belongs to `settings`."""
    return component if component in ALLOWED else component.split("_")[0]


def layer_of(path: Path) -> str:
    """Return the layer of a file, relative to the repository."""
    return layer_name(path.parts[1].split(".")[0])


def is_module(dotted: str) -> bool:
    """Tell whether `dotted`, relative to the package, is a module or package of ours."""
    place = PACKAGE.joinpath(*dotted.split("."))
    return place.is_dir() or any(place.with_suffix(suffix).exists() for suffix in (".py", ".pyx", ".pxd"))


def imported_modules(text: str) -> set[str]:
    """Return the modules of ours that `text` imports, as "layer" or "layer.rest"."""
    found = set()
    for module, names in imports(text):
        head, _, rest = module.partition(".")
        if head != "siphon_http":
            continue
        for name in names or ("",):
            dotted = f"{rest}.{name}".strip(".")
            target = dotted if dotted and is_module(dotted) else rest
            if target:
                first, dot, tail = target.partition(".")
                found.add(layer_name(first) + dot + tail)
    return found


def is_allowed(target: str, layer: str) -> bool:
    """Tell whether files of `layer` may import `target`."""
    return any(target == one or target.startswith(one + ".") for one in ALLOWED[layer] | {layer})


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_follow_the_arrows(path: Path) -> None:
    layer = layer_of(path)
    assert layer in ALLOWED, f"{path} belongs to no layer"
    targets = imported_modules((ROOT / path).read_text(encoding="utf-8"))
    extra = sorted(target for target in targets if not is_allowed(target, layer))
    assert not extra, f"{layer} may not import {extra}"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_are_absolute(path: Path) -> None:
    relative = [module for module, _ in imports((ROOT / path).read_text(encoding="utf-8")) if module.startswith(".")]
    assert not relative


@pytest.mark.parametrize("path", [path for path in SOURCES if layer_of(path) in {"_core", "protocol"}], ids=str)
def test_core_and_protocol_do_no_io_and_read_no_clock(path: Path) -> None:
    found = {module.split(".")[0] for module, _ in imports((ROOT / path).read_text(encoding="utf-8"))}
    assert not found & NO_IO


def test_no_two_layers_import_each_other() -> None:
    layers = {layer: {target.split(".")[0] for target in allowed} for layer, allowed in ALLOWED.items()}
    # Hosts find the extension through its entry point; what points at `host.api` is no way into the host.
    mutual = {(a, b) for a, targets in layers.items() for b in targets if a in layers.get(b, ()) and a != "testing"}
    assert not mutual


READER_CASES = {
    "import siphon_http.server.tls": {"server.tls"},
    "import os, siphon_http.config as c": {"config"},
    "from siphon_http import certs, errors as e": {"certs", "errors"},
    "from siphon_http import __version__": set(),
    "from siphon_http.host import api": {"host.api"},
    "from siphon_http.host.api import Context": {"host.api"},
    "from siphon_http.settings_yaml import load": {"settings"},
    "from siphon_http._core.message cimport (\n    Request,\n    Response,\n)": {"_core.message"},
    "def f():\n    if True: from siphon_http.dispatch import Dispatcher": {"dispatch"},
    "cimport siphon_http._core.body": {"_core.body"},
    "from siphon_http.server \\\n    import listener": {"server.listener"},
    '"""\nfrom siphon_http.server import listener\n"""\n# import siphon_http.host': set(),
    'text = "import siphon_http.host"; import siphon_http.registry': {"registry"},
    "cdef extern from *:\n    '''\n    import siphon_http.host\n    '''": set(),
}


@pytest.mark.parametrize("text", READER_CASES, ids=repr)
def test_every_spelling_of_an_import_is_seen(text: str) -> None:
    assert imported_modules(text) == READER_CASES[text]


def test_what_an_arrow_does_not_allow_is_refused() -> None:
    assert is_allowed("host.api", "extension")
    assert not is_allowed("host.worker", "extension")
    assert not is_allowed("host", "extension")
    assert not is_allowed("dispatch", "server")
    assert not is_allowed("threads", "extension")
