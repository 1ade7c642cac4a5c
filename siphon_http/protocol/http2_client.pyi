"""Types of http2_client.pyx. Python drives a connection through `siphon_http.testing`."""

from typing import Self, final

from siphon_http.protocol.answer import Link
from siphon_http.protocol.http2_client_answers import Http2ClientAnswers

__all__ = ["Http2ClientConnection"]

@final
class Http2ClientConnection(Http2ClientAnswers):
    """Client side of one HTTP/2 connection."""

    def __new__(
        cls,
        link: Link,
        max_header_bytes: int = 65536,
        max_headers: int = 128,
        max_streams: int = 256,
        window: int = 1048576,
        through_h2: bool = False,
    ) -> Self: ...
