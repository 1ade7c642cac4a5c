"""A test waits for an event. Where it waits for a time that is fixed, a comment says what is waited out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source.reading import ROOT

TESTS = ROOT / "tests"


def fixed_waits(node: ast.AST, polls: bool = False) -> Iterator[int]:
    """Yield the lines of every `sleep(...)` of a constant above 0, but for those that a `while` repeats (it polls)."""
    for child in ast.iter_child_nodes(node):
        begins_anew = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        within = not begins_anew and (polls or isinstance(child, ast.While))
        if isinstance(child, ast.Call) and not within and _sleeps(child):
            yield child.lineno
        yield from fixed_waits(child, within)


def _sleeps(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    length = call.args[0] if call.args else None
    return (
        name == "sleep"
        and isinstance(length, ast.Constant)
        and isinstance(length.value, int | float)
        and length.value > 0
    )


def without_a_reason(text: str) -> list[int]:
    """Return the lines of fixed waits with no comment on them, nor on a line of its own just above."""
    lines = text.split("\n")
    return [
        number
        for number in fixed_waits(ast.parse(text))
        if "  # " not in lines[number - 1] and not lines[number - 2].lstrip().startswith("# ")
    ]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_a_fixed_wait_says_what_is_waited_out(path: Path) -> None:
    found = without_a_reason(path.read_text())
    assert found == [], "wait for the event itself, or say in a comment what this waits out"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("time.sleep(0.1)", [1]),
        ("for _ in x:\n    await asyncio.sleep(1)", [2]),
        ("lambda: sleep(5)", [1]),
        ("while x:\n    def f():\n        sleep(1)", [3]),
        ("time.sleep(0.1)  # the other worker", []),
        ("# The other worker.\nsleep(0.1)", []),
        ("x = 1  # one\nsleep(0.1)", [2]),
        ("while not done():\n    time.sleep(0.01)", []),
        ("sleep(0)\nsleep(seconds)\nsleep()", []),
    ],
)
def test_the_rule_sees_fixed_waits_alone(text: str, found: list[int]) -> None:
    text = text.replace("await ", "")
    assert without_a_reason(text) == found
