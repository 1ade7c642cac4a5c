"""Types of headers.pyx."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import ClassVar, TypeVar, final, overload

__all__ = ["Headers", "check_name", "check_value", "serialise_head"]

_T = TypeVar("_T")

# In the build a virtual subclass of MutableMapping. Views are lists there: a snapshot, not live.
@final
class Headers(MutableMapping[str, str]):
    """Fields of an answer: lower-case names to values, live, and checked on every change."""

    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __getitem__(self, name: str, /) -> str: ...
    def __setitem__(self, name: str, value: str | list[str] | tuple[str, ...], /) -> None: ...
    def __delitem__(self, name: str, /) -> None: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    @overload
    def get(self, name: str, default: None = None) -> str | None:
        """Return the value of `name`, or `default`."""

    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: _T) -> str | _T: ...
    def getlist(self, name: str) -> list[str]:
        """Return all values of `name`, in order."""

    def add(self, name: str, value: str) -> None:
        """Append a field, beside those of the same name."""

    def pairs(self) -> list[tuple[str, str]]:
        """Return all fields in order; repeats stay apart."""

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        """Return (name, value) for each name; repeats joined."""

    def keys(self) -> list[str]:  # type: ignore[override]
        """Return the names, each once."""

    def values(self) -> list[str]:  # type: ignore[override]
        """Return the value for each name; repeats joined."""

    @overload
    def pop(self, name: str) -> str:
        """Remove `name` and return its value; `default`, or KeyError, when it is not there."""

    @overload
    def pop(self, name: str, default: str, /) -> str: ...
    @overload
    def pop(self, name: str, default: _T, /) -> str | _T: ...
    def setdefault(self, name: str, default: str = "") -> str:
        """Return the value of `name`, set to `default` first when it is not there."""

    def update(  # type: ignore[override]
        self,
        other: Mapping[str, str | list[str] | tuple[str, ...]]
        | Iterable[tuple[str, str | list[str] | tuple[str, ...]]] = (),
        /,
        **more: str | list[str] | tuple[str, ...],
    ) -> None:
        """Set fields from a mapping or pairs, and by name."""

    def clear(self) -> None:
        """Remove all fields."""

    def popitem(self) -> tuple[str, str]:
        """Remove the last name with its value, and return both."""

def check_name(name: str) -> str: ...
def check_value(value: str) -> str: ...
def serialise_head(status: int, fields: list[str], length: int, flags: int = 0) -> bytes: ...
