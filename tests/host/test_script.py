import os
import pickle
import sys

import pytest

from siphon_http.errors import RouteError, ScriptError
from siphon_http.host.script import SCRIPT_MODULE, Script, is_user_file, shown_path, user_frames


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(folder, text, **options):
    path = folder / "routes.py"
    path.write_text(text)
    return Script(path, **options).load()


def failure(folder, text, **options):
    with pytest.raises(ScriptError) as caught:
        load(folder, text, **options)
    return str(caught.value)


def test_the_script_knows_its_name_and_its_file(folder):
    module = load(folder, "name, file = __name__, __file__")
    assert (module.name, module.file) == (SCRIPT_MODULE, str(folder / "routes.py"))


def test_helpers_are_found_beside_the_script_first_and_in_include_paths(folder):
    (folder / "helper.py").write_text("where = 'beside'")
    (folder / "lib").mkdir()
    (folder / "lib" / "helper.py").write_text("where = 'lib'")
    (folder / "lib" / "other.py").write_text("where = 'lib'")
    module = load(folder, "import helper, other", include_paths=[folder / "lib"])
    assert (module.helper.where, module.other.where) == ("beside", "lib")
    assert sys.path[:2] == [str(folder), str(folder / "lib")]


def test_each_load_imports_helpers_anew_and_leaves_no_second_entry_in_sys_path(folder):
    (folder / "package").mkdir()
    (folder / "package" / "inner.py").write_text("")
    (folder / "helper.py").write_text("import package.inner")
    script = Script(folder / "routes.py")
    (folder / "routes.py").write_text("import helper, package.inner")
    first = script.load()
    second = script.load()
    assert first is not second
    assert first.helper is not second.helper
    assert first.package is not second.package
    assert first.package.inner is not second.package.inner
    assert sys.path.count(str(folder)) == 1


def test_what_the_host_has_imported_stays(folder):
    (folder / "kept.py").write_text("")
    script = Script(folder / "routes.py", keep={"kept"})
    (folder / "routes.py").write_text("import kept")
    assert script.load().kept is script.load().kept


def test_packages_of_a_virtual_environment_below_the_script_stay(folder):
    site = folder / ".venv" / "lib" / "python3" / "site-packages"
    site.mkdir(parents=True)
    (site / "installed_one.py").write_text("")
    (folder / "routes.py").write_text(f"import sys; sys.path.append({str(site)!r}); import installed_one")
    script = Script(folder / "routes.py")
    assert script.load().installed_one is script.load().installed_one


def test_siphon_http_and_the_standard_library_are_never_the_users_even_below_the_scripts_folder():
    import json

    import siphon_http.host.script as ours

    assert not is_user_file(ours.__file__, ["/"])
    assert not is_user_file(json.__file__, ["/"])
    assert not is_user_file("routes.py", ["/"])
    assert not is_user_file("/srv/app2/x.py", ["/srv/app"])
    assert is_user_file("/srv/app/routes.py", ["/srv/app"])
    assert is_user_file("/srv/app/routes.py", ["/srv/app/"])


def test_dataclasses_with_string_annotations_and_pickle_work_in_a_script(folder):
    text = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Order:\n    id: ClassVarLike = 1\n    name: str = ''\n"
    )
    module = load(folder, text)
    assert pickle.loads(pickle.dumps(module.Order(id=7))).id == 7


def test_the_hosts_future_imports_do_not_reach_the_script(folder):
    assert load(folder, "def f(x: int): pass").f.__annotations__ == {"x": int}


def test_a_failed_load_leaves_the_earlier_module(folder):
    good = load(folder, "x = 1")
    failure(folder, "1 / 0")
    assert sys.modules[SCRIPT_MODULE] is good


def test_a_syntax_error_shows_the_place_with_a_caret(folder):
    assert failure(folder, "x = 1\ndef hello(req)\n    pass\n") == (
        "routes.py:2:15: SyntaxError: expected ':'\n    def hello(req)\n                  ^"
    )


def test_a_syntax_error_in_a_helper_names_the_helper(folder):
    (folder / "helper.py").write_text("x = (\n")
    text = failure(folder, "import helper")
    assert text.startswith("helper.py:1:5: SyntaxError: '(' was never closed\n    x = (\n        ^")


def test_an_error_shows_the_users_frames_only(folder):
    (folder / "helper.py").write_text("import json\ndef parse(text):\n    return json.loads(text)\n")
    text = failure(folder, "import helper\n\nhelper.parse('{')\n")
    lines = text.splitlines()
    assert lines[0].startswith("helper.py:3: JSONDecodeError: Expecting property name")
    assert lines[1:] == [
        "    return json.loads(text)",
        "    called from routes.py:3 in <module>",
        "    run with -v for the whole traceback",
    ]


def test_a_script_beside_the_folder_of_its_configuration_has_its_lines(folder):
    scripts = folder / "there" / "scripts"
    for path in (scripts, folder / "there" / "conf", folder / "scripts"):
        path.mkdir(parents=True)
    (folder / "conf").symlink_to(folder / "there" / "conf")  # what is above it is there/, and not here
    (scripts / "routes.py").write_text("1 / 0\n")
    script = Script(folder / "conf" / ".." / "scripts" / "routes.py")
    with pytest.raises(ScriptError) as caught:
        script.load()
    assert str(caught.value).splitlines()[:2] == [
        "there/scripts/routes.py:1: ZeroDivisionError: division by zero",
        "    1 / 0",
    ]
    assert (script.dirs, script.files) == ((str(scripts),), (str(scripts / "routes.py"),))


def test_an_import_error_shows_the_import_and_what_to_do(folder):
    text = failure(folder, "import nowhere_to_be_found\n")
    assert text.splitlines() == [
        "routes.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        "    import nowhere_to_be_found",
        f"    install it for {sys.executable}, or name its folder in script.include_paths",
    ]


def test_an_error_has_six_lines_at_most(folder):
    deep = "def a(): raise ValueError('1\\n2\\n3\\n4\\n5\\n6')\ndef b(): a()\ndef c(): b()\ndef d(): c()\nd()\n"
    assert len(failure(folder, deep).splitlines()) == 6


def test_verbose_shows_the_whole_traceback(folder):
    text = failure(folder, "import json\njson.loads('{')\n", verbose=True)
    assert "json/decoder.py" in text and text.startswith("Traceback")


def test_a_script_that_ends_itself_is_an_error(folder):
    text = failure(folder, "import sys\nsys.exit(3)\n")
    assert text.startswith("routes.py:2: SystemExit: the script ended itself while it was loaded (exit code 3)")


def test_other_base_exceptions_pass_through(folder):
    with pytest.raises(KeyboardInterrupt):
        load(folder, "raise KeyboardInterrupt")
    assert SCRIPT_MODULE not in sys.modules


def test_an_error_that_a_decorator_raises_is_shown_at_the_decorator(folder):
    import fake_namespace_for_test as fake  # type: ignore[import-not-found]

    assert fake
    text = failure(folder, "import fake_namespace_for_test as fake\nfake.route('/x')\n")
    assert text.splitlines()[:2] == ["routes.py:2: RouteError: no good path: '/x'", "    fake.route('/x')"]


@pytest.fixture(autouse=True)
def _decorators(monkeypatch):
    import types

    def route(path):
        raise RouteError(f"no good path: {path!r}")

    module = types.ModuleType("fake_namespace_for_test")
    module.route = route
    monkeypatch.setitem(sys.modules, "fake_namespace_for_test", module)


def test_bytes_that_are_no_text_are_an_error_with_a_place(folder):
    (folder / "routes.py").write_bytes(b"x = 'caf\xe9'\n")
    with pytest.raises(ScriptError, match=r"^routes\.py"):
        Script(folder / "routes.py").load()


def test_a_source_with_another_declared_encoding_is_read(folder):
    (folder / "routes.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = 'caf\xe9'\n")
    assert Script(folder / "routes.py").load().x == "café"


def handler_error(folder, text):
    module = load(folder, text)
    with pytest.raises(Exception) as caught:
        module.handler()
    return user_frames(caught.value, [str(folder)])


def test_a_handlers_traceback_begins_with_the_users_frames_and_says_where_it_was_raised(folder):
    text = handler_error(folder, "import json\ndef handler():\n    return json.loads('{')\n")
    lines = text.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{folder / "routes.py"}", line 3, in handler'
    assert lines[2] == "    return json.loads('{')"
    assert text.count("  File ") == 1
    assert "  raised in " in text and "json/decoder.py" in text
    assert lines[-1].startswith("json.decoder.JSONDecodeError: Expecting")


def test_a_handlers_traceback_shows_causes_first(folder):
    text = handler_error(
        folder,
        "def handler():\n    try:\n        {}['a']\n    except KeyError as e:\n        raise ValueError('no a') from e\n",
    )
    assert text.index("KeyError: 'a'") < text.index("which led to:") < text.index("ValueError: no a")


def test_a_handlers_traceback_leaves_out_what_was_suppressed(folder):
    text = handler_error(
        folder,
        "def handler():\n    try:\n        {}['a']\n    except KeyError:\n        raise ValueError('no a') from None\n",
    )
    assert "KeyError" not in text


def test_a_handlers_traceback_shows_the_members_of_a_group(folder):
    text = handler_error(folder, "def handler():\n    raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])\n")
    assert "ValueError: a" in text and "TypeError: b" in text and "2 of 2:" in text


def test_an_error_that_never_met_the_users_code_is_shown_whole(folder):
    try:
        raise OSError("ours")
    except OSError as error:
        text = user_frames(error, [str(folder)])
    assert "test_script.py" in text and text.endswith("OSError: ours")


def test_paths_below_the_working_directory_are_shown_short(folder):
    assert shown_path(folder / "a" / "b.py") == "a/b.py"
    assert shown_path("/elsewhere/b.py") == "/elsewhere/b.py"


def test_a_helper_written_a_moment_ago_is_found(folder):
    text = "try:\n    import helper\nexcept ImportError:\n    helper = None\n"
    later = folder / "later"
    assert load(folder, text, include_paths=[later]).helper is None
    seen = folder.stat()
    (folder / "helper.py").write_text("where = 'beside'")
    os.utime(folder, ns=(seen.st_atime_ns, seen.st_mtime_ns))  # as within one tick of the file system's clock
    assert load(folder, text, include_paths=[later]).helper.where == "beside"
    (folder / "helper.py").unlink()
    later.mkdir()
    (later / "helper.py").write_text("where = 'later'")
    assert load(folder, text, include_paths=[later]).helper.where == "later"
