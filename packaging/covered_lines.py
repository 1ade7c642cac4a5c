"""Which lines of Cython and Python ran, as one table with two floors: the second half of `make cover`.

Cython writes `/* "siphon_http/_core/body.pyx":38` before the C code of each statement. A statement was reached when the first
line of C that gcov counts after one of these marks has run; a statement has more than one where Cython copies it, as it
does with what stands in `finally`. So pyx lines cost one addition each at run time, and processes that tests start
count, too. Lines of Python are those of coverage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MARK = re.compile(r'\s*/\* "(?P<file>[^"]+)":(?P<line>\d+)$')
FIELD = re.compile(r"\s*cdef (?:public|readonly) ")
"""A field that Python may read: the C code that reads it is nobody's statement."""
ABSTRACT = re.compile(r"\s*raise NotImplementedError\b")
FLOORS = {"Cython": 95, "Python": 97}
"""Per cent of the lines that the suite must reach."""

Lines = dict[int, bool]
"""Number of a line that holds code -> whether it ran."""


def cython_lines(c_code: str, counts: Mapping[int, int]) -> dict[str, Lines]:
    """Return file -> lines for one C file; counts: line of C -> how often it ran, for each that holds code."""
    found: dict[str, Lines] = {}
    statement: tuple[str, int] | None = None  # whose first line of C is still to come
    for number, text in enumerate(c_code.split("\n"), start=1):
        if mark := MARK.match(text):
            statement = mark["file"], int(mark["line"])
        elif text.startswith("}") or text.strip() == "/* function exit code */":
            statement = None
        elif statement is not None and number in counts:
            file, line = statement
            lines = found.setdefault(file, {})
            lines[line] = lines.get(line, False) or counts[number] > 0
            statement = None
    return found


def counted(notes: Path, place: Path) -> tuple[str, dict[int, int]]:
    """Return the C file that belongs to gcov's notes, relative to `place`, and how often each of its lines ran."""
    told = subprocess.run(
        [os.environ.get("GCOV", "gcov"), "--json-format", "--stdout", str(notes)],
        cwd=place,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (file,) = (one for one in json.loads(told)["files"] if one["file"].startswith("siphon_http/"))
    counts: dict[int, int] = {}
    for line in file["lines"]:
        counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return file["file"], counts


def cython_report(place: Path) -> dict[str, Lines]:
    """Return file -> lines of all pyx and pxd files."""

    def one(notes: Path) -> dict[str, Lines]:
        c_file, counts = counted(notes, place)
        return cython_lines((place / c_file).read_text(encoding="utf-8"), counts)

    found: dict[str, Lines] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for part in pool.map(one, sorted(place.glob("build/temp.*/siphon_http/**/*.gcno"))):
            for file, lines in part.items():
                if file.startswith("siphon_http/"):
                    merge(found.setdefault(file, {}), lines)
    for file, lines in found.items():
        source = (place / file).read_text(encoding="utf-8").split("\n")
        for line in nobodys(source, lines):
            del lines[line]
    return {file: lines for file, lines in found.items() if lines}


def nobodys(source: Sequence[str], lines: Lines) -> list[int]:
    """Return the lines that nobody is meant to run: fields that C code reads, and methods that subclasses give."""
    found, before = [], 0
    for line in sorted(lines):
        text = source[line - 1]
        if FIELD.match(text):
            found.append(line)
        elif ABSTRACT.match(text):
            found += [before, line] if before and not lines[before] else [line]
        before = line
    return found


def merge(into: Lines, lines: Lines) -> None:
    """Add what another C file knows: an inline function of a pxd is in each that uses it."""
    for line, ran in lines.items():
        into[line] = into.get(line, False) or ran


def python_report(place: Path) -> dict[str, Lines]:
    """Return file -> lines of all Python files, from what coverage left in `place`, of every process."""
    words = [sys.executable, "-m", "coverage"]
    subprocess.run([*words, "combine", "--quiet"], cwd=place, check=True)
    out = place / "build" / "coverage.json"
    subprocess.run([*words, "json", "--quiet", "-o", str(out)], cwd=place, check=True)
    files = json.loads(out.read_text(encoding="utf-8"))["files"]
    return {
        file: dict.fromkeys(told["executed_lines"], True) | dict.fromkeys(told["missing_lines"], False)
        for file, told in files.items()
    }


def forget(place: Path) -> None:
    """Delete what an earlier run counted."""
    for file in [*place.glob("build/temp.*/**/*.gcda"), *place.glob(".coverage*")]:
        file.unlink()


def ranges(lines: Lines) -> str:
    """Return the lines that did not run: `8-11, 20`. Lines without code between two of them do not part them."""
    runs: list[tuple[int, int]] = []
    last = None
    for line, ran in sorted(lines.items()):
        if not ran:
            runs[-1:] = [(runs[-1][0], line)] if last is False else [*runs[-1:], (line, line)]
        last = ran
    return ", ".join(str(first) if first == end else f"{first}-{end}" for first, end in runs)


def share(files: Iterable[Lines]) -> tuple[int, int, float]:
    """Return the number of lines, how many ran, and that in per cent."""
    ran = [one for lines in files for one in lines.values()]
    return len(ran), sum(ran), 100 * sum(ran) / len(ran) if ran else 0.0


def table(reports: Mapping[str, Mapping[str, Lines]], floors: Mapping[str, int]) -> tuple[str, list[str]]:
    """Return the table of all files that were not reached wholly, and what is below its floor."""
    rows, below = [], []
    width = max((len(file) for files in reports.values() for file in files), default=0)
    for kind, files in reports.items():
        for file, lines in sorted(files.items()):
            count, ran, percent = share([lines])
            if ran < count:
                rows.append(f"{file:{width}}  {count:5}  {ran:5}  {percent:5.1f}  {ranges(lines)}")
        count, ran, percent = share(files.values())
        rows.append(
            f"{f'{kind}: {len(files)} files':{width}}  {count:5}  {ran:5}  {percent:5.1f}  floor {floors[kind]}\n"
        )
        if percent < floors[kind]:
            below.append(f"{kind}: {percent:.1f} % of the lines were reached, fewer than {floors[kind]} %")
    head = f"{'file':{width}}  lines  reached    %  not reached"
    return "\n".join([head, *rows]), below


def report(place: Path) -> int:
    """Print the table for what ran in `place`; return 1 when a floor is not held."""
    if shutil.which(os.environ.get("GCOV", "gcov")) is None:
        raise SystemExit("gcov is missing: it comes with gcc (Debian: apt-get install gcc)")
    text, below = table({"Cython": cython_report(place), "Python": python_report(place)}, FLOORS)
    print(text)
    for line in below:
        print(line, file=sys.stderr)
    return 1 if below else 0
