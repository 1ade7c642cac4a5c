"""`make cover`: how counts of C lines become lines of pyx files, and what the table and the floors say of them."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.packaging.loading import loaded

C_CODE = """\
/* "siphon_http/x.pyx":3
 * # what the line says
 */
static int __pyx_f_one(int a) {
  int r;

  /* "siphon_http/x.pyx":4
 */
  r = a;
  if (r) {

    /* "siphon_http/x.pyx":5
 */
    r = two();
    fail();
  }
  __pyx_L1_error:;

  /* "siphon_http/x.pyx":3
 */

  /* function exit code */
  return r;
}
/* "(tree fragment)":1
 */
static int __pyx_pw_reduce(void) {
}
static int utility(void) { return 1; }
"""


@pytest.fixture(scope="module")
def covered() -> ModuleType:
    return loaded("packaging/covered_lines.py")


def test_a_line_ran_when_the_first_c_line_of_its_statement_did(covered: ModuleType) -> None:
    numbers = {text.strip(): number for number, text in enumerate(C_CODE.split("\n"), start=1)}
    counts = {4: 7, numbers["r = a;"]: 7, numbers["if (r) {"]: 7, numbers["r = two();"]: 0, numbers["fail();"]: 7}
    counts |= {numbers["return r;"]: 7, numbers["static int utility(void) { return 1; }"]: 9}
    assert covered.cython_lines(C_CODE, counts) == {"siphon_http/x.pyx": {3: True, 4: True, 5: False}}


def test_a_statement_that_cython_copies_ran_when_one_of_its_copies_did(covered: ModuleType) -> None:
    copy = '  /* "siphon_http/x.pyx":9\n */\n  done();\n'
    assert covered.cython_lines(copy * 2, {3: 0, 6: 1}) == {"siphon_http/x.pyx": {9: True}}
    assert covered.cython_lines(copy * 2, {3: 1, 6: 0}) == {"siphon_http/x.pyx": {9: True}}


@pytest.mark.parametrize(
    "lines,expected",
    [
        ({}, ""),
        ({1: True, 2: True}, ""),
        ({1: False}, "1"),
        ({1: False, 4: False, 5: True, 8: False}, "1-4, 8"),
        ({1: True, 3: False, 5: True, 6: False, 7: False}, "3, 6-7"),
    ],
)
def test_lines_that_did_not_run_are_shown_as_ranges(covered: ModuleType, lines: dict[int, bool], expected: str) -> None:
    assert covered.ranges(lines) == expected


def test_the_table_names_each_file_with_a_gap_and_what_is_below_its_floor(covered: ModuleType) -> None:
    reports = {
        "Cython": {"a.pyx": {1: True, 2: False}, "b.pyx": {1: True, 2: True}},
        "Python": {"c.py": {1: True}},
    }
    text, below = covered.table(reports, {"Cython": 76, "Python": 100})
    assert [line.split() for line in text.splitlines() if line] == [
        ["file", "lines", "reached", "%", "not", "reached"],
        ["a.pyx", "2", "1", "50.0", "2"],
        ["Cython:", "2", "files", "4", "3", "75.0", "floor", "76"],
        ["Python:", "1", "files", "1", "1", "100.0", "floor", "100"],
    ]
    assert below == ["Cython: 75.0 % of the lines were reached, fewer than 76 %"]
    assert covered.table(reports, {"Cython": 75, "Python": 100})[1] == []


def test_a_report_without_a_line_holds_no_floor(covered: ModuleType) -> None:
    assert len(covered.table({"Cython": {}, "Python": {}}, {"Cython": 90, "Python": 90})[1]) == 2


def test_what_subclasses_give_and_fields_are_nobodys_lines(covered: ModuleType) -> None:
    source = [
        "cdef int a(self):",
        "    raise NotImplementedError",
        "def b():",
        "    raise NotImplementedError",
        "x = 1",
    ]
    source += ["    cdef readonly int size", "cdef int c(self):", "    return 1"]
    lines = {1: False, 2: False, 3: True, 4: False, 5: True, 6: False, 7: False, 8: False}
    assert covered.nobodys(source, lines) == [1, 2, 4, 6]
