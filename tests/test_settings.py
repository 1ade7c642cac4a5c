"""YAML with marks: what is read, what is refused, and how a refusal reads."""

# ruff: noqa: RUF009  `required` and `optional` return dataclass fields
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from siphon_http.errors import ConfigError, Problem
from siphon_http.settings import (
    REQUIRED,
    Findings,
    MappingNode,
    Node,
    ScalarNode,
    fields_of,
    load,
    optional,
    read,
    required,
    sorted_problems,
    text_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    cert_path: Path = required("the certificate")
    token: str = optional("", "a secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    listen: str = required("where to listen")
    wait_ms: int = optional(10, "how long", low=1, high=1000)
    size_bytes: int = optional(5, "how much", low=0)
    ratio: float = optional(0.5, "share")
    loud: bool = optional(False, "noise")
    mode: Literal["fast", "slow"] = optional("fast", "pace")
    tls: Tls | None = optional(None, "TLS")
    tags: tuple[str, ...] = optional((), "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    servers: tuple[Server, ...] = optional((), "listeners")
    clients: Mapping[str, Tls] = optional(dict, "clients")
    workers: int | Literal["auto"] = optional(1, "processes", low=1)
    extra: str | MappingNode | None = optional(None, "path or mapping")
    file: Path | None = optional(None, "a file", is_file=True)

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        if values.get("workers") == 13:
            findings.refuse(node["workers"], "is unlucky")
        if values.get("workers") == 99:
            findings.warn(node["workers"], "is a lot")


@contextmanager
def without_root() -> Iterator[None]:
    """Run as `nobody` if this is root, who may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


class Yaml:
    """Writes one file and reads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "http.yaml"
        self.warnings: list[str] = []

    def node(self, text: str | bytes, **environ: str) -> Node:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(self.path, shown="http.yaml", environ=environ, warnings=self.warnings)

    def plain(self, text: str, **environ: str) -> Any:
        return self.node(text, **environ).plain()

    def problems(self, text: str | bytes, **environ: str) -> list[Problem]:
        problems: list[Problem] = []
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            node = load(self.path, shown="http.yaml", environ=environ, problems=problems, warnings=self.warnings)
        except ConfigError as exc:
            return exc.problems
        before = len(problems)
        result = read(node, Whole, problems, self.warnings)
        assert (result is None) == (len(problems) > before)
        return sorted_problems(problems)

    def problem(self, text: str | bytes, **environ: str) -> Problem:
        (problem,) = self.problems(text, **environ)
        return problem

    def whole(self, text: str, **environ: str) -> Whole:
        problems: list[Problem] = []
        result = read(self.node(text, **environ), Whole, problems, self.warnings)
        assert not problems, problems
        assert result is not None
        return result


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
