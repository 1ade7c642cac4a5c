"""Extension modules and build switches; everything else is in pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
TRACE = os.environ.get("SIPHON_HTTP_TRACE") == "1"
SANITIZE = os.environ.get("SIPHON_HTTP_SANITIZE") == "1"
ANNOTATE = os.environ.get("SIPHON_HTTP_ANNOTATE") == "1"

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "embedsignature": True,
    "embedsignature.format": "python",
}
# freethreading_compatible is not among them: nothing of this has run without the GIL, so importing a module turns it on.


def compile_args() -> list[str]:
    """Return the compiler's arguments for the switches that are on."""
    if TRACE:
        return ["-O0", "--coverage"]
    if SANITIZE:
        return ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    return ["-O2", "-fno-plt", "-fvisibility=hidden", "-g0"]


def extension(path: Path) -> Extension:
    """Return the extension module for one pyx file."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    link = ["--coverage"] if TRACE else ["-fsanitize=address,undefined"] if SANITIZE else []
    return Extension(
        name,
        [str(path.relative_to(ROOT))],
        extra_compile_args=compile_args(),
        extra_link_args=link,
    )


class BuildExt(build_ext):
    """Translates and compiles on all cores, and only when extensions are built: an sdist needs no C."""

    def finalize_options(self) -> None:
        """As the base class; `--parallel` is every core unless told."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def run(self) -> None:
        """Build what there is to build."""
        translated = cythonize(
            list(self.extensions),
            compiler_directives=DIRECTIVES,
            annotate=ANNOTATE,
            force=self.force or None,
            nthreads=self.parallel,
        )
        sources = {one.name: one.sources for one in translated}
        for one in self.extensions:
            one.sources = sources[one.name]
        super().run()


# Where processes are not forked (macOS, and from Python 3.14 on everywhere) those that translate import this file, too.
if __name__ == "__main__":
    setup(
        ext_modules=[extension(path) for path in sorted((ROOT / "siphon_http").rglob("*.pyx"))],
        cmdclass={"build_ext": BuildExt},
    )
