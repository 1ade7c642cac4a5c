"""What the documentation says is so: tables come from the code, scripts run, links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from siphon_http.config import HttpConfig
from siphon_http.host.cli import COMMANDS, HELP
from siphon_http.host.config import HostConfig
from siphon_http.settings import fields_of

from .docs.folders import pytest_in, write_site
from .docs.reading import ASK, DOCS, GENERATE, PAGES, Block, alone, blocks, scripts
from .examples.serving import ROOT, command, serving

SIPHON_KEYS = {"script", "log", "server", "workers", "extensions", "admin", "metrics", "cache"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_generated_parts_are_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert GENERATE.rendered(text) == text, "run: python docs/generate.py"


def schemas(root: type) -> Iterator[type]:
    """Yield every dataclass that is a block of the file which `root` describes."""
    yield root
    for key in fields_of(root):
        for part in (key.kind, *typing.get_args(key.kind)):
            if dataclasses.is_dataclass(part) and hasattr(part, "check_settings") | any(
                "key" in f.metadata for f in dataclasses.fields(part)
            ):
                assert isinstance(part, type)
                yield from schemas(part)


def test_every_block_of_both_files_has_its_table() -> None:
    known = {*schemas(HttpConfig), *schemas(HostConfig)}
    assert len(known) == 14
    assert known == set(GENERATE.SCHEMAS.values())
    text = (DOCS / "configuration.md").read_text()
    for name, schema in GENERATE.SCHEMAS.items():
        part = text.partition(f"<!-- keys: {name} -->")[2].partition("<!-- end -->")[0]
        for key in fields_of(schema):
            assert f"| `{key.name}` |" in part


@pytest.mark.parametrize("block", alone("yaml"), ids=str)
def test_a_yaml_block_is_a_file_without_mistakes(block: Block, tmp_path: Path) -> None:
    is_siphon = bool(SIPHON_KEYS & yaml.safe_load(block.text).keys())
    write_site(tmp_path, **{"siphon" if is_siphon else "http": block.text})
    done = command(tmp_path, "check")
    # Certificates are empty files here: that they are looked into is all that may be said against the block.
    lines = [line for line in done.stderr.splitlines() if re.match(r"\S+\.yaml:\d+:\d+: ", line)]
    assert done.returncode in (0, 5), done.stderr
    assert all("is empty, expected" in line for line in lines), done.stderr


@pytest.mark.parametrize("block", scripts(asked=True), ids=str)
def test_a_script_answers_what_the_page_says(block: Block, tmp_path: Path) -> None:
    write_site(tmp_path, script=block.text)
    with serving(tmp_path) as server:
        for ask in ASK.finditer(block.comments):
            body = None if ask["body"] is None else ask["body"].encode()
            answer = server.ask(ask["path"], ask["method"], body)
            assert (answer.status, answer.body.decode().rstrip("\n")[: len(ask["has"])]) == (
                int(ask["status"]),
                ask["has"],
            )


@pytest.mark.parametrize("block", scripts(asked=False), ids=str)
def test_a_script_loads(block: Block, tmp_path: Path) -> None:
    write_site(tmp_path, script=block.text)
    done = command(tmp_path, "check")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_python_block_is_a_script() -> None:
    """Then one of the two tests above runs it; blocks of tests, and the files of projects, are run by the next ones."""
    assert [str(b) for b in alone("python") if "from siphon import" not in b.text and not b.is_test] == []


def test_the_tests_of_a_page_pass_with_its_script(tmp_path: Path) -> None:
    tests = [b for b in alone("python") if b.is_test]
    assert {b.page for b in tests} == {"testing.md"}
    (script,) = (b for b in blocks("python") if b.page == "testing.md" and not b.is_test)
    (tmp_path / "routes.py").write_text(script.text)
    for number, block in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(block.text)
    done = pytest_in(tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.skipif(not (ROOT / "siphon_http").exists(), reason="there is no source tree beside an installed wheel")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    for target in re.findall(r"`((?:siphon_http|tests|examples|benchmarks|docs|\.ci)/[\w./-]*)`", page.read_text()):
        assert (ROOT / target).exists(), target


def test_the_commands_and_exit_codes_are_in_the_readme_and_in_errors() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"siphon-http {name}" in readme for name in COMMANDS)
    codes = re.findall(r"(?m)(?:^|  )(\d+)(?:, (\d+))?  ", HELP.partition("exit codes:")[2])
    assert [code for pair in codes for code in pair if code] == ["0", "3", "1", "4", "2", "5", "130", "143"]
    text = (DOCS / "errors.md").read_text()
    for pair in codes:
        assert f"\n| {', '.join(filter(None, pair))} |" in text


def test_every_name_of_the_namespace_is_documented() -> None:
    from siphon_http._core.message import Request, Response
    from siphon_http.extension import HttpNamespace

    text = (DOCS / "script-api.md").read_text()
    public = {n for n in dir(HttpNamespace) if not n.startswith("_")} - {"begin", "end"}
    missing = [n for n in public if f"http.{n}" not in text]
    for kind in (Request, Response):
        missing += [f"{kind.__name__}.{n}" for n in dir(kind) if not n.startswith("_") and f"`{n}" not in text]
    assert missing == []
