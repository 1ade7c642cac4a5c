"""Types of http2_head.pyx."""

from collections.abc import Iterable
from typing import Self, final

from h2.exceptions import ProtocolError

from siphon_http._core.hpack import Decoder
from siphon_http._core.message import Request

__all__ = ["CompressionError", "FieldDecoder", "read_request"]

class CompressionError(ProtocolError):
    """A field block cannot be decoded: the connection ends."""

@final
class FieldDecoder:
    """What field blocks are decoded with, by us and by h2: it keeps the fields for us, and hands h2 none."""

    @property
    def decoder(self) -> Decoder: ...
    @property
    def header_table_size(self) -> int: ...
    @header_table_size.setter
    def header_table_size(self, value: int) -> None: ...
    @property
    def max_header_list_size(self) -> int: ...
    @max_header_list_size.setter
    def max_header_list_size(self, value: int) -> None: ...
    @property
    def max_allowed_table_size(self) -> int: ...
    @max_allowed_table_size.setter
    def max_allowed_table_size(self, value: int) -> None: ...
    def __new__(cls, decoder: Decoder) -> Self: ...
    def decode(self, data: bytes, raw: bool = False) -> list[tuple[bytes, bytes]]: ...

def read_request(
    fields: Iterable[tuple[bytes, bytes]], ended: bool = True, max_bytes: int = 65536, max_fields: int = 128
) -> tuple[Request | None, int, int, bytes]: ...
