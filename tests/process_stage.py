"""What tests of whole processes need from outside: a port for them, and to see what they have done."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable

__all__ = ["free_port", "survives", "wait_until"]


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody has at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def survives(code: str, *arguments: str) -> str:
    """Run Python `code` in a process of its own, which a crash would be the end of; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_until(claim: Callable[[], object], within: float = 10, told: Callable[[], object] = str) -> float:
    """Wait until `claim()` is true; return how long it took. told: gives what is shown when it does not become so."""
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < within, told()
        time.sleep(0.01)
    return time.monotonic() - began
