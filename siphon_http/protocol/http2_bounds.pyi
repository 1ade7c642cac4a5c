"""Types of http2_bounds.pyx."""

from siphon_http.protocol.http2_stream import Http2Flow

__all__ = ["Http2Bounds"]

class Http2Bounds(Http2Flow):
    """A connection that keeps a bounded amount of content, both ways."""
