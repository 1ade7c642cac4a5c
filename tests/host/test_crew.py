"""Workers that cannot start: when the next one is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from siphon_http.errors import ConfigError, TlsMaterialError
from siphon_http.host import crew
from siphon_http.host.crew import Crew
from siphon_http.host.orders import Report


class FakeChild:
    """A worker that reports and ends as the next entry of `lives` says: ready, or failed with an exit code."""

    lives: ClassVar[list[int | None]] = []

    def __init__(self, index: int, slot: object, *, heard: Callable[[Any, Report], None]) -> None:
        self.index, self.slot, self.pid, self.began = index, slot, 0, 0.0
        self.ready = self.draining = self.drained = False
        self.failure: Report | None = None
        self.end, self._heard = "", heard
        self.code: int | None = None

    def start(self, assignment: object) -> None:
        failure = self.lives.pop(0)
        report = {"is": "ready"} if failure is None else {"is": "failed", "text": "no", "code": failure}
        asyncio.get_running_loop().call_soon(self._heard, self, report)
        self.code = failure

    def poll(self) -> int | None:
        return self.code


@pytest.mark.parametrize(("code", "waits"), [(TlsMaterialError.exit_code, 2), (ConfigError.exit_code, 30)])
async def test_while_certificates_are_bad_a_worker_is_tried_every_two_seconds(
    monkeypatch: pytest.MonkeyPatch, code: int, waits: float
) -> None:
    monkeypatch.setattr(crew, "Child", FakeChild)
    monkeypatch.setattr(FakeChild, "lives", [None, *[code] * 12, None])
    loop = asyncio.get_running_loop()
    staff = Crew(lambda index: None, lambda child, report: None)  # type: ignore[arg-type,return-value]
    await staff.man(1)
    post = staff.posts[0]
    post.child.code = -9  # type: ignore[union-attr]
    last = 0.0
    for _ in range(12):
        staff.reap()
        assert post.timer is not None
        last = post.timer.when() - loop.time()
        staff.hurry()
        await asyncio.sleep(0)
    assert last == pytest.approx(waits, abs=0.1)
    staff.close()
