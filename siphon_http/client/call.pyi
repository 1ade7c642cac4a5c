"""Types of call.pyx."""

from typing import Self, final

from siphon_http.client.awaited import AwaitedAnswer
from siphon_http.client.request import ClientRequest

__all__ = ["Call"]

@final
class Call(AwaitedAnswer):
    """One call of a client."""

    @property
    def request(self) -> ClientRequest: ...
    def push(self, data: bytes, last: bool) -> bool: ...
    def upload_failed(self, error: Exception) -> None: ...
    @property
    def method(self) -> str: ...
    @property
    def decoded(self) -> bool: ...
    @property
    def url(self) -> str: ...
    def __new__(cls) -> Self: ...
