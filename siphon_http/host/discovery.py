"""Extensions, found by the entry point group `siphon.extensions`; loud about those that are missing.

An entry's name is the key under `extensions:` in siphon.yaml. The host knows no extension by name.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from functools import reduce
from typing import Any, Protocol

from siphon_http.host.api import Extension
from siphon_http.records import dataclass

__all__ = ["GROUP", "Discovery", "EntryPoint", "discover"]

GROUP = "siphon.extensions"


class EntryPoint(Protocol):
    """What is asked of an entry point: `importlib.metadata.EntryPoint` has it all."""

    @property
    def name(self) -> str:
        """Key under `extensions:`."""
        ...

    @property
    def value(self) -> str:
        """Where the extension is: "package.module:object"."""
        ...

    def load(self) -> Any:
        """Import it. Raises whatever the import does."""
        ...


@dataclass(frozen=True, slots=True)
class _Written:
    """An entry point as an entry_points.txt has it."""

    name: str
    value: str

    def load(self) -> Any:
        module, _, attributes = self.value.partition(":")
        loaded = importlib.import_module(module.strip())
        return reduce(getattr, filter(None, attributes.split("[")[0].strip().split(".")), loaded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found for the names in siphon.yaml."""

    found: dict[str, Extension] = field(default_factory=dict)
    """Extensions that are configured and can be used, in the order of the file."""
    missing: dict[str, str] = field(default_factory=dict)
    """Extensions that are configured and cannot be used, with the reason and what to do."""
    installed: tuple[str, ...] = ()
    """Names of all extensions that are installed, configured or not."""


def _written() -> Iterator[EntryPoint]:
    """Yield the group's entries of every distribution in a plain folder of sys.path.

    importlib.metadata finds the same and more, but its import costs a seventh of the whole start.
    """
    for folder in sys.path:
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue
            section = ""
            for line in map(str.strip, text.splitlines()):
                if line.startswith("["):
                    section = line.strip("[]").strip()
                elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
                    key, _, value = line.partition("=")
                    yield _Written(key.strip(), value.strip())


def _imported() -> Sequence[EntryPoint]:
    """Return what importlib.metadata knows, from archives and other importers too."""
    from importlib.metadata import entry_points  # see _written

    return tuple(entry_points(group=GROUP))


def discover(names: Iterable[str], *, source: Callable[[], Iterable[EntryPoint]] | None = None) -> Discovery:
    """Import the extensions called `names`. Nothing is raised: what fails is in `missing`, with its reason."""
    names = list(names)
    points: dict[str, EntryPoint] = {}
    for look in (source,) if source is not None else (_written, _imported):
        for point in look():
            # An editable install beside a normal one lists an entry twice; the first on the path wins, as in imports.
            points.setdefault(point.name, point)
        if all(name in points for name in names):
            break
    found: dict[str, Extension] = {}
    missing: dict[str, str] = {}
    for name in names:
        if name not in points:
            missing[name] = (
                f"it is not installed: install the package that provides it into {sys.executable} "
                f"(installed extensions: {', '.join(sorted(points)) or 'none'})"
            )
            continue
        loaded = _load(points[name])
        if isinstance(loaded, str):
            missing[name] = loaded
        else:
            found[name] = loaded
    return Discovery(found=found, missing=missing, installed=tuple(sorted(points)))


def _load(point: EntryPoint) -> Extension | str:
    """Return the extension, or why there is none."""
    try:
        loaded = point.load()
        if isinstance(loaded, type):
            loaded = loaded()
    except Exception as error:  # whatever a foreign package raises on import, the others must run
        return f"{point.value} cannot be imported: {type(error).__name__}: {error}; reinstall the package"
    if not isinstance(loaded, Extension):
        lacks = [n for n in ("namespace", "load_begins", "load_ends", "task", "table") if not hasattr(loaded, n)]
        return f"{point.value} is no extension: it has no {', '.join(lacks)}; a newer version of the package may"
    return loaded
