"""A loop that does not turn is noticed while it does not."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from siphon_http.host.pulse import BEAT_SECS, LOOK_SECS, SAY_AGAIN_SECS, Pulse

HERE = (str(Path(__file__).parent),)


class Still(Pulse):
    """Looks only when it is told to."""

    def _look_on(self) -> None:
        pass


class Watched:
    """A pulse on a loop of a thread of its own, and how often it would have ended the process."""

    def __init__(self, limit: float, kind: type[Pulse] = Still) -> None:
        self.kind = kind
        self.ends = 0
        self.loop = asyncio.new_event_loop()
        self.limit = limit
        self.thread = threading.Thread(target=self.run)
        self.made = threading.Event()

    def end(self) -> None:
        self.ends += 1

    def run(self) -> None:
        self.pulse = self.kind(self.loop, lambda: self.limit, lambda: HERE, end=self.end)
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
        for seconds in range(int(SAY_AGAIN_SECS) + 4):
            pulse.look(1000.0 + seconds, 1.0)

    with Watched(100.0) as watched:
        watched.held_while(look)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and watched.ends == 0
    first = said[0].splitlines()
    assert re.match(
        r"the event loop has been held for [23] s, nothing is served meanwhile; the process ends after 100 s", first[0]
    )
    assert any("test_pulse.py" in line and "in handler_that_waits" in line for line in first)
    assert "threading.py" in first[-1], "and what it waits in"


def test_a_process_ends_when_its_loop_was_held_for_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    ends = []

    def look(pulse: Pulse) -> None:
        for seconds in range(6):
            ends.append(watched.ends)
            pulse.look(1000.0 + seconds, 1.0 if seconds else 0.0)

    with Watched(4.5) as watched:
        watched.held_while(look)
    assert ends == [0] * 6 and watched.ends == 1
    assert (
        caplog.records[-1]
        .getMessage()
        .splitlines()[0]
        .endswith("held for 5 s, nothing is served meanwhile; the process ends")
    )


def test_a_process_that_stood_still_as_a_whole_is_not_taken_for_one_that_hangs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def look(pulse: Pulse) -> None:
        for seconds in (0, 100, 200, 300):
            pulse.look(1000.0 + seconds, 100.0)

    with Watched(5.0) as watched:
        watched.held_while(look)
    assert watched.ends == 0 and not caplog.records


def test_without_a_limit_nothing_ends(caplog: pytest.LogCaptureFixture) -> None:
    def look(pulse: Pulse) -> None:
        for seconds in range(50):
            pulse.look(1000.0 + seconds, 1.0)

    with Watched(0) as watched:
        watched.held_while(look)
    assert watched.ends == 0 and caplog.records[0].getMessage().splitlines()[0].endswith("nothing is served meanwhile")


def test_a_loop_that_turns_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    with Watched(0.5, Pulse) as watched:
        time.sleep(LOOK_SECS + BEAT_SECS)
    assert not caplog.records and watched.ends == 0


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
