"""Places of log lines that fail, and files that move away."""

from __future__ import annotations

import errno
import io
import logging
import os
from pathlib import Path

import pytest

from siphon_http.host import log
from siphon_http.host.log import PrettyFormatter
from siphon_http.host.log_output import SAY_AGAIN_SECS, LogFile, Output

PLAIN = logging.Formatter("%(message)s")


class Disk(io.StringIO):
    """A stream that takes nothing while it is full."""

    name = "disk"
    full = True

    def write(self, text: str, /) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


class Short:
    """A raw file that takes `room` bytes, then nothing."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = bytes(data)[: self.room]
        self.room -= len(part)
        self.taken += part
        return len(part)

    def close(self) -> None: ...


def test_what_is_lost_is_said_once_with_the_reason_and_counted() -> None:
    disk, now = Disk(), [0.0]
    output = Output(disk, PLAIN, clock=lambda: now[0])
    assert output.put("a") == "disk cannot be written, its lines are lost: No space left on device"
    assert output.put("b\nc") == ""
    now[0] += SAY_AGAIN_SECS
    assert "cannot be written" in output.put("d")
    disk.full = False
    assert output.put("e") == "disk can be written again; 4 lines are missing"
    assert (output.put("f"), disk.getvalue()) == ("", "e\nf\n")


def test_a_disk_that_is_full_now_and_then_fills_no_log_with_notices() -> None:
    disk = Disk()
    output = Output(disk, PLAIN, clock=lambda: 5.0)
    said = []
    for full in (True, False) * 10:
        disk.full = full
        said.append(output.put("x"))
    assert len([text for text in said if text]) == 2
    assert output.lost == 9


def test_a_line_that_fitted_in_part_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(tmp_path / "a.log")
    file.close()
    short = Short(3)
    monkeypatch.setattr(file, "_file", short)
    for _ in range(2):
        with pytest.raises(OSError):
            file.write("lost line\n")
    short.room = 100
    file.write("whole\n")
    file.write("another\n")
    assert short.taken == b"los\nwhole\nanother\n"


def test_one_write_a_line_and_what_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log")
    file.write("a\udc80" + "b" * 100_000 + "\n")
    assert (tmp_path / "a.log").read_bytes() == b"a\\udc80" + b"b" * 100_000 + b"\n"
    file.close()


def test_files_are_opened_anew_behind_what_is_queued(tmp_path: Path) -> None:
    app, access = tmp_path / "app.log", tmp_path / "access.log"
    log.configure("info", "pretty", app, stream=io.StringIO(), access_file=access)
    logging.getLogger("x").info("before")
    for path in (app, access):
        path.rename(f"{path}.1")
    log.reopen()
    logging.getLogger("x").info("after")
    log.flush()
    assert "before" in (tmp_path / "app.log.1").read_text() and "after" not in (tmp_path / "app.log.1").read_text()
    assert app.read_text().endswith("x: after\n")
    assert access.read_bytes() == b"", "it is there at once, for whoever waits for it"


def test_a_file_that_cannot_be_opened_anew_stays_in_use_and_it_is_said(tmp_path: Path) -> None:
    folder, stream = tmp_path / "logs", io.StringIO()
    folder.mkdir()
    log.configure("info", "pretty", folder / "app.log", stream=stream)
    folder.rename(tmp_path / "moved")
    log.reopen()
    logging.getLogger("x").info("after")
    log.flush()
    assert (
        f"{folder}/app.log cannot be opened anew, the file that is open stays in use: No such file" in stream.getvalue()
    )
    assert (tmp_path / "moved" / "app.log").read_text().endswith("x: after\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here, the file that is always full")
def test_a_full_access_log_is_said_where_operators_look_and_not_in_it() -> None:
    stream = io.StringIO()
    log.configure("error", "pretty", None, stream=stream, access_file=Path("/dev/full"))
    access = logging.getLogger(log.ACCESS_LOGGER)
    record = access.makeRecord(access.name, logging.INFO, "", 0, "one\n", (), None, extra={"whole_lines": True})
    access.handle(record)
    log.flush()
    assert "WARN siphon_http.host: /dev/full cannot be written, its lines are lost: No space left" in stream.getvalue()


def test_standard_error_that_nobody_reads_is_said_in_the_file() -> None:
    gone, file = io.StringIO(), io.StringIO()
    gone.name = "<stderr>"  # type: ignore[misc]
    gone.close()
    writer = log.LineWriter([(gone, PrettyFormatter()), (file, PrettyFormatter())])
    writer.emit(logging.makeLogRecord({"msg": "x"}))
    writer.finish(20)
    assert "standard error cannot be written, its lines are lost" in file.getvalue()
