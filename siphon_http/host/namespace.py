"""The module `siphon`, made at run time: `from siphon import http, log`.

It is rebuilt for every load of the script, as in the original host, and what is not there is explained where it is
imported. `siphon` is made a package without files: then `from siphon import x` ends in an import of `siphon.x`, which
our finder answers with a reason, while `hasattr(siphon, "x")` and `getattr(siphon, "x", None)` stay ordinary.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["Namespaces"]

_SIP_WORDS = """
    auth b2bua cdr diameter gateway ipsec isc lcr li numbers presence proxy qos registrar registration rtpengine sbi sdp
    srs stir subscribe_state
"""
SIP = frozenset(_SIP_WORDS.split())
"""Namespaces that only the real siphon has."""

Entry = tuple[str, object, Callable[..., Any], bool, dict[str, Any] | None]


class Namespaces:
    """A finder: what scripts may import from `siphon`, and why they may not import the rest.

    available: name to namespace. missing: extensions that are configured but cannot be used, with the reason.
    installed: extensions that could be configured. shown: siphon.yaml as the user named it.
    """

    def __init__(
        self,
        available: Mapping[str, object],
        *,
        missing: Mapping[str, str] | None = None,
        installed: Sequence[str] = (),
        shown: str = "siphon.yaml",
    ) -> None:
        self.available = dict(available)
        self._missing = dict(missing or {})
        self._installed = tuple(installed)
        self._shown = shown
        self._registry = _Registry()

    def install(self) -> None:
        """Put fresh modules `siphon` and `_siphon_registry` into `sys.modules`, in the place of earlier ones."""
        self.remove()
        module = ModuleType("siphon", "What this host offers to its script.")
        module.__path__ = []
        module.__dict__.update(self.available)
        module.__dict__["__all__"] = sorted(self.available)
        module.__dict__["__getattr__"] = self._no_attribute
        sys.modules["siphon"] = module
        self._registry.clear()
        sys.modules["_siphon_registry"] = self._registry
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Take both modules away again, and the finder of whoever installed them."""
        sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, Namespaces)]
        sys.modules.pop("siphon", None)
        sys.modules.pop("_siphon_registry", None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse `siphon.<name>`, saying why; everything else is left to the other finders."""
        package, _, name = fullname.partition(".")
        if package != "siphon" or not name:
            return None
        raise ImportError(self.why_not(name), name=fullname)

    def why_not(self, name: str) -> str:
        """Return one line: why `from siphon import <name>` cannot work, and what to do."""
        has = f"this host has: {', '.join(sorted(self.available))}"
        if name in self.available:
            return f"siphon.{name} is no module: write `from siphon import {name}`, and take names from `{name}`"
        if name in self._missing:
            return f"extension `{name}` is configured in {self._shown} but cannot be used: {self._missing[name]}"
        if name in self._installed:
            return (
                f"extension `{name}` is installed but not configured: "
                f"add `extensions: {{{name}: {name}.yaml}}` to {self._shown}"
            )
        if name in SIP:
            return f"siphon.{name} needs the real siphon: this host speaks no SIP; {has}"
        import difflib  # only who misspells pays for it

        close = difflib.get_close_matches(name, [*self.available, *self._missing, *self._installed], 1)
        if close:
            return f"there is no siphon.{name}; did you mean `{close[0]}`? {has}"
        return (
            f"there is no siphon.{name}; {has}; if an extension provides it, install its package "
            f"and add `extensions: {{{name}: {name}.yaml}}` to {self._shown}"
        )

    def _no_attribute(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(f"module 'siphon' has no attribute {name!r}")
        raise AttributeError(self.why_not(name), name=name)


class _Registry(ModuleType):
    """Module `_siphon_registry`: the list that decorators of the original's extensions write to."""

    def __init__(self) -> None:
        super().__init__("_siphon_registry", "Handlers of the script, in the order of their registration.")
        self._kept: list[Entry] = []

    def register(
        self, kind: str, filter: object, callable: Callable[..., Any], is_async: bool, metadata: Any = None
    ) -> None:
        """Append one handler; metadata that is no dict is dropped."""
        self._kept.append((kind, filter, callable, is_async, metadata if isinstance(metadata, dict) else None))

    def entries(self) -> list[Entry]:
        """Return all handlers, oldest first."""
        return list(self._kept)

    def clear(self) -> None:
        """Forget all handlers: a load of the script begins."""
        self._kept.clear()
