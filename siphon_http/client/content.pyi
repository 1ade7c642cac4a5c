"""Types of content.pyx."""

from typing import Self, final

from siphon_http.client.call import Call

__all__ = ["ContentReader"]

@final
class ContentReader:
    """Async iterator over the content of an answer."""

    def __new__(cls, call: Call) -> Self: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> bytes: ...
    def close(self) -> None: ...
