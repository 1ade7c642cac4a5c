"""The SSLContext of a listener, shown by handshakes in memory."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
import trustme

from siphon_http.config import TlsConfig, load_config
from siphon_http.errors import TlsMaterialError
from siphon_http.server.tls import Credentials, check_material, fingerprint, server_context

BOTH = ("h2", "http/1.1")


class Files:
    """A server certificate, a client CA, and client certificates of it and of a stranger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.clients = trustme.CA()
        leaf = self.authority.issue_cert("www.example.com")
        leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        leaf.private_key_pem.write_to_path(folder / "key.pem")
        self.clients.cert_pem.write_to_path(folder / "ca.pem")
        self.issuing = self.clients.create_child_ca()
        self.issuing.cert_pem.write_to_path(folder / "issuing.pem")

    def tls(self, *, client_ca: str = "", min_version: str = "1.2") -> TlsConfig:
        lines = f"cert_path: cert.pem, key_path: key.pem, min_version: {min_version}"
        text = f"servers: [{{listen: 'a:1', tls: {{{lines}{f', client_ca: {client_ca}' if client_ca else ''}}}}}]\n"
        (self.folder / "http.yaml").write_text(text)
        found = load_config(self.folder / "http.yaml").servers[0].tls
        assert found is not None
        return found

    def client(self, identity: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        if identity is not None:
            identity.issue_cert("client.example").configure_cert(context)
        return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


class Handshake:
    """One client and one server over memory; `client` and `server` are connected when it returns."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(down, up, server_hostname="www.example.com", session=session)
        self.server = server.wrap_bio(up, down, server_side=True)
        self.to_client, self.to_server = down, up
        done: set[ssl.SSLObject] = set()
        while len(done) < 2:
            for side in (self.client, self.server):
                try:
                    side.do_handshake()
                    done.add(side)
                except ssl.SSLWantReadError:
                    pass
        self.server.write(b"hello")
        assert self.client.read(5) == b"hello"


def connect(tls: TlsConfig, client: ssl.SSLContext, alpn: tuple[str, ...] = BOTH) -> Handshake:
    return Handshake(server_context(tls, alpn=alpn), client)


def test_the_newest_version_is_spoken(files: Files) -> None:
    assert connect(files.tls(), files.client()).server.version() == "TLSv1.3"


def test_tls_1_2_is_spoken_unless_1_3_is_asked_for(files: Files) -> None:
    client = files.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert connect(files.tls(), client).server.version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
        connect(files.tls(min_version="1.3"), client)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_1_is_refused(files: Files) -> None:
    client = files.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
        connect(files.tls(), client)


def test_every_suite_is_authenticated_encryption_with_forward_secrecy(files: Files) -> None:
    suites = server_context(files.tls(), alpn=BOTH).get_ciphers()
    assert {suite["aead"] for suite in suites} == {True}
    assert {suite["kea"] for suite in suites} <= {"kx-ecdhe", "kx-any"}
    client = files.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE+AES:!AESGCM:!AESCCM")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher|handshake.failure"):
        connect(files.tls(), client)


@pytest.mark.parametrize(
    ("served", "offered", "chosen"),
    [
        (BOTH, ["http/1.1", "h2"], "h2"),
        (BOTH, ["http/1.1"], "http/1.1"),
        (("http/1.1",), ["h2", "http/1.1"], "http/1.1"),
        (("h2",), ["h2"], "h2"),
        (BOTH, [], None),
        (BOTH, ["spdy/3"], None),
    ],
)
def test_alpn_follows_the_order_of_the_server(
    files: Files, served: tuple[str, ...], offered: list[str], chosen: str | None
) -> None:
    client = files.client()
    if offered:
        client.set_alpn_protocols(offered)
    assert connect(files.tls(), client, served).server.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_ca_asks_for_a_certificate_of_that_ca(files: Files, version: ssl.TLSVersion) -> None:
    tls = files.tls(client_ca="ca.pem")
    for identity, accepted in ((files.clients, True), (None, False), (trustme.CA(), False)):
        client = files.client(identity)
        client.minimum_version = client.maximum_version = version
        if accepted:
            peer = connect(tls, client).server.getpeercert()
            assert peer is not None and ("DNS", "client.example") in peer["subjectAltName"]
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
                connect(tls, client)


def test_an_issuing_ca_can_be_trusted_without_its_root(files: Files) -> None:
    tls = files.tls(client_ca="issuing.pem")
    assert connect(tls, files.client(files.issuing)).server.getpeercert()
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        connect(tls, files.client(files.clients))


def test_without_client_ca_nobody_is_asked(files: Files) -> None:
    assert connect(files.tls(), files.client(files.clients)).server.getpeercert() is None


@pytest.mark.parametrize("client_ca", ["", "ca.pem"])
def test_sessions_are_resumed_with_and_without_client_certificates(files: Files, client_ca: str) -> None:
    server = server_context(files.tls(client_ca=client_ca), alpn=BOTH)
    client = files.client(files.clients)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    first = Handshake(server, client)
    assert Handshake(server, client, first.client.session).client.session_reused


def test_options_that_attacks_need_are_off(files: Files) -> None:
    options = server_context(files.tls(), alpn=BOTH).options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION


def test_an_end_without_close_notify_is_an_ordinary_end(files: Files) -> None:
    pair = connect(files.tls(), files.client())
    pair.to_server.write_eof()
    assert pair.server.read(1) == b""


def test_files_that_became_unusable_are_an_error_that_names_them(files: Files, tmp_path: Path) -> None:
    tls = files.tls(client_ca="ca.pem")
    for field, name in (("cert_path", "cert.pem"), ("key_path", "key.pem"), ("client_ca", "ca.pem")):
        path = files.folder / name
        kept = path.read_bytes()
        path.write_bytes(b"junk")
        try:
            with pytest.raises(TlsMaterialError, match=name):
                server_context(tls, alpn=BOTH)
        finally:
            path.write_bytes(kept)
        assert getattr(tls, field) == path


def test_the_fingerprint_of_a_listener_covers_all_its_files(files: Files) -> None:
    tls = files.tls(client_ca="ca.pem")
    before = fingerprint(tls)
    assert len(before) == 3
    for path in (tls.cert_path, tls.key_path, files.folder / "ca.pem"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000))
        after = fingerprint(tls)
        assert after != before
        before = after


def test_everything_wrong_with_the_files_of_one_listener_is_said_at_once(files: Files) -> None:
    junk = files.folder / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(TlsMaterialError) as caught:
        check_material(files.folder / "cert.pem", junk, junk, ())
    assert len(caught.value.problems) == 2


def test_the_check_of_a_configuration_puts_the_mistake_in_its_line(files: Files) -> None:
    stranger = trustme.CA().issue_cert("x.example").private_key_pem
    stranger.write_to_path(files.folder / "stranger.pem")
    path = files.folder / "mismatch.yaml"
    path.write_text("servers:\n- listen: x.example:1\n  tls:\n    cert_path: cert.pem\n    key_path: stranger.pem\n")
    with pytest.raises(TlsMaterialError) as caught:
        load_config(path, shown="http.yaml", check_material=check_material)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("http.yaml", 5, 15)
    assert "does not belong to the certificate" in problem.reason
    path.write_text(path.read_text().replace("stranger", "key"))
    warnings: list[str] = []
    load_config(path, shown="http.yaml", warnings=warnings, check_material=check_material)
    (warning,) = warnings
    assert warning.startswith("http.yaml:4:16: servers[0].tls.cert_path: the certificate in ")
    assert warning.endswith("is not for x.example, but for www.example.com")


def test_changed_files_are_taken_up_when_they_have_settled_and_bad_ones_change_nothing(tmp_path, caplog):
    authority = trustme.CA()

    def write(identity):
        identity.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        identity.private_key_pem.write_to_path(tmp_path / "key.pem")

    write(authority.issue_cert("one.example"))
    config = TlsConfig(cert_path=tmp_path / "cert.pem", key_path=tmp_path / "key.pem")
    credentials = Credentials(config, alpn=("http/1.1",))
    first = credentials.context
    assert not credentials.refresh() and credentials.context is first
    write(authority.issue_cert("two.example"))
    assert not credentials.refresh()  # may still be changing
    assert credentials.refresh() and credentials.context is not first
    second = credentials.context
    authority.issue_cert("three.example").cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")  # not its key
    assert [credentials.refresh() for _ in range(3)] == [False, False, False]
    assert credentials.context is second
    assert caplog.text.count("the old one stays in use") == 1
    write(authority.issue_cert("four.example"))
    assert [credentials.refresh() for _ in range(2)] == [False, True]
