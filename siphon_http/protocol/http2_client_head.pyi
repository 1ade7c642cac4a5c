"""Types of http2_client_head.pyx."""

from typing import Self, final

from siphon_http._core.hpack import Decoder

__all__ = ["AnswerDecoder"]

@final
class AnswerDecoder:
    """What field blocks are decoded with, by us and by h2."""

    header_table_size: int
    max_header_list_size: int
    max_allowed_table_size: int
    def __new__(cls, decoder: Decoder) -> Self: ...
    @property
    def decoder(self) -> Decoder: ...
    def decode(self, data: bytes, raw: object = False) -> list[tuple[bytes, bytes]]: ...
