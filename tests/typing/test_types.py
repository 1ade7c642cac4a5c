"""Types as editors and checkers see them: the files beside this one, the examples, and every script of the documentation."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import siphon_http
from siphon_http.client.api import Client, ClientSettings
from siphon_http.config import ClientConfig
from siphon_http.host.scaffold import FILES
from siphon_http.settings import fields_of
from tests.docs.reading import blocks
from tests.surface.listing import stub_folder
from tests.typing.checkers import ROOT, mypy, pyright

pytest.importorskip("mypy", reason="types are checked where the lint tools are installed")

pytestmark = pytest.mark.timeout(300)  # each checker reads the whole package: seconds, but more on a busy machine

HERE = Path(__file__).parent
STATED = ("script.py", "harness.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that state types: outside of the tree, as scripts are."""
    made = tmp_path_factory.mktemp("types")
    for name in STATED:
        shutil.copy(HERE / name, made)
    return made


def test_mypy_finds_what_the_files_state(folder: Path) -> None:
    assert mypy(folder, [folder / name for name in STATED], "--strict", "--warn-unreachable") == []


def test_pyright_finds_what_the_files_state(folder: Path) -> None:
    options = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True}
    options |= {"reportUnusedExpression": False, "reportPrivateUsage": False}
    assert pyright(folder, [folder / name for name in STATED], **options) == []


def test_much_is_stated() -> None:
    text = "".join((HERE / name).read_text() for name in STATED)
    assert len(re.findall(r"\bassert_type\(", text)) > 100
    assert len(re.findall(r"# type: ignore\[", text)) > 50


def scripts() -> Iterator[tuple[str, str]]:
    """Yield the scripts and tests of examples and documentation: a name of their own, and their text."""
    for file in sorted((ROOT / "examples").rglob("*.py")):
        if "extension" not in file.parts:
            yield "_".join(file.relative_to(ROOT / "examples").parts), file.read_text()
    for block in blocks("python"):
        imported = block.name if block.name != "routes.py" and not block.name.startswith("test_") else ""
        yield imported or re.sub(r"\W", "_", str(block)) + ".py", block.text
    for name, text in FILES.items():
        if name.endswith(".py"):
            yield f"new_{name}", text


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write all of them into one folder."""
    made = tmp_path_factory.mktemp("scripts")
    found = []
    for name, text in scripts():
        found.append(made / name)
        found[-1].write_text(text)
    assert len(found) > 40
    return found


def test_mypy_takes_the_examples_and_the_documentation(written: list[Path]) -> None:
    assert mypy(written[0].parent, written, "--check-untyped-defs") == []


def test_pyright_takes_the_examples_and_the_documentation(written: list[Path]) -> None:
    found = pyright(written[0].parent, written, typeCheckingMode="basic")
    # One handler of the pages returns nothing, to show what the server makes of it.
    assert [re.sub(r"_\d+\.py:\d+: (\w+): .*Coroutine.*None.*", r" \1", one) for one in found] == [
        "script_api_md error"
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which siphon-http and the extension of the examples are installed: they share `siphon-stubs`."""
    made = tmp_path_factory.mktemp("site")
    shutil.copytree(stub_folder(), made / "siphon-stubs")
    shutil.copytree(ROOT / "examples" / "extension" / "src", made, dirs_exist_ok=True)
    return made


def test_an_extension_brings_the_types_of_its_namespace(site: Path, tmp_path: Path) -> None:
    script = tmp_path / "words.py"
    text = (ROOT / "examples" / "extension" / "words.py").read_text()
    script.write_text(
        f"{text}\n\n@beacon.on(1)  # type: ignore[arg-type]\ndef one(peer: str) -> str:\n    return peer.upper()\n"
    )
    files = [script, site / "siphon_beacon" / "__init__.py"]
    assert mypy(tmp_path, files, "--check-untyped-defs", "--warn-unused-ignores", site=site) == []
    options = {"typeCheckingMode": "basic", "reportUnnecessaryTypeIgnoreComment": True}
    assert pyright(tmp_path, files, site=site, **options) == []


def test_a_siphon_with_files_of_its_own_keeps_its_other_namespaces(tmp_path: Path) -> None:
    site, folder = tmp_path / "site", tmp_path / "scripts"
    shutil.copytree(stub_folder(), site / "siphon-stubs")
    (site / "siphon").mkdir()
    (site / "siphon" / "__init__.py").touch()
    (site / "siphon" / "py.typed").touch()
    (site / "siphon" / "proxy.py").write_text("def send(to: str) -> int:\n    return len(to)\n")
    folder.mkdir()
    script = folder / "routes.py"
    script.write_text(
        "from typing import assert_type\nfrom siphon import http, proxy\n"
        "assert_type(proxy.send('x'), int)\nassert_type(http.Response().status, int)\n"
    )
    assert mypy(folder, [script], "--strict", site=site) == []
    assert pyright(folder, [script], site=site, typeCheckingMode="strict") == []


@pytest.mark.parametrize("module", ["_core/message", "_core/response", "_core/headers", "client/request"])
def test_what_scripts_use_of_a_cython_module_is_described_where_editors_look(module: str) -> None:
    stub = Path(siphon_http.__file__).parent / f"{module}.pyi"
    silent = []
    for kind in ast.parse(stub.read_text()).body:
        if isinstance(kind, ast.ClassDef) and kind.name in {"Request", "Response", "Headers", "ClientHandle"}:
            silent += [] if ast.get_docstring(kind) else [kind.name]
            for one in kind.body:
                if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) or one.name.startswith("_"):
                    continue
                marks = {ast.unparse(mark) for mark in one.decorator_list}
                if not marks & {"overload", f"{one.name}.setter"} and not ast.get_docstring(one):
                    silent.append(f"{kind.name}.{one.name}")
    assert silent == []


def test_a_client_of_the_script_takes_every_key_of_the_file() -> None:
    named = {"base_url", "verify", "cert", "timeout_ms", "http2_prior_knowledge"}
    assert named < set(Client.__init__.__annotations__)
    assert named | set(ClientSettings.__annotations__) == {key.name for key in fields_of(ClientConfig)}
