"""Types of http2_client_stream.pyx."""

from typing import final

from typing_extensions import disjoint_base

from siphon_http.protocol.answer import ClientProtocol

__all__ = ["ClientStream", "Http2ClientFlow"]

@final
class ClientStream:
    """One exchange."""

@disjoint_base
class Http2ClientFlow(ClientProtocol):
    """What the exchanges of one connection share."""

    @property
    def through_h2(self) -> bool: ...
