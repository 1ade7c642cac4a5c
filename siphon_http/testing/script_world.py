"""What the interpreter has because of one harness's script, and how it is taken away again.

A script needs a module `siphon`, its own folder on `sys.path`, and helper modules from there. All three are the
process's, of which a process that serves has one and a test process has many: so each harness has a world of its own,
and one of them is in place at a time. Which one is written on the module `siphon` itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import ModuleType

from siphon_http.host.namespace import Namespaces
from siphon_http.host.script import SCRIPT_MODULE, Script, is_user_file

__all__ = ["ScriptWorld"]

OURS = ("siphon", "_siphon_registry", SCRIPT_MODULE)
OWNER = "__siphon_harness_world__"


class ScriptWorld:
    """The modules, the folders and the finder of one harness. available: what scripts import from `siphon`."""

    def __init__(self, available: Mapping[str, object]) -> None:
        self._available = dict(available)
        self._namespaces = Namespaces(available)
        self.keep = frozenset(sys.modules)  # no helpers of the script, wherever they lie
        self._dirs: tuple[str, ...] = ()
        self._modules: dict[str, ModuleType] = {}  # of ours, while another world is in place
        self._others: dict[str, ModuleType] = {}  # of the same names, that were there before
        self._path: list[str] = []  # sys.path as it was before

    def namespace(self, name: str) -> object:
        """Return what `from siphon import name` gives. Raises AttributeError, which says why, when there is none."""
        if name not in self._available:
            raise AttributeError(self._namespaces.why_not(name), name=name)
        return self._available[name]

    def load(self, script: Script) -> None:
        """Make a fresh `siphon` and execute `script`, without what an earlier load has left. Raises ScriptError."""
        self.leave()
        self._modules = {}
        self.enter()
        self._namespaces.install()
        sys.modules["siphon"].__dict__[OWNER] = self
        self._dirs = script.dirs
        script.load()

    def enter(self) -> None:
        """Put this world in the place of another harness's."""
        owner = _owner()
        if owner is self:
            return
        if owner is not None:
            owner.leave()
        self._others = {name: sys.modules[name] for name in OURS if name in sys.modules}
        self._path = list(sys.path)
        if self._modules:
            sys.modules.update(self._modules)
            self._modules = {}
            sys.meta_path.insert(0, self._namespaces)
            sys.path[:] = [*self._dirs, *(place for place in sys.path if place not in self._dirs)]

    def leave(self) -> None:
        """Take everything of ours away, for now, and give back what was there before."""
        if _owner() is not self:
            return
        self._modules = {name: sys.modules[name] for name in OURS if name in sys.modules}
        self._modules |= {name: module for name, module in self._new_modules() if self._is_helper(module)}
        for name in self._modules:
            del sys.modules[name]
        sys.modules.update(self._others)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._namespaces]
        left = [place for place in sys.path if place not in self._dirs or place in self._path]
        sys.path[:] = self._path if sorted(left) == sorted(self._path) else left

    def close(self) -> None:
        """Take everything of ours away for good."""
        self.leave()
        self._modules = {}

    def _new_modules(self) -> Iterable[tuple[str, ModuleType]]:
        return [(name, module) for name, module in sys.modules.items() if name not in self.keep and name not in OURS]

    def _is_helper(self, module: ModuleType) -> bool:
        """Whether the script has brought it: then another script's helper of that name must not be mistaken for it."""
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        return any(is_user_file(str(place), self._dirs) for place in places if place)


def _owner() -> ScriptWorld | None:
    """Return the world whose `siphon` is in `sys.modules`."""
    module = sys.modules.get("siphon")
    owner = None if module is None else module.__dict__.get(OWNER)
    return owner if isinstance(owner, ScriptWorld) else None
