"""Build a copy of the tree with instruments in it, and run the suite there: `make asan`, `make cover`, `make fuzz`.

asan   the suite under address and undefined-behaviour sanitizers of the C compiler, in every process that it starts; what
       is left out there, and why, is in tests/conftest.py
fuzz   the fuzz targets of tests/fuzz under libFuzzer, guided by coverage of C and Python code, with both sanitizers (clang)
cover  lines of the pyx and py files that ran, in the processes that tests start, too; see covered_lines.py, and
       tests/conftest.py for what is left out

The copy lies in build/<kind>, so that the modules that serve are never the instrumented ones.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import covered_lines

ROOT = Path(__file__).resolve().parents[1]
TREE = (
    *("siphon_http", "siphon-stubs", "tests", "benchmarks", "examples", "packaging", "docs", "deploy", "schema"),
    *(".ci", ".github"),
    *("LICENSE", "MANIFEST.in", "Makefile", "README.md", "pyproject.toml", "setup.py"),
)
"""What is copied; tests/source/test_tree.py compares it with what an sdist has."""
LEFT_OUT = shutil.ignore_patterns("*.so", "*.c", "*.html", "__pycache__", "results")


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
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace", f"--parallel={os.cpu_count() or 1}"],
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
    """Run the suite under both sanitizers, its parts at once, and what failed there once more alone.

    A finding, in whatever process, fails the run; a test fails it that fails twice: the first time others were running, and
    everything takes several times as long here.
    """
    build(place, "SIPHON_HTTP_SANITIZE")
    folder = place / "reports"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    begun = time.monotonic()
    parts = [_suite(place, folder, f"part{i}", part) for i, part in enumerate([suite] if suite else PARTS)]
    codes = [part.wait() for part in parts]
    failed = [line for file in folder.glob("failed-*") for line in file.read_text().splitlines()]
    again: list[str] = []
    if failed:
        (folder / "again").write_text("\n".join(dict.fromkeys(failed)))
        codes.append(_suite(place, folder, "again", [f"@{folder / 'again'}"]).wait())
        again = [line for file in folder.glob("failed-again") for line in file.read_text().splitlines()]
    for log in sorted(folder.glob("*.log")):
        print(f"---- {log.name}", *log.read_text(errors="replace").splitlines()[-60:], sep="\n")
    findings = sorted(folder.glob("finding*"))
    for finding in findings:
        print(f"---- {finding.name}", finding.read_text(errors="replace")[:8000], sep="\n")
    minutes = (time.monotonic() - begun) / 60
    print(
        f"{len(findings)} findings; {len(failed)} tests failed at first, {len(again)} of them alone; {minutes:.0f} minutes"
    )
    # 0: all passed, 1: some failed, which was looked at above; anything else: pytest did not come to its end.
    return 1 if findings or again or any(code not in (0, 1) for code in codes) else 0


OTHERS = ("curl", "git", "go", "h2load", "nghttp", "nginx", "node", "openssl", "redis-server", "valgrind", "wrk")
"""Programs that tests start and that are not ours: under the sanitizers some of them hang before they begin."""


def _spared(folder: Path) -> str:
    """Return a PATH on which the programs of others are started without the sanitizers."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name in OTHERS:
        program = shutil.which(name, path=path)
        if program is not None:
            (bin_folder / name).write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {shlex.quote(program)} "$@"\n')
            (bin_folder / name).chmod(0o755)
    return f"{bin_folder}{os.pathsep}{path}"


def _suite(place: Path, folder: Path, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start one pytest under the sanitizers; what it prints, what failed and what was found goes to files of `folder`."""
    env = {
        **os.environ,
        "PATH": _spared(folder),
        "PYTHONPATH": str(place),
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees each object of Python for itself
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:detect_stack_use_after_return=1"
        f":log_path={folder / 'finding-address'}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={folder / 'finding-undefined'}",
        "SIPHON_HTTP_INSTRUMENTED": "asan",
        "PYTHONUNBUFFERED": "1",  # how far it is can be read in its log
        "SIPHON_HTTP_FAILED": str(folder / f"failed-{name}"),
        "SIPHON_HTTP_FUZZ": "4000",
        "SIPHON_HTTP_FUZZ_RUNS": "100",
    }
    words = [sys.executable, "-X", "dev", "-m", "pytest", "-o", "timeout=600", "-rs", *arguments]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(words, cwd=place, env=env, stdout=log, stderr=subprocess.STDOUT)


def cover(place: Path, suite: Sequence[str]) -> int:
    """Run the suite with counters in the C code and coverage around the Python code, and report."""
    build(place, "SIPHON_HTTP_TRACE")
    covered_lines.forget(place)
    env = {**os.environ, "PYTHONPATH": str(place), "SIPHON_HTTP_INSTRUMENTED": "cover", **FEWER_INPUTS}
    ran = subprocess.run(
        [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-o", "timeout=300", *suite],
        cwd=place,
        env=env,
        check=False,
    ).returncode
    return covered_lines.report(place) or ran


def fuzz(place: Path, seconds: int, targets: Sequence[str]) -> int:
    """Run each target for `seconds`, connections for three times as long; what is found is kept in build/fuzz-found."""
    clang = next(filter(shutil.which, ("clang", "clang-19", "clang-16", "clang-15", "clang-14")), None)
    if clang is None:
        raise SystemExit("clang is missing (Debian: apt-get install clang-14 libclang-rt-14-dev)")
    flags = "-fsanitize=fuzzer-no-link -fsanitize-ignorelist=packaging/sanitizer-ignore.txt"
    build(place, "SIPHON_HTTP_SANITIZE", CC=clang, LDSHARED=f"{clang} -shared", CFLAGS=flags)
    atheris = subprocess.check_output(
        [sys.executable, "-c", "import atheris; print(atheris.path())"], text=True
    ).strip()
    env = {
        **os.environ,
        "PATH": _spared(place),
        "PYTHONPATH": str(place),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": str(Path(atheris, "asan_with_fuzzer.so")),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",  # else a finding is printed, and the run passes
    }
    known = subprocess.check_output(
        [sys.executable, "-c", "from tests.fuzz.targets import TARGETS; print(*TARGETS)"],
        cwd=place,
        env=env,
        text=True,
    ).split()
    failed = [target for target in targets or known if not _fuzzed(place, env, target, seconds)]
    if failed:
        print(
            f"found by: {', '.join(failed)}; inputs are in build/fuzz-found: each becomes a file of the corpus",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _fuzzed(place: Path, env: dict[str, str], target: str, seconds: int) -> bool:
    """Run one target; say how many inputs it had, and what of the code they reached at first and in the end."""
    grown = ROOT / "build" / "fuzz-corpus" / target
    found = ROOT / "build" / "fuzz-found" / target
    for path in (grown, found):
        path.mkdir(parents=True, exist_ok=True)
    seconds *= 3 if target.startswith(("http1_", "http2_")) else 1
    words = [sys.executable, "-m", "tests.fuzz.guided", target, f"-max_total_time={seconds}", "-max_len=4096"]
    words += ["-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={found}/"]
    done = subprocess.run(
        [*words, str(grown), str(place / "tests" / "fuzz" / "corpus" / target)],
        cwd=place,
        env=env,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    stats = dict(line.removeprefix("stat::").split(":", 1) for line in done.stderr.splitlines() if "stat::" in line)
    runs = stats.get("number_of_executed_units", "?").strip()
    reached = re.findall(r"^#\d+\t(?:INITED|NEW|REDUCE|pulse|DONE) +cov: (\d+) ft: (\d+)", done.stderr, re.MULTILINE)
    growth = (
        f"edges {reached[0][0]} -> {reached[-1][0]}, features {reached[0][1]} -> {reached[-1][1]}" if reached else ""
    )
    print(f"{target}: {runs} inputs, {growth}, {'FAILED' if done.returncode else 'no finding'}", flush=True)
    if done.returncode:
        finding = re.search(r"^.*(?:runtime error: |ERROR: |Uncaught Python exception)", done.stderr, re.MULTILINE)
        report = done.stderr[finding.start() :] if finding else done.stderr
        print(done.stdout[-4000:], report[:8000], report[8000:][-4000:], sep="")
    return not done.returncode


# At once: the black-box tests wait for a good part of their time.
BLACK_BOX = ("tests/conformance", "tests/client", "tests/host", "tests/examples", "tests/deploy")
PARTS = ([BLACK_BOX[0]], [*BLACK_BOX[1:]], [f"--ignore={folder}" for folder in BLACK_BOX])
FEWER_INPUTS = {"SIPHON_HTTP_FUZZ": "4000", "SIPHON_HTTP_FUZZ_RUNS": "60"}
"""Random inputs find faults by their number; the lines are reached by the first of them."""

SUITES: dict[str, list[str]] = {
    "asan": [],
    "cover": ["--ignore=tests/source", "--ignore=tests/typing"],  # they read files, and run nothing of ours
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
        return fuzz(place, args.seconds, [*args.suite, *more])
    suite = [*args.suite, *more] or SUITES[args.kind]
    return asan(place, suite) if args.kind == "asan" else cover(place, suite)


if __name__ == "__main__":
    sys.exit(main())
