"""http.yaml: upstream's keys and ours, their defaults, limits, and how a mistake reads."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from siphon_http.config import Address, HttpConfig, load_config
from siphon_http.errors import ConfigError, Problem, TlsMaterialError
from siphon_http.settings import MappingNode, load
from tests.config_stage import HttpYaml


@pytest.fixture
def http(tmp_path: Path) -> HttpYaml:
    return HttpYaml(tmp_path)


def test_the_defaults_of_a_listener_are_the_documented_ones(http: HttpYaml) -> None:
    server = http.server("listen: '127.0.0.1:8080'")
    assert {f.name: getattr(server, f.name) for f in dataclasses.fields(server)} == {
        "listen": Address("tcp", "127.0.0.1", 8080, "", "127.0.0.1:8080"),
        "tls": None,
        "max_body_bytes": 1_048_576,
        "request_timeout_ms": 30_000,
        "trusted_proxies": (),
        "forwarded_header": "x-forwarded-for",
        "header_timeout_ms": 10_000,
        "idle_timeout_ms": 75_000,
        "write_timeout_ms": 30_000,
        "max_header_bytes": 65_536,
        "max_headers": 128,
        "max_connections": None,
        "reuse_port": None,
        "http1": True,
        "http2": True,
        "max_concurrent_streams": 128,
        "http2_ping_interval_ms": None,
        "http2_through_h2": False,
        "access_log": None,
        "request_id": False,
        "slow_request_ms": None,
        "proxy_protocol": False,
        "unix_mode": None,
    }
    assert server.alpn == ("h2", "http/1.1")


def test_the_defaults_of_a_client_are_the_documented_ones(http: HttpYaml) -> None:
    client = http.load("clients:\n  api:\n").clients["api"]
    assert {f.name: getattr(client, f.name) for f in dataclasses.fields(client)} == {
        "base_url": None,
        "timeout_ms": 5_000,
        "verify": None,
        "cert": None,
        "key": None,
        "pool_size": 8,
        "idle_timeout_ms": 60_000,
        "max_connections": 100,
        "http2_prior_knowledge": False,
        "connect_timeout_ms": 5_000,
        "pool_timeout_ms": 5_000,
        "write_timeout_ms": None,
        "read_timeout_ms": None,
        "retries": 0,
        "follow_redirects": 10,
        "max_response_bytes": 67_108_864,
        "proxy": None,
        "no_proxy": (),
    }


def test_a_file_without_servers_or_without_anything_is_legal(http: HttpYaml) -> None:
    assert http.load("") == HttpConfig()
    assert http.load("servers:\n").servers == ()
    assert set(http.load("clients: {api: {base_url: http://a.example}}\n").clients) == {"api"}


def test_every_key_of_upstream_is_read(http: HttpYaml, tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).write_text("")
    config = http.load("""
servers:
  - listen: "0.0.0.0:8443"
    tls: {cert_path: c.pem, key_path: k.pem, client_ca: ca.pem, min_version: 1.3}
    max_body_bytes: 0
    request_timeout_ms: 1
    trusted_proxies: [10.0.0.0/8, '::1']
clients:
  api: {base_url: "https://api.example.com/v1", timeout_ms: 1, verify: ca.pem, cert: c.pem, key: k.pem, pool_size: 0,
        http2_prior_knowledge: true}
startup_errors: abort
""")
    (server,) = config.servers
    assert server.tls is not None
    assert (server.tls.cert_path, server.tls.client_ca) == (tmp_path / "c.pem", tmp_path / "ca.pem")
    assert (server.tls.min_version, server.max_body_bytes, server.request_timeout_ms) == ("1.3", 0, 1)
    assert server.trusted_proxies == (IPv4Network("10.0.0.0/8"), IPv6Network("::1/128"))
    client = config.clients["api"]
    assert (client.base_url, client.key, client.pool_size) == ("https://api.example.com/v1", tmp_path / "k.pem", 0)
    assert (client.http2_prior_knowledge, config.startup_errors) == (True, "abort")


@pytest.mark.parametrize(
    ("text", "kind", "host", "port"),
    [
        ("127.0.0.1:80", "tcp", "127.0.0.1", 80),
        ("0.0.0.0:0", "tcp", "0.0.0.0", 0),
        ("[::]:8080", "tcp", "::", 8080),
        ("[0:0::1]:65535", "tcp", "::1", 65535),
        ("localhost:8080", "tcp", "localhost", 8080),
        ("sip-1.example.com:443", "tcp", "sip-1.example.com", 443),
    ],
)
def test_tcp_addresses(http: HttpYaml, text: str, kind: str, host: str, port: int) -> None:
    address = http.server(f"listen: '{text}'").listen
    assert (address.kind, address.host, address.port, address.path, str(address)) == (kind, host, port, "", text)
    assert address.is_host_name == host[0].isalpha()


def test_unix_sockets_are_relative_to_the_file(http: HttpYaml, tmp_path: Path) -> None:
    assert http.server("listen: 'unix:/run/x.sock'").listen == Address("unix", "", 0, "/run/x.sock", "unix:/run/x.sock")
    assert http.server("listen: 'unix:///run/x.sock'").listen.path == "/run/x.sock"
    server = http.server("listen: 'unix:x.sock', unix_mode: 0660")
    assert (server.listen.path, server.unix_mode) == (str(tmp_path / "x.sock"), 0o660)
    assert not server.listen.is_host_name


@pytest.mark.parametrize(
    ("listen", "reason", "hint"),
    [
        ("8080", "a host is missing in the address 8080", "write 127.0.0.1:8080, or 0.0.0.0:8080 for every interface"),
        ("':8080'", "a host is missing in the address ':8080'", "write 0.0.0.0:8080, [::]:8080 for IPv6 too"),
        ("'*:8080'", "a host is missing", "write 0.0.0.0:8080"),
        ("127.0.0.1", "a port is missing in the address '127.0.0.1'", "write 127.0.0.1:8080"),
        ("'[::1]'", "a port is missing", "write [::1]:8080"),
        ("::1:8080", "more than one ':'", "write [::1]:8080"),
        ("127.0.0.1:99999", "the port must be a number between 0 and 65535, got '99999'", ""),
        ("127.0.0.1:http", "the port must be a number between 0 and 65535, got 'http'", ""),
        ("127.0.0.1:-1", "the port must be a number", ""),
        ("127.0.0.1:²", "the port must be a number", ""),
        ("256.0.0.1:80", "256.0.0.1 is not an IPv4 address", "four numbers"),
        ("127.0.0.01:80", "127.0.0.01 is not an IPv4 address", "without leading zeros"),
        ("'[::g]:80'", "[::g] is not an IPv6 address in brackets", ""),
        ("-a.example:80", "'-a.example' is neither an IP address nor a host name", ""),
        ("https://0.0.0.0:443", "an address has no scheme", "write 0.0.0.0:443; TLS is chosen by `tls:`"),
        ("'unix:'", "a path of a socket must follow unix:", "write unix:/run/http.sock"),
        (f"unix:/{'x' * 120}", "the path of a unix socket may have 107 bytes, this one has 121", "a shorter folder"),
        ("[a]", "expected an address such as 127.0.0.1:8080", ""),
        ("''", "expected an address such as 127.0.0.1:8080", ""),
    ],
)
def test_an_address_that_cannot_be_listened_on_says_what_to_write(
    http: HttpYaml, listen: str, reason: str, hint: str
) -> None:
    problem = http.listen_problem(listen)
    assert (problem.line, problem.column) == (2, 11)
    assert problem.reason.startswith(f"servers[0].listen: {reason}")
    assert hint in problem.hint and bool(hint) == bool(problem.hint)


def test_two_listeners_on_one_address_are_both_named(http: HttpYaml) -> None:
    problem = http.problem("servers:\n- listen: localhost:80\n- listen: '[::1]:80'\n- listen: LOCALHOST:80\n")
    assert (problem.line, problem.reason) == (
        4,
        "servers[2].listen: LOCALHOST:80 is already the address of servers[0].listen in line 2",
    )
    assert len(http.load("servers: [{listen: 'a:0'}, {listen: 'a:0'}]\n").servers) == 2


def test_a_duplicate_address_is_found_beside_other_mistakes(http: HttpYaml) -> None:
    problems = http.problems("servers:\n- {listen: 'a:1', nope: 1}\n- {listen: 'a:1'}\n")
    assert [p.line for p in problems] == [2, 3]


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.2.3", IPv4Network("10.1.2.3/32")),
        ("10.0.0.0/8", IPv4Network("10.0.0.0/8")),
        ("fd00::/8", IPv6Network("fd00::/8")),
        ("::ffff:10.0.0.1", IPv4Network("10.0.0.1/32")),
        ("::ffff:10.0.0.0/104", IPv4Network("10.0.0.0/8")),
    ],
)
def test_trusted_proxies_are_networks_and_mapped_ones_are_ipv4(
    http: HttpYaml, text: str, network: IPv4Network | IPv6Network
) -> None:
    assert http.server(f"listen: 'a:1', trusted_proxies: ['{text}']").trusted_proxies == (network,)


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        (
            "10.0.0.1/8",
            "10.0.0.1/8 has bits set beyond its prefix of 8",
            "write 10.0.0.0/8 for the whole network, or 10.0.0.1",
        ),
        ("fd00::1/64", "fd00::1/64 has bits set", "write fd00::/64"),
        ("10.0.0.0/33", "expected an IP address or network, got text '10.0.0.0/33'", ""),
        ("1.2.3.4.5/99", "expected an IP address or network", ""),
        ("proxy.example", "expected an IP address or network", "host names are not looked up"),
        ("10.0.0.1:80", "expected an IP address or network", ""),
    ],
)
def test_a_bad_proxy_entry_is_refused_at_its_own_place(http: HttpYaml, text: str, reason: str, hint: str) -> None:
    problem = http.problem(f"servers:\n- listen: a:1\n  trusted_proxies:\n  - 10.0.0.1\n  - {text}\n")
    assert (problem.line, problem.column) == (5, 5)
    assert problem.reason.startswith(f"servers[0].trusted_proxies[1]: {reason.replace('text ', '')}")
    assert hint in problem.hint


def test_trusting_everybody_is_legal_but_warned_of(http: HttpYaml) -> None:
    http.server("listen: 'a:1', trusted_proxies: [0.0.0.0/0]")
    assert http.warnings == [
        "http.yaml:2:37: servers[0].trusted_proxies[0]: 0.0.0.0/0 trusts everybody: "
        "any client can choose its own address"
    ]
    http.warnings.clear()
    http.server("listen: 'a:1', proxy_protocol: true")
    assert "name the load balancers in `trusted_proxies`" in http.warnings[0]
    http.warnings.clear()
    http.server("listen: 'unix:/run/a', proxy_protocol: true")
    assert http.warnings == []


def test_a_listener_that_speaks_nothing_is_refused(http: HttpYaml) -> None:
    problem = http.problem("servers: [{listen: 'a:1', http1: false, http2: false}]\n")
    assert "http1 and http2 are both false" in problem.reason
    assert http.server("listen: 'a:1', http1: false").alpn == ("h2",)
    assert http.server("listen: 'a:1', http2: false").alpn == ("http/1.1",)


def test_a_socket_mode_is_octal_and_for_unix_sockets_only(http: HttpYaml) -> None:
    for mode in ("660", "0660", "'0660'", "0o660"):
        assert http.server(f"listen: 'unix:/a', unix_mode: {mode}").unix_mode == 0o660
    assert "expected an octal mode" in http.problem("servers: [{listen: 'unix:/a', unix_mode: 888}]\n").reason
    assert http.problem("servers: [{listen: 'a:1', unix_mode: 660}]\n").reason == (
        "servers[0].unix_mode: has no meaning for a:1"
    )


@pytest.mark.parametrize(
    "line",
    [
        "request_timeout_ms: 0", "request_timeout_ms: 86400001", "header_timeout_ms: 0", "idle_timeout_ms: -1",
        "write_timeout_ms: 0", "max_body_bytes: -1", "max_header_bytes: 10", "max_headers: 0", "max_connections: 0",
        "max_concurrent_streams: 0", "forwarded_header: x-real-ip", "http1: 1", "access_log: yes", "tls: true",
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(http: HttpYaml, line: str) -> None:
    problem = http.problem(f"servers:\n- listen: a:1\n  {line}\n")
    assert problem.line == 3
    assert problem.reason.startswith(f"servers[0].{line.partition(':')[0]}: ")


def test_a_certificate_without_key_is_an_error_and_never_plain_http(http: HttpYaml, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("")
    problem = http.problem("servers:\n- listen: a:1\n  tls:\n    cert_path: c.pem\n")
    assert problem.reason == "servers[0].tls: `key_path` is missing"
    assert [p.reason for p in http.problems("servers: [{listen: 'a:1', tls: }]\n")] == [
        "servers[0].tls: `cert_path` is missing",
        "servers[0].tls: `key_path` is missing",
    ]


def test_a_security_setting_without_a_value_does_not_switch_it_off(http: HttpYaml, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("")
    text = "servers:\n- listen: a:1\n  tls:\n    cert_path: c.pem\n    key_path: c.pem\n    client_ca:"
    problem = http.problem(text)
    assert (problem.reason, problem.hint) == (
        "servers[0].tls.client_ca: has no value", "write a path, or null for none",
    )  # fmt: skip
    tls = http.load(text + " null").servers[0].tls
    assert tls is not None and tls.client_ca is None
    assert http.server("listen: 'a:1', tls: null").tls is None


def test_missing_files_of_listeners_and_clients_are_all_named(http: HttpYaml, tmp_path: Path) -> None:
    problems = http.problems("""
servers:
- listen: a:1
  tls: {cert_path: c.pem, key_path: certs/k.pem}
clients:
  api: {verify: ca.pem}
""")
    assert [(p.line, p.reason) for p in problems] == [
        (4, f"servers[0].tls.cert_path: file {tmp_path / 'c.pem'} does not exist"),
        (4, f"servers[0].tls.key_path: file {tmp_path / 'certs/k.pem'} does not exist"),
        (6, f"clients.api.verify: file {tmp_path / 'ca.pem'} does not exist"),
    ]
    assert problems[1].hint == f"the folder {tmp_path / 'certs'} does not exist either"


def test_a_client_key_needs_its_certificate_but_a_certificate_may_hold_its_key(http: HttpYaml, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("")
    assert http.problem("clients: {a: {key: c.pem}}\n").reason == "clients.a.key: is the key of no certificate"
    assert http.load("clients: {a: {cert: c.pem}}\n").clients["a"].cert == tmp_path / "c.pem"


def test_a_variable_sets_the_port_and_a_list_entry(http: HttpYaml) -> None:
    text = "servers:\n- listen: 127.0.0.1:${PORT:-8080}\n  trusted_proxies: [${LB:-10.0.0.0/8}]\n"
    assert http.load(text).servers[0].listen.port == 8080
    server = http.load(text, PORT="81", LB="::1").servers[0]
    assert (server.listen.port, server.trusted_proxies) == (81, (IPv6Network("::1/128"),))


def test_an_unset_variable_warns_with_file_and_line(http: HttpYaml) -> None:
    (problem,) = http.problems("clients:\n  a:\n    base_url: ${URL}\n")
    assert problem.reason.endswith("got nothing (${URL} is empty)")
    assert http.warnings == ["http.yaml:3:15: ${URL} is not set and has no default; it is empty"]


def test_everything_wrong_is_reported_at_once(http: HttpYaml) -> None:
    text = "servers:\n- listen: 1\n  maxbody: 1\n  http1: no\n  http1: true\nclients: {a: {retries: 11}}\nport: 1\n"
    assert [(p.line, p.column) for p in http.problems(text)] == [(2, 11), (3, 3), (4, 10), (5, 3), (6, 24), (7, 1)]


def test_a_start_up_error_reads_as_promised(http: HttpYaml) -> None:
    with pytest.raises(ConfigError) as caught:
        http.load("servers:\n  - listen: 0.0.0.0:8080\n    max_body_byte: 10\n")
    assert str(caught.value) == (
        "http.yaml:3:5: servers[0]: unknown key `max_body_byte`\n"
        "        max_body_byte: 10\n"
        "        ^\n"
        "    did you mean `max_body_bytes`?"
    )


def test_an_inline_mapping_of_the_hosts_file_is_read_in_its_place(http: HttpYaml, tmp_path: Path) -> None:
    path = tmp_path / "siphon.yaml"
    path.write_text("extensions:\n  http:\n    servers:\n    - listen: 127.0.0.1:1\n      http1: 3\n")
    root = load(path, shown="siphon.yaml")
    assert isinstance(root, MappingNode)
    extensions = root["extensions"]
    assert isinstance(extensions, MappingNode)
    with pytest.raises(
        ConfigError, match=r"siphon.yaml:5:14: extensions.http.servers\[0\].http1: expected true or false"
    ):
        load_config(extensions["http"])


# -- certificates ---------------------------------------------------------------------------------------------------


class RecordingCheck:
    """A MaterialCheck that notes its calls and refuses the files named in `bad`."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, cert: Path | None, key: Path | None, ca: Path | None, names: Sequence[str]) -> Sequence[str]:
        files = (cert, key, ca)
        self.calls.append((*(path.name if path else "" for path in files), *names))
        wrong = [Problem(str(p), 0, 0, "", f"{p.name} is bad") for p in files if p is not None and p.name in self.bad]
        if wrong:
            raise TlsMaterialError(wrong)
        return [f"{cert.name} is old"] if cert is not None else ["the bundle is old"]


TLS = """\
servers:
- listen: www.example.com:443
  tls:
    cert_path: c.pem
    key_path: k.pem
    client_ca: ca.pem
clients:
  api: {cert: c.pem, verify: ca.pem}
"""


@pytest.fixture
def pem(http: HttpYaml, tmp_path: Path) -> Path:
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).write_text("")
    path = tmp_path / "http.yaml"
    path.write_text(TLS)
    return path


def test_the_files_of_listeners_and_clients_are_handed_to_the_check(pem: Path) -> None:
    check = RecordingCheck()
    warnings: list[str] = []
    load_config(pem, shown="http.yaml", warnings=warnings, check_material=check)
    assert check.calls == [("c.pem", "k.pem", "ca.pem", "www.example.com"), ("c.pem", "", "ca.pem")]
    assert warnings == [
        "http.yaml:4:16: servers[0].tls.cert_path: c.pem is old",
        "http.yaml:8:15: clients.api.cert: c.pem is old",
    ]


def test_a_bundle_without_a_certificate_is_checked_too(pem: Path) -> None:
    pem.write_text("clients:\n  api: {cert: null, verify: ca.pem}\n  bare: {cert: null}\n")
    check = RecordingCheck()
    warnings: list[str] = []
    load_config(pem, shown="http.yaml", warnings=warnings, check_material=check)
    assert check.calls == [("", "", "ca.pem")]
    assert warnings == ["http.yaml:2:29: clients.api.verify: the bundle is old"]
    with pytest.raises(TlsMaterialError) as caught:
        load_config(pem, check_material=RecordingCheck("ca.pem"))
    assert [(p.line, p.column) for p in caught.value.problems] == [(2, 29)]


def test_unusable_material_has_its_own_exit_code_and_the_place_of_the_file_at_fault(pem: Path) -> None:
    with pytest.raises(TlsMaterialError) as caught:
        load_config(pem, shown="http.yaml", check_material=RecordingCheck("k.pem", "ca.pem"))
    assert caught.value.exit_code == 5
    assert [(p.line, p.column, p.reason) for p in caught.value.problems] == [
        (5, 15, "servers[0].tls.key_path: k.pem is bad"),
        (6, 16, "servers[0].tls.client_ca: ca.pem is bad"),
        (8, 30, "clients.api.verify: ca.pem is bad"),
    ]


def test_unusable_material_beside_other_mistakes_is_a_configuration_error(pem: Path) -> None:
    pem.write_text(TLS + "nope: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(pem, check_material=RecordingCheck("k.pem"))
    assert caught.value.exit_code == 2
    assert [p.line for p in caught.value.problems] == [5, 9]


def test_missing_material_is_not_handed_to_the_check(pem: Path) -> None:
    (pem.parent / "k.pem").unlink()
    check = RecordingCheck()
    with pytest.raises(ConfigError, match=r"k\.pem does not exist"):
        load_config(pem, check_material=check)
    assert check.calls == [("c.pem", "", "ca.pem")]


# -- cost -----------------------------------------------------------------------------------------------------------


def test_ten_listeners_load_within_three_milliseconds(http: HttpYaml) -> None:
    text = "servers:\n" + "".join(
        f"- listen: 127.0.0.1:{8000 + i}\n  max_body_bytes: 1000\n  request_timeout_ms: 1000\n"
        f"  trusted_proxies: [10.0.0.0/8, '::1']\n  access_log: true\n  http2: true\n"
        for i in range(10)
    )
    http.load(text)
    best = float("inf")
    for _ in range(20):
        begun = time.process_time()
        load_config(http.folder / "http.yaml")
        best = min(best, time.process_time() - begun)
    assert best < 0.003 * (3 if hasattr(sys, "gettotalrefcount") or sys.flags.dev_mode else 1)


def test_reading_configuration_needs_no_tls_library_and_no_event_loop() -> None:
    code = "import sys, siphon_http.config; print(sorted({'ssl', 'asyncio', 'difflib', 'h2'} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert ran.stdout == "[]\n"


def test_user_information_in_a_base_url_is_refused_without_being_shown(http: HttpYaml) -> None:
    (problem,) = http.problems("clients:\n  a:\n    base_url: http://me:hidden@a.example/\n")
    assert problem.reason == "clients.a.base_url: a base URL holds no user information"
    assert "authorization" in problem.hint and "hidden" not in str(problem)
