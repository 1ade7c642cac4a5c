"""Idle connections: newest first, with expiry."""

from __future__ import annotations

import random

import pytest

from siphon_http._core.idle import IdleEntry, IdleList


def filled(count: int, limit: int = 8, step: float = 1.0) -> tuple[IdleList, list[IdleEntry]]:
    """Return a list with entries "0", "1", ... added `step` seconds apart, each to expire after 100."""
    idle = IdleList(limit)
    entries = [IdleEntry(str(number)) for number in range(count)]
    for number, entry in enumerate(entries):
        idle.add(entry, number * step, number * step + 100)
    return idle, entries


def test_the_newest_is_taken_first() -> None:
    idle, _ = filled(3)
    assert [idle.take(5.0) for _ in range(4)] == ["2", "1", "0", None]
    assert idle.count == 0 and idle.next_expiry() == 0


def test_what_has_expired_is_not_taken_but_given_out_to_be_closed() -> None:
    idle, _ = filled(3)
    assert idle.take(101.0) == "2"
    assert idle.take(101.0) is None
    assert idle.expire(101.0) == ["0", "1"] and idle.count == 0


def test_an_entry_can_be_removed_from_anywhere() -> None:
    for index in range(3):
        idle, entries = filled(3)
        assert idle.remove(entries[index]) == 1
        assert idle.remove(entries[index]) == 0
        assert [idle.take(0.0) for _ in range(2)] == [str(n) for n in (2, 1, 0) if n != index]


def test_an_entry_is_in_one_list_only() -> None:
    idle, entries = filled(1)
    with pytest.raises(ValueError, match="idle already"):
        idle.add(entries[0], 0.0, 1.0)
    assert IdleList(1).remove(entries[0]) == 0


def test_the_oldest_above_the_limit_go_once_they_are_not_needed_for_a_moment() -> None:
    idle, _ = filled(5, limit=2, step=0.1)
    assert idle.next_expiry() == 1.0
    assert idle.expire(0.9) == []
    assert idle.expire(1.15) == ["0", "1"]
    assert idle.next_expiry() == pytest.approx(1.2)
    assert idle.expire(5.0) == ["2"] and idle.count == 2
    assert idle.next_expiry() == pytest.approx(100.3)


def test_the_earliest_expiry_is_found_whatever_the_order() -> None:
    idle = IdleList(8)
    for expires in (30.0, 10.0, 20.0):
        idle.add(IdleEntry(expires), 0.0, expires)
    assert idle.next_expiry() == 10.0
    assert idle.expire(15.0) == [10.0]


def test_an_entry_forgets_its_connection() -> None:
    entry = IdleEntry("x")
    entry.clear()
    assert entry.item is None


@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_stack_with_holes(seed: int) -> None:
    rng = random.Random(seed)
    idle = IdleList(1000)
    model: list[IdleEntry] = []
    for step in range(500):
        draw = rng.random()
        if draw < 0.5:
            entry = IdleEntry(step)
            idle.add(entry, step, step + rng.randrange(1, 60))
            model.append(entry)
        elif draw < 0.7 and model:
            idle.remove(gone := rng.choice(model))
            model.remove(gone)
        elif draw < 0.8:
            expired = [entry for entry in model if entry.expires <= step]
            assert idle.expire(step) == [entry.item for entry in expired]
            model = [entry for entry in model if entry not in expired]
        else:
            fresh = [entry for entry in model if entry.expires > step]
            assert idle.take(step) == (fresh[-1].item if fresh else None)
            if fresh:
                model.remove(fresh[-1])
        assert idle.count == len(model)
        assert idle.next_expiry() == min((entry.expires for entry in model), default=0)
