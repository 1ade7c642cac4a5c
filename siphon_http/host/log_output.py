"""Places that log lines go to, and what each of them has lost: a full disk, a pipe that nobody reads any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Protocol

__all__ = ["SAY_AGAIN_SECS", "LogFile", "Output", "Stream"]

SAY_AGAIN_SECS = 60.0
"""Between two notices that a place takes no lines."""


class Stream(Protocol):
    """What lines are written to: a text stream, or a `LogFile`."""

    def write(self, text: str, /) -> object:
        """Take `text`. Raises OSError or ValueError."""

    def flush(self) -> object:
        """Pass on what was taken. Raises the same."""


class LogFile:
    """The end of a file. What `write` returns from is in it; a line that fitted in part only is not gone on with.

    Several processes may write one file: each line is one write. Raises OSError when it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = FileIO(path, "ab")
        self._is_torn = False

    def write(self, text: str | memoryview, /) -> None:
        """Append `text`, or bytes of it. Raises OSError."""
        rest = memoryview(text.encode("utf-8", "backslashreplace")) if isinstance(text, str) else text
        if self._is_torn:
            self._file.write(b"\n")
            self._is_torn = False
        while rest:
            rest = rest[self._file.write(rest) :]
            self._is_torn = bool(rest)

    def flush(self) -> None:
        """Nothing waits."""

    def reopen(self) -> None:
        """Go on in the file that has the name now. Raises OSError; the one that is open stays in use then."""
        before, self._file = self._file, FileIO(self.name, "ab")
        self._is_torn = False
        before.close()

    def close(self) -> None:
        """Close it."""
        self._file.close()


class Output:
    """One place for lines. Methods return what the operator has to know, "" mostly. Belongs to one thread.

    lost: lines that nobody was told of yet. clock: tells seconds.
    """

    def __init__(
        self, stream: Stream, formatter: logging.Formatter, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.formatter = formatter
        self.lost = 0
        self._stream = stream
        self._name = {"<stderr>": "standard error"}.get(found := str(getattr(stream, "name", "a stream")), found)
        self._clock = clock
        self._said = float("-inf")
        self._is_told = False

    def put(self, line: str | memoryview) -> str:
        """Write a line, or the bytes of whole lines. What cannot be written is counted; nothing is raised."""
        try:
            if isinstance(line, str):
                self._stream.write(line + "\n")
            elif isinstance(self._stream, LogFile):
                self._stream.write(line)
            elif (binary := getattr(self._stream, "buffer", None)) is not None:
                binary.write(line)  # neither encoded nor copied
            else:
                self._stream.write(str(line, "utf-8"))
            self._stream.flush()
        except (OSError, ValueError) as error:
            self.lost += line.count("\n") + 1 if isinstance(line, str) else bytes(line).count(b"\n")
            if self._clock() - self._said < SAY_AGAIN_SECS:
                return ""
            self._said, self._is_told = self._clock(), True
            return f"{self._name} cannot be written, its lines are lost: {_reason(error)}"
        if not self._is_told:
            return ""
        lost, self.lost, self._is_told = self.lost, 0, False
        return f"{self._name} can be written again; {lost} lines are missing"

    def reopen(self) -> str:
        """Open a file anew; what is no file stays as it is."""
        if isinstance(self._stream, LogFile):
            try:
                self._stream.reopen()
            except OSError as error:
                return f"{self._name} cannot be opened anew, the file that is open stays in use: {_reason(error)}"
        return ""

    def close(self) -> None:
        """Close a file; what is no file is not ours."""
        if isinstance(self._stream, LogFile):
            self._stream.close()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
