"""What is different in instrumented runs (packaging/instrumented.py): smaller budgets, and tests that cannot be judged.

SIPHON_HTTP_INSTRUMENTED names the kind of run. SIPHON_HTTP_FAILED is a file that gets the tests that failed, one a line.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

KIND = os.environ.get("SIPHON_HTTP_INSTRUMENTED", "")
FAILED = os.environ.get("SIPHON_HTTP_FAILED", "")
EXAMPLES = 100
"""Most examples of a hypothesis test in an instrumented run."""

MEMORY = "measures memory, of which the sanitizer keeps what was freed"
TIME = "measures time, of which an instrumented run takes several times as much"
AGAIN = "does what others do once thousands of times, and measures what that costs"
LEFT_OUT: dict[str, dict[str, str]] = {
    "asan": {
        "tests/conformance/test_leaks.py::test_memory_stays_flat": MEMORY,
        "tests/conformance/test_leaks.py::test_idle_connections_are_cheap": MEMORY,
        "tests/conformance/test_http2_memory.py": MEMORY,
        "tests/conformance/test_requests.py::test_reading_a_stream_slowly_holds_back_the_sender": MEMORY,
        "tests/conformance/test_reload.py::test_memory_and_descriptors_stay_flat_over_reloads": MEMORY,
        "tests/_core/test_hpack.py::test_memory_does_not_grow_with_the_blocks_that_are_read": MEMORY,
        "tests/examples/test_clients.py::test_the_proxy_passes_bodies_through_both_ways_in_little_memory": MEMORY,
        "tests/test_config.py::test_ten_listeners_load_within_three_milliseconds": TIME,
        "tests/examples/test_examples.py::test_a_chunked_upload_of_many_mebibytes_takes_little_memory": MEMORY,
    },
    "cover": {
        "tests/client/test_black_box_storms.py": AGAIN,
        "tests/conformance/test_http2_floods.py": AGAIN,
        "tests/conformance/test_http2_memory.py": AGAIN,
        "tests/test_dispatch_leaks.py": AGAIN,
        "tests/test_config.py::test_ten_listeners_load_within_three_milliseconds": TIME,
    },
}
"""By kind of run: files, or tests with all their parameters, and why they are left out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot be judged, and shorten what can."""
    if not KIND:
        return
    reasons = LEFT_OUT.get(KIND, {})
    for item in items:
        name = item.nodeid.partition("[")[0]
        for place in (name, name.partition("::")[0]):
            if place in reasons:
                item.add_marker(pytest.mark.skip(reason=f"{KIND}: {reasons[place]}"))
        function = getattr(item, "obj", None)
        budget = getattr(function, "_hypothesis_internal_use_settings", None)
        if budget is not None and budget.max_examples > EXAMPLES:
            function._hypothesis_internal_use_settings = hypothesis.settings(budget, max_examples=EXAMPLES)  # type: ignore[union-attr]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what failed, for a second run of it alone."""
    if FAILED and report.failed:
        with Path(FAILED).open("a") as file:
            file.write(f"{report.nodeid}\n")


@pytest.fixture(name="small_heap")
def _small_heap() -> Iterator[None]:
    """Let `gc.collect()` not look at what was there before: at the end of a long run that takes seconds each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(name="collecting")
def _collecting() -> Iterator[None]:
    """Let the cyclic collector run at every allocation that can start it."""
    gc.collect()
    gc.freeze()  # what is there already need not be looked at each time
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
