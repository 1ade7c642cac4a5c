"""Types of http2_times.pyx."""

from siphon_http._core.message import Request
from siphon_http.protocol.http2_hot import Http2Hot

__all__ = ["Http2Times"]

class Http2Times(Http2Hot):
    """A connection whose streams have deadlines."""

    def arm(self, request: Request, due: float) -> int: ...
    def expire(self, now: float) -> float: ...
