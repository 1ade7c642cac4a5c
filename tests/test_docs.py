"""What the documentation says is so: tables come from the code, and every block of code runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from siphon_http import errors
from siphon_http.config import HttpConfig
from siphon_http.host.cli import COMMANDS, HELP
from siphon_http.host.config import HostConfig
from siphon_http.settings import fields_of

from .examples.serving import ROOT, command, environment, serving

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LOOK_FOR = re.compile(r"(?P<asks>(?:<!-- .*? -->\n+)*)```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
ASK = re.compile(r"<!-- ask: (?P<method>[A-Z]+) (?P<path>\S+)(?: (?P<body>.*?))? -> (?P<status>\d+) ?(?P<has>.*?) -->")
SIPHON_KEYS = {"script", "log", "server", "workers", "extensions", "admin", "metrics", "cache"}


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it is, its language, its text, and the comments before it."""

    place: str
    language: str
    text: str
    comments: str

    def __str__(self) -> str:
        return self.place

    @property
    def is_wrong(self) -> bool:
        """Whether it shows a mistake; docs/generate.py runs those."""
        return "<!-- wrong:" in self.comments

    @property
    def is_test(self) -> bool:
        """Whether it is a file of tests, for the script of its page."""
        return "<!-- pytest -->" in self.comments


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages, without those that show mistakes."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in LOOK_FOR.finditer(text):
            line = text.count("\n", 0, match.start("language")) + 1
            block = Block(f"{page.name}:{line}", match["language"], match["text"], match["asks"])
            if block.language in languages and not block.is_wrong:
                found.append(block)
    return found


def scripts(asked: bool) -> list[Block]:
    """Return the python blocks that are scripts of siphon: those with questions, or those without."""
    return [b for b in blocks("python") if not b.is_test and bool(ASK.search(b.comments)) is asked]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_generated_parts_are_what_the_code_says(page: Path, generate: ModuleType) -> None:
    text = page.read_text()
    assert generate.rendered(text) == text, "run: python docs/generate.py"


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


def test_every_block_of_both_files_has_its_table(generate: ModuleType) -> None:
    known = {*schemas(HttpConfig), *schemas(HostConfig)}
    assert len(known) == 14
    assert known == set(generate.SCHEMAS.values())
    text = (DOCS / "configuration.md").read_text()
    for name, schema in generate.SCHEMAS.items():
        part = text.partition(f"<!-- keys: {name} -->")[2].partition("<!-- end -->")[0]
        for key in fields_of(schema):
            assert f"| `{key.name}` |" in part


def write_site(folder: Path, siphon: str = "", http: str = "", script: str = "from siphon import http\n") -> None:
    """Write a folder that `siphon-http` can use, with every file that the YAML names."""
    siphon = siphon or "script: {path: routes.py}\nextensions: {http: http.yaml}\n"
    http = http or 'servers:\n  - listen: "127.0.0.1:${PORT:-8080}"\nclients: {api: {base_url: http://127.0.0.1:9}}\n'
    (folder / "siphon.yaml").write_text(siphon)
    (folder / "http.yaml").write_text(http)
    for name in re.findall(r"\b[\w-]+\.(?:pem|key|py|crt)\b", siphon + http):
        (folder / name).touch()
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "routes.py").write_text(script)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
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
    """Then one of the two tests above runs it; blocks of tests are run by the next one."""
    assert [str(b) for b in blocks("python") if "from siphon import" not in b.text and not b.is_test] == []


def test_the_tests_of_a_page_pass_with_its_script(tmp_path: Path) -> None:
    tests = [b for b in blocks("python") if b.is_test]
    assert {b.place.partition(":")[0] for b in tests} == {"testing.md"}
    (script,) = (b for b in blocks("python") if b.place.startswith("testing.md") and not b.is_test)
    (tmp_path / "routes.py").write_text(script.text)
    for number, block in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(block.text)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", *options],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


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


def test_every_exception_is_in_the_tree_of_the_page() -> None:
    text = (DOCS / "errors.md").read_text()
    names = [n for n in errors.__all__ if n != "Problem"]
    assert [n for n in names if not re.search(rf"\b{n}\b", text)] == []


def test_every_name_of_the_namespace_is_documented() -> None:
    from siphon_http._core.message import Request, Response
    from siphon_http.extension import HttpNamespace

    text = (DOCS / "script-api.md").read_text()
    public = {n for n in dir(HttpNamespace) if not n.startswith("_")} - {"begin", "end"}
    missing = [n for n in public if f"http.{n}" not in text]
    for kind in (Request, Response):
        missing += [f"{kind.__name__}.{n}" for n in dir(kind) if not n.startswith("_") and f"`{n}" not in text]
    assert missing == []
