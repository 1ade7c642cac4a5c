from pathlib import Path

import pytest

from siphon_http.host import config
from siphon_http.host.config_admin import AdminAuth, CacheConfig, Endpoint


@pytest.fixture
def read(tmp_path):
    (tmp_path / "routes.py").write_text("")

    def parse(text):
        file = tmp_path / "siphon.yaml"
        file.write_text("script: {path: routes.py, reload: off}\n" + text)
        return config.parse(file)

    return parse


def test_all_keys_of_the_original_are_read(read):
    parsed = read(
        "admin: {listen: '[::1]:9090', auth: {token: x, protect_reads: true}, cors: {origins: ['*']}, ui: {enabled: true}}\n"
        "metrics: {prometheus: {listen: ':9100', path: /m, cors: {}}}\n"
        "cache: [{name: a, url: 'redis://:pw@x:6379/1', local_ttl_secs: 5, local_max_entries: 9}, {name: b}]\n"
    )
    assert parsed.problems == [] and parsed.warnings == []
    assert parsed.config.admin.listen == Endpoint("::1", 9090)
    assert parsed.config.admin.auth == AdminAuth(token="x", protect_reads=True)
    assert (parsed.config.metrics.prometheus.listen, parsed.config.metrics.prometheus.path) == (
        Endpoint("0.0.0.0", 9100),
        "/m",
    )
    assert parsed.config.cache == (
        CacheConfig(name="a", url="redis://:pw@x:6379/1", local_ttl_secs=5, local_max_entries=9),
        CacheConfig(name="b"),
    )


def test_a_unix_socket_is_relative_to_the_file(read, tmp_path: Path):
    listen = read("admin: {listen: 'unix:run/admin.sock'}\n").config.admin.listen
    assert listen is not None and listen.path == str(tmp_path / "run/admin.sock")


@pytest.mark.parametrize(
    "text, key",
    [
        ("admin: {listen: 9090}", "admin.listen"),
        ("admin: {listen: 'http://x:1'}", "admin.listen"),
        ("admin: {listen: 'x:70000'}", "admin.listen"),
        ("admin: {listen: '[zz]:1'}", "admin.listen"),
        ("admin: {auth: {protect_reads: true}}", "admin.auth"),
        ("admin: {lisen: 'x:1'}", "admin"),
        ("metrics: {prometheus: {path: metrics}}", "metrics.prometheus.path"),
        ("cache: [{url: 'redis://x'}]", "cache[0]"),
        ("cache: [{name: a, url: 'http://x'}]", "cache[0].url"),
        ("cache: [{name: a}, {name: a}]", "cache[1].name"),
        ("cache: [{name: a, local_max_entries: 0}]", "cache[0].local_max_entries"),
    ],
)
def test_mistakes_have_their_place(read, text, key):
    problems = read(text + "\n").problems
    assert len(problems) == 1 and problems[0].reason.split(": ")[0] == key


def test_a_password_in_a_url_is_in_no_message(read):
    [problem] = read("cache: [{name: a, url: 'redis://:hunter2@x:port'}]\n").problems
    assert "hunter2" not in problem.reason


def test_redis_without_its_package_is_a_mistake(read, monkeypatch):
    monkeypatch.setattr("siphon_http.host.config_admin.find_spec", lambda name: None)
    [problem] = read("cache: [{name: a, url: 'redis://x'}]\n").problems
    assert "redis` is not installed" in problem.reason and "siphon-http[redis]" in problem.hint
    assert read("cache: [{name: a}]\n").problems == []
