"""Types of answer_head.pyx."""

from typing import Any

__all__ = ["inspect_answer"]

def inspect_answer(data: bytes, max_bytes: int = 65536, max_fields: int = 256) -> tuple[int, dict[str, Any]]: ...
