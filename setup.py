"""Extension modules and build switches; everything else is in pyproject.toml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
TRACE = os.environ.get("SIPHON_HTTP_TRACE") == "1"
SANITIZE = os.environ.get("SIPHON_HTTP_SANITIZE") == "1"
ANNOTATE = os.environ.get("SIPHON_HTTP_ANNOTATE") == "1"

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "embedsignature": True,
    "embedsignature.format": "python",
    "freethreading_compatible": True,
    "linetrace": TRACE,
}


def compile_args() -> list[str]:
    """Return the compiler's arguments for the switches that are on."""
    if sys.platform == "win32":
        return []
    if SANITIZE:
        return ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    return ["-O2", "-fno-plt", "-fvisibility=hidden", "-g0"]


def extension(path: Path) -> Extension:
    """Return the extension module for one pyx file."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    macros = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if TRACE else []
    link = ["-fsanitize=address,undefined"] if SANITIZE else []
    return Extension(
        name,
        [str(path.relative_to(ROOT))],
        define_macros=macros,
        extra_compile_args=compile_args(),
        extra_link_args=link,
    )


setup(
    ext_modules=cythonize(
        [extension(p) for p in sorted((ROOT / "siphon_http").rglob("*.pyx"))],
        compiler_directives=DIRECTIVES,
        annotate=ANNOTATE,
        nthreads=0 if sys.platform == "win32" else os.cpu_count() or 1,
    )
)
