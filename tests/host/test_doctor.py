import io
import socket
from pathlib import Path

import pytest

from siphon_http.host.cli import main
from siphon_http.host.doctor import doctor
from siphon_http.host.prepare import Options
from tests.linux import needs_proc


@pytest.fixture
def examine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.py").write_text("raise SystemExit('the doctor runs no script')\n")

    def run(http="servers: []\n", siphon="", file_given=True):
        (tmp_path / "siphon.yaml").write_text(
            "script: {path: routes.py, reload: off}\nextensions: {http: http.yaml}\n" + siphon
        )
        (tmp_path / "http.yaml").write_text(http)
        out = io.StringIO()
        code = doctor(Options(file=Path("siphon.yaml")), out, file_given=file_given)
        return code, out.getvalue()

    return run


def test_what_is_well_is_said_and_the_code_is_0(examine):
    code, text = examine("servers: [{listen: '127.0.0.1:0'}]\n", "cache: [{name: c}]\nlog: {file: all.log}\n")
    assert code == 0
    for words in ("ok    uvloop", "ok    h2", "ok    OpenSSL", "127.0.0.1:0", "in memory", "MiB free", "siphon.yaml"):
        assert words in text
    assert "fail" not in text.split("\n")[0]


def test_mistakes_of_both_files_are_failures_with_their_places(examine):
    code, text = examine("servers: [{lisen: x}]\n", "bogus: 1\n")
    assert code == 1
    assert "siphon.yaml:3:1" in text and "http.yaml:1:" in text and "did you mean" in text


@needs_proc
def test_an_address_in_use_fails_with_what_to_do(examine):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, text = examine(f"servers: [{{listen: '127.0.0.1:{port}'}}]\n", f"admin: {{listen: '127.0.0.1:{port}'}}\n")
    assert code == 1
    assert f"cannot bind 127.0.0.1:{port}" in text and "-> choose another address" in text
    assert "fail  admin.listen" in text


def test_folders_of_unix_sockets_are_looked_at(examine, tmp_path):
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(str(tmp_path / "taken.sock"))
        holder.listen()
        code, text = examine(
            f"servers: [{{listen: 'unix:{tmp_path}/taken.sock'}}, {{listen: 'unix:{tmp_path}/new.sock'}}, "
            "{listen: 'unix:/no/h.sock'}]\n",
            f"admin: {{listen: 'unix:/no/a.sock'}}\nmetrics: {{prometheus: {{listen: 'unix:{tmp_path}/m.sock'}}}}\n",
        )
    lines = {tuple(line.split()[:2]): line for line in text.splitlines()}
    assert code == 1
    assert lines["fail", f"unix:{tmp_path}/taken.sock"].endswith("is in use")
    assert lines["ok", f"unix:{tmp_path}/new.sock"].endswith("is free")
    assert lines["fail", "unix:/no/h.sock"].endswith("/no is no folder")
    assert "/no is no folder" in lines["fail", "admin.listen"]
    assert lines["ok", "metrics.listen"].endswith("m.sock can be made")


def test_names_of_clients_are_looked_up(examine):
    code, text = examine(
        "clients: {good: {base_url: 'http://localhost:1'}, bad: {base_url: 'http://no-such-host.invalid/x'}, none: {}}\n"
    )
    assert code == 1
    assert "localhost is " in text and "no-such-host.invalid (base_url) cannot be looked up" in text
    assert "has no base_url" in text


def test_redis_that_is_not_there_is_a_failure(examine):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        code, text = examine(siphon=f"cache: [{{name: c, url: 'redis://u:hush@127.0.0.1:{probe.getsockname()[1]}'}}]\n")
    assert code == 1 and "fail  cache c" in text and "redis://***@127.0.0.1" in text and "hush" not in text


def test_a_log_that_cannot_be_written_is_a_failure(examine):
    code, text = examine(siphon="log: {access_file: gone/access.log}\n")
    assert code == 1 and "fail  log.access_file" in text and "-> mkdir -p" in text


def test_an_extension_that_is_missing_is_a_warning(examine, tmp_path):
    code, _ = examine(siphon="")
    assert code == 0
    (tmp_path / "siphon.yaml").write_text("script: {path: routes.py}\nextensions: {fax: fax.yaml}\n")
    out = io.StringIO()
    assert doctor(Options(file=Path("siphon.yaml")), out, file_given=True) == 0
    assert "warn  fax" in out.getvalue() and "is not installed" in out.getvalue()


def test_a_certificate_that_ends_soon_is_a_warning(examine, tmp_path):
    from datetime import UTC, datetime, timedelta

    import trustme

    authority = trustme.CA()
    for name, days in (("old", -1), ("soon", 3), ("good", 300)):
        issued = authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=days, hours=1))
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    entry = "{{listen: '127.0.0.1:0', tls: {{cert_path: {0}.pem, key_path: {0}.pem}}}}"
    code, text = examine(f"servers: [{entry.format('soon')}, {entry.format('good').replace(':0', ':0')}]\n")
    assert code == 0 and "warn  soon.pem" in text and "3 more days" in text and "ok    good.pem" in text
    code, text = examine(f"servers: [{entry.format('old')}]\n")
    assert code == 1 and "expired" in text


def test_without_a_file_the_machine_alone_is_looked_at(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "ok    Python" in text and "there is no siphon.yaml" in text
    assert main(["doctor", "other.yaml"]) == 1


def test_a_look_that_breaks_is_a_warning_and_the_others_go_on(examine, monkeypatch):
    monkeypatch.setattr("siphon_http.host.doctor._files", lambda: 1 / 0)
    code, text = examine()
    assert code == 0 and "warn  open files" in text and "ZeroDivisionError" in text
