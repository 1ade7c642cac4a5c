"""Start-up errors: exit codes and texts (design section 4 and 6; refs: first-run, target 3)."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tests.process_stage import free_port

from .launch import ROOT, command, environment

SCRIPT = """
from siphon import http

@http.route("/")
async def index(req):
    return http.Response(body=b"ok")
"""
SIPHON = "script:\n  path: script.py\nextensions:\n  http: http.yaml\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose configuration is right; a test breaks one thing."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "siphon.yaml").write_text(SIPHON)
    (tmp_path / "http.yaml").write_text(f"servers:\n  - listen: 127.0.0.1:{free_port()}\n")
    return tmp_path


def fails(folder: Path, code: int, *words: str, verb: str = "run") -> str:
    """Run; assert the exit code, the words, and that the text is for users."""
    done = command(folder, verb, "siphon.yaml")
    text = done.stdout + done.stderr
    assert done.returncode == code, f"exit code {done.returncode}:\n{text}"
    for word in words:
        assert re.search(word, text), f"no {word!r} in:\n{text}"
    assert "siphon_http/" not in text, f"frames of ours in front of the user:\n{text}"
    return text


HTTP_ERRORS = {
    "unknown key": (
        "servers:\n  - listen: 127.0.0.1:1\n    max_body_byte: 5\n",
        [r"http\.yaml:3:5", "max_body_bytes", r"\^"],
    ),
    "unknown key at the top": ("server:\n  - listen: 127.0.0.1:1\n", [r"http\.yaml:1:1", "servers"]),
    "duplicate key": (
        "servers:\n  - listen: 127.0.0.1:1\n    listen: 127.0.0.1:2\n",
        [r"http\.yaml:3:5", "(?i)duplicate|twice|repeat"],
    ),
    "wrong type": ("servers:\n  - listen: 127.0.0.1:1\n    max_body_bytes: many\n", [r"http\.yaml:3:21", "many"]),
    "negative": ("servers:\n  - listen: 127.0.0.1:1\n    request_timeout_ms: -5\n", [r"http\.yaml:3:25", "-5"]),
    "boolean for a number": ("servers:\n  - listen: 127.0.0.1:1\n    max_headers: true\n", [r"http\.yaml:3:18"]),
    "no listen": ("servers:\n  - max_headers: 5\n", [r"http\.yaml:2", "listen"]),
    "port too large": ("servers:\n  - listen: 127.0.0.1:99999\n", [r"http\.yaml:2:13", "99999"]),
    "port of letters": ("servers:\n  - listen: 127.0.0.1:http\n", [r"http\.yaml:2:13"]),
    "no port": ("servers:\n  - listen: 127.0.0.1\n", [r"http\.yaml:2:13"]),
    "bad network": (
        "servers:\n  - listen: 127.0.0.1:1\n    trusted_proxies: [10.0.0.0/99]\n",
        [r"http\.yaml:3", "10.0.0.0/99"],
    ),
    "no network": ("servers:\n  - listen: 127.0.0.1:1\n    trusted_proxies: [foo bar]\n", [r"http\.yaml:3", "foo bar"]),
    "bad forwarded_header": (
        "servers:\n  - listen: 127.0.0.1:1\n    forwarded_header: both\n",
        [r"http\.yaml:3", "both"],
    ),
    "servers is a mapping": ("servers:\n  listen: 127.0.0.1:1\n", [r"http\.yaml:[12]"]),
    "no YAML": ("servers: [\n", [r"http\.yaml:"]),
    "tab": ("servers:\n\t- listen: 127.0.0.1:1\n", [r"http\.yaml:2"]),
    "certificate without key": (
        "servers:\n  - listen: 127.0.0.1:1\n    tls: {cert_path: a.pem}\n",
        [r"http\.yaml:3", "key_path"],
    ),
    "key without certificate": (
        "servers:\n  - listen: 127.0.0.1:1\n    tls: {key_path: a.pem}\n",
        [r"http\.yaml:3", "cert_path"],
    ),
    "missing certificate": (
        "servers:\n  - listen: 127.0.0.1:1\n    tls: {cert_path: a.pem, key_path: b.pem}\n",
        [r"a\.pem"],
    ),
}


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize("name", HTTP_ERRORS)
def test_a_mistake_in_http_yaml_is_shown_with_its_place(folder: Path, name: str, verb: str) -> None:
    text, words = HTTP_ERRORS[name]
    (folder / "http.yaml").write_text(text)
    fails(folder, 2, *words, verb=verb)


def test_all_mistakes_of_both_files_are_shown_at_once(folder: Path) -> None:
    (folder / "siphon.yaml").write_text(SIPHON + "scripts: 1\nserver:\n  drain_sec: 5\n")
    (folder / "http.yaml").write_text("servers:\n  - listen: 127.0.0.1:99999\n    max_header: 5\n  - listen: nothing\n")
    fails(folder, 2, r"http\.yaml:2:13", r"http\.yaml:3:5", r"http\.yaml:4:13")


SIPHON_ERRORS = {
    # refs: siphon-host, section 2: keys of the original are accepted; others are mistakes of ours to name.
    "missing script": (SIPHON.replace("script.py", "nothing.py"), ["nothing.py"]),
    "missing http.yaml": (SIPHON.replace("http.yaml", "nothing.yaml"), ["nothing.yaml"]),
    "unknown key in script": (
        SIPHON.replace("  path: script.py", "  path: script.py\n  pat: x"),
        [r"siphon\.yaml:3:3"],
    ),
    "wrong type": (SIPHON + "server:\n  drain_secs: soon\n", [r"siphon\.yaml:6:15", "soon"]),
    "bad level": (SIPHON + "log:\n  level: loud\n", [r"siphon\.yaml:6:10", "loud"]),
    "no YAML": ("script: {\n", [r"siphon\.yaml:"]),
    "unknown key": (SIPHON + "extension: 1\n", [r"siphon\.yaml:5:1", "extensions"]),
}


@pytest.mark.parametrize("name", SIPHON_ERRORS)
def test_a_mistake_in_siphon_yaml_is_shown_with_its_place(folder: Path, name: str) -> None:
    text, words = SIPHON_ERRORS[name]
    (folder / "siphon.yaml").write_text(text)
    fails(folder, 2, *words)


def test_a_missing_siphon_yaml_is_named(folder: Path) -> None:
    (folder / "siphon.yaml").unlink()
    fails(folder, 2, r"siphon\.yaml")


USAGE = {
    "unknown option": ["run", "--prot", "siphon.yaml"],
    "unknown command": ["serve"],
    "too many arguments": ["run", "a.yaml", "b.yaml", "c.yaml"],
    "new without name": ["new"],
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_exits_with_2(folder: Path, name: str) -> None:
    done = command(folder, *USAGE[name])
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_port_in_use_exits_with_3_and_names_the_address(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (folder / "http.yaml").write_text(f"servers:\n  - listen: 127.0.0.1:{port}\n")
        text = fails(folder, 3, f"127.0.0.1:{port}", "(?i)in use")
    assert len(text.strip().splitlines()) <= 6


def test_nothing_is_started_when_one_of_two_addresses_is_taken(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT + "\n@http.on_startup\ndef hook():\n    open('hook-ran', 'w').close()\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lines = [f"  - listen: 127.0.0.1:{p}\n" for p in (free_port(), taken.getsockname()[1])]
        (folder / "http.yaml").write_text("servers:\n" + "".join(lines))
        fails(folder, 3)
    assert not (folder / "hook-ran").exists(), "design section 6: bind comes before on_startup"


def test_an_address_that_is_not_ours_exits_with_3(folder: Path) -> None:
    (folder / "http.yaml").write_text("servers:\n  - listen: 192.0.2.1:8080\n")
    fails(folder, 3, "192.0.2.1:8080")


ROUTE = "@http.route({})\nasync def {}(req):\n    return http.Response()\n"
SCRIPT_ERRORS = {
    "syntax": ("from siphon import http\ndef broken(:\n", [r"script\.py", "SyntaxError", r"(line 2|:2)"]),
    "exception": ("x = 1\nraise ValueError('the reason')\n", [r"script\.py", "ValueError: the reason", r"(line 2|:2)"]),
    "exception in a function": (
        "def f():\n    return 1 / 0\n\nf()\n",
        [r"script\.py", "ZeroDivisionError", r"(line 2|:2)"],
    ),
    "missing module": ("import nothing_of_that_name\n", ["nothing_of_that_name"]),
    "missing namespace": ("from siphon import proxy\n", ["proxy"]),
    "system exit": ("raise SystemExit(0)\n", [r"script\.py|SystemExit"]),
    "misspelt decorator": ("from siphon import http\n@http.rout('/')\nasync def index(req): ...\n", ["rout"]),
    "same route twice": (
        "from siphon import http\n" + ROUTE.format("'/a/{x}'", "one") + ROUTE.format("'/a/{y}'", "two"),
        [r"script\.py:[23]", r"script\.py:[56]", "/a/"],
    ),
    "open brace": ("from siphon import http\n" + ROUTE.format("'/a/{x'", "one"), [r"/a/\{x"]),
    "empty name": ("from siphon import http\n" + ROUTE.format("'/a/{}'", "one"), [r"/a/\{\}"]),
    "name twice": ("from siphon import http\n" + ROUTE.format("'/{a}/{a}'", "one"), [r"/\{a\}/\{a\}"]),
    "rest not at the end": ("from siphon import http\n" + ROUTE.format("'/{*a}/b'", "one"), [r"/\{\*a\}/b"]),
    "no slash": ("from siphon import http\n" + ROUTE.format("'a'", "one"), ["'a'"]),
    "no parameter": (
        "from siphon import http\n@http.route('/')\nasync def index():\n    return http.Response()\n",
        ["index"],
    ),
    "two parameters": (
        "from siphon import http\n@http.route('/')\nasync def index(a, b):\n    return http.Response()\n",
        ["index"],
    ),
    "three in middleware": ("from siphon import http\n@http.middleware\nasync def m(a, b, c):\n    pass\n", ["m"]),
    "methods is a string": ("from siphon import http\n" + ROUTE.format("'/', methods='GET'", "one"), ["methods"]),
    "method with a space": ("from siphon import http\n" + ROUTE.format("'/', methods=['G T']", "one"), ["G T"]),
    "bad on_disconnect": (
        "from siphon import http\n" + ROUTE.format("'/', on_disconnect='ignore'", "one"),
        ["on_disconnect|ignore"],
    ),
    "bad time-out": ("from siphon import http\n" + ROUTE.format("'/', timeout_ms=-1", "one"), ["timeout_ms"]),
    "bad cap": ("from siphon import http\n" + ROUTE.format("'/', max_body_bytes='5'", "one"), ["max_body_bytes"]),
    "unknown option": ("from siphon import http\n" + ROUTE.format("'/', timeout=5", "one"), ["timeout"]),
}


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize("name", SCRIPT_ERRORS)
def test_a_script_that_does_not_load_exits_with_4(folder: Path, name: str, verb: str) -> None:
    text, words = SCRIPT_ERRORS[name]
    (folder / "script.py").write_text(text)
    fails(folder, 4, *words, verb=verb)


def test_a_missing_namespace_says_what_to_do(folder: Path) -> None:
    (folder / "script.py").write_text("from siphon import smpp\n")
    fails(folder, 4, "ImportError", "smpp", r"extensions|siphon\.yaml|install")


def test_an_extension_that_is_not_installed_is_a_warning_and_is_skipped(folder: Path) -> None:
    """Loud on mismatch; its file is not read. The script then stops the start if it needs it."""
    (folder / "siphon.yaml").write_text(SIPHON + "  fax: nowhere/fax.yaml\n")
    done = command(folder, "check", "siphon.yaml")
    assert done.returncode == 0
    assert "fax" in done.stderr
    (folder / "script.py").write_text("from siphon import fax\n")
    fails(folder, 4, "ImportError", "fax")


def write_pair(folder: Path, cert: trustme.LeafCert, key: trustme.LeafCert) -> None:
    """Write a.pem of one and b.pem of the other."""
    (folder / "a.pem").write_bytes(cert.cert_chain_pems[0].bytes())
    (folder / "b.pem").write_bytes(key.private_key_pem.bytes())
    tls = "    tls: {cert_path: a.pem, key_path: b.pem}\n"
    (folder / "http.yaml").write_text(f"servers:\n  - listen: 127.0.0.1:{free_port()}\n" + tls)


@pytest.mark.parametrize("broken", ["mismatch", "certificate", "key", "swapped", "client_ca"])
def test_unusable_tls_material_exits_with_5(folder: Path, broken: str) -> None:
    authority = trustme.CA()
    one, two = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    write_pair(folder, one, two if broken == "mismatch" else one)
    if broken in ("certificate", "key"):
        (folder / ("a.pem" if broken == "certificate" else "b.pem")).write_text("-----BEGIN NOTHING-----\n")
    elif broken == "swapped":
        first, second = (folder / "a.pem").read_bytes(), (folder / "b.pem").read_bytes()
        (folder / "a.pem").write_bytes(second)
        (folder / "b.pem").write_bytes(first)
    elif broken == "client_ca":
        (folder / "c.pem").write_text("nonsense\n")
        text = (folder / "http.yaml").read_text().replace("key_path: b.pem", "key_path: b.pem, client_ca: c.pem")
        (folder / "http.yaml").write_text(text)
    text = fails(folder, 5, r"c\.pem" if broken == "client_ca" else r"[ab]\.pem")
    assert len(text.strip().splitlines()) <= 6


def test_check_binds_nothing_and_exits_with_0(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (folder / "http.yaml").write_text(f"servers:\n  - listen: 127.0.0.1:{taken.getsockname()[1]}\n")
        assert command(folder, "check", "siphon.yaml").returncode == 0


def test_routes_prints_every_route_with_its_place(folder: Path) -> None:
    done = command(folder, "routes", "siphon.yaml")
    assert done.returncode == 0
    assert re.search(r"GET.*/.*script\.py:[45]", done.stdout), done.stdout


def test_help_is_short_and_lists_the_exit_codes() -> None:
    done = command(ROOT, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 40
    assert all(str(code) in done.stdout for code in (2, 3, 4, 5))


def test_the_default_configuration_is_siphon_yaml_here(folder: Path) -> None:
    assert command(folder, "check").returncode == 0


def test_new_writes_a_project_that_checks_and_refuses_to_overwrite(tmp_path: Path) -> None:
    done = command(tmp_path, "new", "hello")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "hello" if (tmp_path / "hello").is_dir() else tmp_path
    names = {p.name for p in folder.iterdir()}
    assert {"siphon.yaml", "http.yaml"} <= names
    assert any(n.startswith("test_") and n.endswith(".py") for n in names)
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert command(folder, "check").returncode == 0
    assert command(tmp_path, "new", "hello").returncode == 2
    assert before == {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_no_error(folder: Path, closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "siphon_http", "check", "siphon.yaml"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_http_yaml_is_shown_where_it_is_named(folder: Path) -> None:
    (folder / "http.yaml").unlink()
    fails(folder, 2, r"siphon\.yaml:4:9: extensions\.http: file http\.yaml does not exist", r"\^", "looked for /")


def test_environment_variables_are_expanded_after_parsing(folder: Path) -> None:
    """Design section 4: a value cannot inject YAML; an unquoted scalar is typed again, a default is used."""
    (folder / "http.yaml").write_text("servers:\n  - listen: 127.0.0.1:${PORT}\n    max_headers: ${MAX:-50}\n")

    def check(**extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "siphon_http", "check", "siphon.yaml"],
            cwd=folder,
            env={**environment(), **extra},
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )

    assert check(PORT="8080").returncode == 0
    assert check(PORT="8080", MAX="60").returncode == 0
    assert check(PORT="8080", MAX="many").returncode == 2
    assert check(PORT="8080\n    max_headers: 1").returncode == 2
    unset = check()
    assert unset.returncode == 2
    assert "PORT" in unset.stderr + unset.stdout
