"""Examples that call out: with a real nginx behind them, and in the harness."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from siphon_http.testing import HttpTestHarness

from .nginx import nginx
from .serving import ROOT, Served, command, serving

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.wire

STORE = """
        location /files/ {
            dav_methods PUT DELETE;
            create_full_put_path on;
            add_header X-Store nginx always;
        }
        location = /fields { return 200 "$http_x_forwarded_for|$http_x_forwarded_proto|$http_te|$http_x_one|$http_host"; }
        location = /moved { return 302 /files/elsewhere; }
        location = /teapot { return 418 "short and stout"; }
"""


# ---- proxy


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("store"), STORE) as port:
        yield port


@pytest.fixture(scope="module")
def proxy(store: int) -> Iterator[Served]:
    with serving(EXAMPLES / "proxy", {"UPSTREAM_URL": f"http://127.0.0.1:{store}"}) as server:
        yield server


def test_the_proxy_passes_bodies_through_both_ways_in_little_memory(proxy: Served) -> None:
    content = bytes(range(256)) * 4096 * 32  # 32 MiB
    before = proxy.rss_kib()
    assert proxy.ask("/files/large.bin", "PUT", content).status == 201
    back = proxy.ask("/files/large.bin")
    assert hashlib.sha256(back.body).digest() == hashlib.sha256(content).digest()
    assert (back.headers["x-store"], back.headers["content-length"]) == ("nginx", str(len(content)))
    assert proxy.rss_kib() - before < 16_384


def test_the_proxy_passes_on_methods_statuses_and_fields(proxy: Served, store: int) -> None:
    assert proxy.ask("/files/small", "PUT", b"12345").status == 201
    head = proxy.ask("/files/small", "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "5", b"")
    assert proxy.ask("/files/small?part=1").body == b"12345"
    part = proxy.ask("/files/small", headers={"Range": "bytes=1-2"})
    assert (part.status, part.body) == (206, b"23")
    assert proxy.ask("/files/small", "DELETE").status == 204
    assert proxy.ask("/files/small").status == 404
    teapot = proxy.ask("/teapot")
    assert (teapot.status, teapot.body) == (418, b"short and stout")
    moved = proxy.ask("/moved")
    assert (moved.status, moved.headers["location"].endswith("/files/elsewhere")) == (302, True)
    fields = proxy.ask("/fields", headers={"X-One": "1", "TE": "trailers", "X-Forwarded-For": "198.51.100.7"})
    assert fields.body == f"198.51.100.7, 127.0.0.1|http||1|127.0.0.1:{store}".encode()


def test_a_field_that_connection_names_stays_here(proxy: Served) -> None:
    answer = proxy.ask("/fields", headers={"X-One": "1", "Connection": "close, X-One"})
    assert answer.body.split(b"|")[3] == b""


def test_an_upload_without_a_length_goes_through(proxy: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.request("PUT", "/files/chunked", body=iter([b"one ", b"two"]), encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()
    assert proxy.ask("/files/chunked").body == b"one two"


def test_an_upstream_that_is_not_there_is_a_502() -> None:
    with serving(EXAMPLES / "proxy", {"UPSTREAM_URL": "http://127.0.0.1:1"}) as server:
        answer = server.ask("/anything")
        assert (answer.status, answer.body) == (502, b"the upstream cannot be reached\n")


@pytest.mark.parametrize("error, status", [("ReadTimeout", 504), ("ConnectTimeout", 504), ("TlsError", 502)])
def test_the_proxy_in_the_harness(error: str, status: int) -> None:
    with HttpTestHarness(EXAMPLES / "proxy" / "http.yaml") as harness:
        harness.load_script(EXAMPLES / "proxy" / "routes.py")
        harness.add_response(getattr(harness.http, error)("as told"))
        assert harness.request("GET", "/x").status == status
        harness.add_response(harness.http.Response(200, {"Connection": "x-gone", "X-Kept": "1"}, iter([b"a", b"b"])))
        answer = harness.request("POST", "/x?a=1", body=iter([b"up", b"load"]))
        assert (answer.status, answer.body, answer.header("x-kept"), answer.header("x-gone")) == (200, b"ab", "1", None)
        assert harness.sent_requests[1]["path"] == "/x?a=1"
        assert harness.sent_requests[1]["body"] == b"upload"


# ---- registration

REGISTRY = """
        location /services/ {
            dav_methods PUT DELETE;
            create_full_put_path on;
        }
"""


def test_the_service_is_registered_while_it_runs(tmp_path: Path) -> None:
    entry = tmp_path / "www" / "services" / "gateway-7"
    with nginx(tmp_path, REGISTRY) as port:
        told = {"REGISTRY_URL": f"http://127.0.0.1:{port}", "SERVICE_NAME": "gateway-7", "SERVICE_URL": "http://me"}
        with serving(EXAMPLES / "registration", told) as server:
            assert json.loads(entry.read_text()) == {"name": "gateway-7", "url": "http://me"}
            assert server.ask("/healthz").body == b"ok"
        assert not entry.exists()


def test_a_service_that_cannot_register_does_not_start() -> None:
    done = command(EXAMPLES / "registration", "run", "siphon.yaml", environ={"REGISTRY_URL": "http://127.0.0.1:1"})
    assert done.returncode == 4
    assert "ConnectError" in done.stderr


def test_registration_in_the_harness() -> None:
    with HttpTestHarness() as harness:
        harness.load_script(EXAMPLES / "registration" / "routes.py")
        harness.run_startup()
        harness.set_response("/services/gateway-1", harness.http.Response(404))
        harness.run_shutdown()
        assert [(sent["method"], sent["path"]) for sent in harness.sent_requests] == [
            ("PUT", "/services/gateway-1"),
            ("DELETE", "/services/gateway-1"),
        ]
        assert harness.errors == []


# ---- clients: named, kept, inline

API = """
        location = /screen/alice { return 200 ok; }
        location /screen/ { return 404 no; }
        location = /v1/things { return 200 '[1, 2]'; }
"""
PARTNER = """
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        ssl_client_certificate {folder}/ca.crt;
        ssl_verify_client on;
        location = /whoami { return 200 "$ssl_client_s_dn"; }
"""


def test_named_clients_ask_the_api(tmp_path: Path) -> None:
    with nginx(tmp_path, API) as port, serving(EXAMPLES / "clients", {"API_URL": f"http://127.0.0.1:{port}"}) as server:
        assert [server.ask(f"/screen/{user}").status for user in ("alice", "mallory", "alice")] == [200, 403, 200]
        things = server.ask("/things")
        assert (things.status, json.loads(things.body)) == (200, [1, 2])


def test_the_rest_api_is_served_in_front_of_its_api(tmp_path: Path) -> None:
    rules = 'location = /v1/users/42 { return 200 \'{"name":"alice"}\'; }'
    with (
        nginx(tmp_path, rules) as port,
        serving(EXAMPLES / "rest_api", {"API_URL": f"http://127.0.0.1:{port}"}) as server,
    ):
        assert server.ask("/users/42").body == b'{"name":"alice"}'
        assert server.ask("/users/43").status == 404
        assert server.ask("/healthz").body == b"ok"


def test_an_inline_client_shows_its_certificate_and_trusts_one_authority(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    certificate = authority.issue_cert("client.test", common_name="gateway-7")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "c.crt"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "c.key"))
    with nginx(tmp_path, PARTNER.replace("{folder}", str(tmp_path)), tls=True) as port:
        told = {"PARTNER_URL": f"https://127.0.0.1:{port}", "PARTNER_CERTIFICATES": str(tmp_path)}
        with serving(EXAMPLES / "clients", told) as server:
            answer = server.ask("/partner")
            assert (answer.status, b"CN=gateway-7" in answer.body) == (200, True)
            stranger.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
            assert server.ask("/partner").status == 500


@pytest.mark.parametrize("example", ["rest_api.py", "clients/routes.py"])
def test_the_examples_of_the_guides_are_there_word_for_word(example: str) -> None:
    for words in WORDS[example]:
        assert words in (EXAMPLES / example).read_text()


WORDS = {
    "rest_api.py": [
        '@http.route("/healthz")\ndef healthz(req):\n    return http.Response(status=200, body=b"ok")\n',
        '@http.route("/users/{id}", methods=["GET"])\nasync def get_user(req):\n'
        '    async with http.Client("api") as client:\n'
        "        upstream = await client.get(f\"/v1/users/{req.path_params['id']}\")\n"
        "    return http.Response(status=upstream.status, body=upstream.body)\n",
    ],
    "clients/routes.py": [
        'api = http.Client("api")           # named, pooled — construct once, reuse\n',
        "    if verdict.status != 200:\n",
        '    async with http.Client("api") as c:\n        resp = await c.get("/v1/things")\n        resp.raise_for_status()\n',
    ],
}
