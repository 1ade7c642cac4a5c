"""Settings by a schema: values, defaults, and how a mistake reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from siphon_http.errors import ConfigError
from siphon_http.settings import (
    REQUIRED,
    MappingNode,
    ScalarNode,
    fields_of,
    text_of,
)
from tests.settings_stage import Server, Tls, Whole, Yaml


@pytest.fixture
def file(tmp_path: Path) -> Yaml:
    return Yaml(tmp_path)


# -- the schema -----------------------------------------------------------------------------------------------------


def test_values_and_defaults_arrive_typed_in_frozen_dataclasses(file: Yaml) -> None:
    whole = file.whole(
        "servers:\n- listen: a:1\n  ratio: 1\n  loud: true\n  mode: slow\n  tags: [x]\n  tls: {cert_path: c}\nworkers: auto\n"
    )
    (server,) = whole.servers
    assert server == Server(
        listen="a:1", ratio=1.0, loud=True, mode="slow", tags=("x",), tls=Tls(cert_path=file.path.parent / "c")
    )
    assert isinstance(server.ratio, float)
    assert (whole.workers, whole.clients, whole.extra) == ("auto", {}, None)


def test_sections_without_a_value_are_empty(file: Yaml) -> None:
    assert file.whole("servers:\nclients:\nextra:\n") == Whole()


def test_a_union_is_chosen_by_what_stands_in_the_file(file: Yaml) -> None:
    assert file.whole("extra: a.yaml\n").extra == "a.yaml"
    inline = file.whole("extra: {a: 1}\n").extra
    assert isinstance(inline, MappingNode) and inline.plain() == {"a": 1}
    assert file.problem("extra: [a]\n").reason == "extra: expected text or a mapping (`key: value` lines), got a list"


@pytest.mark.parametrize(
    ("line", "reason", "hint"),
    [
        ("wait_ms: abc", "expected a whole number of milliseconds, got text 'abc'", ""),
        ("wait_ms: '7'", "expected a whole number of milliseconds, got text '7'", "write 7 without quotes"),
        ("wait_ms: 1_0", "expected a whole number of milliseconds, got text '1_0'", "write 10"),
        ("wait_ms: 010", "expected a whole number of milliseconds, got text '010'", "write 10"),
        ("wait_ms: 0x10", "expected a whole number of milliseconds, got text '0x10'", "write 16"),
        ("wait_ms: 1.0", "expected a whole number of milliseconds, got number 1.0", "write 1"),
        ("wait_ms: 5s", "expected a whole number of milliseconds, got text '5s'", "write 5000"),
        ("wait_ms: true", "expected a whole number of milliseconds, got true", ""),
        ("wait_ms:", "expected a whole number of milliseconds, got nothing", "leave the key out for its default, 10"),
        ("wait_ms: [1]", "expected a whole number of milliseconds, got a list", ""),
        ("wait_ms: 0", "must be between 1 and 1000 milliseconds, got 0", "a time-out cannot be switched off"),
        ("wait_ms: 1001", "must be between 1 and 1000 milliseconds, got 1001", ""),
        ("size_bytes: 1MiB", "expected a whole number of bytes, got text '1MiB'", "write 1048576"),
        ("size_bytes: -1", "must be at least 0 bytes, got -1", ""),
        ("wait_ms: 1e2", "expected a whole number of milliseconds, got number 1e2", "write 100"),
        ("ratio: x", "expected a number, got text 'x'", ""),
        ("loud: yes", "expected true or false, got text 'yes'", "write true"),
        ("loud: 0", "expected true or false, got number 0", "write false"),
        ("loud: 'true'", "expected true or false, got text 'true'", "write true without quotes"),
        ("mode: fsat", "expected fast or slow, got text 'fsat'", "did you mean fast?"),
        ("tags: x", "expected a list, got text 'x'", "write a list: [a, b]"),
        ("tags: [1]", "expected text, got number 1", 'put it in quotes: "1"'),
        ("tls: x", "expected a mapping (`key: value` lines), got text 'x'", ""),
    ],
)
def test_a_wrong_value_says_what_was_expected_what_came_and_what_to_write(
    file: Yaml, line: str, reason: str, hint: str
) -> None:
    problem = file.problem(f"servers:\n- listen: a\n  {line}\n")
    path = "servers[0].tags[0]" if line == "tags: [1]" else f"servers[0].{line.partition(':')[0]}"
    assert problem.reason == f"{path}: {reason}"
    assert problem.hint.startswith(hint) and bool(problem.hint) == bool(hint)
    assert problem.line == 3


def test_a_quoted_variable_that_should_be_a_number_says_so(file: Yaml) -> None:
    problem = file.problem('servers: [{listen: a, wait_ms: "${W}"}]\n', W="7")
    assert problem.hint == "remove the quotes: a quoted ${...} stays text"


def test_an_empty_variable_is_named_where_a_value_was_needed(file: Yaml) -> None:
    problem = file.problem("servers: [{listen: a, wait_ms: ${W}}]\n")
    assert problem.reason.endswith("expected a whole number of milliseconds, got nothing (${W} is empty)")


def test_an_unset_variable_does_not_switch_an_optional_setting_off(file: Yaml) -> None:
    assert file.problem("file: ${CA}\n").reason == "file: expected a path, got nothing (${CA} is empty)"
    assert file.whole("file: ${CA:-}\n").file is None


def test_an_unknown_key_gets_the_nearest_one_or_all(file: Yaml) -> None:
    problem = file.problem("servers:\n  - listen: a\n    wait_mss: 7\n")
    assert str(problem) == (
        "http.yaml:3:5: servers[0]: unknown key `wait_mss`\n        wait_mss: 7\n        ^\n    did you mean `wait_ms`?"
    )
    assert file.problem("qqqq: 1\n").hint == "allowed here: servers, clients, workers, extra, file"
    assert file.problem("wait_ms: 1\n").hint == "`wait_ms` belongs below `servers:`"


def test_a_required_key_that_is_misspelt_is_not_called_missing_too(file: Yaml) -> None:
    assert file.problem("servers: [{listn: a}]\n").hint == "did you mean `listen`?"


def test_slips_of_structure_say_what_to_write(file: Yaml) -> None:
    assert file.problem("servers:\n  listen: a\n").hint == "begin each entry with `- `"
    assert file.problem("servers:\n- listen a:1\n").hint == "write `listen: ` with a colon and a space"


def test_a_missing_key_says_what_it_is_for(file: Yaml) -> None:
    problem = file.problem("servers:\n  - loud: true\n")
    assert (problem.line, problem.column) == (2, 5)
    assert (problem.reason, problem.hint) == ("servers[0]: `listen` is missing", "`listen:` where to listen")


def test_everything_wrong_is_reported_at_once_in_the_order_of_the_file(file: Yaml) -> None:
    problems = file.problems("workers: -1\nservers:\n- wait_ms: x\n  nope: 1\n- listen: 5\nclients: {a: 3}\n")
    assert [(p.line, p.column) for p in problems] == [(1, 10), (3, 3), (3, 12), (4, 3), (5, 11), (6, 14)]


def test_a_root_that_is_no_mapping_is_refused(file: Yaml) -> None:
    assert file.problem("- a\n").reason == "expected a mapping (`key: value` lines), got a list"


def test_the_schema_can_check_what_concerns_several_keys(file: Yaml) -> None:
    assert file.problem("workers: 13\n").reason == "workers: is unlucky"
    assert file.whole("workers: 99\n").workers == 99
    assert file.warnings == ["http.yaml:1:10: workers: is a lot"]


def test_files_that_must_exist_are_looked_for(file: Yaml, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    assert file.whole("file: there\n").file == tmp_path / "there"
    assert file.problem("file: gone\n").reason == f"file: file {tmp_path / 'gone'} does not exist"
    assert file.problem("file: a/b/gone\n").hint == f"the folder {tmp_path / 'a'} does not exist either"
    assert file.problem("file: .\n").reason.endswith("is a folder, not a file")


def test_a_file_of_the_working_directory_is_named_as_it_must_be_written(
    file: Yaml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "certs").mkdir(parents=True)
    (tmp_path / "elsewhere" / "certs" / "a.pem").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    hint = file.problem("file: certs/a.pem\n").hint
    assert hint == "paths begin at the folder of the file that names them: write elsewhere/certs/a.pem"


def test_long_values_and_long_lines_are_shortened(file: Yaml) -> None:
    problem = file.problem(f"workers: {'x' * 5000}\n")
    assert len(problem.reason) < 200 and len(problem.source) <= 160


def test_urls_are_shown_without_their_userinfo(file: Yaml) -> None:
    assert "hunter2" not in str(file.problem("workers: http://me:hunter2@host/\n"))


def test_the_fields_of_a_schema_are_listed_for_documentation() -> None:
    keys = {key.name: key for key in fields_of(Server)}
    assert keys["listen"].default is REQUIRED
    wait = keys["wait_ms"]
    assert (wait.kind, wait.default, wait.low, wait.high, wait.unit, wait.doc) == (
        int, 10, 1, 1000, "milliseconds", "how long",
    )  # fmt: skip
    assert {key.name: key.default for key in fields_of(Whole)}["clients"] == {}


def test_text_of_takes_scalars_that_are_not_empty(file: Yaml) -> None:
    root: Any = file.node("a: x\nb: []\nc: ''\n")
    assert text_of(root["a"], "a word") == "x"
    for name, got in (("b", "a list"), ("c", "text ''")):
        with pytest.raises(ConfigError, match=f"{name}: expected a word, got {got}"):
            text_of(root[name], "a word")


def test_nodes_print_their_place(file: Yaml) -> None:
    root: Any = file.node("a: x\n")
    assert repr(root["a"]) == "<scalar a at http.yaml:1:4>"
    assert isinstance(root["a"], ScalarNode)
