from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from siphon_http._core.deadlines import Deadlines
from siphon_http.testing import CallbackDeadline, DeadlinesDriver, ManualClock


def stage() -> tuple[ManualClock, DeadlinesDriver]:
    """Return a clock and a list of deadlines on it."""
    clock = ManualClock()
    driver = DeadlinesDriver(Deadlines(clock.schedule))
    clock.sweep = driver.deadlines.sweep
    return clock, driver


def deadline(driver: DeadlinesDriver, act: Callable[[CallbackDeadline, float], object]) -> CallbackDeadline:
    """Return a deadline that is in the list."""
    one = CallbackDeadline(act)
    driver.add(one)
    return one


def test_what_is_due_is_called_once_at_its_time() -> None:
    clock, driver = stage()
    seen: list[float] = []
    one = deadline(driver, lambda _, now: seen.append(now))
    driver.arm(one, 1005.0)
    clock.advance(4.9)
    assert seen == []
    clock.advance(0.1)
    assert seen == [1005.0]
    assert one.when == 0
    clock.advance(100)
    assert seen == [1005.0]
    assert clock.due is None and driver.deadlines.next_sweep == 0


def test_a_later_time_needs_no_new_timer_and_an_earlier_one_does() -> None:
    clock, driver = stage()
    seen: list[float] = []
    one = deadline(driver, lambda _, now: seen.append(now))
    driver.arm(one, 1005.0)
    for when in range(1006, 1050):
        driver.arm(one, when)
    assert clock.started == 1
    driver.arm(one, 1002.0)
    assert clock.started == 2
    clock.advance(2)
    assert seen == [1002.0]


def test_a_disarmed_deadline_is_not_called() -> None:
    clock, driver = stage()
    seen: list[float] = []
    one = deadline(driver, lambda _, now: seen.append(now))
    driver.arm(one, 1005.0)
    driver.arm(one, 0)
    clock.advance(50)
    assert seen == []


def test_a_deadline_may_be_armed_anew_when_it_expires_and_costs_one_timer_a_sweep() -> None:
    clock, driver = stage()
    seen: list[float] = []

    def again(one: CallbackDeadline, now: float) -> None:
        seen.append(now)
        driver.arm(one, now + 1)

    for _ in range(100):
        driver.arm(deadline(driver, again), 1001.0)
    clock.advance(5)
    assert len(seen) == 500
    assert clock.started == 1 + 5


def test_deadlines_close_together_share_a_sweep() -> None:
    clock, driver = stage()
    sweeps: list[float] = []
    clock.sweep = lambda now: (sweeps.append(now), driver.deadlines.sweep(now))
    for i in range(100):
        driver.arm(deadline(driver, lambda _, now: None), 1001.0 + i * 0.001)
    clock.advance(5)
    assert len(sweeps) <= 7


def test_a_deadline_out_of_the_list_is_neither_armed_nor_called() -> None:
    clock, driver = stage()
    seen: list[float] = []
    one = deadline(driver, lambda _, now: seen.append(now))
    driver.arm(one, 1001.0)
    driver.discard(one)
    driver.discard(one)
    driver.arm(one, 1001.0)
    assert one.when == 0 and driver.deadlines.count == 0
    clock.advance(10)
    assert seen == []


def test_a_deadline_is_in_one_list_only() -> None:
    _, driver = stage()
    _, other = stage()
    one = deadline(driver, lambda _, now: None)
    for target in (driver, other):
        with pytest.raises(ValueError, match="in a list"):
            target.add(one)
    other.discard(one)
    assert driver.members() == [one]


def test_an_error_in_one_deadline_does_not_stop_the_others() -> None:
    clock, driver = stage()
    seen: list[str] = []
    driver.arm(deadline(driver, lambda _, now: seen.append("first")), 1001.0)
    driver.arm(deadline(driver, lambda _, now: 1 / 0), 1001.0)
    driver.arm(deadline(driver, lambda _, now: seen.append("last")), 1001.0)
    with pytest.raises(ZeroDivisionError):
        clock.advance(2)
    clock.advance(2)
    assert sorted(seen) == ["first", "last"]
    driver.arm(driver.members()[0], clock.now + 1)
    clock.advance(2)
    assert len(seen) == 3


def test_the_list_holds_under_every_order_of_calls() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        clock, driver = stage()
        inside: dict[CallbackDeadline, float] = {}
        called: list[CallbackDeadline] = []

        def act(one: CallbackDeadline, now: float, draw: random.Random = draw) -> None:
            assert inside[one] and inside[one] <= now
            inside[one] = 0
            called.append(one)
            change(draw.randrange(6), now)  # also from within a sweep

        def change(kind: int, now: float, draw: random.Random = draw) -> None:
            known = list(inside)
            if kind == 0 or not known:
                one = CallbackDeadline(act)
                driver.add(one)
                inside[one] = 0
            elif kind == 1:
                one = draw.choice(known)
                driver.discard(one)
                del inside[one]
            elif kind < 5:
                one = draw.choice(known)
                inside[one] = draw.choice([0, now + draw.random() * 5])
                driver.arm(one, inside[one])

        for _ in range(60):
            if draw.random() < 0.3:
                clock.advance(draw.random() * 3)
            else:
                change(draw.randrange(6), clock.now)
            assert set(driver.members()) == set(inside)
            assert driver.deadlines.count == len(inside)
            assert all(one.when == when for one, when in inside.items())
            due = [when for when in inside.values() if when]
            assert not due or (clock.due is not None and clock.due <= max(min(due), clock.now + 0.02))
        clock.advance(20)
        assert not any(inside.values()) or max(inside.values()) > clock.now
        assert called or seed
