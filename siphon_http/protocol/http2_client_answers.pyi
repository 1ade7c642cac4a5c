"""Types of http2_client_answers.pyx."""

from typing_extensions import disjoint_base

from siphon_http.protocol.http2_client_stream import Http2ClientFlow

__all__ = ["Http2ClientAnswers"]

@disjoint_base
class Http2ClientAnswers(Http2ClientFlow):
    """What frames mean for the exchanges of a connection."""
