"""Several workers, as the fake extension sees them."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from siphon_http.host import supervised
from siphon_http.host.orders import Assignment, Leash, send, split_lines
from siphon_http.host.prepare import processors
from siphon_http.host.slots import SLOT_BYTES, Slots
from tests.host.test_reload import wait_for_line
from tests.host.test_worker import ended, wait_for_note
from tests.linux import needs_proc, proc


def children(process):
    """Return the pids of the workers."""
    return [int(pid) for pid in proc(process.pid, "task", process.pid, "children").read_text().split()]


@pytest.fixture
def crew(project):
    """A project with two workers; call it to start, with more words for the extension."""

    def start(words="reloads", more="", *args):
        project.write("fake.yaml", words)
        base = "script: {path: routes.py}\nextensions: {fake: fake.yaml}\nlog: {level: info}\nworkers: 2\n"
        project.write("siphon.yaml", base + more)
        return project.serving(*args)

    return start


def stopped(process, code=0):
    process.send_signal(signal.SIGTERM)
    ended_with, out, err = ended(process)
    assert ended_with == code, err
    return out, err


def test_the_supervisor_binds_the_workers_serve_and_ready_is_said_once(project, crew):
    process, lines = crew("reloads pids")
    assert len(lines) == 4
    assert lines[0].startswith("siphon-http ") and "uvloop" in lines[0]
    assert lines[1:3] == ["http://127.0.0.1:8080 (HTTP/1.1)", "3 routes from siphon.yaml"]
    assert lines[3].endswith(" - 2 workers - Ctrl-C stops")
    notes = project.notes()
    assert notes[:3] == ["namespace", "task", f"bind in {process.pid}"]
    assert notes.count("script") == 2 and notes.count("startup done") == 2 and notes.count("serve") == 2
    assert len(children(process)) == 2
    out, err = stopped(process)
    assert project.notes().count("drain 30.0") == 2
    assert out.startswith("stopped by SIGTERM after ") and out.count("\n") == 1 and err == ""


def test_on_a_free_threaded_build_it_is_said_that_workers_are_processes(project, crew):
    (project._site / "sitecustomize.py").write_text("import sys\nsys.abiflags += 't'\n")
    process, lines = crew()
    assert len(lines) == 4 and len(children(process)) == 2
    _, err = stopped(process)
    assert err.count("free-threaded CPython: workers are processes all the same") == 1


def test_the_command_line_wins_over_the_file(project, crew):
    process, lines = crew("reloads", "", "--workers", "3")
    assert lines[-1].endswith("3 workers - Ctrl-C stops") and len(children(process)) == 3
    stopped(process)


def test_one_worker_needs_no_supervisor(project, crew):
    process, lines = crew("reloads", "", "--workers", "1")
    assert lines[-1].endswith("ms - Ctrl-C stops") and children(process) == []
    stopped(process)


@pytest.mark.parametrize("word", ["0", "-1", "many", "1025"])
def test_a_wrong_number_of_workers_is_wrong_usage(project, word):
    result = project.run("run", "--workers", word)
    assert result.returncode == 2 and "--workers" in result.stderr and len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("bad-config", 2, "unknown key `listne`"),
        ("bad-tls", 5, "the key does not match"),
        ("bind-fails reloads", 3, "address already in use"),
        ("load-conflicts reloads", 4, "registered twice"),
        ("startup-aborts reloads", 4, "no database"),
    ],
)
def test_a_failed_start_is_said_once_and_has_its_exit_code(project, words, code, text):
    project.write("fake.yaml", words)
    result = project.run("run", "--workers", "2")
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.count(text) == 1 and len(result.stderr.splitlines()) <= 6
    assert project.notes().count("script") <= 1


def test_a_worker_that_dies_before_any_was_ready_is_tried_five_times(project):
    project.write("fake.yaml", "reloads")
    project.write("routes.py", "import os\nfrom siphon import fake\nfake.note('script')\nos._exit(7)\n")
    result = project.run("run", "--workers", "2")
    assert result.returncode == 1
    assert "ended with exit code 7, 5 times in a row: there is no worker that serves" in result.stderr
    assert project.notes().count("script") == 5


def test_a_worker_that_is_killed_is_followed_by_another(project, crew):
    process, _ = crew()
    victim, other = children(process)
    os.kill(victim, signal.SIGKILL)
    wait_for_line(process, f"(pid {victim}) was killed by SIGKILL, another one is started")
    wait_for_line(process, " serves")
    assert other in children(process) and len(children(process)) == 2
    stopped(process)


def test_workers_that_die_young_come_back_later_each_time(project, crew):
    process, _ = crew()
    # It dies of a reload, and each successor of its start.
    project.write("routes.py", "import os\nfrom siphon import fake\nfake.note('dies')\nos._exit(7)\n")
    wait_for_note(project, "dies", process, 3)
    project.write("routes.py", "from siphon import fake\nfake.note('mended')\n")
    wait_for_note(project, "mended", process)
    stopped(process)


def test_a_changed_script_is_reloaded_in_each_worker_and_said_once(project, crew):
    process, _ = crew()
    before = children(process)
    project.write("routes.py", "from siphon import fake\nfake.note('new')\n")
    lines = wait_for_line(process, "script reloaded in 2 workers in ")
    assert "3 routes" in lines[-1]
    assert project.notes().count("new") == 2 and children(process) == before
    wait_for_note(project, "shutdown", process, 2)
    stopped(process)


def test_a_worker_that_was_starting_when_the_script_changed_has_the_new_one_too(project, crew):
    project.write("routes.py", "import time\nfrom siphon import fake\nfake.note('old')\ntime.sleep(0.7)\n")
    process, _ = crew()
    os.kill(children(process)[0], signal.SIGKILL)
    wait_for_note(project, "old", process, 3)  # the successor has read it
    project.write("routes.py", "from siphon import fake\nfake.note('new')\n")
    wait_for_note(project, "new", process, 2)
    stopped(process)


def test_a_start_goes_on_when_a_later_worker_fails_and_the_mended_script_gets_it(project, crew):
    taken = project.folder / "taken"
    broken = f"import os\nfrom siphon import fake\nos.mkdir({str(taken)!r})\n"  # as one that binds a port of its own
    project.write("routes.py", broken)
    process, lines = crew()
    assert lines[-1].endswith(" - 1 of 2 workers serve")
    project.write("routes.py", "from siphon import fake\nfake.note('mended')\n")
    wait_for_note(project, "mended", process, 2)
    stopped(process)


def test_a_broken_script_is_tried_by_one_worker_and_said_once(project, crew):
    process, _ = crew()
    project.write("routes.py", "from siphon import fake\nfake.note('broken')\n1 / 0\n")
    wait_for_line(process, "script not reloaded, what was loaded before stays in use")
    lines = wait_for_line(process, "1 / 0")
    assert "routes.py:3: ZeroDivisionError" in lines[0]
    time.sleep(0.6)  # the other worker would have tried it by now
    assert project.notes().count("broken") == 1
    _, err = stopped(process)
    assert "ZeroDivisionError" not in err


def test_sighup_reloads_in_place_when_no_file_has_changed(project, crew):
    process, _ = crew()
    before = children(process)
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "configuration reloaded in 2 workers in ")
    assert children(process) == before
    stopped(process)


def test_sighup_replaces_the_workers_of_a_changed_configuration(project, crew):
    process, _ = crew()
    before = children(process)
    project.write("fake.yaml", "reloads\nmore\n")
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "configuration reloaded, 2 workers replaced in ")
    wait_for_note(project, "drain 30.0", process, 2)
    wait_for_note(project, "shutdown", process, 3)  # one of them the supervisor's, which has let go
    deadline = time.monotonic() + 10
    while set(before) & set(children(process)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "adopt" in project.notes()
    stopped(process)


def test_the_number_of_workers_follows_the_configuration(project, crew):
    process, _ = crew()
    text = (project.folder / "siphon.yaml").read_text()
    for count in (4, 1, 2):
        project.write("siphon.yaml", text.replace("workers: 2", f"workers: {count}"))
        process.send_signal(signal.SIGHUP)
        wait_for_line(process, f"configuration reloaded, {count} workers replaced in ")
        deadline = time.monotonic() + 10
        while len(children(process)) != count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    stopped(process)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("bad-config", "unknown key `listne`"),
        ("reloads bind-fails", "address already in use"),
        ("reloads startup-aborts", "no database"),
    ],
)
def test_a_changed_configuration_that_fails_leaves_the_workers(project, crew, words, text):
    process, _ = crew()
    before = children(process)
    project.write("fake.yaml", words)
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "configuration not reloaded, what was loaded before stays in use")
    wait_for_line(process, text)
    assert children(process) == before
    project.write("fake.yaml", "reloads\n")
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "2 workers replaced")
    stopped(process)


def test_a_worker_that_stayed_behind_is_replaced_by_the_next_sighup(project, crew):
    process, _ = crew()
    project.write("routes.py", "import os\nif os.path.exists('once'): os.open('once/taken', os.O_CREAT | os.O_EXCL)\n")
    wait_for_line(process, "script reloaded in 2 workers")
    (project.folder / "once").mkdir()
    project.write("fake.yaml", "reloads\nmore\n")
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "worker 1 stays with the earlier configuration: its successor cannot be started")
    wait_for_line(process, "configuration reloaded, 1 workers replaced in ")
    (project.folder / "once" / "taken").unlink()
    (project.folder / "once").rmdir()
    process.send_signal(signal.SIGHUP)
    wait_for_line(process, "configuration reloaded, 2 workers replaced in ")
    stopped(process)


def test_workers_leave_the_signals_of_a_terminal_to_the_supervisor(project, crew):
    process, _ = crew("reloads drain-waits", "server: {drain_secs: 1}\n")
    for pid in children(process):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    time.sleep(0.3)  # one that obeyed would have said so by now
    assert len(children(process)) == 2 and "drain 1.0" not in project.notes()
    workers = children(process)
    process.send_signal(signal.SIGINT)
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    code, out, _ = ended(process)
    assert code == 0 and "stopped by SIGINT" in out and project.notes().count("shutdown") == 3


def test_a_second_signal_ends_everything_at_once(project, crew):
    process, _ = crew("reloads drain-waits")
    workers = children(process)
    process.send_signal(signal.SIGTERM)
    wait_for_note(project, "drain 30.0", process, 2)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130 and "ended at once by SIGINT" in err
    deadline = time.monotonic() + 5
    while any(proc(pid).exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_workers_drain_and_end_when_their_supervisor_is_killed(project, crew):
    process, _ = crew()
    workers = children(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(proc(pid, "exe").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert project.notes().count("drain 30.0") == 2


def test_a_worker_whose_loop_is_held_is_killed_after_the_drain(project, crew):
    process, _ = crew("reloads holds-the-loop", "server: {drain_secs: 0.2}\n")
    wait_for_note(project, "loop held", process, 2)
    _, err = stopped(process, code=1)
    assert err.count("does not end, it is killed") == 2


def test_a_signal_during_the_start_ends_it_cleanly(project):
    project.write("fake.yaml", "reloads startup-waits")
    process = project.start("run", "--workers", "2")
    wait_for_note(project, "startup", process)
    stopped(process)
    assert "startup cancelled" in project.notes()


def test_a_worker_over_its_memory_is_replaced(project, crew):
    process, _ = crew("reloads", "worker_max_rss_mb: 1\n")
    wait_for_line(process, "is replaced: it holds ")
    stopped(process)


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("freebsd14", 1024)])
def test_without_proc_the_most_memory_ever_held_counts(monkeypatch, platform, unit):
    """getrusage(2) tells it in bytes on macOS, in KiB elsewhere."""
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=700))
    monkeypatch.setattr(supervised, "open", lambda *_, **__: os.stat("/nowhere/at/all"), raising=False)
    monkeypatch.setattr(supervised, "resource", usage)
    monkeypatch.setattr(supervised, "sys", SimpleNamespace(platform=platform))
    assert supervised._resident_bytes() == 700 * unit


@needs_proc
def test_what_scripts_start_inherits_neither_sockets_nor_signals(project):
    script = """
import os, subprocess, sys
from siphon import fake
code = "import os, signal; print(sorted(os.listdir('/proc/self/fd')), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
fake.note(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
"""
    project.write("fake.yaml", "reloads")
    project.write("routes.py", script)
    process, _ = project.serving("--workers", "2")
    stopped(process)
    line = next(note for note in project.notes() if note.startswith("["))
    assert line == "['0', '1', '2', '3'] True"  # 3 is the listing itself


def test_auto_is_what_the_machine_allows():
    assert 1 <= processors() <= (os.cpu_count() or 1)


# ---- the leash


def pair(**more):
    ours, theirs = socket.socketpair()
    slots = Slots()
    slot = slots.take()
    given = Assignment(
        file="a.yaml", verbose=True, log_level="info", log_format=None, index=1, count=2, slot=os.dup(slot.fd),
        inherited={"http": {"x": [os.dup(slot.fd)]}}, drain_secs=0.0, contents={"/a.yaml": "\xff"}, **more
    )  # fmt: skip
    send(ours, given)
    slots.close()
    return ours, theirs, given


def test_an_assignment_arrives_as_it_was_given():
    ours, theirs, given = pair()
    leash = Leash(theirs.detach(), leave=lambda code: None)
    assert leash.assignment == given
    options = leash.assignment.options()
    assert (str(options.file), options.verbose, options.log_level) == ("a.yaml", True, "info")
    assert (options.place.index, options.place.count, len(options.place.counters)) == (1, 2, SLOT_BYTES)
    assert options.contents == {Path("/a.yaml"): b"\xff"}
    assert not os.get_inheritable(options.inherited["http"]["x"][0])
    leash.say(**{"is": "ready"})
    assert json.loads(ours.recv(100)) == {"is": "ready"}
    os.close(options.inherited["http"]["x"][0])
    ours.close()
    deadline = time.monotonic() + 5
    while leash._sock.fileno() != -1:  # the thread has seen the end
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_lines_are_taken_out_of_a_buffer_when_they_are_whole():
    buffer = bytearray(b'{"do": "drain"}\n{"do"')
    assert split_lines(buffer) == [{"do": "drain"}]
    assert split_lines(buffer) == [] and buffer == b'{"do"'
    buffer += b': "reload"}\n'
    assert split_lines(buffer) == [{"do": "reload"}]


# ---- what operators ask


def test_the_supervisor_answers_for_all_workers(project, crew):
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process, _ = crew("reloads", f"admin: {{listen: '127.0.0.1:{port}'}}\n")

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.read().decode()

    assert "ready" in get("/admin/ready")
    project.write("routes.py", "changed = 1\n")
    wait_for_line(process, "script reloaded in 2 workers")
    assert 'siphon_reloads_total{result="ok"} 2' in get("/metrics")
    os.kill(children(process)[0], signal.SIGKILL)
    wait_for_line(process, " serves")
    assert 'siphon_reloads_total{result="ok"} 2' in get("/metrics")  # what the dead one has counted stays
    stopped(process)
