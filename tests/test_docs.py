"""What the documentation says is so: tables come from the code, and every block of code runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import jsonschema
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
NAME = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")
SERVED = re.compile(r"<!-- served: (?P<says>.*?) -->")
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
    def page(self) -> str:
        """The name of its page."""
        return self.place.partition(":")[0]

    @property
    def name(self) -> str:
        """The file that its first line names, or ""."""
        match = NAME.match(self.text)
        return match[1] if match else ""

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


def projects() -> list[str]:
    """Return the pages whose named blocks are the files of one folder: those that name a test."""
    return sorted({b.page for b in blocks("python") if b.name.startswith("test_")})


def alone(*languages: str) -> list[Block]:
    """Return the blocks that are not a file of their page's project."""
    return [b for b in blocks(*languages) if not (b.name and b.page in projects())]


def scripts(asked: bool) -> list[Block]:
    """Return the python blocks that are scripts of siphon: those with questions, or those without."""
    return [b for b in alone("python") if not b.is_test and bool(ASK.search(b.comments)) is asked]


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


def pytest_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder, as a reader would."""
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", *options],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_tests_of_a_page_pass_with_its_script(tmp_path: Path) -> None:
    tests = [b for b in alone("python") if b.is_test]
    assert {b.page for b in tests} == {"testing.md"}
    (script,) = (b for b in blocks("python") if b.page == "testing.md" and not b.is_test)
    (tmp_path / "routes.py").write_text(script.text)
    for number, block in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(block.text)
    done = pytest_in(tmp_path)
    assert done.returncode == 0, done.stdout


# ---- projects: pages whose blocks are files, and commands


def shell(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """Run commands of a page; return what they printed."""
    if not all(map(shutil.which, ("bash", "curl", "openssl"))):
        pytest.skip("the commands of the page need bash, curl and openssl")
    siphon = (
        f'python() {{ "{sys.executable}" "$@"; }}\nsiphon-http() {{ python -m siphon_http "$@"; }}\nset -euo pipefail\n'
    )
    options = {"cwd": folder, "env": environment(environ), "timeout": 30, "text": True, "capture_output": True}
    done = subprocess.run(["bash", "-c", siphon + text], check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def commands(page: str, mark: str) -> str:
    """Return the commands of a page that have this mark."""
    return "".join(b.text for b in blocks("sh") if b.page == page and f"<!-- {mark}" in b.comments)


def exported(page: str) -> dict[str, str]:
    """Return the variables that the page tells its reader to export."""
    return dict(re.findall(r"(?m)^export (\w+)=(\S+)$", "".join(b.text for b in blocks("sh") if b.page == page)))


def written(page: str, folder: Path) -> Path:
    """Run the commands marked `run`, then write the named blocks where these have led; return that folder."""
    if setup := commands(page, "run"):
        folder = Path(shell(folder, setup + "\npwd").splitlines()[-1])
    if not (folder / "siphon.yaml").exists():
        (folder / "siphon.yaml").write_text("script: {path: routes.py}\nextensions: {http: http.yaml}\n")
    for block in blocks("python", "yaml"):
        if block.page == page and block.name:
            (folder / block.name).write_text(block.text)
    return folder


@pytest.mark.parametrize("page", projects())
def test_a_page_of_files_says_where_its_siphon_yaml_comes_from(page: str) -> None:
    (text,) = (p.read_text() for p in PAGES if p.name == page)
    assert "siphon-http new" in text or "```yaml\n# siphon.yaml\n" in text


@pytest.mark.parametrize("page", projects())
def test_the_files_of_a_page_pass_the_check_and_their_tests(page: str, tmp_path: Path) -> None:
    folder = written(page, tmp_path)
    checked = command(folder, "check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "siphon.yaml: ok\n", "")
    done = pytest_in(folder)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", [b for b in blocks("sh") if SERVED.search(b.comments)], ids=str)
def test_a_command_gets_the_answer_that_the_page_says(block: Block, tmp_path: Path) -> None:
    folder = written(block.page, tmp_path)
    with serving(folder, exported(block.page)) as server:
        text = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{server.port}", block.text)
        said = shell(folder, text, exported(block.page))
    assert said.strip() == SERVED.findall(block.comments)[0]


def test_the_schemas_of_the_page_on_editors_accept_its_files(tmp_path: Path) -> None:
    shell(tmp_path, commands("editors.md", "run"))
    files = [b for b in blocks("yaml") if b.page == "editors.md"]
    assert len(files) == 2
    for block in files:
        schema = tmp_path / re.findall(r"\$schema=(\S+)", block.text)[0]
        jsonschema.validate(yaml.safe_load(block.text), json.loads(schema.read_text()))


@pytest.mark.parametrize("page", projects())
def test_commands_of_a_project_run_or_say_why_not(page: str) -> None:
    marked = re.compile(r"<!-- (?:run|served: .+|shown: .+) -->")
    assert [str(b) for b in blocks("sh", "console") if b.page == page and not marked.search(b.comments)] == []


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
