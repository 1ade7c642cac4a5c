"""The SSLContext of a client, shown by handshakes in memory."""

from __future__ import annotations

import datetime
import logging
import os
import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from siphon_http.client.tls import ClientTls, describe_failure
from siphon_http.errors import TlsMaterialError

HOST = "www.example.com"


class Files:
    """PEM files of a CA, a client and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.stranger.cert_pem.write_to_path(folder / "stranger.pem")
        for name, authority in (("client", self.authority), ("other", self.stranger)):
            leaf = authority.issue_cert(f"{name}.example")
            leaf.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
            leaf.cert_chain_pems[0].write_to_path(folder / f"{name}-cert.pem")
            leaf.private_key_pem.write_to_path(folder / f"{name}-key.pem")

    def path(self, name: str) -> Path:
        return self.folder / name

    def server(self, *names: str, mutual: bool = False, **issue: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*(names or (HOST,)), **issue).configure_cert(context)  # type: ignore[arg-type]
        context.set_alpn_protocols(["h2", "http/1.1"])
        if mutual:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, host: str = HOST
) -> tuple[ssl.SSLObject, Exception | None]:
    """Return the client's end of a handshake, and what it raised there; alerts of the server are read too."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname=host)
    theirs = server.wrap_bio(up, down, server_side=True)
    for _ in range(6):
        for side in (ours, theirs):
            try:
                side.do_handshake()
                if side is ours:
                    ours.read(1)  # an alert that follows our certificate
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                pass
            except ssl.SSLError as exc:
                if side is ours:
                    return ours, exc
    return ours, None


def failure(client: ssl.SSLContext, server: ssl.SSLContext, host: str = HOST) -> str:
    ours, error = handshake(client, server, host)
    assert isinstance(error, ssl.SSLError)
    return describe_failure(error, host, peer=ours)


def settle(path: Path, seconds: float = 100.0) -> None:
    """Make a file look as if it had been written some time ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_server_of_the_bundle_is_trusted(files: Files) -> None:
    context = ClientTls(files.path("ca.pem")).context(http2=True)
    ours, error = handshake(context, files.server())
    assert error is None
    assert ours.version() == "TLSv1.3"


def test_verification_and_names_are_checked(files: Files) -> None:
    for tls in (ClientTls(), ClientTls(files.path("ca.pem")), ClientTls(None, files.path("client.pem"))):
        context = tls.context(http2=True)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


@pytest.mark.parametrize(("http2", "chosen"), [(True, "h2"), (False, "http/1.1")])
def test_alpn_offers_h2_only_when_asked(files: Files, http2: bool, chosen: str) -> None:
    ours, error = handshake(ClientTls(files.path("ca.pem")).context(http2=http2), files.server())
    assert (error, ours.selected_alpn_protocol()) == (None, chosen)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_1_and_suites_without_aead_are_not_spoken(files: Files) -> None:
    context = ClientTls(files.path("ca.pem")).context(http2=False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert {suite["aead"] for suite in context.get_ciphers()} == {True}
    old = files.server()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    assert "before 1.2" in failure(context, old)


def test_an_end_without_close_notify_is_an_error(files: Files) -> None:
    context = ClientTls(files.path("ca.pem")).context(http2=False)
    assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF


def test_a_context_is_made_once_for_each_kind(files: Files) -> None:
    tls = ClientTls(files.path("ca.pem"))
    assert tls.context(http2=True) is tls.context(http2=True)
    assert tls.context(http2=True) is not tls.context(http2=False)


@pytest.mark.parametrize(("cert", "key"), [("client.pem", None), ("client-cert.pem", "client-key.pem")])
def test_a_client_certificate_is_shown(files: Files, cert: str, key: str | None) -> None:
    tls = ClientTls(files.path("ca.pem"), files.path(cert), files.path(key) if key else None)
    assert handshake(tls.context(http2=False), files.server(mutual=True))[1] is None


def test_an_intermediate_in_the_bundle_is_trusted_without_its_root(files: Files) -> None:
    issuing = files.authority.create_child_ca()
    issuing.cert_pem.write_to_path(files.path("issuing.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuing.issue_cert(HOST).configure_cert(server)
    assert handshake(ClientTls(files.path("issuing.pem")).context(http2=False), server)[1] is None


# ---- files that change


def test_changed_files_are_read_for_the_next_connection(files: Files) -> None:
    tls = ClientTls(files.path("ca.pem"))
    before = tls.context(http2=True)
    shutil.copy(files.path("stranger.pem"), files.path("new.pem"))
    settle(files.path("new.pem"))
    files.path("new.pem").replace(files.path("ca.pem"))
    after = tls.context(http2=True)
    assert after is not before
    assert "unknown CA" in failure(after, files.server())
    assert tls.context(http2=True) is after


def test_files_just_written_wait_for_their_partner(files: Files) -> None:
    tls = ClientTls(files.path("ca.pem"), files.path("client-cert.pem"), files.path("client-key.pem"))
    before = tls.context(http2=True)
    shutil.copyfile(files.path("other-cert.pem"), files.path("client-cert.pem"))
    assert tls.context(http2=True) is before
    shutil.copyfile(files.path("other-key.pem"), files.path("client-key.pem"))
    settle(files.path("client-cert.pem"))
    settle(files.path("client-key.pem"))
    assert tls.context(http2=True) is not before


@pytest.mark.parametrize("change", ["junk", "missing", "other key"])
def test_a_bad_new_file_keeps_the_old_one_and_is_logged_once(
    files: Files, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ClientTls(files.path("ca.pem"), files.path("client-cert.pem"), files.path("client-key.pem"))
    before = tls.context(http2=True)
    key = files.path("client-key.pem")
    if change == "missing":
        key.unlink()
    else:
        key.write_text("junk" if change == "junk" else files.path("other-key.pem").read_text())
        settle(key)
    with caplog.at_level(logging.WARNING, "siphon_http.client"):
        assert [tls.context(http2=True) for _ in range(3)] == [before] * 3
    (record,) = caplog.records
    assert "the old ones stay in use" in record.getMessage()
    assert str(key) in record.getMessage()


def test_a_mended_file_is_read_again(files: Files) -> None:
    key = files.path("client-key.pem")
    good = key.read_text()
    tls = ClientTls(files.path("ca.pem"), files.path("client-cert.pem"), key)
    before = tls.context(http2=True)
    key.write_text("junk")
    settle(key)
    assert tls.context(http2=True) is before
    key.write_text(good)
    settle(key, 50)
    assert tls.context(http2=True) is not before


# ---- material that cannot be used


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda f: ClientTls(f.path("none.pem")), "none.pem does not exist"),
        (lambda f: ClientTls(f.path("client-key.pem")), "holds a private key, no certificate"),
        (lambda f: ClientTls(None, f.path("client-cert.pem")), "no private key"),
        (lambda f: ClientTls(None, f.path("client.pem"), f.path("other-key.pem")), "does not belong"),
        (lambda f: ClientTls(None, None, f.path("client-key.pem")), "is the key of no certificate"),
        (lambda f: ClientTls(f.folder), "cannot be read"),
    ],
)
def test_unusable_material_is_named(files: Files, make: Callable[[Files], ClientTls], text: str) -> None:
    with pytest.raises(TlsMaterialError, match=text) as caught:
        make(files).context(http2=True)
    assert str(files.folder) in str(caught.value)


def test_a_system_without_any_ca_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(TlsMaterialError, match=r"trusts no CA at all.*\n.*ca-certificates"):
        ClientTls().context(http2=True)


# ---- failures in plain words


def test_a_wrong_name_is_told_with_the_right_ones(files: Files) -> None:
    context = ClientTls(files.path("ca.pem")).context(http2=False)
    server = files.server("a.example", "*.b.example", "10.0.0.1")
    text = "hostname mismatch: the certificate is not for www.example.com, but for a.example, *.b.example, 10.0.0.1"
    assert failure(context, server) == text
    assert "not for 10.0.0.2, but for" in failure(context, server, "10.0.0.2")
    error = handshake(context, server)[1]
    assert isinstance(error, ssl.SSLError)
    assert describe_failure(error, HOST) == "hostname mismatch: the certificate is not for www.example.com"


def test_an_expired_certificate_is_told_with_its_date(files: Files) -> None:
    context = ClientTls(files.path("ca.pem")).context(http2=False)
    then = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)
    text = failure(context, files.server(not_before=then, not_after=then.replace(month=4)))
    assert text == "its certificate has expired (on Apr  1 00:00:00 2024 GMT)"


def test_an_unknown_ca_is_told_with_the_remedy(files: Files) -> None:
    text = failure(ClientTls(files.path("stranger.pem")).context(http2=False), files.server())
    assert text.startswith("unknown CA: ")
    assert "verify=" in text


def test_a_bundle_is_trusted_instead_of_the_system(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.path("ca.pem")))
    assert handshake(ClientTls().context(http2=False), files.server())[1] is None
    assert "unknown CA" in failure(ClientTls(files.path("stranger.pem")).context(http2=False), files.server())


def test_a_missing_client_certificate_is_told(files: Files) -> None:
    context = ClientTls(files.path("ca.pem")).context(http2=False)
    assert failure(context, files.server(mutual=True)) == "the peer wants a client certificate: set cert="


def test_a_refused_client_certificate_is_told(files: Files) -> None:
    context = ClientTls(files.path("ca.pem"), files.path("other.pem")).context(http2=False)
    assert "does not trust the CA of our client certificate" in failure(context, files.server(mutual=True))


def test_a_peer_without_tls_is_told(files: Files) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = ClientTls(files.path("ca.pem")).context(http2=False).wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        ours.do_handshake()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        ours.do_handshake()
    assert describe_failure(caught.value, HOST) == "the peer speaks no TLS on this port (is it http:// there?)"


def test_a_peer_that_leaves_during_the_handshake_is_told(files: Files) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = ClientTls(files.path("ca.pem")).context(http2=False).wrap_bio(incoming, outgoing, server_hostname=HOST)
    incoming.write_eof()
    with pytest.raises(ssl.SSLError) as caught:
        for _ in range(2):
            try:
                ours.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert describe_failure(caught.value, HOST) == "the peer closed the connection during the TLS handshake"


def test_what_is_not_known_is_told_in_its_own_words() -> None:
    error = ssl.SSLError(1, "[SSL] something odd")
    assert describe_failure(error, HOST) == "TLS failed: [SSL] something odd"
