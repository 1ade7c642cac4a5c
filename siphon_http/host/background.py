"""Threads of the host's own, which signals of the process pass by.

The kernel gives a signal to any thread that takes it. One that another thread gets does not interrupt what the main thread
waits in, and only the main thread runs Python's handlers: a second Ctrl-C would wait for a handler that holds the loop.
"""

from __future__ import annotations

import signal
import threading

__all__ = ["start"]

FOR_THE_MAIN_THREAD = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1})


def start(thread: threading.Thread) -> None:
    """Start a thread with these signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_MAIN_THREAD)  # a new thread has its maker's mask
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
