"""Frozen dataclasses whose methods are shared: to the outside they are what `dataclasses.dataclass` makes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from siphon_http import records


def make(dataclass: Callable[..., Any]) -> tuple[type[Any], type[Any], type[Any]]:
    """Return classes made by one of the two decorators: positional, keywords only, and compared by identity."""

    @dataclass(frozen=True, slots=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        secret: str = dataclasses.field(default="s", repr=False, compare=False)

        def __str__(self) -> str:
            return f"{self.x}/{self.y}"

        @property
        def total(self) -> int:
            return self.x + self.y

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        """Keywords only."""

        name: str
        more: list[int] = dataclasses.field(default_factory=list)

        def __repr__(self) -> str:
            return f"<{self.name}>"

    @dataclass(frozen=True, slots=True, kw_only=True, eq=False)
    class Place:
        """Each is another one."""

        index: int = 0

    return Point, Named, Place


@records.dataclass(frozen=True, slots=True)
class Stored:
    """Can be found again by its name."""

    a: int
    b: tuple[int, ...] = ()


PAIRS = list(zip(make(dataclasses.dataclass), make(records.dataclass), strict=True))
CLASSES = pytest.mark.parametrize("generated, shared", PAIRS, ids=lambda one: one.__name__)


@CLASSES
def test_fields_signature_and_slots_are_the_same(generated: Any, shared: Any) -> None:
    wanted = [(f.name, f.type, f.default, f.kw_only, f.compare, f.repr) for f in dataclasses.fields(generated)]
    assert [(f.name, f.type, f.default, f.kw_only, f.compare, f.repr) for f in dataclasses.fields(shared)] == wanted
    assert str(inspect.signature(shared)) == str(inspect.signature(generated))
    assert shared.__slots__ == generated.__slots__ and shared.__match_args__ == generated.__match_args__
    assert shared.__doc__ == generated.__doc__


CALLS: list[tuple[int, tuple[Any, ...], dict[str, Any]]] = [
    (0, (1,), {}),
    (0, (1, 3), {"secret": "other"}),
    (0, (), {"x": 1, "y": 3}),
    (1, (), {"name": "a"}),
    (1, (), {"name": "a", "more": [1]}),
    (2, (), {}),
]


@pytest.mark.parametrize("which, args, values", CALLS)
def test_instances_look_and_are_replaced_the_same(which: int, args: tuple[Any, ...], values: dict[str, Any]) -> None:
    one, other = (cls(*args, **values) for cls in PAIRS[which])
    assert repr(other) == repr(one) and dataclasses.asdict(other) == dataclasses.asdict(one)
    assert str(other) == str(one)
    last = dataclasses.fields(other)[-1].name
    assert getattr(dataclasses.replace(other, **{last: "new"}), last) == "new"
    assert dataclasses.asdict(copy.copy(other)) == dataclasses.asdict(copy.deepcopy(other)) == dataclasses.asdict(one)


@pytest.mark.parametrize(
    "which, args, values",
    [(0, (), {}), (0, (1, 2, "s", 4), {}), (0, (1,), {"x": 2}), (0, (1,), {"z": 2}), (1, ("a",), {}), (1, (), {"more": []})],
)  # fmt: skip
def test_wrong_arguments_are_refused_by_both(which: int, args: tuple[Any, ...], values: dict[str, Any]) -> None:
    for cls in PAIRS[which]:
        with pytest.raises(TypeError, match=cls.__name__):
            cls(*args, **values)


def test_equality_and_hash_heed_what_is_compared() -> None:
    for point, _named, place in (make(dataclasses.dataclass), make(records.dataclass)):
        assert point(1) == point(1, 2, "other") and hash(point(1)) == hash(point(1, 2, "other"))
        assert point(1) != point(2) and point(1) != (1, 2)
        assert point(1, 2).total == 3
        assert place() != place() and len({place(), place()}) == 2
    assert make(records.dataclass)[0](1) != make(records.dataclass)[0](1)  # another class


def test_a_hash_of_what_has_none_is_refused() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(PAIRS[1][1](name="a"))


@CLASSES
def test_nothing_can_be_set_or_deleted(generated: Any, shared: Any) -> None:
    for cls in (generated, shared):
        one = cls(name="a") if cls.__name__ == "Named" else cls() if cls.__name__ == "Place" else cls(1)
        name = dataclasses.fields(one)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(one, name, 2)
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            delattr(one, name)
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            one.unknown = 1


def test_defaults_of_a_factory_are_not_shared() -> None:
    named = PAIRS[1][1]
    assert named(name="a").more is not named(name="a").more


def test_an_instance_survives_pickle() -> None:
    assert pickle.loads(pickle.dumps(Stored(1, (2,)))) == Stored(1, (2,))


def test_classes_that_can_change_are_not_for_it() -> None:
    with pytest.raises(TypeError, match="frozen"):
        records.dataclass(frozen=False, slots=True)  # type: ignore[call-overload, unused-ignore]
