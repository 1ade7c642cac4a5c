"""Types of traffic.pyx."""

from typing import final

from siphon_http._core.counters import Counters

__all__ = ["CLIENT_LEFT", "DURATIONS", "RouteCounts", "Traffic"]

CLIENT_LEFT: int
DURATIONS: tuple[float, ...]

@final
class RouteCounts:
    """Numbers of one route."""

    @property
    def route(self) -> str: ...
    @property
    def content(self) -> int: ...
    @property
    def trials(self) -> int: ...

@final
class Traffic:
    """What one loop's listeners and handlers count."""

    @property
    def counters(self) -> Counters: ...
    def __init__(self, counters: Counters | None = None) -> None: ...
    def route(self, pattern: str) -> RouteCounts: ...
