"""Look at a built site in a real browser: every page, as wide as a phone and as wide as a desk.

    python packaging/looked_at.py [SITE]     build/site unless told otherwise; `make docs` does it

A page fails that is wider than its window, that has an error on its console, that asks for what is not there or for
another host, or that links to a page or heading which does not exist. The pages stand in frames of headless Chromium, each
width in turn, and are served from a loopback port: one start of the browser is enough, and what it asks for is seen.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (390, 1280)
"""Of the window, CSS pixels."""
PATIENCE = 120
"""Seconds for all pages; a page takes a quarter of one."""

LISTENING = """<script>
var problems = [];
addEventListener("error", e => problems.push(
  e.target === window ? e.message : "cannot load " + (e.target.getAttribute("src") || e.target.getAttribute("href"))), true);
addEventListener("unhandledrejection", e => problems.push("" + e.reason));
console.error = (...words) => problems.push(words.join(" "));
</script>"""
"""Stands first in the head of each page."""

LOOKING = """<!doctype html><link rel="icon" href="data:,"><body style="margin: 0"><script>
const wide = page => {  // the innermost elements that reach over the edge and are in no box that scrolls by itself
  const edge = page.documentElement.clientWidth;
  if (page.documentElement.scrollWidth <= edge) return [];
  const over = e => e.getBoundingClientRect().right > edge + 0.5;
  const scrolls = e => e && e !== page.body && (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const found = [...page.body.querySelectorAll("*")].filter(e => over(e) && !scrolls(e.parentElement) && ![...e.children].some(over));
  return [`${page.documentElement.scrollWidth} px wide in a window of ${edge}: ` +
          found.slice(0, 3).map(e => `<${e.localName}> ${e.textContent.trim().slice(0, 40)}`).join("; ")];
};
const look = (path, width) => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.style.cssText = `border: 0; height: 800px; width: ${width}px`;
  frame.src = path;
  frame.onload = () => setTimeout(() => {  // scripts that act on load have acted
    const page = frame.contentDocument;
    done({
      path, width, problems: [...frame.contentWindow.problems, ...wide(page)],
      links: [...page.links].map(a => a.href).filter(a => a.startsWith(location.origin)).map(a => a.slice(location.origin.length)),
      ids: [...page.querySelectorAll("[id]")].map(e => e.id),
    });
    frame.remove();
  }, 100);
  document.body.append(frame);
});
(async () => {
  const seen = [];
  for (const width of WIDTHS) for (const path of PATHS) seen.push(await look(path, width));
  await fetch("/-/seen", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


class Site(ThreadingHTTPServer):
    """The folder's files at a loopback port, and what the browser has to say about them."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        """Bind a free port."""
        super().__init__(("127.0.0.1", 0), partial(Answers, directory=str(folder)))
        self.folder = folder
        self.paths = sorted(f"/{file.relative_to(folder).as_posix()}" for file in folder.rglob("*.html"))
        self.missing: set[str] = set()
        self.seen: list[dict[str, Any]] = []
        self.is_seen = threading.Event()


class Answers(SimpleHTTPRequestHandler):
    """Serves the files; pages with the script that listens for errors."""

    server: Site

    def do_GET(self) -> None:
        """Answer with a file, a page or the page that looks at them."""
        path = unquote(self.path.partition("?")[0])
        if path == "/-/look":
            self._page(LOOKING.replace("WIDTHS", json.dumps(WIDTHS)).replace("PATHS", json.dumps(self.server.paths)))
        elif path in self.server.paths:
            text = (self.server.folder / path[1:]).read_text(encoding="utf-8")
            self._page(text.replace("<head>", "<head>" + LISTENING, 1) if "<head>" in text else LISTENING + text)
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """Take what was seen."""
        self.server.seen = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._page("")
        self.server.is_seen.set()

    def _page(self, text: str) -> None:
        content = text.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Note what is not there."""
        self.server.missing.add(f"{self.path} is asked for and not there ({code})")
        super().send_error(code, message, explain)

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing."""


def browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def look(program: str, site: Site) -> None:
    """Let the browser see all pages. Raises TimeoutError: it did not come to the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        # Not even its own services are asked for anything: there is one host.
        words += ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
        words += [f"http://127.0.0.1:{site.server_port}/-/look"]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                if not site.is_seen.wait(PATIENCE):
                    said.seek(0)
                    raise TimeoutError(f"{program} has not seen all pages in {PATIENCE} s:\n{said.read().decode()}")
            finally:
                process.terminate()
                process.wait(30)


def findings(site: Site) -> Iterator[str]:
    """Yield what is wrong, a line for each."""
    yield from sorted(site.missing)
    ids = {one["path"]: set(one["ids"]) for one in site.seen}
    for one in site.seen:
        for problem in one["problems"]:
            yield f"{one['path']} at {one['width']} px: {problem}"
        for link in sorted(set(one["links"])) if one["width"] == WIDTHS[0] else ():
            path, fragment = unquote(urlsplit(link).path), unquote(urlsplit(link).fragment)
            path += "index.html" if path.endswith("/") else ""
            if not (site.folder / path[1:]).is_file():
                yield f"{one['path']}: {link} leads nowhere"
            elif fragment and path in ids and fragment not in ids[path]:
                yield f"{one['path']}: {link} leads to no heading"


def main() -> int:
    """Look at the site and say what is wrong with it; 1 when something is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "build" / "site")
    folder = parser.parse_args().site.resolve()
    program = browser()
    if program is None:
        print("the pages were not looked at: there is no Chromium (Debian: apt-get install chromium)", file=sys.stderr)
        return 0
    with Site(folder) as site:
        if not site.paths:
            print(f"{folder} has no page: make docs builds it", file=sys.stderr)
            return 1
        threading.Thread(target=site.serve_forever, daemon=True).start()
        try:
            look(program, site)
        finally:
            site.shutdown()
        found = list(findings(site))
    print("".join(f"{line}\n" for line in found), end="")
    widths = " and ".join(map(str, WIDTHS))
    print(f"{len(site.paths)} pages looked at, {widths} px wide: {len(found) or 'no'} finding{'s' * (len(found) != 1)}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
