"""Types of access.pyx."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, final

__all__ = ["AccessLog", "Lines", "masked_url"]

FLUSH_SECONDS: float
PARTS: dict[str, int]
SECRET: str
USERINFO: str

@final
class Lines:
    """Whole lines of an access log: a buffer of ASCII, and `str()` of it."""

    def __len__(self) -> int: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class AccessLog:
    """The access log of one listener on one loop."""

    def __init__(
        self,
        parts: Iterable[tuple[str, str]],
        *,
        json: bool,
        combined: bool,
        listener: str,
        emit: Callable[[Lines], object],
        call_later: Callable[..., Any],
    ) -> None: ...
    def flush(self) -> None: ...

def masked_url(url: str) -> str:
    """Return a target or URL without user information and without the values of secrets in its query."""
