"""Numbers as they lie in a process's slot: named series that any process can read, and sum.

A slot (`host/slots.py`) is cut into ledgers: one for the host and its script, one for each extension. A ledger has one
writer and describes itself, so that the reader needs neither the script nor the extension. The layout, version 1, native
byte order, aligned to 8:

    ledger  0 magic | 8 u64 size | 16 u64 bytes in use | 24 u64 times that there was no room | 32 owner's name | 64 records
    record  0 u32 size, a multiple of 8 | 4 u8 kind | 5 u8 unit | 6 u16 cells
            8 u16 sizes of name, labels, help, bounds | 16 these texts, UTF-8 | padding | cells of 8 bytes
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "COUNTER",
    "GAUGE",
    "HISTOGRAM",
    "LEDGER_BYTES",
    "LOCAL",
    "Ledger",
    "Ledgers",
    "Series",
    "series_of",
]

COUNTER, GAUGE, LOCAL, HISTOGRAM = 1, 2, 3, 4
"""Kinds of series: only grows; goes up and down; the same for one process only; counts by bound and their sum."""

ONE, NANOSECONDS, DOUBLE = 0, 1, 2
"""Units of cells: whole numbers; nanoseconds, shown as seconds; doubles, but for a histogram's counts."""

LEDGER_BYTES = 262_144


_MAGIC = b"SIPHON1\n"
_HEAD = struct.Struct("=8sQQQ")
_HEAD_BYTES = 64
_OWNER_AT = 32
_OWNER_BYTES = 32
_RECORD = struct.Struct("=IBBHHHHH")


@dataclass(frozen=True, slots=True)
class Series:
    """One series as it was read. values: one; of a histogram a count for each bound and one above, then the sum."""

    name: str
    labels: str
    help: str
    kind: int
    bounds: tuple[str, ...]
    values: tuple[float, ...]


class Ledgers:
    """The ledgers in one process's slot. A name's ledger stays where it is, also for the next process."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory.cast("B")

    def of(self, name: str) -> memoryview:
        """Return the ledger of `name`, taking a free one; memory that nobody else sees when there is none left."""
        owner = name.encode()[:_OWNER_BYTES].ljust(_OWNER_BYTES, b"\0")
        for start in range(0, len(self._memory) - LEDGER_BYTES + 1, LEDGER_BYTES):
            found = bytes(self._memory[start + _OWNER_AT : start + _HEAD_BYTES])
            if found in {owner, bytes(_OWNER_BYTES)}:
                self._memory[start + _OWNER_AT : start + _HEAD_BYTES] = owner
                return self._memory[start : start + LEDGER_BYTES]
        return memoryview(bytearray(LEDGER_BYTES))


def series_of(slot: memoryview) -> Iterator[Series]:
    """Yield every series in the ledgers of `slot`. What is damaged or of another version is passed over."""
    for start in range(0, len(slot) - LEDGER_BYTES + 1, LEDGER_BYTES):
        ledger = slot[start : start + LEDGER_BYTES]
        magic, _, used, dropped = _HEAD.unpack_from(ledger)
        if magic != _MAGIC:
            continue
        yield from _records(ledger, min(used, len(ledger)))
        help = "Times that a series found no room; it is not shown."
        yield Series("siphon_metrics_dropped_total", "", help, COUNTER, (), (float(dropped),))


def _records(ledger: memoryview, used: int) -> Iterator[Series]:
    at = _HEAD_BYTES
    while at + _RECORD.size <= used:
        size, kind, unit, cells, *lengths = _RECORD.unpack_from(ledger, at)
        first = at + size - 8 * cells
        if size < _RECORD.size or at + size > used or not cells or first < at + _RECORD.size + sum(lengths):
            return
        texts, place = [], at + _RECORD.size
        for length in lengths:
            texts.append(bytes(ledger[place : place + length]).decode("utf-8", "replace"))
            place += length
        bounds = tuple(filter(None, texts[3].split(",")))
        name, labels, help, _ = texts
        yield Series(name, labels, help, kind, bounds, _values(ledger, first, cells, kind, unit))
        at += size


def _values(ledger: memoryview, first: int, cells: int, kind: int, unit: int) -> tuple[float, ...]:
    """Return the cells as numbers for people: seconds where they are nanoseconds."""
    if unit == DOUBLE:
        code = f"={cells - 1}Qd" if kind == HISTOGRAM else "=d"
        return tuple(map(float, struct.unpack_from(code, ledger, first)))
    values = struct.unpack_from(f"={cells}{'Q' if kind in {COUNTER, HISTOGRAM} else 'q'}", ledger, first)
    if unit == ONE:
        return tuple(map(float, values))
    return (*map(float, values[:-1]), values[-1] / 1e9)


class Ledger:
    """The writer of one ledger, for numbers that Python code counts. Thread-safe.

    A ledger that has had another writer goes on from its counts; its gauges begin at 0.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._doubles = memory.cast("d")
        self._words = memory.cast("Q")
        self._places: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._lock = threading.Lock()
        magic, _, used, _ = _HEAD.unpack_from(memory)
        if magic != _MAGIC:
            _HEAD.pack_into(memory, 0, _MAGIC, len(memory), _HEAD_BYTES, 0)
            return
        at = _HEAD_BYTES
        for series in _records(memory, used):
            size, kind, _, cells, *_ = _RECORD.unpack_from(memory, at)
            at += size
            self._places[series.name, series.labels] = (kind, cells, at // 8 - cells)
            if kind in {GAUGE, LOCAL}:
                self._doubles[at // 8 - cells] = 0.0

    def series(self, name: str, labels: str, help: str, kind: int, bounds: Sequence[float] = ()) -> int:
        """Return the place of a series, making it if need be; 0 when there is no room: then nothing is counted.

        labels: `name="value"` pairs as Prometheus writes them. Raises ValueError when it is there as another kind.
        """
        cells = len(bounds) + 2 if kind == HISTOGRAM else 1
        with self._lock:
            found = self._places.get((name, labels))
            if found is None:
                place = self._append(name, labels, help, kind, bounds, cells)
                if place == 0:
                    return 0
                found = self._places[name, labels] = (kind, cells, place)
        if found[:2] != (kind, cells):
            raise ValueError(f"metric {name} is there already as another kind, or with other buckets")
        return found[2]

    def _append(self, name: str, labels: str, help: str, kind: int, bounds: Sequence[float], cells: int) -> int:
        texts = [text.encode() for text in (name, labels, help, ",".join(map(repr, bounds)))]
        used: int
        _, size, used, dropped = _HEAD.unpack_from(self._memory)
        first = used + _RECORD.size + sum(map(len, texts)) + 7 & ~7
        end = first + 8 * cells
        if end > len(self._memory) or max(map(len, texts)) > 65_535 or cells > 64:
            _HEAD.pack_into(self._memory, 0, _MAGIC, size, used, dropped + 1)
            return 0
        _RECORD.pack_into(self._memory, used, end - used, kind, DOUBLE, cells, *map(len, texts))
        text = b"".join(texts)
        self._memory[used + _RECORD.size : used + _RECORD.size + len(text)] = text
        self._words[2] = end  # last: what is in use is whole
        return first // 8

    def add(self, place: int, amount: float) -> None:
        """Add to a counter or gauge."""
        if place:
            with self._lock:
                self._doubles[place] += amount

    def put(self, place: int, value: float) -> None:
        """Set a gauge."""
        if place:
            with self._lock:
                self._doubles[place] = value

    def observe(self, place: int, bucket: int, last: int, value: float) -> None:
        """Count `value` in `bucket` of a histogram whose sum is `last` cells behind its first."""
        if place:
            with self._lock:
                self._words[place + bucket] += 1
                self._doubles[place + last] += value
