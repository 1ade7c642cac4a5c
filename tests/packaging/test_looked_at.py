"""`make docs`: what a browser finds on the built pages."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.loading import loaded

TWICE = (390, 1280)
PAGES = {
    "good": ('<h1 id="top">a</h1><a href="links.html#top">a</a><a href="?q#top">b</a><img src="sub/dot.gif">', []),
    "wide-on-a-phone": (
        '<div style="width: 500px">five hundred</div>',
        [" at 390 px: 500 px wide in a window of 390: <div> five hundred"],
    ),
    "hides-its-right-end": (
        "<style>html { overflow-x: hidden } p { margin: 0; width: 2000px }</style><p>two thousand</p>",
        [f" at {n} px: 2000 px wide in a window of {n}: <p> two thousand" for n in TWICE],
    ),
    "has-a-box-that-scrolls": ('<div style="overflow-x: auto"><p style="width: 2000px">x</p></div>', []),
    "a-script-fails": (
        "<script>nobody()</script>",
        [f" at {n} px: Uncaught ReferenceError: nobody is not defined" for n in TWICE],
    ),
    "speaks-on-the-console": ('<script>console.error("so", 1)</script>', [f" at {n} px: so 1" for n in TWICE]),
    "no-image": ('<img src="sub/none.png">', [f" at {n} px: cannot load sub/none.png" for n in TWICE]),
    "an-image-of-another-host": (
        '<img src="http://example.com/one.png">',
        [f" at {n} px: cannot load http://example.com/one.png" for n in TWICE],
    ),
    "links": (
        '<a href="sub/">a</a><a href="good.html#top">b</a><a href="http://example.com/x">c</a>'
        '<a href="none.html">d</a><a href="good.html#bottom">e</a><h1 id="top"></h1>',
        [": /good.html#bottom leads to no heading", ": /none.html leads nowhere"],
    ),
}
"""Pages of a site, and what is found on each."""


@pytest.fixture(scope="module")
def looked_at() -> ModuleType:
    return loaded("packaging/looked_at.py")


@pytest.fixture(scope="module")
def found(looked_at: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what is found on all of them."""
    program = looked_at.browser()
    if program is None:
        pytest.skip("there is no Chromium")
    folder = tmp_path_factory.mktemp("site")
    (folder / "sub").mkdir()
    (folder / "sub" / "dot.gif").write_bytes(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\1D\0;")
    (folder / "sub" / "index.html").write_text("<!doctype html><title>s</title>")
    for name, (content, _) in PAGES.items():
        (folder / f"{name}.html").write_text(f"<!doctype html><head></head><body style='margin: 0'>{content}</body>")
    with looked_at.Site(folder) as site, pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)  # a sanitizer is for our extension modules
        threading.Thread(target=site.serve_forever).start()
        try:
            looked_at.look(program, site)
        finally:
            site.shutdown()
        return list(looked_at.findings(site))


@pytest.mark.parametrize("page", PAGES)
def test_what_is_wrong_with_a_page_is_found(page: str, found: list[str]) -> None:
    assert [line for line in found if line.startswith(f"/{page}.html")] == [
        f"/{page}.html{one}" for one in PAGES[page][1]
    ]


def test_all_that_is_asked_for_must_be_there(found: list[str]) -> None:
    assert found[0] == "/sub/none.png is asked for and not there (404)"
    assert len(found) == 1 + sum(len(expected) for _, expected in PAGES.values())


def test_without_a_browser_it_says_what_to_install(
    looked_at: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["looked_at.py", str(tmp_path)])
    assert looked_at.main() == 0
    assert "apt-get install chromium" in capsys.readouterr().err
