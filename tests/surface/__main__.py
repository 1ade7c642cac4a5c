"""`python -m tests.surface` accepts what has changed."""

from __future__ import annotations

from tests.surface.listing import FILE, surface

FILE.write_text(surface(), encoding="utf-8")
