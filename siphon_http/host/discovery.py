"""Extensions, found by the entry point group `siphon.extensions`; loud about those that are missing.

An entry's name is the key under `extensions:` in siphon.yaml. The host knows no extension by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from siphon_http.host.api import Extension

__all__ = ["GROUP", "Discovery", "discover"]

GROUP = "siphon.extensions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found for the names in siphon.yaml."""

    found: dict[str, Extension] = field(default_factory=dict)
    """Extensions that are configured and can be used, in the order of the file."""
    missing: dict[str, str] = field(default_factory=dict)
    """Extensions that are configured and cannot be used, with the reason and what to do."""
    installed: tuple[str, ...] = ()
    """Names of all extensions that are installed, configured or not."""


def _installed() -> Sequence[EntryPoint]:
    return tuple(entry_points(group=GROUP))


def discover(names: Iterable[str], *, source: Callable[[], Sequence[EntryPoint]] = _installed) -> Discovery:
    """Import the extensions called `names`. Nothing is raised: what fails is in `missing`, with its reason."""
    points: dict[str, EntryPoint] = {}
    for point in source():
        # An editable install beside a normal one lists the same entry twice; the first on the path wins, as in imports.
        points.setdefault(point.name, point)
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
