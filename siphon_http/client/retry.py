"""Whether a failed request is sent again, and when: methods, statuses, back-off, Retry-After, and a budget.

This is apart from the replay of a request that an idle connection's end has met: that one was not processed, is sent
again at once, and counts as no retry.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Final

from siphon_http.config import RetryConfig
from siphon_http.errors import (
    ClientError,
    ConnectError,
    ConnectTimeout,
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)

__all__ = ["RetryPolicy", "retry_after"]

_NOTHING_SENT: Final = (ConnectError, ConnectTimeout)
_BROKEN: Final = (ReadError, ReadTimeout, WriteError, WriteTimeout)
_REMEMBERED: Final = 100  # requests whose share of the budget is kept at most


class RetryPolicy:
    """The retries of one client, and what is left of their budget.

    config: `retries` of the client; clock: seconds that only grow; draw: a number from 0 to 1, for the jitter. It belongs
    to one loop.
    """

    __slots__ = ("_at", "_budget", "_clock", "_config", "_draw", "_most")

    def __init__(
        self,
        config: int | RetryConfig = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._config = RetryConfig(attempts=config) if isinstance(config, int) else config
        self._clock = clock
        self._draw = draw
        self._most = self._config.budget_per_second + self._config.budget * _REMEMBERED
        self._budget = float(self._config.budget_per_second)  # retries that may be made now
        self._at = clock()

    @property
    def is_on(self) -> bool:
        """Whether anything is ever retried; if not, nothing else need be asked."""
        return self._config.attempts > 0

    def request_begun(self) -> None:
        """Count a request (not its retries): each adds its share to the budget."""
        self._budget = min(self._most, self._budget + self._config.budget)

    def delay(
        self,
        attempt: int,
        method: str,
        status: int | None,
        error: ClientError | None,
        headers: Mapping[str, str],
        *,
        left: float | None = None,
    ) -> float | None:
        """Return after how many seconds to send the request again, or None: the answer or error is the caller's.

        attempt: tries so far, from 1; status, headers: of the answer (names in lower case), or error: what kept it from
        coming, unless a limit of ours or a broken rule did, which would come again; left: seconds of the total time-out.

        When nothing was sent any method is sent again, otherwise those of `methods`. A retry that is granted is taken from
        the budget.
        """
        config = self._config
        if attempt > config.attempts or not self._is_worth_it(method, status, error):
            return None
        step = min(config.max_backoff_ms, config.backoff_ms * 2.0 ** (attempt - 1)) / 1000
        wait = self._draw() * step  # full jitter: clients that failed together do not come back together
        asked = (
            retry_after(headers.get("retry-after", "")) if status is not None and config.max_retry_after_ms else None
        )
        if asked is not None:
            if asked * 1000 > config.max_retry_after_ms:
                return None
            wait += asked
        if (left is not None and wait >= left) or not self._spend():
            return None
        return wait

    def _is_worth_it(self, method: str, status: int | None, error: ClientError | None) -> bool:
        if isinstance(error, _NOTHING_SENT):
            return True
        if method not in self._config.methods:
            return False
        return isinstance(error, _BROKEN) if error is not None else status in self._config.statuses

    def _spend(self) -> bool:
        now = self._clock()
        earned = (now - self._at) * self._config.budget_per_second
        # What time earns fills the budget up to one second's worth only; the rest is earned by requests.
        self._budget = max(self._budget, min(self._config.budget_per_second, self._budget + earned))
        self._at = now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True


def retry_after(value: str, *, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After asks for (RFC 9110, 10.2.3), None if it cannot be read.

    now: seconds since 1970, default the clock; a date that has passed asks for 0.
    """
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    from email.utils import parsedate_to_datetime  # slow to import, seldom needed

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))
