"""Types of hpack.pyx."""

from typing import Any, Literal, final, overload

from typing_extensions import Buffer

__all__ = ["Decoder", "decode_often", "encode_response", "encode_table_size"]

@final
class Decoder:
    max_allowed_table_size: int
    max_header_list_size: int
    max_fields: int
    header_table_size: int
    def __init__(self, max_header_list_size: int = 65536) -> None: ...
    @overload
    def decode(self, data: Buffer, raw: Literal[True]) -> list[tuple[bytes, bytes]]: ...
    @overload
    def decode(self, data: Buffer, raw: Literal[False] = False) -> list[tuple[str, str]]: ...
    def inspect(self, data: bytes, trailers: bool = False) -> dict[str, Any]: ...
    def entries(self) -> list[tuple[bytes, bytes]]: ...

def decode_often(decoder: Decoder, data: bytes, times: int) -> int: ...
def encode_response(
    status: int, fields: list[tuple[str, str]], length: int = -1, date: bytes | None = None
) -> bytes: ...
def encode_table_size(size: int) -> bytes: ...
