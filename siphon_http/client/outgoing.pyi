"""Types of outgoing.pyx."""

from typing import Any, final

from siphon_http.client.request import ClientRequest

__all__ = ["Outgoing", "check_request", "serialise_fields"]

@final
class Outgoing:
    """One request as it goes out."""

def check_request(request: ClientRequest, base: str) -> None: ...
def serialise_fields(headers: Any, is_json: bool = False) -> bytes: ...
