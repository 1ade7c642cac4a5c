"""Build a copy of the tree with instruments in it, and run the suite there: `make asan`, `make cover`.

asan   address and undefined-behaviour sanitizers of the C compiler; the first finding ends the run
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


def build(place: Path, switch: str) -> None:
    """Build the extension modules in place with one switch of setup.py."""
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=place,
        env={**os.environ, switch: "1"},
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
    parser.add_argument("kind", choices=("asan", "cover"))
    parser.add_argument("suite", nargs="*", help="arguments of pytest; default: what the kind can judge")
    args, more = parser.parse_known_args()
    suite = [*args.suite, *more] or SUITES[args.kind]
    place = copy_tree(args.kind)
    return asan(place, suite) if args.kind == "asan" else cover(place, suite)


if __name__ == "__main__":
    sys.exit(main())
