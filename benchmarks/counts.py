"""Count the instructions of the core's benchmarks, and compare them with the saved ones: `make counts`.

    python benchmarks/counts.py            run, compare, exit 1 where a benchmark costs more than TOLERANCE above the base
    python benchmarks/counts.py --save     make what was counted the base
    python benchmarks/counts.py --against HEAD^    build that revision in build/counts, and let what it needs be the base

Times of a shared machine prove nothing; callgrind counts the same instructions each time. The benchmarks are those of
`make bench`. Counted is what is executed inside our own extension modules; what the interpreter spends around them is
shown beside. The base is kept for each compiler and each build of CPython, whose flags are those of our modules, too;
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
TOLERANCE = 0.03
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


def measure(chosen: str, tree: Path = HERE.parent) -> dict[str, tuple[int, int]]:
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


def report(found: dict[str, tuple[int, int]], base: dict[str, int]) -> list[str]:
    """Print a table; return the benchmarks that cost more than they may."""
    worse = []
    width = max(map(len, found))
    print(f"{'benchmark':{width}}  {'ours':>9}  {'base':>9}  {'change':>7}  {'with CPython':>12}")
    for name, (ours, total) in found.items():
        before = base.get(name)
        change = "new" if before is None else f"{(ours - before) / max(before, 1):+.1%}"
        print(f"{name:{width}}  {ours:9}  {'' if before is None else before:>9}  {change:>7}  {total:12}")
        if before is not None and ours > before * (1 + TOLERANCE) + 20:
            worse.append(name)
    return worse


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
        before = {name: ours for name, (ours, _) in measure(args.only, built(args.against)).items()}
        return judged(report(measure(args.only), before))
    found = measure(args.only)
    saved = json.loads(BASE.read_text(encoding="utf-8")) if BASE.exists() else {}
    key = compiler()
    worse = report(found, saved.get(key, {}))
    if args.save:
        saved[key] = dict(
            sorted({**(saved.get(key, {}) if args.only else {}), **{n: c[0] for n, c in found.items()}}.items())
        )
        BASE.write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    if key not in saved:
        print(f"nothing was compared: there is no base for {key}; --save makes one, --against HEAD^ needs none")
    gone = sorted(set(saved.get(key, {})) - set(found)) if not args.only else []
    for name in gone:
        print(f"{name}: has a base but was not run", file=sys.stderr)
    return judged(worse) or bool(gone)


def judged(worse: list[str]) -> int:
    """Name what costs more than it may; return the exit code."""
    for name in worse:
        print(f"{name}: more than {TOLERANCE:.0%} above the base", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
