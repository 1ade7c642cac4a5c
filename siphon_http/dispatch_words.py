"""What dispatch calls things in its messages."""

from __future__ import annotations

import traceback
from typing import Any

__all__ = ["article", "name_of", "whole_traceback"]


def name_of(function: Any) -> str:
    """Return what a function is called."""
    return getattr(function, "__qualname__", None) or repr(function)


def article(value: object) -> str:
    """Name the type of `value` for a message."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def whole_traceback(error: BaseException) -> str:
    """Format an exception as Python does."""
    return "".join(traceback.format_exception(error))
