import signal

import pytest

from siphon_http.errors import ConfigError, Problem
from siphon_http.host.worker import error_text, start_lines
from tests.process_stage import wait_until

STARTED = ["namespace", "load begins", "script", "load ends", "task", "bind", "startup", "startup done", "serve"]


def ended(process, timeout=20):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def wait_for_note(project, text, process, count=1):
    """Wait until the extension of a process that runs has noted `text` so often."""

    def noted():
        if project.notes().count(text) >= count:
            return True
        assert process.poll() is None, project.notes()
        return False

    wait_until(noted, 20, project.notes)


def test_a_start_goes_through_its_steps_in_order_and_a_stop_too(project):
    process, _ = project.serving()
    assert project.notes() == STARTED
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert project.notes() == [*STARTED, "drain 30.0", "shutdown"]
    assert out.startswith("stopped by SIGTERM after ") and out.endswith(" s\n") and "drained in" in out


def test_the_start_prints_four_lines(project):
    _, lines = project.serving()
    assert len(lines) == 4
    assert lines[0].startswith("siphon-http ") and "Python 3." in lines[0] and "uvloop" in lines[0]
    assert lines[1:3] == ["http://127.0.0.1:8080 (HTTP/1.1)", "3 routes from siphon.yaml"]
    assert lines[3].startswith("ready in ") and lines[3].endswith(" ms - Ctrl-C stops")


def test_json_logging_makes_the_start_up_lines_json_too(project):
    import json

    _, lines = project.serving("--log-format", "json")
    records = [json.loads(line) for line in lines]
    assert [r["level"] for r in records] == ["INFO"] * 4
    assert records[2]["message"] == "3 routes from siphon.yaml"


def test_sigint_stops_like_sigterm(project):
    process, _ = project.serving()
    process.send_signal(signal.SIGINT)
    code, out, _ = ended(process)
    assert code == 0
    assert "stopped by SIGINT" in out
    assert project.notes()[-2:] == ["drain 30.0", "shutdown"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_process_at_once(project, number, code):
    project.write("fake.yaml", "drain-waits")
    process, _ = project.serving()
    process.send_signal(signal.SIGTERM)
    wait_for_note(project, "drain 30.0", process)
    process.send_signal(number)
    ended_with, _, err = ended(process)
    assert ended_with == code
    assert err == f"ended at once by {number.name}\n"
    assert "shutdown" not in project.notes()


def test_a_second_signal_ends_a_process_whose_loop_is_held(project):
    project.write("fake.yaml", "startup-blocks")
    process = project.start("run")
    wait_for_note(project, "startup blocks", process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] in (130, 143)


def test_a_signal_while_the_script_is_loaded_ends_cleanly(project):
    project.write("routes.py", "import time\nfrom siphon import fake\nfake.note('loading')\ntime.sleep(60)\n")
    process = project.start("run")
    wait_for_note(project, "loading", process)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert "before anything was served" in out
    assert "bind" not in project.notes()


def test_a_signal_during_startup_cancels_it_and_nothing_is_served(project):
    project.write("fake.yaml", "startup-waits")
    process = project.start("run")
    wait_for_note(project, "startup", process)
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert project.notes()[-2:] == ["startup cancelled", "shutdown"]
    assert "serve" not in project.notes()
    assert "ready" not in out


@pytest.mark.parametrize(
    ("word", "code", "last", "text"),
    [
        (
            "bad-config",
            2,
            "namespace",
            "fake.yaml:7:5: unknown key `listne`\n        listne: x\n        ^\n    did you mean",
        ),
        ("bad-tls", 5, "namespace", "fake.yaml:4:9: the key does not match the certificate"),
        ("load-conflicts", 4, "load ends", "RouteError: GET /c/{a} is registered twice: routes.py:3 and routes.py:9"),
        ("bind-fails", 3, "shutdown", "127.0.0.1:8080: address already in use"),
        ("startup-aborts", 4, "shutdown", "routes.py:3: RuntimeError: no database"),
        ("bind-breaks", 1, "shutdown", "internal error: ZeroDivisionError: a bug"),
    ],
)
def test_a_failed_start_says_why_and_has_its_exit_code(project, word, code, last, text):
    project.write("fake.yaml", word)
    result = project.run("run")
    assert result.returncode == code
    assert text in result.stderr
    assert len(result.stderr.splitlines()) <= 6
    assert project.notes()[-1] == last
    assert "serve" not in project.notes()


def test_verbose_shows_the_whole_traceback_of_an_unexpected_error(project):
    project.write("fake.yaml", "bind-breaks")
    result = project.run("run", "-v")
    assert result.returncode == 1
    assert "Traceback (most recent call last):" in result.stderr and "in bind" in result.stderr


def test_mistakes_of_both_files_are_reported_at_once(project):
    project.write("siphon.yaml", "script:\n  path: gone.py\nextensions:\n  fake: fake.yaml\nloog: {}\n")
    project.write("fake.yaml", "bad-config")
    result = project.run("run")
    assert result.returncode == 2
    assert "siphon.yaml:2:9: script.path: file " in result.stderr
    assert "did you mean `log`?" in result.stderr
    assert "fake.yaml:7:5" in result.stderr
    assert result.stderr.endswith("3 mistakes; nothing was started\n")
    assert project.notes() == ["namespace"]


def test_an_extension_that_overruns_its_drain_is_cut(project):
    project.write("fake.yaml", "drain-hangs")
    project.write("siphon.yaml", (project.folder / "siphon.yaml").read_text() + "server: {drain_secs: 0}\n")
    process, _ = project.serving()
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 0
    assert "failed while it drained" in err
    assert project.notes()[-1] == "shutdown"


def test_an_error_at_shutdown_is_logged_and_gives_exit_code_1(project):
    project.write("fake.yaml", "shutdown-breaks drain-breaks")
    process, _ = project.serving()
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 1
    assert err.count("ZeroDivisionError: a bug") == 2


def test_threads_and_tasks_that_do_not_end_hold_nothing_up(project):
    project.write("fake.yaml", "leaves-thread leaves-tasks")
    process, _ = project.serving()
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 0
    assert "threads that did not end are abandoned: stuck-thread" in err
    assert project.notes()[-1] == "task cancelled"


def test_without_uvloop_asyncio_serves_with_a_warning(project):
    project.write("lib/uvloop.py", "raise ImportError('no such build')\n")
    path = f"{project.folder / 'lib'}:{project.environment()['PYTHONPATH']}"
    process, lines = project.serving(PYTHONPATH=path)
    assert lines[0].endswith(", asyncio")
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 0
    assert "uvloop cannot be imported (no such build)" in err


def test_a_closed_standard_output_is_no_reason_to_stop(project):
    process = project.start("run")
    process.stdout.close()
    process.stdout = None
    wait_for_note(project, "serve", process)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (0, None, "")


def test_listeners_that_are_too_many_share_a_line_but_not_with_the_last():
    many = ["http://a", "http://b", "curl http://a/x"]
    assert start_lines(many, "2 routes", "siphon.yaml", 84.2) == [
        "http://a, http://b",
        "curl http://a/x",
        "2 routes from siphon.yaml; ready in 84 ms - Ctrl-C stops",
    ]
    assert start_lines([], "", "siphon.yaml", 1)[0] == "siphon.yaml"


def test_a_second_signal_ends_a_process_whose_handler_holds_the_loop(project):
    project.write("fake.yaml", "holds-the-loop")
    process, _ = project.serving()
    wait_for_note(project, "loop held", process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] in (130, 143)


def test_one_mistake_needs_no_summary():
    one = Problem("a.yaml", 1, 1, "x", "bad")
    assert error_text(ConfigError([one]), verbose=False) == "a.yaml:1:1: bad\n    x\n    ^"
    assert error_text(ConfigError([one, one]), verbose=False).endswith("2 mistakes; nothing was started")


def test_a_signal_whose_exception_a_script_swallows_still_stops_the_process(project):
    project.write(
        "routes.py",
        "import os, signal\nfrom siphon import fake\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\n    fake.note('not told')\n"
        "except:\n    fake.note('swallowed')\n",
    )
    process = project.start("run")
    code, out, err = ended(process)
    assert (code, err) == (0, "") and "stopped by SIGTERM" in out
    assert "swallowed" in project.notes() and "serve" not in project.notes()
