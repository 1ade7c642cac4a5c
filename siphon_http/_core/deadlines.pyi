"""Types of deadlines.pyx."""

from collections.abc import Callable
from typing import final

from typing_extensions import disjoint_base

__all__ = ["Deadline", "Deadlines"]

@disjoint_base
class Deadline:
    """Something that may fall due; what happens then is for Cython subclasses to say."""

    @property
    def when(self) -> float:
        """Seconds on the owner's clock; 0 = nothing is due."""

@final
class Deadlines:
    """All deadlines of one loop."""

    @property
    def count(self) -> int: ...
    @property
    def next_sweep(self) -> float:
        """When the owner's timer fires, seconds; 0 = no timer runs."""

    def __init__(self, schedule: Callable[[float], object]) -> None: ...
    def sweep(self, now: float) -> int: ...
