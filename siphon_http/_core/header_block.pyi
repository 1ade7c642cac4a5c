"""Types of header_block.pyx."""

from typing import Any, final

__all__ = ["HeaderBlock", "inspect_fields"]

@final
class HeaderBlock:
    def facts(self) -> dict[str, Any]: ...

def inspect_fields(
    pairs: list[tuple[bytes, bytes]], trailers: bool = False, limit: int = 65536, max_fields: int = 128
) -> dict[str, Any]: ...
