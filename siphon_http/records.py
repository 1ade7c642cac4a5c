"""Frozen dataclasses whose methods are not generated: `@dataclass(frozen=True, slots=True)` at a tenth of its cost.

`dataclasses` compiles six functions for each frozen class, which takes 0.4 to 1 ms, and forty such classes stand between
the start of a process and its first answer. Here all classes share the functions below. `fields`, `replace`, `asdict`, `copy`
and `pickle` take them as any dataclass; a type checker sees `dataclasses.dataclass` itself. What is made for each request
or call is better served by generated methods.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields
from dataclasses import dataclass as generated
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]


def _init(self: Any, /, *args: Any, **values: Any) -> None:
    """Set every field: from `args` and `values`, or to its default. Raises TypeError as a generated one does."""
    name = type(self).__qualname__
    positional = self.__match_args__
    if len(args) > len(positional):
        raise TypeError(f"{name}() takes {len(positional)} positional arguments, {len(args)} were given")
    for word, value in zip(positional, args, strict=False):
        if word in values:
            raise TypeError(f"{name}() got multiple values for argument {word!r}")
        values[word] = value
    missing = []
    for field in fields(self):
        value = values.pop(field.name, field.default)
        if value is MISSING:
            factory: Any = field.default_factory
            if factory is MISSING:
                missing.append(repr(field.name))
                continue
            value = factory()
        object.__setattr__(self, field.name, value)
    if missing:
        raise TypeError(f"{name}() lacks the required arguments {', '.join(missing)}")
    if values:
        raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(values))!r}")


def _repr(self: Any) -> str:
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, one.name) for one in fields(self) if one.compare)


def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _setattr(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


class _Signature:
    """What `help` and `inspect.signature` show, made when they ask."""

    def __get__(self, instance: object, owner: Any) -> Any:
        from inspect import Parameter, Signature

        kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        shown = []
        for one in fields(owner):
            default = Parameter.empty if one.default is MISSING else one.default
            default = default if one.default_factory is MISSING else _FACTORY
            shown.append(Parameter(one.name, kinds[bool(one.kw_only)], default=default, annotation=one.type))
        return Signature(shown, return_annotation=None)


class _Factory:
    """Stands for a default that is made anew each time."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()
_METHODS: dict[str, object] = {
    "__signature__": _Signature(),
    "__init__": _init,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
_EQUALITY = {"__eq__": _eq, "__hash__": _hash}

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen, slots, kw_only=False, eq=True):
        """Return a class decorator: `dataclasses.dataclass` with those of its arguments that we need.

        Every field is an argument; there is no `__post_init__`, no order, and no field of a base class.
        """
        if not (frozen and slots):
            raise TypeError("this is for frozen classes with slots; dataclasses.dataclass makes the others")
        methods = _METHODS | _EQUALITY if eq else _METHODS

        def decorate(cls):
            for name, method in methods.items():
                if name not in cls.__dict__:
                    setattr(cls, name, method)
            return generated(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)

        return decorate
