import sys
from pathlib import Path

import pytest

from siphon_http.errors import ConfigError, ScriptError, TlsMaterialError
from siphon_http.host.log import flush
from siphon_http.host.prepare import Options, prepare

WITH_TWO = "script: {path: routes.py}\nextensions:\n  fake: fake.yaml\n  second: second.yaml\n"


def ready(**options):
    warnings = []
    return prepare(Options(file=Path("siphon.yaml"), **options), warnings), warnings


def test_configuration_is_checked_before_the_script_is_loaded(here):
    prepared, warnings = ready()
    assert here.notes() == ["namespace", "load begins", "script", "load ends"]
    assert [part.name for part in prepared.parts] == ["fake"]
    assert warnings == []


def test_the_context_tells_the_extension_about_its_process(here):
    text = "script: {path: routes.py, sync_pool_max: 7, executor_queue_capacity: 9}\nserver: {drain_secs: 1.5}\n"
    here.write("siphon.yaml", text + "extensions: {fake: fake.yaml}\n")
    context = ready()[0].parts[0].context
    assert context.config == here.folder / "fake.yaml"
    assert (context.name, context.drain_secs, context.sync_pool_max, context.sync_queue_max) == ("fake", 1.5, 7, 9)


def test_the_context_cuts_tracebacks_to_the_script(here):
    here.write("routes.py", "def handler():\n    import json\n    return json.loads('{')\n")
    prepared, _ = ready()
    with pytest.raises(ValueError) as caught:
        sys.modules["siphon_user_script"].handler()
    text = prepared.parts[0].context.user_traceback(caught.value)
    assert text.count("  File ") == 1 and "routes.py" in text


def test_an_inline_mapping_reaches_the_extension_with_its_places(here):
    here.write("siphon.yaml", "script: {path: routes.py}\nextensions:\n  fake:\n    word: 1\n")
    config = ready()[0].parts[0].context.config
    assert config.plain() == {"word": 1}
    assert config["word"].place == "siphon.yaml:4:11"


def test_an_extension_that_is_not_installed_is_skipped_loudly_and_its_file_not_read(here, capfd):
    here.write("siphon.yaml", "script: {path: routes.py}\nlog: {level: error}\n" + WITH_TWO.partition("\n")[2])
    prepared, warnings = ready()
    flush()
    assert [part.name for part in prepared.parts] == ["fake"]
    assert len(warnings) == 1
    assert "extension `second` is configured but cannot be used, and is skipped: it is not installed" in warnings[0]
    assert warnings[0] in capfd.readouterr().err


def test_a_script_that_imports_it_is_told_why(here):
    here.write("siphon.yaml", WITH_TWO)
    here.install("second", "does_not_exist_at_all:x")
    here.write("routes.py", "from siphon import second\n")
    with pytest.raises(ScriptError) as caught:
        ready()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(
        "routes.py:1: ImportError: extension `second` is configured in siphon.yaml but cannot be used"
    )
    assert "No module named 'does_not_exist_at_all'" in lines[0]
    assert lines[1:] == ["    from siphon import second"]


def test_a_process_without_extensions_says_that_it_serves_nothing(here):
    here.write("siphon.yaml", "script: {path: routes.py}\n")
    here.write("routes.py", "from siphon import log\n")
    assert ready()[1] == ["no extension is in use: this process serves nothing"]


def test_mistakes_of_every_file_come_together_in_the_order_of_the_files(here):
    here.install("second", "fake_extension:Fake")
    here.write("siphon.yaml", WITH_TWO + "nonsense: 1\n")
    here.write("fake.yaml", "bad-config")
    here.write("second.yaml", "bad-config")
    with pytest.raises(ConfigError) as caught:
        ready()
    assert [p.file for p in caught.value.problems] == ["siphon.yaml", "fake.yaml", "second.yaml"]
    assert caught.value.exit_code == 2
    assert "script" not in here.notes()


def test_a_file_that_is_not_there_is_a_mistake_where_it_is_named(here):
    here.install("second", "fake_extension:Fake")
    here.write("siphon.yaml", WITH_TWO)
    with pytest.raises(ConfigError) as caught:
        ready()
    [problem] = caught.value.problems
    assert (problem.file, problem.reason) == ("siphon.yaml", "extensions.second: file second.yaml does not exist")
    assert problem.source[problem.column - 1 :] == "second.yaml"
    assert problem.hint == f"looked for {here.folder / 'second.yaml'}"


def test_a_file_of_the_working_directory_is_named_as_it_must_be_written(here, monkeypatch):
    here.install("second", "fake_extension:Fake")
    here.write("siphon.yaml", WITH_TWO)
    (here.folder / "elsewhere").mkdir()
    (here.folder / "elsewhere" / "second.yaml").touch()
    monkeypatch.chdir(here.folder / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        prepare(Options(file=here.folder / "siphon.yaml"), [])
    [problem] = [p for p in caught.value.problems if "second.yaml" in p.reason]
    assert problem.hint == "paths begin at the folder of the file that names them: write elsewhere/second.yaml"


def test_the_file_of_an_extension_that_is_not_installed_need_not_be_there(here):
    here.write("siphon.yaml", WITH_TWO)
    assert "extension `second` is configured but cannot be used" in ready()[1][0]


def test_only_certificates_alone_have_their_exit_code(here):
    here.write("fake.yaml", "bad-tls")
    with pytest.raises(TlsMaterialError):
        ready()
    here.write("siphon.yaml", (here.folder / "siphon.yaml").read_text() + "nonsense: 1\n")
    with pytest.raises(ConfigError) as caught:
        ready()
    assert not isinstance(caught.value, TlsMaterialError)


def test_a_script_that_fails_is_no_finished_load(here):
    here.write("routes.py", "1 / 0\n")
    with pytest.raises(ScriptError, match=r"^routes\.py:1: ZeroDivisionError"):
        ready()
    assert here.notes() == ["namespace", "load begins"]


def test_a_log_file_that_cannot_be_opened_is_a_mistake(here):
    here.write("siphon.yaml", "script: {path: routes.py}\nlog: {file: gone/all.log}\nextensions: {fake: fake.yaml}\n")
    with pytest.raises(ConfigError, match=r"log: .*gone/all\.log: No such file"):
        ready()


@pytest.mark.parametrize("url, imported", [("redis://localhost:1", True), (None, False)])
def test_what_speaks_to_redis_is_imported_before_the_loop_runs(here, monkeypatch, url, imported):
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    for name in [one for one in sys.modules if one.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    cache = f"cache: [{{name: c{f', url: {chr(39)}{url}{chr(39)}' if url else ''}}}]\n"
    here.write("siphon.yaml", "script: {path: routes.py}\nextensions: {fake: fake.yaml}\n" + cache)
    ready()
    assert ("redis.asyncio" in sys.modules) is imported
    for name in [one for one in sys.modules if one.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_command_line_wins_over_the_file(here, capfd):
    here.write("siphon.yaml", "script: {path: routes.py}\nlog: {level: error}\nextensions: {fake: fake.yaml}\n")
    here.write("routes.py", "from siphon import log\nlog.debug('deep')\n")
    prepared, _ = ready(log_level="debug", log_format="json")
    flush()
    assert prepared.form == "json"
    assert '"message": "deep"' in capfd.readouterr().err
