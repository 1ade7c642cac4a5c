"""Threads of the host's own leave signals to the main thread."""

from __future__ import annotations

import signal
import threading

from siphon_http.host.background import FOR_THE_MAIN_THREAD, start


def test_a_thread_blocks_what_stops_and_reloads_and_its_maker_does_not() -> None:
    seen: list[set[signal.Signals | int]] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    thread = threading.Thread(target=lambda: seen.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    start(thread)
    thread.join(20)
    assert seen == [before | FOR_THE_MAIN_THREAD]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
