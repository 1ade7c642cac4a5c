"""Build a copy of the tree with instruments in it, and run the suite there: `make asan`, `make cover`, `make fuzz`.

asan   address and undefined-behaviour sanitizers of the C compiler; the first finding ends the run
fuzz   the fuzz targets of tests/fuzz under libFuzzer, guided by coverage of the C code, with both sanitizers (clang)
cover  line tracing of the pyx files; prints the lines that no test reached and fails below the mark in FLOOR

The copy lies in build/<kind>, so that the modules that serve are never the instrumented ones.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = (
    "siphon_http",
    "siphon-stubs",
    "tests",
    "examples",
    "docs",
    "benchmarks",
    "packaging",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "Makefile",
)
LEFT_OUT = shutil.ignore_patterns("*.so", "*.c", "*.html", "__pycache__", "results")
FLOOR = 90
"""Per cent of the lines, Cython and Python, that the suite must reach."""


def copy_tree(kind: str) -> Path:
    """Copy the sources into build/<kind>, keeping what was built there from sources that have not changed since."""
    target = ROOT / "build" / kind
    for name in TREE:
        source = ROOT / name
        if source.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
        elif source.is_dir():
            shutil.copytree(source, target / name, ignore=LEFT_OUT, dirs_exist_ok=True)
    for extra in ("LICENSE", "schema", "deploy"):
        if (ROOT / extra).is_dir():
            shutil.copytree(ROOT / extra, target / extra, ignore=LEFT_OUT, dirs_exist_ok=True)
        elif (ROOT / extra).exists():
            shutil.copy2(ROOT / extra, target / extra)
    forget_removed(target)
    return target


def forget_removed(target: Path) -> None:
    """Delete copies of files that the tree has no more, with what was built from them."""
    for file in [*target.glob("siphon_http/**/*.py*"), *target.glob("tests/**/*.py")]:
        if not (ROOT / file.relative_to(target)).exists() and "__pycache__" not in file.parts:
            for built in file.parent.glob(f"{file.stem}.*"):
                built.unlink()


def build(place: Path, switch: str, **compiler: str) -> None:
    """Build the extension modules in place with one switch of setup.py; compiler: CC and its like."""
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=place,
        env={**os.environ, switch: "1", **compiler},
        check=True,
    )


def runtime(name: str) -> str:
    """Return the path of a runtime library of the C compiler."""
    found = subprocess.check_output([os.environ.get("CC", "cc"), f"-print-file-name={name}"], text=True).strip()
    if not Path(found).is_absolute():
        raise SystemExit(f"{name} is missing (Debian: apt-get install libasan8 libubsan1, or the gcc package)")
    return found


def asan(place: Path, suite: Sequence[str]) -> int:
    """Run the suite under both sanitizers."""
    build(place, "SIPHON_HTTP_SANITIZE")
    env = {
        **os.environ,
        "PYTHONPATH": str(place),
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees each object of Python for itself
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "SIPHON_HTTP_INSTRUMENTED": "asan",
    }
    return subprocess.run(
        [sys.executable, "-X", "dev", "-m", "pytest", "-o", "timeout=300", *suite], cwd=place, env=env, check=False
    ).returncode


def cover(place: Path, suite: Sequence[str]) -> int:
    """Run the suite with line tracing and report; black-box tests run too, but their processes are not traced."""
    build(place, "SIPHON_HTTP_TRACE")
    env = {**os.environ, "PYTHONPATH": str(place), "COVERAGE_CORE": "ctrace", "SIPHON_HTTP_INSTRUMENTED": "cover"}
    ran = subprocess.run(
        [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-o", "timeout=300", *suite],
        cwd=place,
        env=env,
        check=False,
    ).returncode
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "report", f"--fail-under={FLOOR}"],
        cwd=place,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    print(report.stdout, report.stderr, sep="")
    traced = subprocess.run(
        [sys.executable, "-m", "coverage", "report", "--include=*.pyx", "--skip-covered", "--format=total"],
        cwd=place,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    if traced.returncode:
        print("the report holds no line of a pyx file: the traced build did not trace", file=sys.stderr)
        return 1
    print(f"pyx files alone: {traced.stdout.strip()} %")
    return ran or report.returncode


def fuzz(place: Path, seconds: int, targets: Sequence[str]) -> int:
    """Run each target for `seconds` from its corpus; what is found is kept in build/fuzz-found/<target>."""
    clang = next(filter(shutil.which, ("clang", "clang-19", "clang-16", "clang-15", "clang-14")), None)
    if clang is None:
        raise SystemExit("clang is missing (Debian: apt-get install clang-14 libclang-rt-14-dev)")
    build(place, "SIPHON_HTTP_SANITIZE", CC=clang, LDSHARED=f"{clang} -shared", CFLAGS="-fsanitize=fuzzer-no-link")
    folder = subprocess.check_output([sys.executable, "-c", "import atheris; print(atheris.path())"], text=True).strip()
    env = {
        **os.environ,
        "PYTHONPATH": str(place),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": str(Path(folder, "asan_with_fuzzer.so")),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    }
    known = subprocess.check_output(
        [sys.executable, "-c", "from tests.fuzz.targets import TARGETS; print(*TARGETS)"],
        cwd=place,
        env=env,
        text=True,
    ).split()
    failed = []
    for target in targets or known:
        grown = ROOT / "build" / "fuzz-corpus" / target
        found = ROOT / "build" / "fuzz-found" / target
        for path in (grown, found):
            path.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "tests.fuzz.guided", target, f"-max_total_time={seconds}", "-max_len=4096"]
        words += [
            "-timeout=20",
            "-rss_limit_mb=4096",
            "-verbosity=0",
            "-print_final_stats=1",
            f"-artifact_prefix={found}/",
        ]
        done = subprocess.run(
            [*words, str(grown), str(place / "tests" / "fuzz" / "corpus" / target)],
            cwd=place,
            env=env,
            check=False,
            capture_output=True,
            text=True,
        )
        stats = dict(line.removeprefix("stat::").split(":", 1) for line in done.stderr.splitlines() if "stat::" in line)
        runs = stats.get("number_of_executed_units", "?").strip()
        print(f"{target}: {runs} inputs, {'no finding' if not done.returncode else 'FAILED'}", flush=True)
        if done.returncode:
            failed.append(target)
            print(done.stdout[-4000:], done.stderr[-12_000:], sep="")
    if failed:
        print(
            f"found by: {', '.join(failed)}; inputs are in build/fuzz-found: each becomes a file of the corpus",
            file=sys.stderr,
        )
    return 1 if failed else 0


SUITES = {
    "asan": [],
    # What starts processes of its own cannot be traced from here; it would only take time.
    "cover": [
        "--ignore=tests/conformance",
        "--ignore=tests/examples",
        "--ignore=tests/source",
        "--ignore=tests/typing",
    ],
}


def main() -> int:
    """Copy, build, run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("asan", "cover", "fuzz"))
    parser.add_argument(
        "suite", nargs="*", help="arguments of pytest, or targets to fuzz; default: all that can be judged"
    )
    parser.add_argument("--seconds", type=int, default=20, help="of fuzzing, for each target")
    args, more = parser.parse_known_args()
    place = copy_tree(args.kind)
    if args.kind == "fuzz":
        return fuzz(place, args.seconds, args.suite)
    suite = [*args.suite, *more] or SUITES[args.kind]
    return asan(place, suite) if args.kind == "asan" else cover(place, suite)


if __name__ == "__main__":
    sys.exit(main())
