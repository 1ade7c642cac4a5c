"""Connections and calls that end at random: the cases of scripts/client_storms.py inside the real program."""

from __future__ import annotations

import pytest

from tests.client.black_box import Program, case_names

SCRIPT = "client_storms"

pytestmark = [pytest.mark.wire, pytest.mark.timeout(300)]


@pytest.mark.parametrize("case", case_names(SCRIPT))
def test_case(running: Program, case: str) -> None:
    running.ask(case)
