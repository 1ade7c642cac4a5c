import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from siphon_http.host.discovery import GROUP, discover


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def points(**values):
    return lambda: [EntryPoint(name, value, GROUP) for name, value in values.items()]


def test_a_class_is_called_and_an_object_taken_as_it_is():
    import fake_extension

    found = discover(["one", "two"], source=points(one="fake_extension:Fake", two="fake_extension:extension")).found
    assert isinstance(found["one"], fake_extension.Fake)
    assert found["two"] is fake_extension.extension


def test_only_what_is_configured_is_imported():
    result = discover([], source=points(other="does_not_exist_at_all:x"))
    assert (result.found, result.missing, result.installed) == ({}, {}, ("other",))


def test_what_is_not_installed_is_missing_with_a_hint():
    reason = discover(["http"], source=points(smpp="x:y")).missing["http"]
    assert reason.startswith("it is not installed") and sys.executable in reason
    assert "installed extensions: smpp" in reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("does_not_exist_at_all:x", "cannot be imported: ModuleNotFoundError: No module named 'does_not_exist_at_all'"),
        ("fake_extension:nothing", "cannot be imported: AttributeError"),
        (
            "fake_extension:not_an_extension",
            "is no extension: it has no namespace, load_begins, load_ends, task, table",
        ),
    ],
)
def test_what_cannot_be_imported_is_missing_with_the_reason(value, reason):
    result = discover(["bad", "good"], source=points(bad=value, good="fake_extension:Fake"))
    assert reason in result.missing["bad"]
    assert list(result.found) == ["good"]


def test_the_first_of_two_installations_wins():
    both = [EntryPoint("x", "fake_extension:Fake", GROUP), EntryPoint("x", "does_not_exist_at_all:x", GROUP)]
    assert list(discover(["x"], source=lambda: both).found) == ["x"]


def test_entry_points_are_read_from_what_is_installed(here):
    assert list(discover(["fake"]).found) == ["fake"]
