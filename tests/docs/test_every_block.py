"""Every block of every page runs in a test, is generated, or says why it cannot.

A block that is nobody else's has `<!-- test: NAME -->` before it: a test here has that name, and takes it as `block`.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from siphon_http import errors
from siphon_http.extension import HttpNamespace
from siphon_http.host.cli import HELP
from siphon_http.protocol.http1_answers import Http1State

from ..examples.serving import ROOT, command, serving
from ..typing.checkers import pyright_in
from .folders import commands, shell, write_site, written
from .reading import FENCE, PAGES, Block, alone, answered, blocks, fences, fences_of, files, scripts, setups

TEST = re.compile(r"<!-- test: (\w+) -->")
SHOWN = re.compile(r"<!-- shown: \S.* -->")


def its_test(block: Block) -> Callable[..., None] | None:
    """Return the test of this module that the page names, if it takes the block."""
    match = TEST.search(block.comments)
    test = globals().get(f"test_{match[1]}") if match else None
    return test if test is not None and "block" in inspect.signature(test).parameters else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test with a `block` those that name it."""
    if "block" in metafunc.fixturenames:
        found = [block for block in fences() if its_test(block) is metafunc.function]
        if not found:
            raise LookupError(f"no page has <!-- test: {metafunc.function.__name__.removeprefix('test_')} -->")
        metafunc.parametrize("block", found, ids=str)


def ways(block: Block) -> list[str]:
    """Say how a block is held to the truth."""
    found = {
        "generated and compared": block.is_generated,
        "checked by siphon-http": block in alone("yaml"),
        "served and asked": block in scripts(asked=True),
        "loaded": block in scripts(asked=False),
        "run by pytest": block in [b for b in alone("python") if b.is_test],
        "a file of a project": block in files() and not TEST.search(block.comments),
        "run before its project": block in setups(),
        "run against its project": block in answered(),
        "a test of its own": its_test(block) is not None,
        "shown, with the reason why": bool(SHOWN.search(block.comments)),
    }
    return [way for way, is_so in found.items() if is_so]


@pytest.mark.parametrize("fence", fences(), ids=str)
def test_it_runs_or_says_why_not(fence: Block) -> None:
    assert len(ways(fence)) == 1, ways(fence) or "no test runs it, and no <!-- shown: WHY --> stands before it"


def test_blocks_are_seen_however_they_are_written() -> None:
    text = (
        "# a\n```\none\n```\n- x\n\n  <!-- shown: why -->\n  ~~~sh\n  two\n    three\n  ~~~\n"
        "1. ````text\n   ```\n   ````\n> ```{.py}\n> four\n> ```\n"
    )
    found = fences_of("page.md", text)
    assert [(b.place, b.language, b.text) for b in found] == [
        ("page.md:2", "", "one\n"),
        ("page.md:8", "sh", "two\n  three\n"),
        ("page.md:12", "text", "```\n"),
        ("page.md:15", "{.py}", "four\n"),
    ]
    assert [ways(b) for b in found] == [[], ["shown, with the reason why"], [], []]
    with pytest.raises(ValueError, match=r"page\.md:1: the block has no end"):
        fences_of("page.md", "```sh\nmake\n")


@pytest.mark.parametrize(
    "comments", ["<!-- shown:  -->\n", "<!-- test: nothing -->\n", "<!-- test: its_test -->\n", ""]
)
def test_a_mark_without_a_reason_or_a_test_counts_for_nothing(comments: str) -> None:
    assert ways(Block("page.md:1", "text", "", comments, False)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_block_is_without_a_fence(page: Path) -> None:
    rest = FENCE.sub("", page.read_text())
    assert re.findall(r"<pre|\n\n(?: {4}|\t).*", rest) == []


def plain(text: str) -> str:
    """Put what differs between two runs out of the way: versions, ports, times, processes."""
    text = re.sub(r"\d+\.\d+\.\d+(?![.\d])", "VERSION", text.replace("127.0.0.1", "LOOPBACK"))
    text = re.sub(r"pid \d+ \(.+?\)", "pid N (NAME)", re.sub(r"(LOOPBACK:|port |ready in )\d+", r"\1N", text))
    return re.sub(r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


# ---- README and index


def test_the_commands_of_a_clone(block: Block) -> None:
    """What `make` would do is what stands behind the command; the server of the first is started."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    does = dict(re.findall(r"(?m)^(make \w+) +# build what is needed, (.+)$", block.text))
    assert len(does) == len(block.text.splitlines())
    recipes = {}
    for words in does:
        # -W: as if setup.py were new, so that there is something to build.
        asked = [*words.split(), "--no-print-directory", "-n", "-W", "setup.py"]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
        build, recipes[words] = done.stdout.index("pip install -q"), done.stdout.splitlines()[-1]
        assert build < done.stdout.index(recipes[words])
    assert does["make test"] == "run the whole suite"
    assert re.fullmatch(r"\S+/python -X dev -m pytest", recipes["make test"])
    folder, words = re.findall(r"^cd (\S+) && exec \S+/siphon-http (.+)$", recipes["make run"])[0]
    assert words == "run siphon.yaml"
    address = yaml.safe_load((ROOT / folder / "http.yaml").read_text())["servers"][0]["listen"]
    assert does["make run"] == f"serve {folder} on {address.replace('${PORT:-8080}', '8080')}"
    with serving(ROOT / folder) as server:
        assert server.ask("/hello/world").status == 200


def test_a_start(block: Block, tmp_path: Path) -> None:
    for name in ("siphon.yaml", "http.yaml", "routes.py"):
        text = [b.text for b in blocks("yaml", "python") if b.page == block.page and b.name == name]
        (tmp_path / name).write_text(text[0])  # those of "A script"; a later http.yaml shows TLS
    with serving(tmp_path) as server:
        assert plain("\n".join(["$ siphon-http run", *server.started, ""])) == plain(block.text)


# ---- errors.md


def test_an_address_in_use(block: Block, tmp_path: Path) -> None:
    write_site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        done = command(tmp_path, "run", environ={"PORT": str(holder.getsockname()[1])})
    # Who has it is known on Linux only.
    shown = block.text if sys.platform == "linux" else re.sub(r" \(pid .+ has it\)", "", block.text)
    assert plain(f"$ siphon-http run\n{done.stdout}{done.stderr}$ echo $?\n{done.returncode}\n") == plain(shown)


HANDLERS = """\
from siphon import http

PRICES = {"tea": 2}


def price_of(name):
    return PRICES[name]


@http.route("/price/{name}")
async def price(req):
    return http.Response(body=str(price_of(req.path_params["name"])))


@http.route("/none")
async def none(req):
    return None
"""


def test_what_handlers_raise(block: Block, tmp_path: Path) -> None:
    write_site(
        tmp_path, "script: {path: routes.py}\nextensions: {http: http.yaml}\nlog: {file: log.txt}\n", script=HANDLERS
    )
    with serving(tmp_path) as server:
        for path in ("/price/coffee", "/none"):
            answer = server.ask(path)
            assert (answer.status, answer.body) == (500, b"handler error\n")
    said = (tmp_path / "log.txt").read_text().replace(f"{tmp_path.resolve()}/", "/srv/shop/")
    marks = re.compile(r"(?m)^ +[~^]+\n")  # their form depends on the version of Python
    assert marks.sub("", plain(said)) == marks.sub("", plain(block.text))


def test_the_tree_of_exceptions(block: Block) -> None:
    """Indentation is the base class, + that scripts have it; HttpError is the root."""
    above: list[str] = []
    tree = {}
    for indent, name, mark, status in re.findall(r"(?m)^( *)(\w+)( \+)?(?: +(\d{3})$| .*$|$)", block.text):
        above[len(indent) // 2 :] = [name]
        tree[name] = (above[-2] if len(above) > 1 else "", bool(mark))
        assert not status or getattr(errors, name).status == int(status)
    assert len(tree) == len(block.text.splitlines())
    assert tree.keys() == set(errors.__all__) - {"Problem"}
    for name, (base, is_for_scripts) in tree.items():
        kind = getattr(errors, name)
        assert base == "" if name == "HttpError" else getattr(errors, base) in kind.__bases__, name
        assert is_for_scripts is hasattr(HttpNamespace, name), name


# ---- deployment.md and design.md


def test_the_usage(block: Block) -> None:
    usage, options = re.findall(r"^siphon-http (\w+ \[FILE\]) \[(.+)\]$", block.text.strip())[0]
    assert f"\n  {usage}  " in HELP
    assert re.search(rf"(?m)^  {re.escape(options)} +{usage.split()[0]}: ", HELP)


def test_logrotate_asks_the_unit_for_new_files(block: Block) -> None:
    """tests/conformance/test_reload.py sends the signal; here it goes to the unit, for the unit's folder."""
    ((signal, unit),) = re.findall(r"--kill-whom=main --signal=(\w+) (\S+)", block.text)
    (folder,) = re.findall(r"(?m)^/var/log/(\w+)/\*\.log \{$", block.text)
    assert signal == "SIGUSR1"
    assert f"\nLogsDirectory={folder}\n" in (ROOT / "deploy" / "systemd" / f"{unit}.service").read_text()


def test_what_the_unit_needs(block: Block) -> None:
    """It takes root: what it makes is held against the unit, which tests/deploy/test_systemd.py reads."""
    ((environment, user, folder, units),) = re.findall(
        r"^python3 -m venv (\S+) && \1/bin/pip install \..*\nuseradd --system --no-create-home (\S+)\n"
        r"install -d -m 0750 -g \2 (\S+) .*\ncp (\S+) /etc/systemd/system/\n"
        r"systemctl daemon-reload && systemctl enable --now siphon-http\n$",
        block.text,
    )
    assert {"siphon-http.service"} < {file.name for file in ROOT.glob(units)}
    unit = (ROOT / units.replace("*", "service")).read_text()
    for line in (
        f"ExecStart={environment}/bin/siphon-http run",
        f"WorkingDirectory={folder}",
        f"User={user}\nGroup={user}",
    ):
        assert f"\n{line}" in unit


def test_how_the_container_runs(block: Block) -> None:
    """It takes Docker: it says what compose.yaml says, which tests/deploy/test_container.py reads."""
    file = yaml.safe_load((ROOT / "deploy" / "container" / "compose.yaml").read_text())["services"]["siphon-http"]
    build, run = block.text.splitlines()
    assert build == f"docker build -f {file['build']['dockerfile']} -t siphon-http ."
    (port,), (volume,) = file["ports"], file["volumes"]
    patience = file["stop_grace_period"].removesuffix("s")
    volume = volume.replace("./", "$PWD/")
    assert run == f'docker run --rm -p {port} -v "{volume}" --stop-timeout {patience} siphon-http'


@pytest.mark.skipif(not (ROOT / "siphon_http").exists(), reason="there is no source tree beside an installed wheel")
def test_the_way_of_a_request(block: Block) -> None:
    """Each word is a function of the file beside it."""
    found = re.findall(r"(?m)^ +(\w+) +(siphon_http/\S+)", block.text)
    assert len(found) == block.text.count("siphon_http/") == 9
    for word, file in found:
        assert re.search(rf"(?m)^ *c?p?def (?:.* )?{word}\(", (ROOT / file).read_text()), (word, file)


def test_the_states_of_a_connection(block: Block) -> None:
    *first, closed = (state.name for state in sorted(Http1State))
    assert re.findall(r"\w+", block.text) == [*first, "IDLE", closed]


# ---- editors.md


def test_pyright_is_quiet(block: Block, tmp_path: Path) -> None:
    """The page says of what: without the two lines it warns, with them not."""
    (tmp_path / "routes.py").write_text("from siphon import http\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pyright]\n")
    (warning,) = pyright_in(tmp_path)
    assert warning.startswith("routes.py:1: warning: ") and warning.endswith(" [reportMissingModuleSource]")
    (tmp_path / "pyproject.toml").write_text(block.text)
    assert pyright_in(tmp_path) == []


@pytest.mark.parametrize("file", [b for b in blocks("yaml") if "$schema=" in b.text], ids=str)
def test_a_file_is_valid_by_the_schema_that_it_names(file: Block, tmp_path: Path) -> None:
    shell(tmp_path, commands(file.page, "run"))
    schema = tmp_path / re.findall(r"\$schema=(\S+)", file.text)[0]
    jsonschema.validate(yaml.safe_load(file.text), json.loads(schema.read_text()))


def test_each_schema_is_for_its_file(block: Block, tmp_path: Path) -> None:
    """For VS Code in JSON, for neovim in Lua: the files that the command of the page has copied."""
    shell(tmp_path, commands("editors.md", "run"))
    if block.language == "json":
        (schemas,) = json.loads(block.text).values()
        assert list(json.loads(block.text)) == ["yaml.schemas"]
    else:
        schemas = dict(re.findall(r'\["(\S+)"\] = "(\S+)"', block.text))
        assert "settings = { yaml = { schemas = {" in block.text
    named = {b.name: yaml.safe_load(b.text) for b in blocks("yaml") if b.page == block.page}
    assert set(schemas.values()) == named.keys()
    for schema, name in schemas.items():
        jsonschema.Draft7Validator(json.loads((tmp_path / schema).read_text())).validate(named[name])


# ---- performance.md, observability.md and profiling.md


def test_how_the_load_is_repeated(block: Block) -> None:
    """It takes fifteen minutes: its options and rivals are those of the program and of pyproject.toml."""
    make, install, run = map(shlex.split, block.text.splitlines())
    program, *options = run[1:]
    assert make[-1] == "build/rivals" and install[0] == "build/rivals/bin/python" == options[1]
    usage = subprocess.run(
        [sys.executable, ROOT / program, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert [one for one in options if one.startswith("--") and f"[{one}" not in usage] == []
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert set(install[4:]) <= set(groups["bench"])


ORDERS = """from siphon import http


@http.route("/orders/{id}", methods=["POST"])
async def order(req):
    return http.Response(201, body="0123456789")
"""


def test_a_line_of_the_access_log(block: Block, tmp_path: Path) -> None:
    """The page's two files, and its request; only when, from which port and how long may differ."""
    for file in blocks("yaml"):
        if file.page == block.page and file.name:
            (tmp_path / file.name).write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", file.text))
    (tmp_path / "routes.py").write_text(ORDERS)
    shown = json.loads(block.text)
    with serving(tmp_path) as server:
        fields = {"x-request-id": shown["request_id"], "host": shown["host"], "user-agent": shown["user_agent"]}
        server.ask(shown["path"].replace("***", "hush"), shown["method"], b"x" * shown["bytes_in"], fields)
    line = (tmp_path / "access.log").read_text()
    found = json.loads(line)
    assert [(key, type(value)) for key, value in found.items()] == [(key, type(value)) for key, value in shown.items()]
    assert line.count("\n") == 1 and ": " not in line
    for key in ("timestamp", "client", "duration_ms"):
        del found[key], shown[key]
    assert found == shown


def test_what_is_counted(block: Block, tmp_path: Path) -> None:
    """The command of the page runs it under valgrind; each number is one of requests."""
    folder = written(block.page, tmp_path)
    routes = (folder / "routes.py").read_text()
    (folder / "routes.py").write_text(routes.replace("    price = ", "    print('asked')\n    price = "))
    done = shell(folder, f"python {block.name} 3")
    assert done.splitlines().count("asked") == 3
