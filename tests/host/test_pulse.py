"""A loop that does not turn is noticed while it does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from siphon_http.host.pulse import BEAT_SECS, HELD_SECS, SAY_AGAIN_SECS, Pulse

HERE = (str(Path(__file__).parent),)


class Watched:
    """A pulse on a loop of a thread of its own, and what it was told to do later."""

    def __init__(self, limit: float = 30.0) -> None:
        self.later: list[float] = []
        self.loop = asyncio.new_event_loop()
        self.limit = limit
        self.thread = threading.Thread(target=self.run)
        self.made = threading.Event()

    def run(self) -> None:
        self.pulse = Pulse(self.loop, lambda: self.limit, lambda: HERE, later=self.later.append)
        self.made.set()
        self.loop.run_forever()
        self.pulse.close()
        self.loop.close()

    def held_while(self, look: Callable[[Pulse], None]) -> None:
        """Hold the loop while `look` does what it does."""
        holding, release = threading.Event(), threading.Event()

        def handler_that_waits() -> None:
            holding.set()
            release.wait(20)

        self.loop.call_soon_threadsafe(handler_that_waits)
        assert holding.wait(20)
        try:
            look(self.pulse)
        finally:
            release.set()

    def __enter__(self) -> Watched:
        self.thread.start()
        assert self.made.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)


def test_the_line_that_holds_the_loop_is_named_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    def look(pulse: Pulse) -> None:
        now = time.monotonic() + HELD_SECS
        for seconds in (0.0, SAY_AGAIN_SECS / 2, SAY_AGAIN_SECS):
            pulse.look(now + seconds)

    with Watched() as watched:
        watched.held_while(look)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    first = said[0].splitlines()
    assert first[0].startswith("the event loop has been held for 2.")
    assert first[0].endswith("s, nothing is served meanwhile; the process is ended after 30 s")
    assert any("test_pulse.py" in line and "in handler_that_waits" in line for line in first)
    assert "threading.py" in first[-1], "and what it waits in"


def test_a_loop_that_turns_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    with Watched(0) as watched:
        watched.pulse.look(time.monotonic() + BEAT_SECS)
    assert not caplog.records


def test_the_end_is_put_off_while_the_loop_turns_and_called_off_at_the_end() -> None:
    with Watched(2.0) as watched:
        time.sleep(2 * BEAT_SECS + 0.3)
    assert watched.later[-1] == 0 and watched.later[:-1] == [2.0] * (len(watched.later) - 1)
    assert len(watched.later) >= 3


def test_a_process_whose_loop_is_held_ends_with_its_frames() -> None:
    code = (
        "import asyncio, time\nfrom siphon_http.host.pulse import Pulse\n"
        "async def main():\n"
        "    Pulse(asyncio.get_running_loop(), lambda: 0.5, lambda: ())\n"
        "    time.sleep(20)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert ended.returncode == 1
    assert 'File "<string>", line 5 in main' in ended.stderr
