"""Types of request_id.pyx."""

from contextvars import Context, ContextVar
from typing import Final

__all__ = ["FIELD", "current_id", "is_request_id", "new_id", "run_with_id"]

FIELD: Final = "x-request-id"
CURRENT: ContextVar[str | None]

def current_id() -> str | None:
    """Return the id of the request that the running code answers, or None."""

def run_with_id(context: Context, request_id: str) -> None:
    """Let code that runs in `context` have this id."""

def new_id() -> str:
    """Return a new id: 32 hexadecimal digits."""

def is_request_id(text: str) -> bool:
    """Tell whether a client's id is fit to be kept."""
