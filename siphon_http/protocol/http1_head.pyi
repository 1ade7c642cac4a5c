"""Types of http1_head.pyx."""

from typing import Any

__all__ = ["inspect_head"]

def inspect_head(data: bytes, max_bytes: int = 65536, max_fields: int = 128) -> tuple[int, dict[str, Any]]: ...
