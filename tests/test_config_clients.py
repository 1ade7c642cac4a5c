"""`clients:` of http.yaml: URLs, proxies, retries."""

from __future__ import annotations

from pathlib import Path

import pytest

from siphon_http.config import RetryConfig
from tests.config_stage import HttpYaml


@pytest.fixture
def http(tmp_path: Path) -> HttpYaml:
    return HttpYaml(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "HTTPS://a.example:8443/v1/",
        "http://[::1]:80",
        "http://127.0.0.1:8080/x%20y",
    ],
)
def test_base_urls(http: HttpYaml, url: str) -> None:
    assert http.load(f"clients: {{a: {{base_url: '{url}'}}}}\n").clients["a"].base_url == url


@pytest.mark.parametrize(
    ("url", "reason", "hint"),
    [
        ("api.example.com/v1", "expected a URL such as https://", "write http://api.example.com/v1"),
        ("ftp://a", "the scheme must be http or https, got 'ftp'", ""),
        ("http://", "the URL has no host", ""),
        ("http://a b/", "'a b' is not a host name", ""),
        ("http://[::g]/", "'[::g]' is not a host name", ""),
        ("http://a:0", "the port must be a number between 1 and 65535, got '0'", ""),
        ("http://a:65536/", "the port must be a number between 1 and 65535, got '65536'", ""),
        ("http://a/?x=1", "a query or fragment cannot be part of it", "with each request"),
        ("http://a/x y", "white space and characters beyond ASCII must be percent-encoded", ""),
        ("http://a/é", "white space and characters beyond ASCII must be percent-encoded", ""),
        ("https://u:p@a.example", "a base URL holds no user information", "give `authorization` with the requests"),
    ],
)
def test_a_bad_base_url_is_refused(http: HttpYaml, url: str, reason: str, hint: str) -> None:
    problem = http.problem(f"clients:\n  a:\n    base_url: '{url}'\n")
    assert problem.reason.startswith(f"clients.a.base_url: {reason}")
    assert hint in problem.hint


def test_a_proxy_is_a_url_without_path(http: HttpYaml) -> None:
    assert http.load("clients: {a: {proxy: 'http://p:3128/'}}\n").clients["a"].proxy == "http://p:3128/"
    assert "has no path" in http.problem("clients: {a: {proxy: 'http://p/x'}}\n").reason
    assert "must be http, got" in http.problem("clients: {a: {proxy: 'socks5://p'}}\n").reason
    assert "TLS to the proxy itself" in http.problem("clients: {a: {proxy: 'https://p'}}\n").hint


def test_origins_without_proxy_are_a_list(http: HttpYaml) -> None:
    text = "clients: {a: {no_proxy: [example.com, .example.org, '*.x', 10.0.0.0/8, '::1', '[::1]:80', 'a:80', '*']}}\n"
    assert len(http.load(text).clients["a"].no_proxy) == 8
    assert "list" in http.problem("clients: {a: {no_proxy: example.com}}\n").reason
    for entry in ("a,b", "a b", "http://a", "a/b", "a/33x"):
        problem = http.problem(f"clients: {{a: {{no_proxy: ['{entry}']}}}}\n")
        assert problem.reason.startswith("clients.a.no_proxy[0]: ")


def test_retries_are_a_number_or_a_block(http: HttpYaml) -> None:
    assert http.load("clients: {a: {retries: 3}}\n").clients["a"].retries == 3
    assert http.load("clients: {a: {retries: {}}}\n").clients["a"].retries == RetryConfig()
    block = "{attempts: 1, statuses: [503], methods: [GET, POST], backoff_ms: 5, max_backoff_ms: 5, budget: 1}"
    found = http.load(f"clients: {{a: {{retries: {block}}}}}\n").clients["a"].retries
    expected = RetryConfig(
        attempts=1, statuses=(503,), methods=("GET", "POST"), backoff_ms=5, max_backoff_ms=5, budget=1.0
    )
    assert found == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("many", "expected a whole number or a mapping"),
        ("11", "must be between 0 and 10"),
        ("{attempts: 11}", "must be between 0 and 10"),
        ("{statuses: [200]}", "must be between 400 and 599"),
        ("{statuses: 503}", "expected a list"),
        ("{methods: [get]}", "expected a method such as GET"),
        ("{attempt: 1}", "unknown key `attempt`"),
        ("{backoff_ms: 3000}", "is more than max_backoff_ms, 2000"),
        ("{budget: -1}", "must be between 0 and 10"),
    ],
)
def test_retries_that_make_no_sense_are_refused(http: HttpYaml, text: str, reason: str) -> None:
    assert reason in http.problem(f"clients: {{a: {{retries: {text}}}}}\n").reason


def test_the_credentials_of_a_url_are_not_shown(http: HttpYaml) -> None:
    assert "hunter2" not in str(http.problem("clients: {a: {base_url: 'http://me:hunter2@a:0'}}\n"))
