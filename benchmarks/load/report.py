"""Figures, verdicts and tables of one run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cases import HTTP2_CONNECTIONS, IDLE, IDLE_BAR_KIB, OURS, START, START_BAR_SECS, Case

__all__ = ["Bar", "Cell", "Results", "aligned", "as_json", "bar_rows", "bars_of", "ended", "table_text"]


@dataclass(slots=True)
class Cell:
    """What one contender showed in one case.

    figures: one a round: CPU microseconds of the server for each request; in the case `start` seconds to the first answer,
    in `idle` one figure, bytes for each connection. rates: requests per second; busy: share of its CPU that the server
    used; void: why there is no figure to be taken, or "".
    """

    figures: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    void: str = ""

    @property
    def median(self) -> float | None:
        """The median over the rounds, or None when the cell is void."""
        return None if self.void or not self.figures else statistics.median(self.figures)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar and what became of it. figure: None when it could not be judged."""

    case: str
    against: str
    figure: float | None
    limit: float
    unit: str

    @property
    def verdict(self) -> str:
        """ok, MISSED, or not judged."""
        if self.figure is None:
            return "not judged"
        return "ok" if self.figure <= self.limit else "MISSED"


@dataclass(slots=True)
class Results:
    """Everything that one run found. cells: case -> contender -> Cell; skipped: contender -> why it did not run."""

    settings: dict[str, Any]
    versions: dict[str, str]
    skipped: dict[str, str]
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)


def bars_of(case: str, limits: Mapping[str, float], cells: Mapping[str, Cell]) -> list[Bar]:
    """Judge our cell of a case against those of the rivals in `limits`."""
    ours = cells[OURS].median if OURS in cells else None
    bars = []
    for rival, limit in limits.items():
        theirs = cells[rival].median if rival in cells else None
        ratio = ours / theirs if ours is not None and theirs else None
        bars.append(Bar(case, rival, ratio, limit, "x"))
    return bars


def absolute_bars(results: Results) -> list[Bar]:
    """Judge start to first answer and the memory of idle connections, as far as they were measured."""
    bars = []
    for name, limit, unit, divisor in ((START, START_BAR_SECS, "s", 1), (IDLE, IDLE_BAR_KIB, "KiB", 1024)):
        if name in results.cells:
            cell = results.cells[name].get(OURS, Cell())
            figure = None if cell.median is None else cell.median / divisor
            bars.append(Bar(name, "", figure, limit, unit))
    return bars


def shown(cell: Cell | None, case: str, mark: str) -> str:
    """Return a cell as text: the median and, of several rounds, the smallest and the largest."""
    if cell is None:
        return "-"
    if cell.median is None:
        return "void"
    digits, divisor = {START: (3, 1), IDLE: (1, 1024)}.get(case, (2, 1))
    low, middle, high = (f"{f / divisor:.{digits}f}" for f in (min(cell.figures), cell.median, max(cell.figures)))
    spread = f" ({low}-{high})" if len(cell.figures) > 1 else ""
    return f"{middle}{mark}{spread}"


def aligned(rows: Sequence[Sequence[str]], markdown: bool) -> list[str]:
    """Lay rows out in columns; the first is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    rule = "  ".join("-" * width for width in widths)
    if markdown:
        lines = [f"| {' | '.join(t.ljust(w) for t, w in zip(row, widths, strict=True))} |" for row in rows]
        rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return [lines[0], rule, *lines[1:]]


def figure_rows(results: Results, cases: Sequence[Case]) -> list[list[str]]:
    """Return the table of figures: a row for each case, a column for each contender that ran."""
    columns = list(results.versions)
    rows = [["case", *columns]]
    stand_ins = {case.name: case.stand_ins for case in cases}
    units = {START: "start, s", IDLE: "idle, KiB"}
    for name, cells in results.cells.items():
        texts = [shown(cells.get(c), name, "*" if c in stand_ins.get(name, {}) else "") for c in columns]
        rows.append([units.get(name, name), *texts])
    return rows


def bar_rows(results: Results) -> list[list[str]]:
    """Return the table of bars."""
    rows = [["case", "against", "figure", "bar", "verdict"]]
    for bar in [*results.bars, *absolute_bars(results)]:
        figure = "-" if bar.figure is None else f"{bar.figure:.2f} {bar.unit}"
        rows.append([bar.case, bar.against, figure, f"<= {bar.limit:g} {bar.unit}", bar.verdict])
    return rows


def table_text(results: Results, cases: Sequence[Case], markdown: bool) -> str:
    """Return all that is printed at the end."""
    s = results.settings
    lines = [
        f"CPU microseconds of the server for each request, user and system: median of {s['rounds']} rounds of "
        f"{s['seconds']} s (smallest-largest); {s['connections']} connections ({HTTP2_CONNECTIONS} of HTTP/2), server "
        f"on CPU {s['server_cpu']}, load generator on CPU {s['load_cpu']}.",
        f"Python {s['python']}, rivals' Python {s['rival_python']}; "
        + ", ".join(f"{name} {version}" for name, version in results.versions.items())
        + ".",
        "",
        *aligned(figure_rows(results, cases), markdown),
        "",
    ]
    if any(set(case.stand_ins) & set(results.cells.get(case.name, {})) for case in cases):
        lines += [
            "\\* asked for plaintext instead, as the bar says." if markdown else "* plaintext, as the bar says.",
            "",
        ]
    return ended(lines, results, bar_rows(results) if OURS in s["contenders"] else [], markdown)


def ended(lines: Sequence[str], results: Results, bars: Sequence[Sequence[str]], markdown: bool) -> str:
    """Return `lines` with the table of bars, if there are any, and what is void or was skipped."""
    lines = list(lines)
    if len(bars) > 1:
        lines += [*aligned(bars, markdown), ""]
    lead = "- " if markdown else ""
    for name, cells in results.cells.items():
        lines += [f"{lead}void: {name}, {who}: {cell.void}" for who, cell in cells.items() if cell.void]
    lines += [f"{lead}skipped: {name}: {reason}" for name, reason in results.skipped.items()]
    return "\n".join(lines).rstrip() + "\n"


def as_json(results: Results) -> dict[str, Any]:
    """Return everything, as json.dump takes it."""
    cells = {
        case: {
            name: {"median": c.median, "figures": c.figures, "rates": c.rates, "busy": c.busy, "void": c.void}
            for name, c in row.items()
        }
        for case, row in results.cells.items()
    }
    bars = [
        {
            "case": b.case,
            "against": b.against,
            "figure": b.figure,
            "limit": b.limit,
            "unit": b.unit,
            "verdict": b.verdict,
        }
        for b in [*results.bars, *absolute_bars(results)]
    ]
    about = {"settings": results.settings, "versions": results.versions, "skipped": results.skipped}
    return {**about, "cells": cells, "bars": bars}
