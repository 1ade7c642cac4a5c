"""Count the instructions of the core's benchmarks, and compare them with the saved ones: `make counts`.

    python benchmarks/counts.py            run, compare, exit 1 where a benchmark costs more than it may, or has no base
    python benchmarks/counts.py --save     make what was counted the base
    python benchmarks/counts.py --against HEAD^    build that revision in build/counts, and let what it needs be the base

Times of a shared machine prove nothing; callgrind counts the same instructions each time. The benchmarks are those of
`make bench`. Counted is what is executed inside our own extension modules, and all: with what they call in CPython and
the C library. The base is kept for each compiler and each build of CPython, whose flags are those of our modules, too;
where there is none nothing is compared, and a line says so: there --against does it without one.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
BASE = HERE / "counts.json"
Counts = dict[str, tuple[int, int]]
"""By benchmark: instructions of a round, those of our modules and all."""

TOLERANCES = ((0, "ours", 0.03, 20), (1, "all", 0.10, 500))
"""What may be above the base: a share of it, and some instructions. All of them move by up to 5.6 % from run to run."""

WARM, ROUNDS = 3, 10
MARK = "getpgid"
"""A C function that nobody else calls: callgrind writes its counts at each call of it."""


class Counted:
    """Takes the place of pytest-benchmark's fixture: a few rounds between two marks."""

    def __init__(self, name: str, names: Path) -> None:
        self.name = name
        self.names = names

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what `function` returned."""
        for _ in range(WARM):
            result = function(*args, **kwargs)
        gc.collect()
        os.getpgid(0)
        for _ in range(ROUNDS):
            result = function(*args, **kwargs)
        os.getpgid(0)
        with self.names.open("a", encoding="utf-8") as file:
            file.write(self.name + "\n")
        return result


class Plugin:
    """Gives pytest the fixture."""

    def __init__(self, names: Path) -> None:
        self.names = names

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> Counted:
        """Return what counts one benchmark."""
        return Counted(request.node.nodeid.removeprefix("benchmarks/"), self.names)


def run_benchmarks(names: Path, chosen: str, tree: Path) -> int:
    """Run every benchmark of `tree` once; this is the process that callgrind watches."""
    gc.disable()
    options = ["-q", "-p", "no:cacheprovider", "-o", "python_files=bench_*.py", "-o", "addopts=", "-c", os.devnull]
    options += ["--rootdir", str(tree), "-k", chosen] if chosen else ["--rootdir", str(tree)]
    return pytest.main([*options, str(tree / "benchmarks")], plugins=[Plugin(names)])


def counted(file: Path) -> tuple[int, int]:
    """Return the instructions of a callgrind file: within our modules, and all."""
    ours = total = 0
    objects: dict[str, str] = {}
    inside = after_calls = False
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            objects.setdefault(number, name)
            inside = "/siphon_http/" in objects[number]
        elif line.startswith("cob="):
            number, _, name = line[4:].partition(" ")
            objects.setdefault(number, name)
        elif line.startswith("calls="):
            after_calls = True
        elif line[:1].isdigit() or line[:1] in "+-*":
            words = line.split()
            # The line after `calls=` tells what the callee cost; a cost of 0 is left out.
            cost = int(words[1]) if len(words) > 1 and not after_calls else 0
            after_calls = False
            total += cost
            ours += cost * inside
    return ours, total


def measure(chosen: str, tree: Path = HERE.parent) -> Counts:
    """Return the instructions of each benchmark's round, ours and all, of the sources in `tree`."""
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder, "names")
        out = Path(folder, "out")
        words = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARK}", "--quiet"]
        words += ["--compress-strings=yes", sys.executable, __file__, "--inside", str(names), "--only", chosen]
        words += ["--tree", str(tree)]
        env = {**os.environ, "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(tree)}
        done = subprocess.run(words, cwd=tree, env=env, capture_output=True, text=True, check=False)
        if done.returncode or not names.exists():
            raise SystemExit(done.stdout + done.stderr)
        dumps = sorted(Path(folder).glob("out.*"), key=lambda p: int(p.suffix[1:]))
        found = {}
        for i, name in enumerate(names.read_text(encoding="utf-8").splitlines()):
            ours, total = counted(dumps[2 * i + 1])
            found[name] = (ours // ROUNDS, total // ROUNDS)
        return found


def built(revision: str) -> Path:
    """Return a folder with the sources of a revision, built as ours are."""
    tree = HERE.parent / "build" / "counts"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", revision], cwd=HERE.parent, stdout=subprocess.PIPE, check=False)
    if packed.returncode:
        raise SystemExit(f"git knows no revision {revision!r}")
    subprocess.run(["tar", "-x"], cwd=tree, input=packed.stdout, check=True)
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tree, check=True)
    return tree


def compiler() -> str:
    """Return what the base belongs to: `x86_64 gcc 12 python 3.11.2 1a2b3c4d`, the last for the flags of Python's build."""
    told = subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, check=True).stdout
    kind = "clang" if "clang" in told else "gcc"
    version = re.search(r"(\d+)\.\d+\.\d+", told)
    flags = zlib.crc32(str(sysconfig.get_config_var("CFLAGS")).encode())
    python = platform.python_version()
    return f"{platform.machine()} {kind} {version[1] if version else '?'} python {python} {flags:08x}"


def report(found: Counts, base: Counts) -> None:
    """Print a table."""
    width = max(map(len, found))
    print(f"{'benchmark':{width}}  {'ours':>9}  {'base':>9}  {'change':>7}  {'all':>9}  {'base':>9}  {'change':>7}")
    for name, counts in found.items():
        row = f"{name:{width}}"
        for i, now in enumerate(counts):
            before = base[name][i] if name in base else None
            change = "new" if before is None else f"{(now - before) / max(before, 1):+.1%}"
            row += f"  {now:9}  {'' if before is None else before:>9}  {change:>7}"
        print(row)


def faults(found: Counts, base: Counts) -> list[str]:
    """Return a line for each benchmark that costs more than it may. One that runs none of our code is not ours to judge."""
    lines = []
    for name in sorted(set(found) & set(base)):
        for i, what, share, some in TOLERANCES:
            now, before = found[name][i], base[name][i]
            if (found[name][0] or base[name][0]) and now > before * (1 + share) + some:
                lines.append(f"{name}: {now} instructions ({what}), more than {share:.0%} above the base of {before}")
    return lines


def differences(found: Counts, base: Counts, chosen: str) -> list[str]:
    """Return a line for each benchmark without a base, and, unless some were chosen, for each base without a benchmark."""
    command = f"{sys.executable} benchmarks/counts.py --save{f' --only {chosen!r}' if chosen else ''}"
    lines = [f"{name}: has no base; `{command}` makes one" for name in sorted(set(found) - set(base))]
    gone = sorted(set(base) - set(found)) if not chosen else []
    return lines + [f"{name}: has a base but was not run; `{command}` drops it" for name in gone]


def save(found: Counts, key: str, chosen: str) -> None:
    """Make `found` the base of `key`; what was not chosen keeps its own."""
    saved = bases()
    saved[key] = (saved.get(key, {}) if chosen else {}) | found
    text = json.dumps(saved, indent=1, sort_keys=True)
    BASE.write_text(re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text) + "\n", encoding="utf-8")


def bases() -> dict[str, Counts]:
    """Return what is saved, by compiler and build of CPython."""
    return json.loads(BASE.read_text(encoding="utf-8")) if BASE.exists() else {}


def main() -> int:
    """Measure, then compare or save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--only", default="", help="a pytest -k expression")
    parser.add_argument(
        "--against", default="", metavar="REVISION", help="of git, to be compared with instead of the base"
    )
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tree", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        return run_benchmarks(args.inside, args.only, args.tree)
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is missing (Debian: apt-get install valgrind)")
    if args.against:
        before, found = measure(args.only, built(args.against)), measure(args.only)
        report(found, before)
        return ended(faults(found, before))
    found, key = measure(args.only), compiler()
    base = bases().get(key, {})
    report(found, base)
    if args.save:
        save(found, key, args.only)
        return 0
    if not base:
        print(f"nothing was compared: there is no base for {key}; --save makes one, --against HEAD^ needs none")
        return 0
    return ended(faults(found, base) + differences(found, base, args.only))


def ended(lines: list[str]) -> int:
    """Print what is wrong; return the exit code."""
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
