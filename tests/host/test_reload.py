"""Reloading in one process, as the fake extension sees it."""

import signal
import sys
import time

import pytest

from siphon_http.errors import ScriptError
from siphon_http.host.script import SCRIPT_MODULE, Script
from tests.host.test_worker import STARTED, ended, wait_for_note
from tests.process_stage import wait_until

LOAD = ["load begins", "script", "load ends"]
FOLLOW = ["task", "follow", "startup", "startup done", "serve"]
RETIRE = ["retire 30.0", "shutdown"]


def wait_for_line(process, text, within=20):
    """Read the log until a line has `text`; return all lines read."""
    lines = []
    deadline = time.monotonic() + within
    while not lines or text not in lines[-1]:
        assert time.monotonic() < deadline, lines
        lines.append(process.stderr.readline())
        assert lines[-1], f"ended without {text!r}: {lines}"
    return lines


@pytest.fixture
def served(project):
    """A project whose extension can be reloaded, served and ready."""
    project.write("fake.yaml", "reloads")
    siphon = (project.folder / "siphon.yaml").read_text()
    project.write("siphon.yaml", siphon + "log: {level: info}\n")
    process, _ = project.serving()
    project.journal.unlink()
    return process


def stopped(process):
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 0
    return err


def test_sighup_reads_everything_again_and_the_old_one_ends_after_the_new_one_serves(project, served):
    served.send_signal(signal.SIGHUP)
    wait_for_line(served, "configuration reloaded in ")
    wait_for_note(project, "shutdown", served)
    assert project.notes() == ["namespace", *LOAD, *FOLLOW, *RETIRE]
    stopped(served)
    assert project.notes()[-2:] == ["drain 30.0", "shutdown"]


def test_a_changed_script_is_loaded_within_half_a_second_without_the_configuration(project, served):
    began = time.monotonic()
    project.write("routes.py", 'from siphon import fake\nfake.note("script")\n# changed\n')
    wait_for_note(project, "serve", served)
    assert time.monotonic() - began < 1.5  # 0.3 on a quiet machine
    wait_for_line(served, "script reloaded in ")
    wait_for_note(project, "shutdown", served)
    assert project.notes() == [*LOAD, *FOLLOW, *RETIRE]
    stopped(served)


def test_a_changed_helper_is_loaded_again_and_a_file_that_nobody_imports_is_not(project):
    project.write("fake.yaml", "reloads")
    project.write("helper.py", "text = 'one'\n")
    project.write("routes.py", "import helper\nfrom siphon import fake\nfake.note(helper.text)\n")
    process, _ = project.serving()
    project.write("other.py", "1 / 0\n")
    project.write("helper.py", "text = 'two'\n")  # of the same size, within the same second
    wait_for_note(project, "two", process)
    assert project.notes().count("serve") + project.notes().count("one") <= 3
    stopped(process)


def test_a_broken_script_changes_nothing_and_is_said_once(project, served):
    project.write("routes.py", "from siphon import fake\nfake.nope()\n")
    lines = wait_for_line(served, "fake.nope()")
    assert "ERROR" in lines[0] and "script not reloaded, what was loaded before stays in use" in lines[0]
    assert "routes.py:2: AttributeError" in lines[1]
    time.sleep(0.7)  # the watch has looked again
    assert project.notes() == ["load begins"]
    project.write("routes.py", 'from siphon import fake\nfake.note("mended")\n')
    lines = wait_for_line(served, "reloaded in ")
    assert not any("nope" in line for line in lines)
    wait_for_note(project, "shutdown", served)
    stopped(served)


def test_a_module_that_was_missing_is_noticed_when_it_comes(project, served):
    project.write("routes.py", "import later\nfrom siphon import fake\nfake.note('found')\n")
    wait_for_line(served, "No module named 'later'")
    project.write("later.py", "")
    wait_for_note(project, "found", served)
    stopped(served)


@pytest.mark.parametrize(
    ("word", "text", "notes"),
    [
        ("bad-config", "unknown key `listne`", ["namespace"]),
        ("bad-tls", "the key does not match", ["namespace"]),
        ("load-conflicts", "is registered twice", ["namespace", *LOAD]),
        ("bind-fails", "address already in use", ["namespace", *LOAD, "task", "follow", "shutdown"]),
        ("startup-aborts", "no database", ["namespace", *LOAD, "task", "follow", "startup", "shutdown"]),
    ],
)
def test_whatever_fails_leaves_the_old_one_in_use(project, served, word, text, notes):
    project.write("fake.yaml", f"reloads {word}")
    served.send_signal(signal.SIGHUP)
    wait_for_line(served, "configuration not reloaded, what was loaded before stays in use")
    wait_for_line(served, text)
    assert project.notes() == notes
    project.write("fake.yaml", "reloads")
    served.send_signal(signal.SIGHUP)
    wait_for_line(served, "configuration reloaded")
    stopped(served)


def test_an_extension_that_cannot_follow_stays_as_it_is(project):
    process, _ = project.serving()
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "extension `fake` cannot be reloaded, and stays as it is until a restart")
    stopped(process)
    assert project.notes() == [*STARTED, "namespace", *LOAD, "task", "drain 30.0", "shutdown"]


def test_a_sighup_before_the_process_is_ready_is_remembered(project):
    project.write("fake.yaml", "reloads")
    text = "import time\nfrom siphon import fake\nfake.note('loading')\ntime.sleep(0.3)\n"
    project.write("routes.py", text)
    process = project.start("run")
    wait_for_note(project, "loading", process)
    process.send_signal(signal.SIGHUP)
    wait_for_note(project, "follow", process)
    wait_for_note(project, "retire 30.0", process)
    stopped(process)


def test_a_sighup_while_draining_is_ignored_with_a_line(project):
    project.write("fake.yaml", "reloads drain-waits")
    project.write("siphon.yaml", (project.folder / "siphon.yaml").read_text() + "server: {drain_secs: 1}\n")
    process, _ = project.serving()
    process.send_signal(signal.SIGTERM)
    wait_for_note(project, "drain 1.0", process)
    process.send_signal(signal.SIGHUP)
    code, _, err = ended(process)
    assert code == 0 and "SIGHUP is ignored: the process is stopping" in err
    assert project.notes().count("namespace") == 1


def test_a_stop_during_a_reload_ends_both_generations(project, served):
    project.write("fake.yaml", "reloads startup-waits")
    served.send_signal(signal.SIGHUP)
    wait_for_note(project, "startup", served)
    stopped(served)
    assert project.notes()[-4:] == ["startup cancelled", "shutdown", "drain 30.0", "shutdown"]


def test_an_error_while_the_old_one_ends_is_logged_and_harms_nothing(project):
    project.write("fake.yaml", "reloads retire-breaks")
    process, _ = project.serving()
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "extension `fake` failed while it gave way to its successor")
    stopped(process)


def test_reload_off_ignores_changes_and_sighup(project):
    project.write("fake.yaml", "reloads")
    project.write("siphon.yaml", "script: {path: routes.py, reload: off}\nextensions: {fake: fake.yaml}\n")
    process, _ = project.serving()
    project.write("routes.py", "changed = 1\n")
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "SIGHUP is ignored: script.reload is off")
    time.sleep(0.5)  # the watch would have looked by now
    stopped(process)
    assert project.notes()[: len(STARTED)] == STARTED and "follow" not in project.notes()


def test_reload_sighup_ignores_changes_only(project):
    project.write("fake.yaml", "reloads")
    project.write("siphon.yaml", "script: {path: routes.py, reload: sighup}\nextensions: {fake: fake.yaml}\n")
    process, _ = project.serving()
    project.write("routes.py", "from siphon import fake\nfake.note('changed')\n")
    time.sleep(0.6)  # the watch would have looked by now
    assert "changed" not in project.notes()
    process.send_signal(signal.SIGHUP)
    wait_for_note(project, "changed", process)
    stopped(process)


def test_the_log_follows_and_what_cannot_follow_is_named(project, served):
    siphon = "script: {path: routes.py}\nextensions: {fake: fake.yaml}\nlog: {level: info, file: new.log}\nworkers: 3\n"
    project.write("siphon.yaml", siphon)
    new = project.folder / "new.log"
    served.send_signal(signal.SIGHUP)
    lines = wait_for_line(served, "configuration reloaded")
    assert any("siphon.yaml: workers has changed, which takes effect at a restart only" in line for line in lines)
    wait_until(lambda: new.exists() and "configuration reloaded" in new.read_text())
    new.rename(project.folder / "old.log")
    served.send_signal(signal.SIGHUP)
    wait_for_line(served, "configuration reloaded")
    wait_until(lambda: new.exists() and "configuration reloaded" in new.read_text())
    stopped(served)


def test_an_extension_may_come_and_go(project, served):
    project.install("second", "fake_extension:Fake")
    project.write("second.yaml", "reloads")
    both = "script: {path: routes.py}\nextensions: {fake: fake.yaml, second: second.yaml}\nlog: {level: info}\n"
    project.write("siphon.yaml", both)
    served.send_signal(signal.SIGHUP)
    wait_for_line(served, "3 routes, 3 routes")
    assert "bind" in project.notes()
    wait_for_note(project, "shutdown", served)
    project.journal.unlink()
    project.write("siphon.yaml", both.replace("fake: fake.yaml, ", ""))
    project.write("routes.py", "from siphon import second\n")
    served.send_signal(signal.SIGHUP)
    wait_for_line(served, ": 3 routes\n")
    wait_for_note(project, "shutdown", served)
    assert project.notes().count("drain 30.0") == 1  # of the one that has gone
    stopped(served)


# ---- the script's modules


def test_a_load_that_fails_puts_all_modules_back(tmp_path):
    for name in ("helper", "second"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "routes.py").write_text("import helper")
    script = Script(tmp_path / "routes.py")
    module = script.load()
    script.settle()
    helper, path = sys.modules["helper"], list(sys.path)
    (tmp_path / "routes.py").write_text("import helper, second, gone")
    with pytest.raises(ScriptError, match="No module named 'gone'"):
        script.load()
    assert sys.modules["helper"] is helper and sys.modules[SCRIPT_MODULE] is module and sys.path == path
    assert "second" not in sys.modules
    assert script.files == tuple(str(tmp_path / f"{name}.py") for name in ("routes", "helper", "second"))


def test_the_files_of_a_failed_load_are_known_although_their_modules_are_gone(tmp_path):
    (tmp_path / "outer.py").write_text("import inner")
    (tmp_path / "inner.py").write_text("1 / 0")
    (tmp_path / "routes.py").write_text("import outer")
    script = Script(tmp_path / "routes.py")
    for text in ("1 / 0", "def ("):
        (tmp_path / "inner.py").write_text(text)
        with pytest.raises(ScriptError):
            script.load()
        assert script.files == tuple(str(tmp_path / f"{name}.py") for name in ("routes", "inner", "outer"))


def test_a_load_that_turns_out_useless_is_undone(tmp_path):
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "routes.py").write_text("import helper")
    script = Script(tmp_path / "routes.py")
    first, helper = script.load(), sys.modules["helper"]
    script.settle()
    script.undo()
    assert sys.modules["helper"] is helper  # what counts is not undone
    later = Script(tmp_path / "routes.py", earlier=script)
    assert later.load() is not first and sys.modules["helper"] is not helper
    later.undo()
    assert sys.modules["helper"] is helper and sys.modules[SCRIPT_MODULE] is first


def test_modules_of_another_folder_go_when_the_script_moves(tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "routes.py").write_text("import helper_of_" + folder)
        (tmp_path / folder / f"helper_of_{folder}.py").write_text("")
    first = Script(tmp_path / "old" / "routes.py")
    first.load()
    second = Script(tmp_path / "new" / "routes.py", earlier=first, keep=first.keep)
    second.load()
    second.settle()
    assert "helper_of_new" in sys.modules and "helper_of_old" not in sys.modules
