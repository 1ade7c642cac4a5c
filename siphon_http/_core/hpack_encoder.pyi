"""Types of hpack_encoder.pyx."""

from typing import final

__all__ = ["Encoder"]

@final
class Encoder:
    """HPACK encoder of one connection as a client."""

    def entries(self) -> list[tuple[bytes, bytes]]: ...
    def encode(
        self, method: bytes, scheme: bytes, authority: bytes, target: bytes, fields: bytes, length: int = -1
    ) -> bytes: ...
    def limit(self, size: int) -> None: ...
