"""PEM files: every way in which they can be unusable is said in one line that names the file."""

from __future__ import annotations

import datetime
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from siphon_http import certs
from siphon_http.errors import Problem, TlsMaterialError
from tests.settings_stage import without_root

DAY = 86_400.0


class Material:
    """A CA, and one certificate of it with its key, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.leaf = self.authority.issue_cert("www.example.com", "*.api.example.com", "127.0.0.1")
        self.cert_text = b"".join(blob.bytes() for blob in self.leaf.cert_chain_pems)
        self.key_text = self.leaf.private_key_pem.bytes()
        self.cert = self.write("cert.pem", self.cert_text)
        self.key = self.write("key.pem", self.key_text)
        self.ca = self.write("ca.pem", self.authority.cert_pem.bytes())
        self.not_after = certs.facts_of(self.cert).not_after

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("pem"))


def refusal(call: Callable[[], object]) -> Problem:
    with pytest.raises(TlsMaterialError) as caught:
        call()
    (problem,) = caught.value.problems
    assert "\n" not in problem.reason
    return problem


def test_a_good_pair_gives_names_and_dates(material: Material) -> None:
    facts = certs.check_pair(material.cert, material.key)
    assert set(facts.names) == {"www.example.com", "*.api.example.com", "127.0.0.1"}
    assert facts.not_before < time.time() < facts.not_after
    assert facts.warnings == ()


def test_the_key_may_be_in_the_file_of_the_certificate(material: Material) -> None:
    both = material.write("both.pem", material.key_text + material.cert_text)
    assert certs.check_pair(both).names == certs.check_pair(both, both).names
    problem = refusal(lambda: certs.check_pair(material.cert))
    assert problem.reason == f"{material.cert} holds a certificate, but no private key"


def test_a_key_of_another_certificate_is_refused(material: Material) -> None:
    other = material.write("other.pem", trustme.CA().issue_cert("x.example").private_key_pem.bytes())
    problem = refusal(lambda: certs.check_pair(material.cert, other))
    assert problem.reason == f"the key in {other} does not belong to the certificate in {material.cert}"
    assert problem.file == str(other)


def test_a_key_of_another_kind_is_refused_as_not_belonging(material: Material) -> None:
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    other = material.write("rsa.pem", text)
    assert "does not belong" in refusal(lambda: certs.check_pair(material.cert, other)).reason


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused_and_never_asked_for(material: Material, form: PrivateFormat) -> None:
    key = load_pem_private_key(material.key_text, None)
    text = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
    path = material.write("encrypted.pem", text)
    problem = refusal(lambda: certs.check_pair(material.cert, path))
    assert problem.reason == f"the private key in {path} is encrypted, which is not supported"
    assert f"openssl pkey -in {path}" in problem.hint


def test_openssl_never_reads_a_pass_phrase_from_the_terminal(material: Material) -> None:
    key = load_pem_private_key(material.key_text, None)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    # The plain key comes first for us, the encrypted one for OpenSSL: whatever the label says, nothing may be asked.
    disguised = material.write("disguised.pem", b"-----BEGIN PRIVATE KEY-----\n" + text)
    code = (
        "import sys, pathlib; from siphon_http import certs, errors\n"
        "try: certs.check_pair(*map(pathlib.Path, sys.argv[1:]))\n"
        "except errors.TlsMaterialError: print('refused')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(material.cert), str(disguised)],
        input="secret\n", capture_output=True, text=True, timeout=20, check=True, start_new_session=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("refused\n", "")


def test_exchanged_files_are_recognised(material: Material) -> None:
    problem = refusal(lambda: certs.check_pair(material.key, material.cert))
    assert problem.reason == f"{material.key} holds a private key, no certificate"
    assert problem.hint == "are certificate and key exchanged?"
    problem = refusal(lambda: certs.check_pair(material.cert, material.cert))
    assert problem.reason == f"{material.cert} holds a certificate, no private key"


def test_what_is_no_pem_is_named_by_what_it_looks_like(material: Material) -> None:
    empty = material.write("empty.pem", b"\n")
    assert (
        refusal(lambda: certs.check_pair(empty, material.key)).reason
        == f"{empty} is empty, expected a certificate in PEM"
    )
    der = material.write("cert.der", ssl.PEM_cert_to_DER_cert(material.leaf.cert_chain_pems[0].bytes().decode()))
    problem = refusal(lambda: certs.check_pair(der, material.key))
    assert problem.reason.startswith(f"{der} is not PEM")
    assert f"openssl x509 -inform DER -in {der}" in problem.hint
    text = material.write("text.pem", b"hello")
    assert "is not PEM, expected a private key" in refusal(lambda: certs.check_pair(material.cert, text)).reason
    request = material.write("request.pem", b"-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n")
    assert "is a signing request" in refusal(lambda: certs.check_pair(request, material.key)).reason
    public = material.write("public.pem", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
    assert "holds no certificate, only PUBLIC KEY" in refusal(lambda: certs.check_pair(public, material.key)).reason
    assert "holds PUBLIC KEY, no private key" in refusal(lambda: certs.check_pair(material.cert, public)).reason


def test_damaged_files_are_told_apart(material: Material) -> None:
    lines = material.cert_text.splitlines(keepends=True)
    cut = material.write("cut.pem", b"".join(lines[:3] + lines[6:]))
    problem = refusal(lambda: certs.check_pair(cut, material.key))
    assert (problem.file, "is damaged" in problem.reason) == (str(cut), True)
    lines = material.key_text.splitlines(keepends=True)
    key = material.write("cutkey.pem", b"".join([lines[0], b"AAAA" + lines[1][4:], *lines[2:]]))
    problem = refusal(lambda: certs.check_pair(material.cert, key))
    assert problem.file == str(key)
    assert problem.reason.startswith(f"the private key in {key} is damaged")


def test_a_damaged_issuer_behind_a_good_certificate_is_found(material: Material) -> None:
    issuer = material.authority.cert_pem.bytes().splitlines(keepends=True)
    chain = material.write("chain.pem", material.cert_text + b"".join(issuer[:2] + issuer[4:]))
    problem = refusal(lambda: certs.check_pair(chain, material.key))
    assert (problem.file, problem.reason) == (str(chain), f"a certificate in {chain} is damaged")


def test_missing_and_unreadable_files(material: Material, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    assert refusal(lambda: certs.check_pair(gone, material.key)).reason == f"file {gone} does not exist"
    assert "cannot be read: Is a directory" in refusal(lambda: certs.check_pair(tmp_path, material.key)).reason
    locked = material.write("locked.pem", material.key_text)
    locked.chmod(0)
    with without_root():
        problem = refusal(lambda: certs.check_bundle(locked))
        assert problem.reason == f"{locked} cannot be read by this user (uid {os.geteuid()})"


def test_an_expired_certificate_is_refused_with_its_date(material: Material) -> None:
    now = material.not_after + 3 * DAY + 5
    problem = refusal(lambda: certs.check_pair(material.cert, material.key, now=now))
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(material.not_after))
    assert problem.reason == f"the certificate in {material.cert} expired on {date}, 3 days ago"
    assert "today" in refusal(lambda: certs.check_pair(material.cert, material.key, now=material.not_after + 1)).reason


def test_a_certificate_of_the_future_is_refused(material: Material) -> None:
    problem = refusal(lambda: certs.check_pair(material.cert, material.key, now=0.0))
    assert "is not valid before" in problem.reason
    assert problem.hint == "this machine's clock says 1970-01-01 00:00 UTC"


@pytest.mark.parametrize(
    ("left", "said"), [(14 * DAY + 1, None), (13.5 * DAY, "in 13 days"), (30 * 3600.0, "in 30 hours")]
)
def test_less_than_two_weeks_of_validity_is_a_warning(material: Material, left: float, said: str | None) -> None:
    warnings = certs.check_pair(material.cert, material.key, now=material.not_after - left).warnings
    assert [text.rpartition(", ")[2] for text in warnings] == ([said] if said else [])


def test_a_listen_name_that_the_certificate_does_not_hold_is_a_warning(material: Material) -> None:
    def check(name: str) -> tuple[str, ...]:
        return certs.check_pair(material.cert, material.key, names=[name]).warnings

    assert check("www.example.com") == check("WWW.example.com.") == check("v1.api.example.com") == ()
    (warning,) = check("mail.example.com")
    assert warning.startswith(f"the certificate in {material.cert} is not for mail.example.com, but for ")


@pytest.mark.parametrize(
    ("name", "host", "covered"),
    [
        ("a.example", "a.example", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*", "localhost", False),
        ("*.", "localhost", False),
    ],
)
def test_a_wildcard_stands_for_exactly_one_label(name: str, host: str, covered: bool) -> None:
    assert certs.covers([name], host) is covered


def authority(ends: datetime.datetime) -> bytes:
    """Return the PEM of a CA that is valid until `ends`."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA until {ends.year}")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, ends - datetime.timedelta(days=400), ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    from cryptography.hazmat.primitives.hashes import SHA256

    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def test_a_bundle_warns_of_expired_cas_and_is_refused_when_all_have(material: Material) -> None:
    old = authority(datetime.datetime(2020, 1, 1))
    mixed = material.write("mixed.pem", old + material.authority.cert_pem.bytes())
    assert certs.check_bundle(material.ca) == ()
    assert certs.check_bundle(mixed) == (f"the CA 'CA until 2020' in {mixed} expired on 2020-01-01 00:00 UTC",)
    dead = material.write("dead.pem", old)
    assert (
        refusal(lambda: certs.check_bundle(dead)).reason == f"every CA in {dead} has expired: nobody could be trusted"
    )
    moment = datetime.datetime(2019, 12, 25, tzinfo=datetime.UTC).timestamp()
    assert certs.check_bundle(dead, now=moment) == (
        f"the CA 'CA until 2020' in {dead} expires on 2020-01-01 00:00 UTC",
    )


def test_a_bundle_with_a_key_only_or_damaged_is_refused(material: Material) -> None:
    assert "never their keys" in refusal(lambda: certs.check_bundle(material.key)).hint
    lines = material.authority.cert_pem.bytes().splitlines(keepends=True)
    damaged = material.write("damagedca.pem", b"".join(lines[:2] + lines[4:]))
    assert refusal(lambda: certs.check_bundle(damaged)).reason == f"a certificate in {damaged} is damaged"


def test_a_fingerprint_changes_with_content_replacement_and_disappearance(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    path.write_text("one")
    first = certs.fingerprint([path, None])
    assert len(first) == 1 and certs.fingerprint([path]) == first
    path.write_text("three")
    second = certs.fingerprint([path])
    assert second != first
    (tmp_path / "b.pem").write_text("three")
    os.utime(tmp_path / "b.pem", ns=(0, path.stat().st_mtime_ns))
    (tmp_path / "b.pem").replace(path)
    assert certs.fingerprint([path]) != second
    path.unlink()
    assert certs.fingerprint([path]) == (None,)
