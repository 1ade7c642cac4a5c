import json
import subprocess
import sys

import pytest

from siphon_http import __version__
from siphon_http.host.cli import main


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"siphon-http {__version__}\n"


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"], ["run", "--help"], ["new", "-h"]])
def test_help_fits_a_screen_and_has_examples_and_exit_codes(args, capsys):
    assert main(args) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert sum(line.strip().startswith(("siphon-http ", "PORT=9000 siphon-http ")) for line in lines) == 3
    text = "\n".join(lines)
    assert all(word in text for word in ("run [FILE]", "check [FILE]", "routes [FILE]", "new NAME", "exit codes:"))


def test_no_command_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "usage: siphon-http" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean run?"),
        (["chekc"], "did you mean check?"),
        (["xyz"], "unknown command 'xyz'"),
        (["--versoin"], "unknown option --versoin; did you mean --version?"),
        (["run", "--verbos"], "siphon-http run: unknown option --verbos; did you mean --verbose?"),
        (["run", "a.yaml", "b.yaml"], "unexpected argument 'b.yaml'"),
        (["run", "--json"], "unknown option --json"),
        (["run", "--log-level", "loud"], "argument --log-level: invalid choice: 'loud'"),
        (["new"], "a NAME is missing"),
        (["new", "a", "b"], "unexpected argument 'b'"),
    ],
)
def test_wrong_usage_is_said_shortly_and_ends_with_2(args, text, capsys):
    assert main(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
    assert len(captured.err.splitlines()) == 2


def test_a_missing_siphon_yaml_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in ("run", "check", "routes"):
        assert main([command]) == 2
        assert "siphon.yaml: does not exist in this folder" in capsys.readouterr().err


def test_a_missing_file_that_was_named_is_a_configuration_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "gone.yaml"]) == 2
    assert capsys.readouterr().err.startswith("gone.yaml: does not exist")


def test_check_says_ok_and_loads_the_script_without_binding(here, capsys):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "siphon.yaml: ok\n"
    assert here.notes() == ["namespace", "load begins", "script", "load ends"]


def test_check_takes_a_folder_for_its_siphon_yaml(here, capsys):
    assert main(["check", "."]) == 0
    assert capsys.readouterr().out == "siphon.yaml: ok\n"


@pytest.mark.parametrize(("word", "code"), [("bad-config", 2), ("bad-tls", 5), ("load-conflicts", 4)])
def test_check_has_the_exit_code_that_the_start_would_have(here, word, code, capsys):
    here.write("fake.yaml", word)
    assert main(["check"]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and 0 < len(captured.err.splitlines()) <= 6


def test_check_in_json_lists_the_findings(here, capsys):
    here.write("fake.yaml", "bad-config")
    here.write("siphon.yaml", (here.folder / "siphon.yaml").read_text() + "  gone: gone.yaml\nlisten: {}\n")
    assert main(["check", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["exit_code"], found["error"]) == (False, 2, None)
    problem = {"file": "fake.yaml", "line": 7, "column": 5, "reason": "unknown key `listne`"}
    assert found["problems"] == [{**problem, "hint": "did you mean `listen`?"}]
    assert len(found["warnings"]) == 2


def test_check_in_json_tells_of_a_script_that_fails_and_of_one_that_does_not(here, capsys):
    assert main(["check", "--json"]) == 0
    good = {"ok": True, "exit_code": 0, "problems": [], "error": None, "warnings": []}
    assert json.loads(capsys.readouterr().out) == good
    here.write("routes.py", "1 / 0\n")
    assert main(["check", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"].startswith("routes.py:1: ZeroDivisionError")


def test_routes_prints_an_aligned_table_without_binding(here, capsys):
    assert main(["routes"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "METHODS   PATH       HANDLER",
        "GET       /a         routes.py:3 a",
        "GET,POST  /long/{x}  routes.py:9 b",
    ]
    assert "bind" not in here.notes()


def test_routes_names_the_extension_when_there_are_several(here, capsys):
    here.install("second", "fake_extension:Fake")
    here.write("second.yaml", "")
    here.write("siphon.yaml", (here.folder / "siphon.yaml").read_text() + "  second: second.yaml\n")
    assert main(["routes"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("fake:\nMETHODS") and "\n\nsecond:\nMETHODS" in out


def test_routes_of_a_broken_script_is_exit_4(here, capsys):
    here.write("routes.py", "def (\n")
    assert main(["routes"]) == 4
    assert capsys.readouterr().err.startswith("routes.py:1:5: SyntaxError")


def test_a_reader_that_leaves_early_is_no_error(project):
    process = project.start("routes")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_the_version_costs_no_heavy_imports(project):
    code = (
        "import sys; from siphon_http.host.cli import main; main(['--version']); main(['--help']);"
        "sys.exit([m for m in ('uvloop', 'yaml', 'ssl', 'asyncio', 'httptools', 'logging') if m in sys.modules] or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=project.environment(), capture_output=True, text=True, check=False, timeout=30
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_check_needs_no_event_loop(project):
    code = (
        "import sys; from siphon_http.host.cli import main; c = main(['check']); sys.exit(c or 'uvloop' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=project.environment(),
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (result.returncode, result.stderr) == (0, "")
