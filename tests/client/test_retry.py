"""What is retried, after which wait, and how the budget bounds it."""

from __future__ import annotations

from typing import Any

import pytest

from siphon_http.client.retry import RetryPolicy, retry_after
from siphon_http.config import RetryConfig
from siphon_http.errors import (
    ClientError,
    ConnectError,
    ConnectTimeout,
    PoolTimeout,
    ReadError,
    ReadTimeout,
    TlsError,
    TotalTimeout,
    WriteError,
    WriteTimeout,
)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A policy whose jitter always draws the longest wait."""

    def __init__(self, config: int | RetryConfig | None = None, **settings: Any) -> None:
        self.clock = Clock()
        settings.setdefault("budget_per_second", 1_000)
        self.policy = RetryPolicy(
            RetryConfig(**settings) if config is None else config, clock=self.clock, draw=lambda: 1.0
        )

    def status(self, status: int = 503, method: str = "GET", attempt: int = 1, **headers: str) -> float | None:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.policy.delay(attempt, method, status, None, fields)

    def error(self, error: ClientError, method: str = "GET") -> float | None:
        return self.policy.delay(1, method, None, error, {})


def test_nothing_is_retried_by_default() -> None:
    rig = Rig(0)
    assert not rig.policy.is_on
    assert rig.status() is None
    assert rig.error(ConnectError("x")) is None


def test_a_number_is_the_number_of_further_tries() -> None:
    rig = Rig(2)
    assert rig.policy.is_on
    assert [rig.status(attempt=attempt) is not None for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_statuses_of_a_passing_trouble_are_retried(status: int) -> None:
    assert Rig().status(status) is not None


@pytest.mark.parametrize("status", [200, 301, 400, 404, 408, 500, 501])
def test_other_statuses_are_the_callers(status: int) -> None:
    assert Rig().status(status) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_idempotent_methods_are_retried(method: str) -> None:
    assert Rig().status(method=method) is not None
    assert Rig().error(ReadError("x"), method) is not None


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
def test_other_methods_are_not_sent_twice(method: str) -> None:
    assert Rig().status(method=method) is None
    assert Rig().error(ReadError("x"), method) is None
    assert Rig(methods=("POST", "PATCH", "PURGE")).status(method=method) is not None


@pytest.mark.parametrize("error", [ConnectError("x"), ConnectTimeout("x")])
def test_what_was_never_sent_is_retried_for_every_method(error: ClientError) -> None:
    assert Rig().error(error, "POST") is not None


@pytest.mark.parametrize("error", [ReadTimeout("x"), WriteError("x"), WriteTimeout("x")])
def test_broken_exchanges_are_retried(error: ClientError) -> None:
    assert Rig().error(error) is not None


@pytest.mark.parametrize("error", [TotalTimeout("x"), PoolTimeout("x"), TlsError("x"), ClientError("x")])
def test_what_would_fail_again_is_not_retried(error: ClientError) -> None:
    assert Rig().error(error) is None


# ---- waits


def test_waits_double_up_to_their_limit() -> None:
    rig = Rig(attempts=9, backoff_ms=100, max_backoff_ms=1_000)
    assert [rig.status(attempt=attempt) for attempt in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_jitter_is_full() -> None:
    policy = RetryPolicy(RetryConfig(backoff_ms=1_000), draw=lambda: 0.0)
    assert policy.delay(1, "GET", 503, None, {}) == 0.0


def test_retry_after_is_waited_for() -> None:
    assert Rig().status(retry_after="3") == 3.1


def test_a_long_retry_after_is_the_callers() -> None:
    assert Rig().status(retry_after="6") is None
    assert Rig(max_retry_after_ms=10_000).status(retry_after="6") == 6.1


def test_retry_after_is_not_heeded_when_switched_off() -> None:
    assert Rig(max_retry_after_ms=0).status(retry_after="3600") == 0.1


def test_an_unreadable_retry_after_is_none() -> None:
    assert Rig().status(retry_after="soon") == 0.1


def test_no_wait_passes_the_total_timeout() -> None:
    policy = Rig().policy
    assert policy.delay(1, "GET", 503, None, {}, left=0.2) == 0.1
    assert policy.delay(1, "GET", 503, None, {}, left=0.1) is None
    assert policy.delay(1, "GET", 503, None, {"retry-after": "2"}, left=2) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 10.0),
        ("Sun Nov  6 08:49:37 1994", None),  # no zone: not worth guessing
        ("Sun, 06 Nov 1994 08:49:17 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("9" * 30, None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("x" * 1000, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, now=784_111_767.0) == seconds


# ---- the budget


def granted(rig: Rig, tries: int) -> int:
    return sum(rig.status() is not None for _ in range(tries))


def test_retries_are_bounded_by_the_share_of_requests() -> None:
    rig = Rig(budget=0.25, budget_per_second=0)
    assert granted(rig, 5) == 0
    for _ in range(40):
        rig.policy.request_begun()
    assert granted(rig, 50) == 10


def test_some_retries_are_free_each_second() -> None:
    rig = Rig(budget=0.0, budget_per_second=10)
    assert granted(rig, 50) == 10
    rig.clock.now += 0.5
    assert granted(rig, 50) == 5
    rig.clock.now += 60
    assert granted(rig, 50) == 10


def test_time_takes_nothing_away_from_what_requests_have_earned() -> None:
    rig = Rig(budget=1.0, budget_per_second=1)
    for _ in range(30):
        rig.policy.request_begun()
    rig.clock.now += 1000
    assert granted(rig, 100) == 31


def test_what_is_earned_is_bounded() -> None:
    rig = Rig(budget=1.0, budget_per_second=0)
    for _ in range(10_000):
        rig.policy.request_begun()
    assert granted(rig, 1_000) == 100


def test_only_granted_retries_are_taken_from_the_budget() -> None:
    rig = Rig(budget=0.0, budget_per_second=1)
    for _ in range(5):
        assert rig.status(200) is None
        assert rig.status(retry_after="100") is None
        assert rig.policy.delay(1, "GET", 503, None, {}, left=0.01) is None
    assert granted(rig, 5) == 1
