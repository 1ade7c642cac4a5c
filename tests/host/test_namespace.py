import sys

import pytest

from siphon_http.host.namespace import Namespaces


@pytest.fixture
def install():
    made = []

    def do(available=None, **options):
        namespaces = Namespaces(available or {"log": object(), "http": object()}, **options)
        namespaces.install()
        made.append(namespaces)
        return namespaces

    yield do
    for namespaces in made:
        namespaces.remove()


def refusal(name):
    with pytest.raises(ImportError) as caught:
        exec(f"from siphon import {name}", {})
    return str(caught.value)


def test_what_is_there_is_imported(install):
    log = object()
    install({"log": log})
    scope = {}
    exec("from siphon import log; import siphon", scope)
    assert scope["log"] is log
    assert scope["siphon"].__all__ == ["log"]


def test_a_star_import_gets_every_namespace(install):
    install()
    scope = {}
    exec("from siphon import *", scope)
    assert {"log", "http"} <= set(scope)


def test_a_sip_namespace_needs_the_real_siphon(install):
    install()
    assert refusal("proxy") == "siphon.proxy needs the real siphon: this host speaks no SIP; this host has: http, log"


def test_an_extension_that_is_not_configured_says_what_to_add(install):
    install({"log": 1}, installed=["http"], shown="conf/siphon.yaml")
    assert "add `extensions: {http: http.yaml}` to conf/siphon.yaml" in refusal("http")


def test_an_extension_that_cannot_be_used_says_why(install):
    install({"log": 1}, missing={"smpp": "it is not installed: install it"}, installed=["smpp"])
    assert refusal("smpp").endswith("cannot be used: it is not installed: install it")


def test_a_namespace_is_no_module_to_import_from(install):
    install({"http": 1}, installed=["http"])
    with pytest.raises(ImportError, match=r"siphon\.http is no module: write `from siphon import http`"):
        exec("from siphon.http import Response", {})
    with pytest.raises(ImportError, match=r"siphon\.http is no module"):
        exec("import siphon.http", {})


def test_a_misspelt_name_gets_a_suggestion(install):
    install()
    assert refusal("htp") == "there is no siphon.htp; did you mean `http`? this host has: http, log"


def test_import_siphon_dot_name_is_refused_with_the_same_words(install):
    install()
    with pytest.raises(ImportError, match="needs the real siphon"):
        exec("import siphon.proxy", {})


def test_portable_scripts_may_ask_before_they_import(install):
    install()
    import siphon

    assert not hasattr(siphon, "proxy")
    assert getattr(siphon, "cache", None) is None
    scope = {}
    exec("try:\n from siphon import proxy\nexcept ImportError:\n proxy = None", scope)
    assert scope["proxy"] is None
    with pytest.raises(AttributeError, match="needs the real siphon"):
        _ = siphon.proxy


def test_other_imports_are_not_touched(install):
    install()
    with pytest.raises(ModuleNotFoundError, match="siphon_nothing"):
        exec("import siphon_nothing", {})


def test_each_load_gets_a_fresh_module_and_an_empty_registry(install):
    namespaces = install()
    import _siphon_registry
    import siphon

    siphon.left_over = 1
    _siphon_registry.register("http.route", "/x", print, False)
    namespaces.install()
    assert not hasattr(sys.modules["siphon"], "left_over")
    assert sys.modules["_siphon_registry"] is _siphon_registry
    assert _siphon_registry.entries() == []
    assert sum(isinstance(f, Namespaces) for f in sys.meta_path) == 1


def test_the_registry_has_the_originals_signatures(install):
    install()
    import _siphon_registry

    _siphon_registry.register("http.route", None, print, True, {"path": "/x"})
    _siphon_registry.register(kind="http.guard", filter="f", callable=len, is_async=False, metadata="dropped")
    entries = _siphon_registry.entries()
    assert entries == [("http.route", None, print, True, {"path": "/x"}), ("http.guard", "f", len, False, None)]
    entries.clear()
    assert len(_siphon_registry.entries()) == 2
    _siphon_registry.clear()
    assert _siphon_registry.entries() == []


def test_remove_takes_everything_away(install):
    install().remove()
    assert "siphon" not in sys.modules and "_siphon_registry" not in sys.modules
    assert not any(isinstance(f, Namespaces) for f in sys.meta_path)
