"""YAML with marks: what is read, what is refused, and how a refusal reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from siphon_http.errors import ConfigError, Problem
from siphon_http.settings import (
    MappingNode,
    load,
)
from tests.settings_stage import Yaml, without_root


@pytest.fixture
def file(tmp_path: Path) -> Yaml:
    return Yaml(tmp_path)


# -- the tree -------------------------------------------------------------------------------------------------------


def test_every_value_knows_its_file_line_column_and_path(file: Yaml) -> None:
    root = file.node("servers:\n  - listen: a:1\n    tags: [x, y]\n")
    assert isinstance(root, MappingNode)
    servers: Any = root["servers"]
    tag = servers.items[0]["tags"].items[1]
    assert (tag.file, tag.line, tag.column, tag.path) == ("http.yaml", 3, 15, "servers[0].tags[1]")
    assert tag.source == "    tags: [x, y]"
    assert root.key("servers").line == 1


def test_what_was_read_before_is_taken_in_the_place_of_the_file(tmp_path: Path) -> None:
    root: Any = load(tmp_path / "gone.yaml", content=b"a: sub/x\n")
    assert (root["a"].file, root["a"].relative(root["a"].text)) == (str(tmp_path / "gone.yaml"), tmp_path / "sub" / "x")
    with pytest.raises(ConfigError, match=r"gone\.yaml:1:4: byte 0xff is not UTF-8"):
        load(tmp_path / "gone.yaml", content=b"a: \xff")


def test_an_empty_file_and_one_of_comments_are_empty_mappings(file: Yaml) -> None:
    for text in ("", "# nothing\n", "---\n", "~\n", "\ufeff"):
        assert file.plain(text) == {}


def test_scalars_are_typed_by_yaml_1_2_and_nothing_surprising_is_a_number(file: Yaml) -> None:
    text = "[1, -2, +3, 1.5, 1e3, true, False, ~, null, '', yes, off, 010, 0x10, 0o7, 1_000, 12:30, .inf, .nan, '1', 1e9999, 2026-01-01]"
    assert file.plain(text) == [
        1, -2, 3, 1.5, 1000.0, True, False, None, None, "", "yes", "off", "010", "0x10", "0o7", "1_000", "12:30",
        ".inf", ".nan", "1", "1e9999", "2026-01-01",
    ]  # fmt: skip


def test_a_byte_order_mark_and_crlf_do_not_move_columns(file: Yaml) -> None:
    root: Any = file.node("\ufeffa: 1\r\nb: 2\r\n")
    assert (root.key("a").line, root.key("a").column) == (1, 1)
    assert (root["b"].line, root["b"].column, root["b"].source) == (2, 4, "b: 2")


def test_columns_count_characters_not_bytes(file: Yaml) -> None:
    problem = file.problem("servers: [{listen: 'é:1', wait_ms: x}]\n")
    assert problem.column == 36


def test_relative_paths_begin_at_the_file_that_names_them(file: Yaml, tmp_path: Path) -> None:
    whole = file.whole("clients: {a: {cert_path: certs/a.pem}, b: {cert_path: /etc/b.pem}}\n")
    assert whole.clients["a"].cert_path == tmp_path / "certs/a.pem"
    assert whole.clients["b"].cert_path == Path("/etc/b.pem")


def test_the_pure_python_loader_gives_the_same_tree(file: Yaml, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, ${X:-y, z}, 'q']\nb: |\n  text\n"
    fast = file.plain(text)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert file.plain(text) == fast == {"a": [1, "y, z", "q"], "b": "text\n"}
    assert "line 1" in file.problem("a: [1,\nb: 2").reason


# -- what no file may hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: b: c\n", (1, 5), "a second ': ' on one line"),
        ('a: "x\nb: 2\n', (1, 4), "the quote that opens here is never closed"),
        ("a: [1,2\nb: 3\n", (2, 2), "not valid inside the [ of line 1"),
        ("a: [b, ::1]\n", (1, 8), "not expected inside [ ] or { }"),
        ("a:\n\tb: 2\n", (2, 1), "a tab in the indentation"),
        ("a: 1\n\tb: 2\n", (2, 1), "a tab in the indentation"),
        ("a: @x\n", (1, 4), "a value cannot begin with @"),
        ("a:\n  b: 1\n c: 2\n", (3, 2), "the indentation"),
        ("a: 1\nb\nc: 2\n", (2, 1), "a key without ': ' after it"),
        ('a: "\\q"\n', (1, 5), "an unknown escape"),
        ("a: 1\n---\nb: 2\n", (2, 1), "a second document begins here"),
        ("a: *x\n", (1, 4), "alias *x has no anchor &x"),
        ("a: &x [*x]\n", (1, 8), "alias *x has no anchor &x that is complete"),
        ("a: !!str 1\n", (1, 4), "tags are not accepted, found !!str"),
        ("a: !!python/object/apply:os.system [ls]\n", (1, 4), "tags are not accepted"),
        ("{<<: {a: 1}}\n", (1, 2), "merge keys (<<) are not accepted"),
        ("? [a]\n: 1\n", (1, 3), "a key must be text"),
        ("a: ${\n", (1, 4), "malformed ${...}"),
        ("a: ${1X}\n", (1, 4), "malformed ${...}"),
        ("a: ${X-b}\n", (1, 4), "malformed ${...}"),
        ("a: ${X:-${Y}}\n", (1, 4), "${...} inside ${...}"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_at_its_place(
    file: Yaml, text: str, place: tuple[int, int], reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        file.node(text)
    problem = caught.value.problems[0]
    assert (problem.line, problem.column) == place
    assert reason in problem.reason
    assert problem.source == text.split("\n")[place[0] - 1]


def test_a_duplicate_key_names_both_lines(file: Yaml) -> None:
    problem = file.problem("servers:\n- listen: a\n  wait_ms: 1\n  listen: b\n")
    assert str(problem) == (
        "http.yaml:4:3: servers[0].listen: given twice, first in line 2\n"
        "      listen: b\n"
        "      ^\n"
        "    remove one of the two"
    )


def test_bytes_that_are_not_utf8_and_control_characters_are_shown_with_their_place(file: Yaml) -> None:
    problem = file.problem(b"a: 1\nb: caf\xe9\n")
    assert (problem.line, problem.column, problem.reason) == (2, 7, "byte 0xe9 is not UTF-8")
    problem = file.problem(b"a: 1\nb: \x00\n")
    assert (problem.line, problem.column) == (2, 4)
    assert "control character 0x00" in problem.reason


def test_a_missing_file_and_a_folder_are_problems_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "no.yaml", shown="no.yaml")
    assert str(caught.value) == f"no.yaml: does not exist\n    looked for {tmp_path / 'no.yaml'}"
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_names_the_user(file: Yaml) -> None:
    file.node("a: 1")
    file.path.chmod(0)
    with without_root(), pytest.raises(ConfigError, match=r"cannot be read: Permission denied\n.*user id"):
        load(file.path)


def test_a_file_without_end_is_cut_off(file: Yaml) -> None:
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        load(Path("/dev/zero"))


def test_aliases_repeat_a_value_but_cannot_multiply_it_without_bound(file: Yaml) -> None:
    assert file.plain("a: &x {p: 1}\nb: [*x, *x]\n")["b"] == [{"p": 1}, {"p": 1}]
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(ConfigError, match="more than 20000 values"):
        file.node(laughs)


def test_a_mistake_below_an_alias_names_the_path_of_its_use(file: Yaml) -> None:
    reasons = [p.reason for p in file.problems("servers:\n- &s {listen: a, wait_ms: 0}\n- *s\n")]
    assert [reason.partition(":")[0] for reason in reasons] == ["servers[0].wait_ms", "servers[1].wait_ms"]


def test_deep_nesting_ends_before_the_stack_does(file: Yaml) -> None:
    with pytest.raises(ConfigError, match="levels of nesting"):
        file.node("[" * 5000 + "]" * 5000)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_with_a_place(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems: list[Problem] = []
    try:
        load(path, environ={}, problems=problems).plain()
    except ConfigError as exc:
        problems = exc.problems
    assert all(p.line >= 1 and p.column >= 1 and p.reason for p in problems)


# -- ${VAR} ---------------------------------------------------------------------------------------------------------


def test_an_unquoted_variable_is_typed_after_expansion_and_a_quoted_one_stays_text(file: Yaml) -> None:
    assert file.plain("[${A}, '${A}', x${A}, ${A}0]\n", A="1") == [1, "1", "x1", 10]


def test_a_default_is_used_when_the_variable_is_unset_or_empty(file: Yaml) -> None:
    assert file.plain("[${A:-x}, ${B:-y}, ${C:-z}]\n", A="", C="c") == ["x", "y", "c"]
    assert file.warnings == []


def test_an_unset_variable_is_the_empty_string_and_a_warning_names_the_place(file: Yaml) -> None:
    assert file.plain("a: 1\nb:\n  c: ${NAME}\n") == {"a": 1, "b": {"c": ""}}
    assert file.warnings == ["http.yaml:3:6: ${NAME} is not set and has no default; it is empty"]


def test_an_empty_default_is_null_where_it_is_not_quoted(file: Yaml) -> None:
    assert file.plain("[${A:-}, '${A:-}']\n") == [None, ""]


def test_a_value_cannot_inject_yaml(file: Yaml) -> None:
    evil = "x\nworkers: 9\n- {a: b}, [c] # d"
    assert file.plain("a: ${V}\nb: [${V}, 1]\n", V=evil) == {"a": evil, "b": [evil, 1]}


def test_expansions_work_inside_flow_lists_and_mappings(file: Yaml) -> None:
    text = "{a: [${P:-10.0.0.0/8}, ${Q:-[::1]:80}], b: ${R:-x, y: #z}}\n"
    assert file.plain(text) == {"a": ["10.0.0.0/8", "[::1]:80"], "b": "x, y: #z"}


def test_quotes_inside_a_default_keep_their_yaml_meaning(file: Yaml) -> None:
    assert file.plain("""['${A:-it''s}', "${A:-\\"x\\"}"]\n""") == ["it's", '"x"']


def test_keys_are_not_expanded(file: Yaml) -> None:
    problem = file.problem("${A}: 1\n", A="workers")
    assert (problem.reason, problem.hint) == ("unknown key `${A}`", "keys are not expanded")


def test_malformed_expansions_are_reported_beside_what_is_wrong_with_the_schema(file: Yaml) -> None:
    problems = file.problems("workers: 0\nextra: ${x\nworkerss: 1\n")
    assert [(p.line, p.reason) for p in problems] == [
        (1, "workers: must be at least 1, got 0"),
        (2, "malformed ${...}"),
        (3, "unknown key `workerss`"),
    ]


def test_the_line_shown_is_that_of_the_file_and_not_the_value(file: Yaml) -> None:
    problem = file.problem("workers: ${WORKERS}\n", WORKERS="many")
    assert problem.source == "workers: ${WORKERS}"
    assert problem.reason == "workers: expected a whole number or auto, got text 'many' (from ${WORKERS})"


@pytest.mark.parametrize("name", ["API_TOKEN", "CLIENT_SECRET", "DB_PASSWORD", "SIGNING_KEY"])
def test_the_value_of_a_secret_variable_is_never_shown(file: Yaml, name: str) -> None:
    problem = file.problem(f"workers: ${{{name}}}\n", **{name: "hunter2"})
    assert "hunter2" not in str(problem)
    assert f"the value of ${{{name}}}" in problem.reason


def test_a_secret_in_clear_is_hidden_in_the_line_and_the_reason(file: Yaml) -> None:
    problem = file.problem("clients:\n  a: {cert_path: x, token: 8154711}\n")
    assert "8154711" not in str(problem)
    assert problem.source == "  a: {cert_path: x, token: ***"
    with pytest.raises(ConfigError) as caught:
        file.node("password: @hunter2\n")
    assert "hunter2" not in str(caught.value)


def test_digits_from_a_variable_are_text_where_text_is_asked_for(file: Yaml) -> None:
    whole = file.whole("clients: {a: {cert_path: x, token: ${TOKEN}}}\n", TOKEN="0815")
    assert whole.clients["a"].token == "0815"
    assert file.whole("clients: {a: {cert_path: x, token: ${TOKEN}}}\n", TOKEN="4711").clients["a"].token == "4711"
