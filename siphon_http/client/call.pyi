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
    def decoded(self) -> bool: ...
    @property
    def url(self) -> str: ...
    @property
    def http_version(self) -> str: ...
    def __new__(cls) -> Self: ...
