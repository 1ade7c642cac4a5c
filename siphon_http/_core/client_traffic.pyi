"""Types of client_traffic.pyx."""

from typing import final

from siphon_http._core.counters import Counters

__all__ = ["OTHER", "ClientCounts", "ClientTraffic", "MethodCounts"]

METHODS: frozenset[str]
OTHER: str

@final
class MethodCounts:
    """Calls of one client with one method."""

    @property
    def method(self) -> str: ...

@final
class ClientCounts:
    """Numbers of one client."""

    @property
    def client(self) -> str: ...

@final
class ClientTraffic:
    """What all clients of one http.yaml count."""

    @property
    def counters(self) -> Counters: ...
    def client(self, name: str | None) -> ClientCounts: ...
    def attach(self, counters: Counters) -> int: ...
