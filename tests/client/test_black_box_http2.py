"""HTTP/2: the cases of scripts/client_http2.py inside the real program."""

from __future__ import annotations

import pytest

from tests.client.black_box import Program, case_names

SCRIPT = "client_http2"

pytestmark = [pytest.mark.wire, pytest.mark.timeout(120)]


@pytest.mark.parametrize("case", case_names(SCRIPT))
def test_case(running: Program, case: str) -> None:
    running.ask(case)
