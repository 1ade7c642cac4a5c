"""Types of request_id.pyx."""

from contextvars import ContextVar
from typing import Final

__all__ = ["FIELD", "current_id", "is_request_id", "new_id", "seed"]

FIELD: Final = "x-request-id"
CURRENT: ContextVar[str | None]

def current_id() -> str | None:
    """Return the id of the request that the running code answers, or None."""

def new_id() -> str:
    """Return a new id: 32 hexadecimal digits."""

def seed(first: int, second: int) -> None:
    """Let the process's ids begin at these random bits."""

def is_request_id(text: str) -> bool:
    """Tell whether a client's id is fit to be kept."""
