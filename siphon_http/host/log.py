"""Where log lines go: standard error and, if asked for, a file, as text for people or as JSON for machines.

Standard output is left to the few start-up lines, which tools read; so logs go to standard error (the original host
writes both to standard output). Lines are written by one thread of their own: a terminal on hold or a full pipe stops
that thread, never the event loop. What piles up beyond `QUEUE_LINES` or `QUEUE_BYTES` is dropped, counted and reported.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from siphon_http.host.background import start
from siphon_http.host.log_output import LogFile, Output, Stream

__all__ = [
    "ACCESS_LOGGER",
    "QUEUE_BYTES",
    "QUEUE_LINES",
    "JsonFormatter",
    "LineWriter",
    "LogNamespace",
    "PrettyFormatter",
    "configure",
    "event_line",
    "flush",
    "is_secret",
    "reopen",
    "wants_colour",
]

LogFormat = Literal["pretty", "json"]

QUEUE_LINES = 10_000
"""Lines, or batches of an access log's lines, that may wait for the writing thread."""
QUEUE_BYTES = 67_108_864
"""Bytes of such batches that may wait."""

ACCESS_LOGGER = "siphon_http.access"
"""Its records hold whole lines, and have the attribute `whole_lines`; their `msg` is a str, or a buffer of ASCII."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

_MASK = "***"
_SECRET_KEY = re.compile(r"authorization|cookie|token|secret|password", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^/?#@\s]+@")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "whole_lines"}
# Control bytes that came from a peer must not drive a terminal or forge a line of the log.
_CONTROLS = {c: f"\\x{c:02x}" for c in [*range(0x20), *range(0x7F, 0xA0)] if chr(c) not in "\t\n"} | {0x0D: "\\r"}
_COLOURS = {logging.DEBUG: "\x1b[2m", logging.INFO: "\x1b[32m", logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}


def is_secret(key: str) -> bool:
    """Whether a value under `key` must never be logged: authorization, cookies, tokens, secrets, passwords."""
    return _SECRET_KEY.search(key) is not None


def _mask_urls(text: str) -> str:
    """Return `text` without the user information of the URLs in it."""
    return _USERINFO.sub(rf"\1{_MASK}@", text) if "@" in text else text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller gave as `extra=`, secrets masked at any depth."""
    return {k: _masked(k, v) for k, v in record.__dict__.items() if k not in _STANDARD}


def _masked(key: str, value: Any) -> Any:
    if is_secret(key):
        return _MASK
    if isinstance(value, dict):
        return {str(k): _masked(str(k), v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked("", v) for v in value]
    return _mask_urls(value) if isinstance(value, str) else value


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _level_name(level: int) -> str:
    return {logging.WARNING: "WARN"}.get(level, logging.getLevelName(level))


class PrettyFormatter(logging.Formatter):
    """`2026-11-21T09:47:23.437658Z  INFO siphon_http.host: message key=value`, then the traceback, indented.

    colour: paint the level. Further lines of one record are indented, so that no message can pass for another record.
    """

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, without a newline at its end."""
        level = f"{_level_name(record.levelno):>5}"
        if self._colour:
            level = f"{_COLOURS.get(record.levelno, '')}{level}\x1b[0m"
        text = _mask_urls(record.getMessage())
        text += "".join(f" {k}={v}" for k, v in _fields(record).items())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            text += "\n" + self.formatStack(record.stack_info)
        text = text.rstrip("\n").translate(_CONTROLS).replace("\n", "\n    ")
        return f"{_timestamp(record.created)} {level} {record.name}: {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, target, message; fields and exception where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        entry: dict[str, Any] = {
            "timestamp": _timestamp(record.created),
            "level": _level_name(record.levelno),
            "target": record.name,
            "message": _mask_urls(record.getMessage()),
        }
        if fields := _fields(record):
            entry["fields"] = fields
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class LineWriter(logging.Handler):
    """A handler that formats where it is called and writes on its own thread; it never waits.

    streams: each with the formatter of its lines. limit: lines, or batches of whole ones, that may wait; limit_bytes: of
    batches; what comes beyond is dropped and counted. tell: is given what there is to say about lines that were lost;
    None: `streams` are.
    """

    def __init__(
        self,
        streams: list[tuple[Stream, logging.Formatter]],
        *,
        limit: int = QUEUE_LINES,
        limit_bytes: int = QUEUE_BYTES,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._outputs = [Output(stream, formatter) for stream, formatter in streams]
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._given = self._taken = 0  # bytes of batches: by who emits, and by the thread
        self._tell = self._note if tell is None else tell
        # SimpleQueue.put may be called again from a signal handler that interrupts it; Queue.put would deadlock.
        self._queue: queue.SimpleQueue[list[str] | memoryview | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line."""
        whole = getattr(record, "whole_lines", False)  # an access log's: formatted where they were made, many at once
        if self._queue.qsize() >= self._limit or (whole and self._given - self._taken >= self._limit_bytes):
            self.dropped += str(record.msg).count("\n") if whole else 1
            return
        lines: list[str] | memoryview
        try:
            if whole:
                lines = memoryview(record.msg.encode() if isinstance(record.msg, str) else record.msg)
                self._given += len(lines)
            else:
                lines = [output.formatter.format(record) for output in self._outputs]
        except Exception:  # a bad log call must not end what it reports on
            self.handleError(record)
            return
        self._put(lines)

    def reopen(self) -> None:
        """Open files anew, behind what is queued."""
        self.acquire()
        try:
            self._put([])
        finally:
            self.release()

    def tell(self, text: str) -> None:
        """Queue a warning of the host's; from any thread, also one that somebody waits for who has our lock."""
        lock = self.lock
        if lock is not None and lock.acquire(timeout=0.1):
            try:
                self.emit(_warning(text))
            finally:
                lock.release()

    def finish(self, seconds: float = 1.0) -> None:
        """Write what is queued and end the thread; give up after `seconds`. A later line begins a new thread."""
        self.acquire()  # or a line that comes meanwhile begins a second thread on the same queue
        try:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
                thread.join(seconds)
        finally:
            self.release()

    def flush(self) -> None:
        """Write what is queued; called by `logging.shutdown` at the end of the process."""
        self.finish()

    def close(self) -> None:
        """Write what is queued, then close files."""
        self.finish()
        for output in self._outputs:
            output.close()
        super().close()

    def _put(self, lines: list[str] | memoryview) -> None:
        self._queue.put(lines)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="siphon-log", daemon=True)
            start(self._thread)

    # ---- on the thread

    def _write(self) -> None:
        reported = 0
        while (lines := self._queue.get()) is not None:
            waits = self._queue.qsize() >= self._limit // 2 or self._given - self._taken >= self._limit_bytes // 2
            if self.dropped > reported and not waits:
                notice = f"{self.dropped - reported} log lines were dropped: nobody reads the log fast enough"
                reported = self.dropped
                self._tell(notice)
            if isinstance(lines, memoryview):
                for output in self._outputs:
                    self._say(output.put(lines))
                self._taken += len(lines)
            elif not lines:
                for output in self._outputs:
                    self._say(output.reopen())
            else:
                for output, line in zip(self._outputs, lines, strict=True):
                    self._say(output.put(line))
            del lines  # who made them may use their memory again

    def _say(self, text: str) -> None:
        if text:
            self._tell(text)

    def _note(self, text: str) -> None:
        for output in self._outputs:
            output.put(output.formatter.format(_warning(text)))


def _warning(text: str) -> logging.LogRecord:
    return logging.LogRecord("siphon_http.host", logging.WARNING, "", 0, "%s", (text,), None)


class LogNamespace:
    """`from siphon import log`: `log.info("text")` and its like, from any thread.

    Each takes exactly one str, as in the original host; anything else is a TypeError where the author sees it.
    sources: each gives fields for the line, by what runs where it is logged; of extensions.
    """

    __slots__ = ("_logger", "sources")

    def __init__(self) -> None:
        self._logger = logging.getLogger("siphon.script")
        self.sources: tuple[Callable[[], Mapping[str, object]], ...] = ()

    def debug(self, message: str, /) -> None:
        """Log `message` at debug level."""
        self._log(logging.DEBUG, "debug", message)

    def info(self, message: str, /) -> None:
        """Log `message` at info level."""
        self._log(logging.INFO, "info", message)

    def warn(self, message: str, /) -> None:
        """Log `message` at warn level."""
        self._log(logging.WARNING, "warn", message)

    def warning(self, message: str, /) -> None:
        """Log `message` at warn level."""
        self._log(logging.WARNING, "warning", message)

    def error(self, message: str, /) -> None:
        """Log `message` at error level."""
        self._log(logging.ERROR, "error", message)

    def _log(self, level: int, name: str, message: str) -> None:
        if not isinstance(message, str):
            raise TypeError(f"log.{name}() takes one str, not {type(message).__name__}")
        if self.sources and self._logger.isEnabledFor(level):
            self._logger.log(level, message, extra={k: v for give in self.sources for k, v in give().items()})
        else:
            self._logger.log(level, message)


def wants_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that takes colours, and the user did not refuse them (NO_COLOR)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def configure(
    level: str,
    form: LogFormat,
    file: Path | None,
    *,
    stream: TextIO | None = None,
    access_file: Path | None = None,
) -> LineWriter:
    """Send every logger's lines to `stream` (standard error) and, without colours, to the end of `file`.

    level: debug, info, warn or error; it does not concern access logs. access_file: where the lines of these go instead.
    Call it once; a second call replaces the first. Raises OSError when a file cannot be opened.
    """
    stream = sys.stderr if stream is None else stream
    formatter = JsonFormatter() if form == "json" else PrettyFormatter(colour=wants_colour(stream))
    streams: list[tuple[Stream, logging.Formatter]] = [(stream, formatter)]
    if file is not None:
        streams.append((LogFile(file), JsonFormatter() if form == "json" else PrettyFormatter()))
    writer = LineWriter(streams)
    root, access = logging.getLogger(), logging.getLogger(ACCESS_LOGGER)
    own: LineWriter | None = None
    if access_file is not None:
        try:
            own = LineWriter([(LogFile(access_file), PrettyFormatter())], tell=writer.tell)
        except OSError:
            writer.close()
            raise
    for logger in (access, root):
        for old in [h for h in logger.handlers if isinstance(h, LineWriter)]:
            logger.removeHandler(old)
            old.close()
    root.addHandler(writer)
    access.setLevel(logging.INFO)
    access.propagate = own is None
    if own is not None:
        access.addHandler(own)
    number = LEVELS[level]
    root.setLevel(number)
    # What the host has to say about the configuration is said whatever the level: "loud on mismatch".
    logging.getLogger("siphon_http.host").setLevel(min(number, logging.WARNING))
    return writer


def flush(seconds: float = 1.0) -> None:
    """Write what is queued in every writer that `configure` made; give up after `seconds`."""
    for writer in _writers():
        writer.finish(seconds)


def reopen() -> None:
    """Open every file that `configure` was given anew: the one that is written may have been renamed. Does not wait.

    One that cannot be opened stays as it is, and a line says so.
    """
    for writer in _writers():
        writer.reopen()


def _writers() -> list[LineWriter]:
    """Return what `configure` made; first the one that tells the other what it has lost."""
    loggers = (logging.getLogger(ACCESS_LOGGER), logging.getLogger())
    return [handler for logger in loggers for handler in logger.handlers if isinstance(handler, LineWriter)]


def event_line(form: LogFormat, text: str) -> str:
    """Return a start-up line in the form of the log: as it is, or as a JSON record."""
    if form == "pretty":
        return text
    return JsonFormatter().format(logging.LogRecord("siphon_http.host", logging.INFO, "", 0, text, None, None))
