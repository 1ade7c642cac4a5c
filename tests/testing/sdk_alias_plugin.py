"""A pytest plugin that is the conftest.py of a user: tests of scripts run on siphon_http.testing."""

from siphon_http.testing import install_sdk_alias

install_sdk_alias(replace=True)
