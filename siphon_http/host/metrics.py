"""`from siphon import metrics`, and everything that is counted as Prometheus reads it.

What workers count is summed: counters and histograms of the script and of extensions alike. A gauge of the script is one
worker's own, and is shown with the label `worker` where there are several.
"""

from __future__ import annotations

import math
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from siphon_http.host.ledger import COUNTER, GAUGE, HISTOGRAM, LOCAL, Ledger, Series, series_of

__all__ = [
    "BUCKETS",
    "CONTENT_TYPE",
    "Counter",
    "Gauge",
    "Histogram",
    "MetricsNamespace",
    "as_json",
    "as_text",
    "everything",
    "processes",
    "running_workers",
    "summed",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a histogram of the script, unless it gives its own."""

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*"
_TYPES = {COUNTER: "counter", GAUGE: "gauge", LOCAL: "gauge", HISTOGRAM: "histogram"}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class _Metric:
    """A series, or with labels a family of them: `labels()` gives the one to count with."""

    kind = COUNTER

    def __init__(
        self, ledger: Ledger, name: str, help: str, names: tuple[str, ...], bounds: tuple[float, ...] = ()
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._help = help
        self._names = names
        self._bounds = bounds
        self._children: dict[tuple[str, ...], Any] = {}
        self._place = None if names else ledger.series(name, "", help, self.kind, bounds)

    def _at(self) -> int:
        if self._place is None:
            wanted = ", ".join(f"{name}=..." for name in self._names)
            raise ValueError(f"metric {self._name} has labels: use .labels({wanted}) first")
        return self._place

    def _child(self, values: Mapping[str, object]) -> Any:
        if set(values) != set(self._names):
            raise ValueError(f"metric {self._name} takes the labels {self._names}, got {tuple(values)}")
        key = tuple(str(values[name]) for name in self._names)
        child = self._children.get(key)
        if child is None:
            text = ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(self._names, key, strict=True))
            child = self._made(text)
            if child._place:  # else the ledger is full: labels without end must not fill our memory instead
                self._children[key] = child
        return child

    def _made(self, text: str) -> Any:
        child = type(self).__new__(type(self))
        child._ledger, child._name, child._help, child._names = self._ledger, self._name, self._help, ()
        child._bounds, child._children = self._bounds, {}
        child._place = self._ledger.series(self._name, text, self._help, self.kind, self._bounds)
        return child


class Counter(_Metric):
    """A number that only grows. Thread-safe."""

    def labels(self, **labels: object) -> Counter:
        """Return the counter for these values of all its labels."""
        found: Counter = self._child(labels)
        return found

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`. Raises ValueError below 0."""
        if not amount >= 0:
            raise ValueError(f"counter {self._name} only grows, got {amount!r}; a gauge goes both ways")
        self._ledger.add(self._at(), amount)


class Gauge(_Metric):
    """A number that goes up and down; each worker has its own. Thread-safe."""

    kind = LOCAL

    def labels(self, **labels: object) -> Gauge:
        """Return the gauge for these values of all its labels."""
        found: Gauge = self._child(labels)
        return found

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`."""
        self._ledger.add(self._at(), amount)

    def dec(self, amount: float = 1.0) -> None:
        """Take `amount` off."""
        self._ledger.add(self._at(), -amount)

    def set(self, value: float) -> None:
        """Set it to `value`."""
        self._ledger.put(self._at(), float(value))


class Histogram(_Metric):
    """How values are spread: counts by upper bound, and their sum. Thread-safe."""

    kind = HISTOGRAM

    def labels(self, **labels: object) -> Histogram:
        """Return the histogram for these values of all its labels."""
        found: Histogram = self._child(labels)
        return found

    def observe(self, value: float) -> None:
        """Count one value."""
        place = self._at()
        self._ledger.observe(place, bisect_left(self._bounds, value), len(self._bounds) + 1, value)


class MetricsNamespace:
    """What scripts import as `metrics`. The same name gives the same numbers, also after a reload."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kinds: dict[str, tuple[type, tuple[str, ...]]] = {}

    def counter(self, name: str, help: str, labels: Sequence[str] | None = None) -> Counter:
        """Return a counter; its name ends with `_total` by custom. Raises ValueError for names that cannot be."""
        return Counter(self._ledger, *self._checked(Counter, name, help, labels))

    def gauge(self, name: str, help: str, labels: Sequence[str] | None = None) -> Gauge:
        """Return a gauge. Raises ValueError for names that cannot be."""
        return Gauge(self._ledger, *self._checked(Gauge, name, help, labels))

    def histogram(
        self, name: str, help: str, labels: Sequence[str] | None = None, buckets: Sequence[float] | None = None
    ) -> Histogram:
        """Return a histogram. buckets: upper bounds, at most 62. Raises ValueError for what cannot be."""
        bounds = BUCKETS if buckets is None else tuple(float(b) for b in buckets if b != math.inf)
        if not bounds or len(bounds) > 62 or any(not a < b for a, b in pairwise(bounds)):
            raise ValueError(f"histogram {name}: buckets are 1 to 62 bounds in ascending order")
        return Histogram(self._ledger, *self._checked(Histogram, name, help, labels), bounds)

    def _checked(
        self, kind: type, name: str, help: str, labels: Sequence[str] | None
    ) -> tuple[str, str, tuple[str, ...]]:
        names = tuple(labels or ())
        if not re.fullmatch(_NAME, name) or name.startswith(("siphon_", "process_")):
            raise ValueError(f"{name!r} is no name for a metric of a script: letters, digits and _; not siphon_...")
        if isinstance(labels, str) or not all(re.fullmatch(_LABEL, n) and n not in {"le", "worker"} for n in names):
            raise ValueError(f"metric {name}: labels are a list of names of letters, digits and _, got {labels!r}")
        if self._kinds.setdefault(name, (kind, names)) != (kind, names):
            was, had = self._kinds[name]
            raise ValueError(f"metric {name} is a {was.__name__.lower()} with the labels {had} already")
        return name, " ".join(str(help).split()), names


def summed(slots: Mapping[str, memoryview], ended: Iterable[memoryview] = ()) -> list[Series]:
    """Return what all processes counted, by name.

    slots: worker to its memory; numbers that mean something for one process only get its name as a label, where there
    are several. ended: memory of processes that are no more: their gauges say nothing, their counts stay.
    """
    found: dict[tuple[str, str], list[Series]] = {}
    for worker, slot in [*slots.items(), *(("", slot) for slot in ended)]:
        for series in series_of(slot):
            if not worker and series.kind in {GAUGE, LOCAL}:
                continue
            labels = series.labels
            if series.kind == LOCAL and len(slots) > 1:
                labels = ",".join(filter(None, (labels, f'worker="{_escaped(worker)}"')))
            same = found.setdefault((series.name, labels), [])
            if same and same[0].bounds != series.bounds:
                continue  # a reload has changed the buckets; the older process is about to end
            same.append(series)
    return [
        Series(
            name, labels, one.help, one.kind, one.bounds, tuple(map(_sum, zip(*(s.values for s in same), strict=True)))
        )
        for (name, labels), same in sorted(found.items())
        for one in same[:1]
    ]


def _sum(values: Sequence[float]) -> float:
    """Return the exact sum, rounded once.

    It does not depend on the order, which changes when a worker ends: a counter that is less by its last digit is a
    restart to Prometheus.
    """
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # infinite: the script has said so
        return sum(values)


def processes(pids: Mapping[str, int]) -> Iterator[Series]:
    """Yield memory, CPU time and open files of processes, where /proc tells. pids: worker to process."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for worker, pid in pids.items():
        labels = f'worker="{_escaped(worker)}"' if len(pids) > 1 else ""
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            files = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
        cpu = (int(fields[11]) + int(fields[12])) / ticks
        yield Series("process_cpu_seconds_total", labels, "User and system time.", COUNTER, (), (cpu,))
        memory = float(int(fields[21]) * page)
        yield Series("process_resident_memory_bytes", labels, "Resident memory.", LOCAL, (), (memory,))
        yield Series("process_open_fds", labels, "Open file descriptors.", LOCAL, (), (float(files),))


def running_workers(count: int) -> Series:
    """Return how many workers serve: 1, or 0, of a process that is alone."""
    return Series("siphon_workers_running", "", "Workers that serve.", GAUGE, (), (float(count),))


def everything(
    slots: Mapping[str, memoryview], pids: Mapping[str, int], ended: Iterable[memoryview] = ()
) -> list[Series]:
    """Return what all processes counted and what the kernel tells of them, by name: see `summed` and `processes`."""
    return sorted([*summed(slots, ended), *processes(pids)], key=lambda s: (s.name, s.labels))


def as_text(series: Iterable[Series]) -> str:
    """Return the text format of Prometheus, version 0.0.4."""
    lines: list[str] = []
    name = ""
    for one in series:
        if one.name != name:
            name = one.name
            help = one.help.replace("\\", "\\\\").replace("\n", "\\n")
            lines += [f"# HELP {name} {help}", f"# TYPE {name} {_TYPES.get(one.kind, 'untyped')}"]
        if one.kind != HISTOGRAM:
            lines.append(f"{name}{'{' + one.labels + '}' if one.labels else ''} {_number(one.values[0])}")
            continue
        count = 0.0
        for bound, value in zip((*one.bounds, "+Inf"), one.values, strict=False):
            count += value
            labels = ",".join(filter(None, (one.labels, f'le="{bound.removesuffix(".0")}"')))
            lines.append(f"{name}_bucket{{{labels}}} {_number(count)}")
        labels = f"{{{one.labels}}}" if one.labels else ""
        lines += [f"{name}_sum{labels} {_number(one.values[-1])}", f"{name}_count{labels} {_number(count)}"]
    return "".join(line + "\n" for line in lines)


def as_json(series: Iterable[Series]) -> dict[str, Any]:
    """Return the numbers by name and labels; a histogram as its count and sum."""
    found: dict[str, Any] = {}
    for one in series:
        value: Any = one.values[0]
        if one.kind == HISTOGRAM:
            value = {"count": sum(one.values[:-1]), "sum": one.values[-1]}
        found[f"{one.name}{{{one.labels}}}" if one.labels else one.name] = value
    return found


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
