"""Types of http2_bounds.pyx."""

from typing_extensions import disjoint_base

from siphon_http.protocol.http2_stream import Http2Flow

__all__ = ["Http2Bounds"]

@disjoint_base
class Http2Bounds(Http2Flow):
    """A connection that keeps a bounded amount of content, both ways."""
