import io
import json
import logging
import os
import threading

import pytest

from siphon_http.host.log import (
    JsonFormatter,
    LineWriter,
    LogNamespace,
    PrettyFormatter,
    configure,
    event_line,
    flush,
    is_secret,
    wants_colour,
)


def record(message, *args, level=logging.INFO, **extra):
    made = logging.LogRecord("siphon_http.x", level, "", 0, message, args, None)
    made.created = 1_763_718_443.5
    made.__dict__.update(extra)
    return made


def failing():
    try:
        raise ValueError("bad")
    except ValueError:
        import sys

        return sys.exc_info()


def test_a_pretty_line_has_time_level_logger_and_message():
    line = PrettyFormatter().format(record("took %d ms", 3, level=logging.WARNING))
    assert line == "2025-11-21T09:47:23.500000Z  WARN siphon_http.x: took 3 ms"


def test_colours_are_used_only_when_asked_for():
    assert "\x1b[33m WARN\x1b[0m" in PrettyFormatter(colour=True).format(record("x", level=logging.WARNING))
    assert "\x1b" not in PrettyFormatter().format(record("x"))


def test_no_message_can_pass_for_a_second_line_or_drive_the_terminal():
    line = PrettyFormatter().format(record("a\n2025 INFO forged\r\x1b[2J\x9b"))
    assert line.endswith("a\n    2025 INFO forged\\r\\x1b[2J\\x9b")


def test_a_json_line_is_one_object():
    made = record("two\nlines", peer="10.0.0.1:5", exc_info=failing())
    line = JsonFormatter().format(made)
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["timestamp"] == "2025-11-21T09:47:23.500000Z"
    assert (entry["level"], entry["target"], entry["message"]) == ("INFO", "siphon_http.x", "two\nlines")
    assert entry["fields"] == {"peer": "10.0.0.1:5"}
    assert entry["exception"].endswith("ValueError: bad")


def test_a_traceback_follows_its_pretty_line_indented():
    lines = PrettyFormatter().format(record("failed", exc_info=failing())).splitlines()
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-1] == "    ValueError: bad"


@pytest.mark.parametrize("form", [PrettyFormatter(), JsonFormatter()])
def test_secrets_in_fields_and_urls_are_masked(form):
    fields = {
        "headers": {"Authorization": "s1", "set-cookie": "s2", "accept": "open"},
        "api_token": "s3",
        "urls": ["https://user:s4@example.com/x"],
        "DB_PASSWORD": "s5",
        "clientSecret": "s6",
    }
    line = form.format(record("calls https://u:s7@example.com/a?b=c@d", **fields))
    assert not any(f"s{i}" in line for i in range(1, 8))
    assert "open" in line and "https://***@example.com/x" in line and "https://***@example.com/a?b=c@d" in line


def test_what_is_secret():
    assert all(
        map(is_secret, ["authorization", "Proxy-Authorization", "cookie", "X-Auth-Token", "secret", "passwords"])
    )
    assert not any(map(is_secret, ["accept", "path", "status"]))


def test_the_scripts_log_takes_exactly_one_str():
    log = LogNamespace()
    for name in ("debug", "info", "warn", "warning", "error"):
        method = getattr(log, name)
        with pytest.raises(TypeError, match=rf"log\.{name}\(\) takes one str, not int"):
            method(1)
        with pytest.raises(TypeError):
            method("a %s", "b")
        with pytest.raises(TypeError):
            method(message="a")


def test_the_scripts_lines_reach_the_stream_at_their_levels():
    stream = io.StringIO()
    configure("info", "json", None, stream=stream)
    log = LogNamespace()
    log.debug("unseen")
    log.info("100 % %s")
    log.warning("b")
    log.warn("c")
    log.error("d")
    flush()
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(e["level"], e["message"]) for e in entries] == [
        ("INFO", "100 % %s"),
        ("WARN", "b"),
        ("WARN", "c"),
        ("ERROR", "d"),
    ]
    assert {e["target"] for e in entries} == {"siphon.script"}


def test_the_hosts_warnings_are_said_at_every_level():
    stream = io.StringIO()
    configure("error", "pretty", None, stream=stream)
    logging.getLogger("siphon_http.host").warning("mismatch")
    logging.getLogger("siphon_http.host").info("unseen")
    logging.getLogger("siphon_http.server").warning("unseen")
    flush()
    assert stream.getvalue().splitlines()[0].endswith("WARN siphon_http.host: mismatch")
    assert "unseen" not in stream.getvalue()


def test_a_file_is_appended_to_and_a_second_configuration_replaces_the_first(tmp_path):
    path = tmp_path / "all.log"
    path.write_text("before\n")
    first = io.StringIO()
    configure("info", "pretty", path, stream=first)
    logging.getLogger("x").info("one")
    second = io.StringIO()
    configure("info", "pretty", None, stream=second)
    logging.getLogger("x").info("two")
    flush()
    assert path.read_text().startswith("before\n") and path.read_text().endswith("x: one\n")
    assert "one" in first.getvalue() and "two" not in first.getvalue()
    assert "two" in second.getvalue() and "one" not in second.getvalue()


class Held(io.StringIO):
    """A stream that nobody reads until `go` is set."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()
        self.waiting = threading.Event()

    def write(self, text):
        self.waiting.set()
        assert self.go.wait(20)
        return super().write(text)


def test_a_stream_on_hold_stops_nobody_and_what_is_dropped_is_counted():
    stream = Held()
    writer = LineWriter([(stream, PrettyFormatter())], limit=4)
    writer.emit(record("first"))
    assert stream.waiting.wait(20)
    for i in range(10):
        writer.emit(record(f"line {i}"))
    assert writer.dropped == 6
    stream.go.set()
    writer.finish(20)
    text = stream.getvalue()
    assert "line 3" in text and "line 4" not in text
    assert "6 log lines were dropped" in text


def test_a_closed_stream_is_survived_and_the_file_still_written():
    closed = io.StringIO()
    closed.close()
    file = io.StringIO()
    writer = LineWriter([(closed, PrettyFormatter()), (file, PrettyFormatter())])
    writer.emit(record("x"))
    writer.finish(20)
    assert file.getvalue().endswith("x\n")


def test_lines_after_the_end_begin_a_new_thread():
    stream = io.StringIO()
    writer = LineWriter([(stream, PrettyFormatter())])
    writer.emit(record("one"))
    writer.finish(20)
    writer.emit(record("two"))
    writer.flush()
    assert stream.getvalue().count("\n") == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colours_need_a_terminal_and_no_refusal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal()) and not wants_colour(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


def test_start_up_lines_follow_the_form_of_the_log():
    assert event_line("pretty", "ready 100%") == "ready 100%"
    assert json.loads(event_line("json", "ready 100%"))["message"] == "ready 100%"


def test_a_log_file_that_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        configure("info", "pretty", tmp_path / "gone" / "all.log", stream=io.StringIO())
    assert not any(isinstance(h, LineWriter) for h in logging.getLogger().handlers)
    assert os.listdir(tmp_path) == []


def test_whole_lines_of_an_access_log_are_written_as_they_are(tmp_path):
    stream = io.StringIO()
    configure("error", "json", None, stream=stream)
    access = logging.getLogger("siphon_http.access")
    access.handle(
        access.makeRecord(access.name, logging.INFO, "", 0, "one\ntwo\n", (), None, extra={"whole_lines": True})
    )
    flush()
    assert stream.getvalue() == "one\ntwo\n"


def test_access_logs_may_have_a_file_of_their_own(tmp_path):
    stream = io.StringIO()
    configure("info", "pretty", None, stream=stream, access_file=tmp_path / "access.log")
    access = logging.getLogger("siphon_http.access")
    access.handle(access.makeRecord(access.name, logging.INFO, "", 0, "one\n", (), None, extra={"whole_lines": True}))
    logging.getLogger("siphon_http.server").info("other")
    flush()
    assert (tmp_path / "access.log").read_text() == "one\n"
    assert "other" in stream.getvalue() and "one" not in stream.getvalue()
    configure("info", "pretty", None, stream=stream)
    assert not access.handlers and access.propagate


def test_whole_lines_may_come_as_a_buffer(tmp_path):
    stream, file = io.StringIO(), (tmp_path / "all.log").open("a", encoding="utf-8")
    writer = LineWriter([(stream, PrettyFormatter()), (file, PrettyFormatter())])
    writer.emit(logging.makeLogRecord({"msg": memoryview(b"one\ntwo\n"), "whole_lines": True}))
    writer.emit(record("three"))
    writer.close()
    file.close()
    assert stream.getvalue().startswith("one\ntwo\n") and stream.getvalue().endswith("three\n")
    assert (tmp_path / "all.log").read_text() == stream.getvalue()


def test_an_access_log_on_hold_keeps_a_bounded_amount():
    def batch(text):
        return logging.makeLogRecord({"msg": text, "whole_lines": True})

    stream = Held()
    writer = LineWriter([(stream, PrettyFormatter())], limit_bytes=1000)
    for _ in range(100):
        writer.emit(batch(f"{'x' * 49}\n{'y' * 49}\n"))
    assert writer.dropped == 180
    stream.go.set()
    writer.finish(20)
    writer.emit(batch("goes on\n"))
    writer.close()
    text = stream.getvalue()
    assert text.count("x" * 49) == 10 and "180 log lines were dropped" in text and text.endswith("goes on\n")


def test_dropped_lines_of_an_access_log_are_all_counted():
    writer = LineWriter([], limit=0)
    writer.emit(logging.makeLogRecord({"msg": "one\ntwo\n", "whole_lines": True}))
    assert writer.dropped == 2


def test_fields_of_extensions_are_in_the_lines_of_the_script(caplog):
    namespace = LogNamespace()
    namespace.sources = (lambda: {"request_id": "abc"}, dict)
    with caplog.at_level(logging.INFO):
        namespace.info("hello")
    assert caplog.records[0].request_id == "abc"
