import pytest

from siphon_http.config_access import COMBINED, FIELDS, JSON, AccessFormat
from siphon_http.errors import ConfigError
from tests.config_stage import HttpYaml


@pytest.fixture
def read(tmp_path):
    http = HttpYaml(tmp_path)
    return lambda value: http.server(f"listen: '127.0.0.1:1', access_log: {value}").access_log


@pytest.mark.parametrize(
    "value, expected", [("false", None), ("true", JSON), ("json", JSON), ("combined", COMBINED), ("null", None)]
)
def test_forms_by_name(read, value, expected):
    assert read(value) == expected


def test_a_line_of_ones_own(read):
    assert read("'{client} [{status}] {header:X-Tenant} end'") == AccessFormat(
        "text",
        (
            ("field", "client"),
            ("text", " ["),
            ("field", "status"),
            ("text", "] "),
            ("header", "x-tenant"),
            ("text", " end"),
        ),
        "{client} [{status}] {header:X-Tenant} end",
    )


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_named(read, name):
    assert read(f"'{{{name}}}'").parts == (("field", name),)


@pytest.mark.parametrize(
    "value, says",
    [
        ("xml", "expected false, json, combined or a line"),
        ("7", "expected false, json, combined or a line"),
        ("[json]", "expected false"),
        ("'{statsu}'", "did you mean {status}?"),
        ("'{x}'", "there is no field {x}"),
        ("'" + "{status} " * 65 + "'", "at most 64 fields"),
        ("'{status'", "a brace stands alone"),
        ("'}{status}'", "a brace stands alone"),
        ("'{header:authorization}'", "secrets"),
        ("'{header:X-Auth-Token}'", "secrets"),
        ('"{status}\\n"', "one line of ASCII"),
    ],
)
def test_mistakes_are_explained(read, value, says):
    with pytest.raises(ConfigError) as caught:
        read(value)
    assert says in str(caught.value)
