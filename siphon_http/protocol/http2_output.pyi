"""Types of http2_output.pyx. All that it offers is for Cython: see http2_output.pxd."""

from typing_extensions import disjoint_base

from siphon_http._core.exchange import Exchange

__all__ = ["Http2Output"]

@disjoint_base
class Http2Output(Exchange):
    """Content of one answer that is kept until it can be sent."""
