"""Types of http2_link.pyx."""

from h2.connection import H2Connection
from typing_extensions import disjoint_base

__all__ = ["Http2Link"]

@disjoint_base
class Http2Link:
    """h2 beside the streams that it does not see, and the way out for both."""

    @property
    def connection(self) -> H2Connection: ...
    @property
    def highest_stream(self) -> int: ...
    @property
    def send_window(self) -> int: ...
    def flush(self) -> None: ...
