"""TLS listeners (design section 5): ALPN, client certificates, versions, silent and slow peers, new certificates."""

from __future__ import annotations

import json
import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.process_stage import wait_until

from .launch import Server, serving
from .wire import PING, Wire, exchange, polite, refused, request

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def write(cert: trustme.LeafCert, folder: Path, name: str) -> dict[str, str]:
    """Write certificate and key; return them as settings."""
    (folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    (folder / f"{name}.key").write_bytes(cert.private_key_pem.bytes())
    return {"cert_path": f"{name}.pem", "key_path": f"{name}.key"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/peers.py over TLS; relative paths are relative to http.yaml."""
    folder = tmp_path_factory.mktemp("tls")
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    paths = write(AUTHORITY.issue_cert("localhost", "127.0.0.1"), folder, "server")
    changing = write(AUTHORITY.issue_cert("localhost"), folder, "changing")
    listeners = {
        "tls": {"tls": paths},
        "mutual": {"tls": {**paths, "client_ca": "ca.pem"}},
        "quick": {"tls": paths, "header_timeout_ms": 300, "idle_timeout_ms": 400},
        "changing": {"tls": changing},
        "plain": {},
    }
    yield from serving(folder, "peers.py", listeners)


def context(
    ca: trustme.CA = AUTHORITY, cert: trustme.CA | None = None, alpn: list[str] | None = None
) -> ssl.SSLContext:
    """Return a client's context that trusts `ca`, with a certificate of `cert`."""
    made = ssl.create_default_context()
    ca.configure_trust(made)
    if cert is not None:
        cert.issue_cert("client@example.com", common_name="the-client").configure_cert(made)
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def test_a_request_is_served_over_tls(tls: Server) -> None:
    found = json.loads(request(tls["tls"], "/peer", tls=context()).body)
    assert found["scheme"] == "https"
    assert found["url"] == "https://t/peer"
    assert found["certificate"] is None
    assert found["client"].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "offered,chosen",
    [
        (["http/1.1"], {"http/1.1"}),
        (["h2", "http/1.1"], {"h2", "http/1.1"}),
        (None, {None}),
        (["foo", "http/1.1"], {"http/1.1"}),
    ],
    ids=str,
)
def test_alpn_chooses_what_both_speak(tls: Server, offered: list[str] | None, chosen: set[str | None]) -> None:
    """h2 as well once it is built."""
    with Wire(tls["tls"], tls=context(alpn=offered)) as wire:
        assert isinstance(wire.sock, ssl.SSLSocket)
        assert wire.sock.selected_alpn_protocol() in chosen


def test_http_1_1_by_alpn_is_served(tls: Server) -> None:
    assert request(tls["tls"], "/", tls=context(alpn=["http/1.1"])).body == b"ok"


def test_pipelining_over_tls(tls: Server) -> None:
    body = bytes(range(256)) * 2000
    data = (PING + polite("/echo", "POST", body=body)) * 3
    answers = exchange(tls["tls"], data, ["GET", "POST"] * 3, tls=context())
    assert [a.body for a in answers] == [b"ok", body] * 3


def test_large_answers_over_tls(tls: Server) -> None:
    assert len(request(tls["tls"], "/bulk/5000000", tls=context()).body) == 5_000_000


def test_bytes_one_by_one_over_tls(tls: Server) -> None:
    with Wire(tls["tls"], tls=context()) as wire:
        wire.send_pieces([PING[n : n + 1] for n in range(len(PING))])
        assert wire.read().body == b"ok"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: t\n\n", b"\0"], ids=repr)
def test_refusals_over_tls(tls: Server, data: bytes) -> None:
    refused(tls["tls"], data, tls=context())


def test_connection_close_over_tls_is_a_clean_end(tls: Server) -> None:
    """close_notify, not a cut: RFC 8446, 6.1."""
    with Wire(tls["tls"], tls=context()) as wire:
        wire.send(polite("/", headers=[("Connection", "close")]))
        assert wire.read().body == b"ok"
        wire.expect_end()
        assert not wire.was_reset


def served(address: object, made: ssl.SSLContext) -> bool:
    """Whether a handshake and a request succeed."""
    try:
        return request(address, "/", tls=made).status == 200  # type: ignore[arg-type]
    except (OSError, AssertionError):
        return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_tls_1_2_and_1_3_are_spoken(tls: Server, version: ssl.TLSVersion) -> None:
    made = context()
    made.minimum_version = made.maximum_version = version
    assert served(tls["tls"], made)


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_older_versions_are_refused(tls: Server, version: str) -> None:
    made = context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.maximum_version = ssl.TLSVersion[version]
    made.set_ciphers("ALL:@SECLEVEL=0")
    assert not served(tls["tls"], made)


@pytest.mark.parametrize(
    "cipher,fine",
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("ECDHE-ECDSA-AES128-SHA256", False),
        ("ECDHE-ECDSA-AES256-SHA", False),
    ],
)
def test_only_aead_suites_are_accepted(tls: Server, cipher: str, fine: bool) -> None:
    made = context()
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(cipher + ":@SECLEVEL=0")
    assert served(tls["tls"], made) is fine


def test_a_client_certificate_is_required_by_client_ca(tls: Server) -> None:
    assert not served(tls["mutual"], context())
    assert served(tls["mutual"], context(cert=AUTHORITY))


def test_a_client_certificate_of_a_stranger_is_refused(tls: Server) -> None:
    assert not served(tls["mutual"], context(cert=STRANGER))


def test_a_client_certificate_in_tls_1_2_is_required_too(tls: Server) -> None:
    made = context()
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not served(tls["mutual"], made)


def test_the_client_certificate_is_shown_to_the_script(tls: Server) -> None:
    found = json.loads(request(tls["mutual"], "/peer", tls=context(cert=AUTHORITY)).body)
    assert "the-client" in found["certificate"]


def test_plain_http_to_a_tls_port_is_refused(tls: Server) -> None:
    """Closed, with or without a plain 400; never an answer of the script."""
    with Wire(tls["quick"]) as wire:
        wire.sock.settimeout(2)
        wire.send(PING)
        while wire.fill():
            pass
        assert wire.buffer[:1] in (b"", b"\x15") or b" 400 " in wire.buffer


def test_tls_to_a_plain_port_is_refused(tls: Server) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        Wire(tls["plain"], tls=context())


HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(32)
STALLS = {
    "silence": b"",
    "one byte": b"\x16",
    "half a record header": HELLO[:3],
    "half a hello": HELLO,
    "a record of nothing": b"\x16\x03\x01\x00\x00",
}


@pytest.mark.parametrize("name", STALLS)
def test_a_handshake_that_stalls_is_cut_by_header_timeout(tls: Server, name: str) -> None:
    """Design section 5; 300 ms here."""
    start = time.monotonic()
    with Wire(tls["quick"]) as wire:
        wire.send(STALLS[name])
        wire.sock.settimeout(2.5)
        try:
            while wire.fill():
                pass
        except TimeoutError:
            pytest.fail("still open after 2.5 s")
    assert time.monotonic() - start < 2


def test_a_trickling_handshake_is_cut_by_header_timeout(tls: Server) -> None:
    start = time.monotonic()
    with Wire(tls["quick"]) as wire:
        for byte in HELLO:
            wire.send(bytes([byte]))
            time.sleep(0.05)  # 2 s in all for a hello, and header_timeout_ms is 300
            if wire.answered():
                break
    assert time.monotonic() - start < 2, "43 bytes were allowed to take more than 2 s"


def test_silence_after_the_handshake_is_cut_by_header_timeout(tls: Server) -> None:
    start = time.monotonic()
    with Wire(tls["quick"], tls=context()) as wire:
        wire.sock.settimeout(2.5)
        while wire.fill():
            pass
    assert time.monotonic() - start < 2


def test_an_idle_tls_connection_is_closed(tls: Server) -> None:
    with Wire(tls["quick"], tls=context()) as wire:
        wire.send(PING)
        assert wire.read().body == b"ok"
        wire.expect_end(2.5)


@pytest.mark.parametrize(
    "junk",
    [b"\x80\x2e\x01\x00\x02", b"\xff" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 2000, b"\0" * 50],
    ids=lambda j: repr(j[:5]),
)
def test_garbage_instead_of_a_handshake_harms_nothing(tls: Server, junk: bytes) -> None:
    with Wire(tls["quick"]) as wire:
        wire.sock.settimeout(2.5)
        wire.send(junk)
        while wire.fill():
            pass
    assert served(tls["quick"], context())


def test_a_stalled_handshake_holds_up_nobody(tls: Server) -> None:
    wires = [Wire(tls["quick"]) for _ in range(30)]
    try:
        for wire in wires:
            wire.send(HELLO)
        start = time.monotonic()
        assert served(tls["quick"], context())
        assert time.monotonic() - start < 0.5
    finally:
        for wire in wires:
            wire.sock.close()


def serial(address: tuple[str, int]) -> int:
    """Return the serial number of the certificate that a listener shows."""
    with (
        socket.create_connection(address, 3) as sock,
        context().wrap_socket(sock, server_hostname="localhost") as wrapped,
    ):
        found = wrapped.getpeercert()
        assert found is not None
        return int(str(found["serialNumber"]), 16)


def test_a_new_certificate_is_taken_up_without_restart(tls: Server) -> None:
    """Design section 5: certificates re-read on change; open connections go on."""
    address = tls["changing"]
    assert isinstance(address, tuple)
    before = serial(address)
    with Wire(address, tls=context()) as wire:
        wire.send(PING)
        assert wire.read().body == b"ok"
        write(AUTHORITY.issue_cert("localhost"), tls.folder, "changing")
        deadline = time.monotonic() + 8
        while serial(address) == before:
            assert time.monotonic() < deadline, "the old certificate is still shown 8 s later"
            time.sleep(0.1)
        wire.expect_open()


def test_a_broken_new_certificate_leaves_the_old_one(tls: Server) -> None:
    address = tls["changing"]
    assert isinstance(address, tuple)
    before = serial(address)
    good = (tls.folder / "changing.pem").read_bytes()
    (tls.folder / "changing.pem").write_text("nonsense")
    try:
        wait_until(lambda: "the changed certificate cannot be used, the old one stays in use" in tls.log())
        assert serial(address) == before
    finally:
        (tls.folder / "changing.pem").write_bytes(good)
