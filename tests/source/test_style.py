"""Rules of style that a machine can check: sizes, docstrings, comments on C fields, state, and what files may name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source.reading import ROOT, Block, bare, blocks, package_files

MAX_FILE_LINES = 499
MAX_FUNCTION_LINES = 60

FOLDERS = (
    *("siphon_http", "siphon-stubs", "tests", "benchmarks", "examples", "packaging", "docs", "deploy", "schema"),
    *(".ci", ".github"),
)
TEXT = {".py", ".pyx", ".pxd", ".pyi", ".md", ".toml", ".yaml", ".yml", ".txt", ".cfg", ".ini", ".sh", ".json", ""}
GENERATED = {"corpus", "__pycache__", "build", "dist"}


def text_files() -> list[Path]:
    """Return the text files of the repository that people write, relative to it."""
    found = [path for path in ROOT.iterdir() if path.is_file() and (path.suffix in TEXT or path.name == "Makefile")]
    found = [path for path in found if not path.name.startswith(".") or path.name == ".gitignore"]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in TEXT]
    return sorted(path.relative_to(ROOT) for path in found if not GENERATED & set(path.relative_to(ROOT).parts))


PYX = package_files(".pyx")
PXD = package_files(".pxd")
PYTHON = package_files(".py")
TOOLS = sorted(
    path.relative_to(ROOT) for folder in ("packaging", "docs", "schema") for path in (ROOT / folder).glob("*.py")
)
WRITTEN = text_files()
CODE = [path for path in WRITTEN if path.suffix in {".py", ".pyx", ".pxd", ".pyi"}]


def read(path: Path) -> str:
    """Return the text of a file, its path relative to the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


# ---- sizes


@pytest.mark.parametrize("path", CODE, ids=str)
def test_a_file_has_fewer_than_500_lines(path: Path) -> None:
    lines = read(path).count("\n")
    assert lines <= MAX_FILE_LINES


@pytest.mark.parametrize("path", [path for path in CODE if path.suffix == ".py"], ids=str)
def test_a_python_function_has_at_most_60_lines(path: Path) -> None:
    long = [
        f"{path}:{node.lineno} {node.name}: {size} lines"
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long


@pytest.mark.parametrize("path", PYX, ids=str)
def test_a_cython_function_has_at_most_60_lines(path: Path) -> None:
    long = [
        f"{path}:{block.first} {block.name}: {size} lines"
        for block in blocks(read(path))
        if block.kind != "class" and (size := block.last - block.first + 1) > MAX_FUNCTION_LINES
    ]
    assert not long


# ---- docstrings and comments


def undocumented(path: Path) -> Iterator[str]:
    """Yield every public class and function of a Python file that has no docstring."""
    tree = ast.parse(read(path))
    if read(path).strip() and ast.get_docstring(tree) is None:
        yield f"{path}:1 the module"
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    while scopes:
        for node in scopes.pop().body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                scopes.append(node)
            marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
            if ast.get_docstring(node) is None and "overload" not in marks and ".setter" not in marks:
                yield f"{path}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", PYTHON + TOOLS, ids=str)
def test_what_is_public_in_python_has_a_docstring(path: Path) -> None:
    missing = list(undocumented(path))
    assert not missing


def has_docstring(lines: list[str], block: Block) -> bool:
    """Tell whether the body of a Cython block begins with a string."""
    body = next((line.strip() for line in lines[block.body - 1 : block.last] if line.strip()), "")
    return re.match(r'[rbu]?("""|")', body) is not None


@pytest.mark.parametrize("path", PYX, ids=str)
def test_what_is_public_in_cython_has_a_docstring(path: Path) -> None:
    lines = read(path).split("\n")
    missing = [
        f"{path}:{block.first} {block.name}"
        for block in blocks(read(path))
        if block.kind != "cdef"
        and block.inside in ("", "class")
        and not block.name.startswith("_")
        and ".setter" not in block.decorators
        and not has_docstring(lines, block)
    ]
    first = next(line for line in lines if line.strip() and not line.startswith("#"))
    if not first.startswith('"""'):
        missing.insert(0, f"{path}:1 the module")
    assert not missing


def bare_fields(text: str) -> Iterator[str]:
    """Yield the C fields that no comment explains, on their line or just above, as "line: field".

    Fields are those of cdef classes, in a pxd or in the pyx itself, and those of structs.
    """
    lines = text.split("\n")
    code = bare(text).split("\n")
    for first, last, declaration in field_places(text, code):
        for index in range(first, last):
            declared = declaration.match(code[index])
            if declared and "#" not in lines[index] and not lines[index - 1].lstrip().startswith("#"):
                yield f"{index + 1}: {declared[1].strip()}"


def field_places(text: str, code: list[str]) -> Iterator[tuple[int, int, re.Pattern[str]]]:
    """Yield where fields are declared, as indices of the first line and of the one after the last, and how."""
    for block in blocks(text):
        if block.kind == "class":
            yield block.body - 1, block.last, re.compile(rf" {{{block.depth + 4}}}cdef\s+([^(]+)$")
    for index, line in enumerate(code):
        if header := re.match(r"(\s*)(?:cdef|ctypedef)\s+(?:packed\s+)?(?:struct|union)\s[^:]*:", line):
            inside = re.compile(rf"{header[1]}    (\w.*)$")
            ends = (
                i for i in range(index + 1, len(code)) if code[i].strip() and not code[i].startswith(header[1] + " ")
            )
            yield index + 1, next(ends, len(code)), inside


@pytest.mark.parametrize("path", PXD + PYX, ids=str)
def test_every_c_field_has_a_comment(path: Path) -> None:
    unexplained = list(bare_fields(read(path)))
    assert not unexplained


@pytest.mark.parametrize("path", CODE, ids=str)
def test_nothing_is_left_for_later_in_a_comment(path: Path) -> None:
    found = re.findall(r"\b(?:TOD[O]|FIXM[E])\b", read(path))
    assert not found


# ---- state


def is_mutable(value: ast.expr | None) -> bool:
    """Tell whether an expression makes a new mutable collection."""
    if isinstance(value, ast.Call):
        maker = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return maker in {"dict", "list", "set", "bytearray", "defaultdict", "deque", "OrderedDict", "Counter"}
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


@pytest.mark.parametrize("path", PYTHON, ids=str)
def test_a_python_module_keeps_no_mutable_state(path: Path) -> None:
    tree = ast.parse(read(path))
    found = [f"{path}:{node.lineno} global" for node in ast.walk(tree) if isinstance(node, ast.Global)]
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_mutable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found += [f"{path}:{node.lineno} {name}" for name in names if name != "__all__" and not name.isupper()]
    assert not found


@pytest.mark.parametrize("path", PYX + PXD, ids=str)
def test_a_cython_module_keeps_no_mutable_state(path: Path) -> None:
    state = re.compile(
        r"^(?:cdef\s+(?:public\s+|readonly\s+)?(?:dict|list|set|bytearray|object)\s+)?(\w+)\s*=\s*"
        r"(?:[\[{]|(?:dict|list|set|bytearray|deque|defaultdict)\()",
        re.MULTILINE,
    )
    code = bare(read(path))
    names = {match[1] for match in state.finditer(code)} - {"__all__"}
    assert not {name for name in names if not name.isupper()}
    assert not re.findall(r"^\s*global\s", code, re.MULTILINE)


# ---- the trio


@pytest.mark.parametrize("path", PYX, ids=str)
def test_a_pyx_has_its_pxd_and_its_pyi(path: Path) -> None:
    missing = [suffix for suffix in (".pxd", ".pyi") if not (ROOT / path.with_suffix(suffix)).exists()]
    assert not missing


@pytest.mark.parametrize("path", PYX + PXD, ids=str)
def test_cython_files_are_cimported_never_included(path: Path) -> None:
    assert not re.findall(r"^\s*include\s", bare(read(path)), re.MULTILINE)


# ---- what files may name

FORBIDDEN = re.compile(
    r"(?<![\w.}/])/(?:wor[k]|tm[p]|roo[t])/"  # folders of one machine; character classes keep this file clean
    r"|py[p]i\.org|pythonhoste[d]\.org|proxy\.golan[g]\.org|npmj[s]\.org|index-ur[l]"
)


@pytest.mark.parametrize("path", WRITTEN, ids=str)
def test_no_file_names_a_place_of_one_machine_or_a_registry(path: Path) -> None:
    found = [match.group() for match in FORBIDDEN.finditer(read(path))]
    assert not found


# ---- the checks themselves

SAMPLE = '''
cdef class Buffer:
    """One."""
    cdef int size       # bytes
    # ours to free
    cdef char* data
    cdef object owner

    cpdef int feed(self, bytes chunk,
                   int more=(1 + 2)) except -1:
        return 0

    @property
    def text(self):
        """Doc."""
        def inner():
            pass
        return """
no code
        """

    @text.setter
    def text(self, value):
        pass


cdef object made = Buffer()
cdef inline bint is_even(int n) noexcept nogil:
    cdef int two = 2
    return n % two == 0

cdef struct Piece:
    const char* at      # its bytes
    int size


cdef packed struct Empty:
    # nothing yet
    char pad
cdef int after
'''


def test_blocks_of_a_cython_file_are_found_with_their_ends() -> None:
    found = {(block.kind, block.name): (block.first, block.last, block.inside) for block in blocks(SAMPLE)}
    assert found.pop(("def", "text")) == (23, 24, "class")  # the setter, the later of two
    assert found == {
        ("class", "Buffer"): (2, 24, ""),
        ("cpdef", "feed"): (9, 11, "class"),
        ("def", "inner"): (16, 17, "def"),
        ("cdef", "is_even"): (28, 30, ""),
    }


def test_a_field_without_a_comment_and_a_function_without_a_docstring_are_found() -> None:
    lines = SAMPLE.split("\n")
    assert list(bare_fields(SAMPLE)) == ["7: object owner", "34: int size"]
    assert [block.name for block in blocks(SAMPLE) if has_docstring(lines, block)] == ["Buffer", "text"]
