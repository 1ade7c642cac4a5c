"""Every example is started as its reader would start it, and each of its claims is asked for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process_stage import wait_until

from .serving import ROOT, Answer, Served, command, serving

EXAMPLES = ROOT / "examples"
SECRET = b"an example's secret"
TOKEN = "t0ken"

pytestmark = pytest.mark.wire


@pytest.fixture(scope="module")
def hello() -> Iterator[Served]:
    with serving(EXAMPLES / "hello") as server:
        yield server


@pytest.fixture(scope="module")
def orders() -> Iterator[Served]:
    with serving(EXAMPLES / "orders") as server:
        yield server


@pytest.fixture(scope="module")
def webhook() -> Iterator[Served]:
    with serving(EXAMPLES / "webhook", {"WEBHOOK_SECRET": SECRET.decode()}) as server:
        yield server


@pytest.fixture(scope="module")
def middleware() -> Iterator[Served]:
    with serving(EXAMPLES / "middleware", {"API_TOKEN": TOKEN}) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def uploads(folder: Path) -> Iterator[Served]:
    with serving(EXAMPLES / "uploads", {"UPLOAD_DIR": str(folder)}) as server:
        yield server


# `extension` is a package of its own, which must be installed first: test_observed.py does so.
@pytest.mark.parametrize("example", sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir() and p.name != "extension"))
def test_an_example_passes_the_check_and_has_routes(example: str) -> None:
    checked = command(EXAMPLES / example, "check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "siphon.yaml: ok\n", "")
    assert len(command(EXAMPLES / example, "routes").stdout.splitlines()) > 1


# ---- hello


def test_hello_answers_what_the_readme_says(hello: Served) -> None:
    answer = hello.ask("/hello/world")
    assert (answer.status, answer.body) == (200, b"hi world")


def test_hello_prints_four_lines_at_most_and_one_is_a_curl_line_that_works(hello: Served) -> None:
    assert len(hello.started) <= 4
    found = re.search(rf"curl http://127\.0\.0\.1:{hello.port}(/\S+)", "\n".join(hello.started))
    assert found is not None
    assert hello.ask(found[1]).body == b"hi world"


# ---- orders


def test_orders_is_the_script_of_the_seed_word_for_word() -> None:
    seed = """\
from siphon import http

@http.route("/orders/{id}", methods=["GET", "DELETE"])
async def order(req):
    oid = req.path_params["id"]
    if req.method == "DELETE":
        return http.Response(status=204)
    return http.Response(
        status=200,
        headers={"Content-Type": "application/json"},
        body=f'{{"id": "{oid}"}}'.encode(),
    )
"""
    assert (EXAMPLES / "orders" / "routes.py").read_text().endswith(seed)


def test_orders_branches_on_the_method(orders: Served) -> None:
    got = orders.ask("/orders/42")
    assert (got.status, got.headers["content-type"], json.loads(got.body)) == (200, "application/json", {"id": "42"})
    gone = orders.ask("/orders/42", "DELETE")
    assert (gone.status, gone.body, "content-length" in gone.headers) == (204, b"", False)
    refused = orders.ask("/orders/42", "PUT", b"{}")
    assert (refused.status, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")


# ---- webhook


def deliver(
    server: Served,
    event: str,
    body: bytes = b'{"type": "paid"}',
    *,
    stamp: float | str | None = None,
    secret: bytes = SECRET,
    sent: bytes | None = None,
    more: str = "",
) -> Answer:
    """Sign `body` and deliver it; sent: another body than the one signed; more: signatures before the right one."""
    text = stamp if isinstance(stamp, str) else str(int(time.time() if stamp is None else stamp))
    digest = hmac.new(secret, f"{event}.{text}.".encode() + body, hashlib.sha256).digest()
    signature = f"{more}v1,{base64.b64encode(digest).decode()}"
    headers = {"webhook-id": event, "webhook-timestamp": text, "webhook-signature": signature}
    return server.ask("/webhook", "POST", body if sent is None else sent, headers)


def test_a_signed_event_is_taken_once(webhook: Served) -> None:
    first = deliver(webhook, "evt_1")
    assert (first.status, first.body) == (200, b"taken\n")
    again = deliver(webhook, "evt_1")
    assert (again.status, again.body) == (200, b"duplicate\n")
    assert deliver(webhook, "evt_2").body == b"taken\n"


def test_the_signature_is_over_the_raw_body(webhook: Served) -> None:
    assert deliver(webhook, "evt_raw", b'{"a":  1 ,\r\n"b":\t2}').status == 200
    assert deliver(webhook, "evt_space", b'{"a": 1}', sent=b'{"a":1}').status == 401


@pytest.mark.parametrize("case", ["another secret", "another body", "none", "empty", "junk", "another id"])
def test_a_wrong_signature_is_refused(webhook: Served, case: str) -> None:
    if case == "another secret":
        answer = deliver(webhook, "evt_bad", secret=b"guessed")
    elif case == "another body":
        answer = deliver(webhook, "evt_bad", sent=b'{"type": "refund"}')
    elif case == "another id":
        answer = deliver(webhook, "evt_bad")
        assert answer.status == 200
        digest = hmac.new(SECRET, f"evt_bad.{int(time.time())}.".encode() + b"{}", hashlib.sha256).digest()
        headers = {"webhook-id": "evt_other", "webhook-timestamp": str(int(time.time()))}
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        answer = webhook.ask("/webhook", "POST", b"{}", headers)
    else:
        headers = {"webhook-id": "evt_bad", "webhook-timestamp": str(int(time.time()))}
        if case != "none":
            headers["webhook-signature"] = {"empty": "", "junk": "v1, \xe9 ,,, =="}[case]
        answer = webhook.ask("/webhook", "POST", b"{}", headers)
    assert (answer.status, answer.body) == (401, b"the signature is missing or wrong\n")


@pytest.mark.parametrize("seconds", [-600, 600])
def test_an_old_or_a_future_time_stamp_is_refused_though_it_is_signed(webhook: Served, seconds: int) -> None:
    answer = deliver(webhook, f"evt_at_{seconds}", stamp=time.time() + seconds)
    assert (answer.status, answer.body) == (401, b"the time stamp is too old or too new\n")


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "9" * 40])
def test_a_time_stamp_that_is_no_number_is_refused(webhook: Served, stamp: str) -> None:
    assert deliver(webhook, "evt_stamp", stamp=stamp).status == 401


def test_one_of_several_signatures_is_enough(webhook: Served) -> None:
    assert deliver(webhook, "evt_many", more="v1,AAAA v1a,BBBB ").status == 200


def test_an_event_that_could_not_be_handled_may_come_again(webhook: Served) -> None:
    assert deliver(webhook, "evt_again", b"no JSON").status == 400
    assert deliver(webhook, "evt_again").body == b"taken\n"


def test_a_webhook_has_a_limit_of_its_own(webhook: Served) -> None:
    assert webhook.ask("/webhook", "POST", b"x" * 262_145).status == 413


def test_without_a_secret_every_delivery_is_refused() -> None:
    with serving(EXAMPLES / "webhook", {"WEBHOOK_SECRET": ""}) as server:
        assert deliver(server, "evt_1", secret=b"").status == 503


def test_the_store_of_events_is_bounded_and_forgets_nothing_that_could_be_replayed() -> None:
    deliveries: dict[str, Any] = {}
    source = (EXAMPLES / "webhook" / "routes.py").read_text().replace("from siphon import http, log", "")
    # Only the class is wanted: what needs the server comes after it.
    exec(source[: source.index("SECRET = ")], deliveries)
    store = deliveries["Deliveries"](2)
    for event, now in (("a", 0.0), ("b", 1.0)):
        assert store.has_room(now)
        store.begin(event)
        assert store.state(event) == "running"
        store.done(event, now)
    assert not store.has_room(599.0)
    assert store.has_room(600.5)
    assert (store.state("a"), store.state("b")) == ("new", "done")


# ---- middleware


def test_the_guard_asks_for_the_token_but_not_on_public_routes(middleware: Served) -> None:
    refused = middleware.ask("/things/1")
    assert (refused.status, refused.headers["www-authenticate"], refused.body) == (401, "Bearer", b"unauthorized\n")
    assert middleware.ask("/things/1", headers={"authorization": "Bearer t0ke"}).status == 401
    assert middleware.ask("/things/1", headers={"authorization": f"Bearer {TOKEN}"}).status == 200
    assert middleware.ask("/healthz").body == b"ok"


def test_wraps_add_their_fields_to_every_answer_the_refused_ones_too(middleware: Served) -> None:
    for path in ("/things/1", "/healthz"):
        answer = middleware.ask(path, headers={"x-request-id": "abc123"})
        assert answer.headers["x-request-id"] == "abc123"
        assert re.fullmatch(r"app;dur=[0-9]+\.[0-9]{2}", answer.headers["server-timing"])
    made = {middleware.ask("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3 and all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
    assert middleware.ask("/healthz", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"


def test_a_plain_handler_on_its_thread_sees_the_context_of_the_request(middleware: Served) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "x-request-id": "onathread"}
    answer = json.loads(middleware.ask("/whoami", headers=headers).body)
    assert answer["request_id"] == "onathread"
    assert re.fullmatch(r"127\.0\.0\.1:[0-9]+", answer["client"])


def test_errors_become_answers_in_one_place(middleware: Served) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "x-request-id": "q1"}
    missing = middleware.ask("/things/101", headers=headers)
    assert (missing.status, json.loads(missing.body)["error"]) == (404, "there is no thing 101")
    bad = middleware.ask("/things/one", headers=headers)
    assert bad.status == 400
    assert json.loads(bad.body) == {"error": "the request cannot be understood", "request_id": "q1"}
    assert "server-timing" in bad.headers


def test_middleware_does_not_run_without_a_route(middleware: Served) -> None:
    for path, method, status in (("/nothing", "GET", 404), ("/healthz", "POST", 405)):
        answer = middleware.ask(path, method)
        assert (answer.status, "x-request-id" in answer.headers) == (status, False)


def test_without_a_token_only_the_public_route_answers() -> None:
    with serving(EXAMPLES / "middleware", {"API_TOKEN": ""}) as server:
        assert server.ask("/things/1", headers={"authorization": "Bearer "}).status == 401
        assert server.ask("/healthz").status == 200


# ---- uploads


def test_an_upload_is_hashed_and_comes_back_as_it_was(uploads: Served, folder: Path) -> None:
    content = bytes(range(256)) * 1200
    answer = uploads.ask("/files/one.bin", "PUT", content)
    assert answer.status == 201
    assert json.loads(answer.body) == {
        "name": "one.bin",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert (folder / "one.bin").read_bytes() == content
    back = uploads.ask("/files/one.bin")
    assert (back.status, back.headers["content-length"], back.body == content) == (200, str(len(content)), True)
    assert uploads.ask("/files/one.bin", "PUT", b"shorter").status == 200
    assert uploads.ask("/files/one.bin").body == b"shorter"


def test_head_tells_the_size_without_the_content(uploads: Served) -> None:
    uploads.ask("/files/head.bin", "PUT", b"12345")
    answer = uploads.ask("/files/head.bin", "HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_a_chunked_upload_of_many_mebibytes_takes_little_memory(uploads: Served) -> None:
    piece, count = b"\x5a" * 65_536, 800
    uploads.ask("/files/warm.bin", "PUT", piece)
    before = uploads.rss_kib()
    digest = hashlib.sha256()
    connection = http.client.HTTPConnection("127.0.0.1", uploads.port, timeout=30)
    try:
        connection.putrequest("PUT", "/files/large.bin")
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        for _ in range(count):
            digest.update(piece)
            connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        connection.send(b"0\r\n\r\n")
        answer = json.loads(connection.getresponse().read())
        assert answer == {"name": "large.bin", "bytes": len(piece) * count, "sha256": digest.hexdigest()}
        back = hashlib.sha256()
        connection.request("GET", "/files/large.bin")
        response = connection.getresponse()
        while data := response.read(1 << 20):
            back.update(data)
        assert back.hexdigest() == digest.hexdigest()
    finally:
        connection.close()
    assert uploads.rss_kib() - before < 12_000, "50 MiB went through: they were kept in memory"


def test_a_client_that_leaves_half_way_leaves_nothing_behind(uploads: Served, folder: Path) -> None:
    with socket.create_connection(("127.0.0.1", uploads.port), timeout=10) as sock:
        sock.sendall(b"PUT /files/half.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
        wait_until(lambda: any(p.name.startswith(".part-") for p in folder.iterdir()))
    wait_until(lambda: not any(p.name.startswith(".part-") for p in folder.iterdir()))
    assert not (folder / "half.bin").exists()


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", ".part-x", "a%2Fb", "a%00b", "x" * 101])
def test_a_name_never_leads_out_of_the_folder(uploads: Served, name: str) -> None:
    assert uploads.ask(f"/files/{name}").status == 404
    assert uploads.ask(f"/files/{name}", "PUT", b"x").status == 400


def test_the_upload_has_a_limit_of_its_own(uploads: Served) -> None:
    with socket.create_connection(("127.0.0.1", uploads.port), timeout=10) as sock:
        sock.sendall(b"PUT /files/huge.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741825\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


def test_without_its_folder_the_start_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command(EXAMPLES / "uploads", "run", environ={"UPLOAD_DIR": str(tmp_path / "file")})
    assert done.returncode == 4
    assert "make_the_folder" in done.stderr
