"""Types of http2_hot.pyx."""

from typing_extensions import disjoint_base

from siphon_http.protocol.http2_bounds import Http2Bounds
from siphon_http.protocol.http2_head import FieldDecoder

__all__ = ["Http2Hot"]

@disjoint_base
class Http2Hot(Http2Bounds):
    """A connection whose plainly opened streams are read and answered beside h2."""

    @property
    def through_h2(self) -> bool: ...
    @property
    def decoder(self) -> FieldDecoder: ...
