"""What happens later, and again and again."""

from typing import Final

from siphon_http.host.timer import TimerNamespace

_namespace: TimerNamespace

every = _namespace.every
set = _namespace.set
cancel = _namespace.cancel

active_count: Final[int]
"""Timers of `set` that are still to happen."""
