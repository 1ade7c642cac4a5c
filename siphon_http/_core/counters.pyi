"""Types of counters.pyx."""

from collections.abc import Mapping
from typing import final

from typing_extensions import Buffer

__all__ = ["LEDGER_BYTES", "Cell", "Counters", "label_text"]

LEDGER_BYTES: int

@final
class Cell:
    """One number of a series."""

    @property
    def owner(self) -> Counters: ...
    def add(self, amount: int = 1) -> int: ...
    def put(self, value: int) -> int: ...
    def get(self) -> int: ...

@final
class Counters:
    """All series of one writer, in one ledger."""

    @property
    def dropped(self) -> int: ...
    def __init__(self, buffer: Buffer | None = None) -> None: ...
    def counter(self, name: str, help: str, **labels: object) -> Cell: ...
    def gauge(self, name: str, help: str, *, local: bool = False, seconds: bool = False, **labels: object) -> Cell: ...

def label_text(labels: Mapping[str, object]) -> str:
    """Return labels as Prometheus writes them."""
