"""What only Linux has. A test that needs it is skipped elsewhere, and says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

IS_LINUX = sys.platform == "linux"
READS_PROC = "only on Linux: it reads /proc"


def linux_only(reason: str) -> pytest.MarkDecorator:
    """Return a mark for tests of what other systems do not have."""
    return pytest.mark.skipif(not IS_LINUX, reason=f"only on Linux: {reason}")


needs_proc = pytest.mark.skipif(not IS_LINUX, reason=READS_PROC)


def proc(*parts: object) -> Path:
    """Return a path below /proc. Where there is none the test that asks ends as skipped: not for fixtures' last steps."""
    if not IS_LINUX:
        pytest.skip(READS_PROC)
    return Path("/proc", *map(str, parts))
