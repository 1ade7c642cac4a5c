"""Pages whose blocks are the files of one folder, and commands: all is written, checked, tested, served and asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..examples.serving import command, serving
from .folders import exported, pytest_in, shell, written
from .reading import PAGES, SERVED, Block, answered, projects


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


@pytest.mark.parametrize("block", answered(), ids=str)
def test_a_command_gets_the_answer_that_the_page_says(block: Block, tmp_path: Path) -> None:
    folder = written(block.page, tmp_path)
    with serving(folder, exported(block.page)) as server:
        text = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{server.port}", block.text)
        said = shell(folder, text, exported(block.page))
    assert said.strip() == SERVED.findall(block.comments)[0]
