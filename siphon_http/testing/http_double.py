"""`harness.http`: the namespace that the script imports, with what a test lays out for its clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from siphon_http._core.message import Response
from siphon_http.extension import HttpNamespace
from siphon_http.testing.outbound import Outbound

__all__ = ["HttpDouble"]

if TYPE_CHECKING:
    _Base = HttpNamespace  # what `__getattr__` gives, as checkers see it
else:
    _Base = object


class HttpDouble(_Base):
    """Everything of `siphon.http` (Response, Client, route, errors ...), and the answers for http.Client."""

    def __init__(self, namespace: HttpNamespace, outbound: Outbound) -> None:
        self._namespace = namespace
        self._outbound = outbound

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return what the script's `http` has."""
            return getattr(self._namespace, name)

    @property
    def sent_requests(self) -> list[dict[str, Any]]:
        """What the script sent with `http.Client`."""
        return self._outbound.sent_requests

    def add_response(self, response: Response | Exception) -> None:
        """Answer the next call of `http.Client` with `response`, or raise it there; first in, first out."""
        self._outbound.add_response(response)

    def set_response(self, path: str, response: Response | Exception) -> None:
        """Answer every call to `path` so, when nothing of `add_response` is left."""
        self._outbound.set_response(path, response)

    def set_default_response(self, response: Response | Exception) -> None:
        """Answer every other call so, instead of 200 without content."""
        self._outbound.set_default_response(response)

    def clear(self) -> None:
        """Forget what was sent, and every answer."""
        self._outbound.clear()
