"""Types of response.pyx: what a handler answers with, and what a client receives."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias, final

from siphon_http._core.headers import Headers

__all__ = ["OnePiece", "Response", "answer_405"]

_FieldValue: TypeAlias = str | list[str] | tuple[str, ...]
_Fields: TypeAlias = Mapping[str, _FieldValue] | Sequence[tuple[str, _FieldValue]]
_Piece: TypeAlias = bytes | bytearray | memoryview
_Stream: TypeAlias = Iterable[_Piece] | AsyncIterable[_Piece]

@final
class Response:
    """An answer: what a handler returns.

    headers: dict of str to str or list of str, list of pairs, or Headers. body: bytes, bytearray, memoryview, str (sent
    as UTF-8), None, or an (async) iterator of bytes, which is streamed. Raises TypeError or ValueError for a bad status,
    header or body.
    """

    def __init__(
        self, status: int = 200, headers: _Fields | None = None, body: _Piece | str | _Stream | None = None
    ) -> None: ...
    @property
    def status(self) -> int:
        """Status code, 200 to 599; assignable."""

    @status.setter
    def status(self, value: int) -> None: ...
    @property
    def headers(self) -> Headers:
        """Header fields: a live, checked mapping of lower-case names; assignable."""

    @headers.setter
    def headers(self, value: _Fields | None) -> None: ...
    @property
    def body(self) -> bytes | Any:  # whoever streams knows it; the others need no check for bytes
        """Content: bytes (b"" when none), or the iterator when it is streamed; assignable."""

    @body.setter
    def body(self, value: _Piece | str | _Stream | None) -> None: ...
    @property
    def text(self) -> str:
        """Content as str, by the charset of Content-Type, else UTF-8."""

    def header(self, name: str) -> str | None:
        """Return the value of one header field, in any case, or None; repeats joined."""

    def header_list(self, name: str) -> list[str]:
        """Return all values of a repeated field, in order."""

    def json(self) -> Any:
        """Return the content parsed as JSON. Raises ValueError when it is not."""

    def raise_for_status(self) -> Self:
        """Return self, or raise HttpStatusError for 400 and above."""

    @property
    def url(self) -> str | None:
        """URL that a client's answer came from, after redirects; None for a script's own."""

    @property
    def http_version(self) -> Literal["1.0", "1.1", "2"] | None:
        """Protocol version of a client's answer; None for a script's own."""

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds that the phases of a client's exchange took; {} for a script's own."""

    def stream(self) -> AsyncIterator[bytes]:
        """Return an async iterator over the content of a client's answer, in pieces."""

    async def read(self) -> bytes:
        """Return the whole content, reading what is left of a stream."""

    async def close(self) -> None:
        """Leave what is not read of a streamed answer."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, kind: object, error: object, traceback: object) -> None: ...

def answer_405(allow: bytes, options: bool) -> Response: ...

@final
class OnePiece:
    """An async iterator over content that is whole."""

    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> bytes: ...
