"""Types of outgoing.pyx."""

from typing import Any, final

__all__ = ["Outgoing", "serialise_fields"]

@final
class Outgoing:
    """One request as it goes out."""

def serialise_fields(headers: Any, is_json: bool = False) -> bytes: ...
