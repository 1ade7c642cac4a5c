import pytest

from siphon_http.errors import ConfigError
from siphon_http.host.config import parse


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.py").write_text("")

    def do(text, script="script: {path: routes.py}\n"):
        from pathlib import Path

        (tmp_path / "siphon.yaml").write_text(script + text)
        return parse(Path("siphon.yaml"))

    return do


def reasons(parsed):
    return [f"{p.line}: {p.reason}" for p in parsed.problems]


def test_defaults_are_the_originals(read, tmp_path):
    parsed = read("")
    assert (parsed.problems, parsed.warnings, dict(parsed.extensions)) == ([], [], {})
    config = parsed.config
    assert config.script.path == tmp_path / "routes.py"
    assert (config.log.level, config.log.format, config.log.file) == ("info", "pretty", None)
    assert config.server.drain_secs == 30
    assert config.script.executor_queue_capacity == 1024
    assert config.workers == 1


def test_paths_begin_at_the_folder_of_the_file(tmp_path):
    folder = tmp_path / "etc"
    (folder / "lib").mkdir(parents=True)
    (folder / "routes.py").write_text("")
    (folder / "siphon.yaml").write_text(
        "script: {path: routes.py, include_paths: [lib]}\nlog: {file: all.log}\nextensions: {http: http.yaml}\n"
    )
    parsed = parse(folder / "siphon.yaml")
    assert parsed.problems == []
    assert parsed.config.script.include_paths == (folder / "lib",)
    assert parsed.config.log.file == folder / "all.log"
    assert parsed.extensions["http"] == folder / "http.yaml"


def test_every_key_of_the_original_is_accepted_with_one_warning(read):
    text = (
        "listen: {udp: ['0.0.0.0:5060']}\ndomain: {local: [example.com]}\nmemory: {glibc: {arena_max: 2}}\n"
        "registrar: {backend: memory}\nrtpengine: {}\nserver: {drain_secs: 5, instance_id: a, server_header: x}\n"
        "script:\n  path: routes.py\n  async_pool_size: 2\n  sync_pool_size: 8\n  sync_pool_max: 64\n"
        "  executor_queue_capacity: 10\n  handler_stall_abort_secs: 0\n"
    )
    parsed = read(text, script="")
    assert parsed.problems == []
    assert len(parsed.warnings) == 1
    assert parsed.warnings[0] == (
        "siphon.yaml: listen, domain, memory, registrar, rtpengine, server.instance_id, server.server_header, "
        "script.async_pool_size, script.sync_pool_size: without effect, since this host speaks no SIP"
    )
    assert (parsed.config.script.sync_pool_max, parsed.config.script.executor_queue_capacity) == (64, 10)
    assert parsed.config.server.drain_secs == 5


def test_reloading_and_workers_are_no_reason_for_a_warning(read):
    text = "workers: auto\nworker_max_requests: 1000\nworker_max_rss_mb: 300\n"
    parsed = read(text, script="script: {path: routes.py, reload: sighup}\n")
    assert (parsed.problems, parsed.warnings) == ([], [])
    config = parsed.config
    assert (config.workers, config.worker_max_requests, config.worker_max_rss_mb) == ("auto", 1000, 300)
    assert config.script.reload == "sighup"


def test_unknown_keys_are_mistakes_with_a_suggestion(read):
    parsed = read("loog: {level: info}\nserver: {drain_sec: 3}\n")
    assert reasons(parsed) == ["2: unknown key `loog`", "3: server: unknown key `drain_sec`"]
    assert [p.hint for p in parsed.problems] == ["did you mean `log`?", "did you mean `drain_secs`?"]


def test_wrong_values_are_mistakes_with_their_place(read):
    parsed = read("log: {level: verbose, format: xml}\nserver: {drain_secs: -1}\nworkers: 0\n")
    assert [r.split(": ")[1] for r in reasons(parsed)] == ["log.level", "log.format", "server.drain_secs", "workers"]


def test_a_missing_script_is_a_mistake(read):
    assert reasons(read("", script="")) == ["1: `script` is missing"]
    assert reasons(read("", script="script: {}\n")) == ["1: script: `path` is missing"]
    assert "does not exist" in reasons(read("", script="script: {path: gone.py}\n"))[0]


def test_include_paths_that_are_no_folders_are_mistakes(read):
    parsed = read("", script="script: {path: routes.py, include_paths: [., gone]}\n")
    assert "gone is not a folder" in reasons(parsed)[0]
    assert len(parsed.problems) == 1


def test_an_extension_is_a_path_or_a_mapping(read, tmp_path):
    parsed = read("extensions:\n  http: http.yaml\n  smpp: {listen: x}\n")
    assert parsed.extensions["http"] == tmp_path / "http.yaml"
    assert parsed.extensions["smpp"].plain() == {"listen": "x"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("http:", "expected a path or a mapping, got nothing"),
        ("http: 3", "expected a path or a mapping, got number 3"),
        ("http: [a]", "expected a path or a mapping, got a list"),
        ("log: a.yaml", "`log` belongs to the host"),
        ("my-ext: a.yaml", "`my-ext` is no name for scripts to import"),
    ],
)
def test_other_extension_entries_are_mistakes(read, entry, reason):
    parsed = read(f"extensions:\n  {entry}\n")
    assert len(parsed.problems) == 1 and reason in reasons(parsed)[0]
    assert dict(parsed.extensions) == {}


def test_extensions_are_known_although_other_keys_are_wrong(read, tmp_path):
    parsed = read("nonsense: 1\nextensions: {http: http.yaml}\n")
    assert parsed.problems
    assert parsed.extensions == {"http": tmp_path / "http.yaml"}


def test_a_file_that_is_no_yaml_or_no_mapping_is_refused(read):
    with pytest.raises(ConfigError):
        read("a: [\n")
    assert "expected a mapping" in reasons(read("- a\n", script=""))[0]


def test_variables_are_expanded_and_unset_ones_warned_of(read, monkeypatch):
    monkeypatch.setenv("LEVEL", "debug")
    monkeypatch.delenv("UNSET_ONE", raising=False)
    parsed = read("log: {level: '${LEVEL}', format: '${FORM:-json}'}\nserver: {instance_id: '${UNSET_ONE}'}\n")
    assert (parsed.config.log.level, parsed.config.log.format) == ("debug", "json")
    assert any("UNSET_ONE" in w for w in parsed.warnings)
