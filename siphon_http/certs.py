"""PEM files: load, check, watch; for server and client.

Only what the standard library has is used. What is wrong is found before a socket is opened, and is said in one line that
names the file; nothing here ever asks for a pass phrase on the terminal.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from siphon_http.errors import Problem, TlsMaterialError
from siphon_http.records import dataclass

__all__ = [
    "CertificateFacts",
    "Fingerprint",
    "check_bundle",
    "check_pair",
    "covers",
    "facts_of",
    "fingerprint",
    "load_bundle",
    "load_pair",
]

EXPIRY_WARNING_DAYS: Final = 14
_DAY = 86_400.0
_FILE_LIMIT = 4_194_304  # bytes; the bundles of all public CAs together have about 0.3 MB
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_CERTIFICATE = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
_DATES = "%Y-%m-%d %H:%M UTC"

Fingerprint = tuple[tuple[int, int, int] | None, ...]
"""(mtime in ns, size, inode) of each file, None for one that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What the first certificate of a file says.

    subject: its common name, or ""; names: DNS names and IP addresses that it is for; not_before, not_after: seconds since
    1970; warnings: one line each.
    """

    subject: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    warnings: tuple[str, ...] = ()


def _refuse(path: Path, reason: str, hint: str = "", cause: BaseException | None = None) -> NoReturn:
    raise TlsMaterialError([Problem(str(path), 0, 0, "", reason, hint)]) from cause


def _read(path: Path) -> bytes:
    """Return what the file holds. Raises TlsMaterialError."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT + 1)
    except FileNotFoundError as exc:
        _refuse(path, f"file {path} does not exist", cause=exc)
    except PermissionError as exc:
        hint = "give it, and the folders above it, to this user or to one of its groups"
        _refuse(path, f"{path} cannot be read by this user (uid {os.geteuid()})", hint, exc)
    except OSError as exc:
        _refuse(path, f"{path} cannot be read: {exc.strerror}", cause=exc)
    if len(content) > _FILE_LIMIT:
        _refuse(path, f"{path} is larger than {_FILE_LIMIT} bytes: no PEM file has that")
    return content


def _labels(path: Path, wanted: str) -> tuple[list[str], str]:
    """Return the labels of the file's PEM blocks, and its text. Raises TlsMaterialError if there is none."""
    content = _read(path)
    text = content.decode("latin-1")
    labels = _PEM.findall(text)
    if labels:
        return labels, text
    if not content.strip():
        _refuse(path, f"{path} is empty, expected {wanted} in PEM")
    hint = ""
    if content[:1] == b"\x30":
        hint = f"it looks like DER or PKCS#12; for DER: openssl {'pkey' if 'key' in wanted else 'x509'} -inform DER -in {path}"
    _refuse(path, f"{path} is not PEM, expected {wanted} (-----BEGIN ...)", hint)


def _check_certificate_blocks(path: Path, wanted: str, other: str) -> None:
    labels, _ = _labels(path, wanted)
    if _CERTIFICATE.intersection(labels):
        return
    if any(label.endswith("PRIVATE KEY") for label in labels):
        _refuse(path, f"{path} holds a private key, no certificate", other)
    if "CERTIFICATE REQUEST" in labels or "NEW CERTIFICATE REQUEST" in labels:
        _refuse(path, f"{path} is a signing request, no certificate", "send it to a CA, which returns the certificate")
    _refuse(path, f"{path} holds no certificate, only {labels[0]}")


def _check_key_blocks(path: Path, *, combined: bool) -> None:
    labels, text = _labels(path, "a private key")
    keys = [label for label in labels if label.endswith("PRIVATE KEY")]
    if not keys:
        if combined:
            _refuse(path, f"{path} holds a certificate, but no private key", "append the key to it, or name its file")
        swapped = bool(_CERTIFICATE.intersection(labels))
        hint = "are certificate and key exchanged?" if swapped else ""
        _refuse(path, f"{path} holds {'a certificate' if swapped else labels[0]}, no private key", hint)
    if keys[0] == "ENCRYPTED PRIVATE KEY" or "Proc-Type: 4,ENCRYPTED" in text:
        hint = f"a server that starts alone cannot be asked for a pass phrase: openssl pkey -in {path} -out plain.pem"
        _refuse(path, f"the private key in {path} is encrypted, which is not supported", hint)


def _never_ask() -> str:
    """Stand in for the pass phrase: OpenSSL would read the terminal otherwise, and a start would hang."""
    raise ValueError("encrypted")


def load_pair(context: ssl.SSLContext, cert_path: Path, key_path: Path | None) -> None:
    """Load certificate chain and key (None: from the same file) into `context`. Raises TlsMaterialError."""
    both = "are certificate and key exchanged?"
    _check_certificate_blocks(cert_path, "a certificate", both)
    _check_key_blocks(key_path or cert_path, combined=key_path is None)
    try:
        context.load_cert_chain(cert_path, key_path, password=_never_ask)
    except ssl.SSLError as exc:
        _refuse_pair(exc, cert_path, key_path or cert_path)
    except (ValueError, OSError) as exc:
        _refuse(key_path or cert_path, f"{key_path or cert_path} cannot be loaded: {exc}", cause=exc)


def _refuse_pair(exc: ssl.SSLError, cert_path: Path, key_path: Path) -> NoReturn:
    """Say which of the two files OpenSSL refused, and why."""
    reason = exc.reason or ""
    if "MISMATCH" in reason or reason == "NO_CERTIFICATE_ASSIGNED":  # the latter: a key of another algorithm
        hint = "the first certificate of the file must be the server's own, its issuers follow"
        _refuse(key_path, f"the key in {key_path} does not belong to the certificate in {cert_path}", hint, exc)
    if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
        words = reason.lower().replace("_", " ")
        _refuse(
            cert_path,
            f"the certificate in {cert_path} is too weak for today's OpenSSL: {words}",
            "issue a new one",
            exc,
        )
    facts_of(cert_path)  # raises if it is the certificate that is damaged
    load_bundle(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert_path)  # or one of its issuers
    said = reason.lower().replace("_", " ")
    hint = "copy it again, with its BEGIN and END lines"
    _refuse(key_path, f"the private key in {key_path} is damaged" + (f" ({said})" if said else ""), hint, exc)


def facts_of(cert_path: Path) -> CertificateFacts:
    """Return what the first certificate of a PEM file says, dates unchecked. Raises TlsMaterialError."""
    try:
        # Private, but the only parser of certificates in the standard library: the public ones show a peer's certificate
        # after a verified handshake, or CAs only. It is there, unchanged, in every CPython from 2.6 on.
        decoded: dict[str, Any] = ssl._ssl._test_decode_cert(str(cert_path))  # type: ignore[attr-defined]
    except (ssl.SSLError, OSError, ValueError) as exc:
        _refuse(
            cert_path,
            f"the first certificate in {cert_path} is damaged",
            "copy it again, with its BEGIN and END lines",
            exc,
        )
    subject = next((value for part in decoded.get("subject", ()) for name, value in part if name == "commonName"), "")
    names = tuple(value for kind, value in decoded.get("subjectAltName", ()) if kind in {"DNS", "IP Address"})
    return CertificateFacts(
        subject=subject,
        names=names,
        not_before=float(ssl.cert_time_to_seconds(decoded["notBefore"])),
        not_after=float(ssl.cert_time_to_seconds(decoded["notAfter"])),
    )


def check_pair(
    cert_path: Path, key_path: Path | None = None, *, names: Sequence[str] = (), now: float | None = None
) -> CertificateFacts:
    """Check a certificate and its key (None: in the same file) and return what the certificate says.

    names: host names that it should be for (a warning if not); now: seconds since 1970, default the clock.

    Raises TlsMaterialError: missing or unreadable file, not PEM, encrypted key, key of another certificate, expired or not
    yet valid. Its problem names the file at fault in `file`.
    """
    moment = time.time() if now is None else now
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert_path, key_path)
    facts = facts_of(cert_path)
    if moment > facts.not_after:
        days = int((moment - facts.not_after) // _DAY)
        ago = f"{days} day{'s' * (days != 1)} ago" if days else "today"
        _refuse(cert_path, f"the certificate in {cert_path} expired on {_date(facts.not_after)}, {ago}", "renew it")
    if moment < facts.not_before:
        reason = f"the certificate in {cert_path} is not valid before {_date(facts.not_before)}"
        _refuse(cert_path, reason, f"this machine's clock says {_date(moment)}")
    warnings: list[str] = []
    left = facts.not_after - moment
    if left < EXPIRY_WARNING_DAYS * _DAY:
        hours = int(left // 3600)
        rest = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
        warnings.append(f"the certificate in {cert_path} expires on {_date(facts.not_after)}, in {rest}")
    for name in names:
        if not covers(facts.names, name):
            listed = ", ".join(facts.names[:5]) + (", ..." if len(facts.names) > 5 else "") or "no name at all"
            warnings.append(f"the certificate in {cert_path} is not for {name}, but for {listed}")
    return CertificateFacts(
        subject=facts.subject,
        names=facts.names,
        not_before=facts.not_before,
        not_after=facts.not_after,
        warnings=tuple(warnings),
    )


def _date(seconds: float) -> str:
    return time.strftime(_DATES, time.gmtime(seconds))


def covers(names: Iterable[str], host: str) -> bool:
    """Whether one of a certificate's `names` is `host`; a wildcard stands for one left-most label (RFC 6125, 6.4.3)."""
    wanted = host.lower().rstrip(".")
    parent = wanted.partition(".")[2]
    return any(
        name == wanted or (bool(parent) and name == f"*.{parent}") for name in (n.lower().rstrip(".") for n in names)
    )


def load_bundle(context: ssl.SSLContext, path: Path) -> None:
    """Trust the certificates of a PEM bundle, and no others, in `context`. Raises TlsMaterialError."""
    _check_certificate_blocks(
        path, "certificates of CAs", "this file must hold the certificates of CAs, never their keys"
    )
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as exc:
        _refuse(path, f"a certificate in {path} is damaged", "copy it again, with its BEGIN and END lines", exc)


def check_bundle(path: Path, *, now: float | None = None) -> tuple[str, ...]:
    """Check a bundle of CAs and return warnings. Raises TlsMaterialError: unreadable, damaged, or every CA has expired."""
    moment = time.time() if now is None else now
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_bundle(context, path)
    warnings: list[str] = []
    usable = context.cert_store_stats()["x509"]
    for authority in context.get_ca_certs():
        ends = float(ssl.cert_time_to_seconds(str(authority["notAfter"])))
        parts: Any = authority.get("subject", ())
        name = next(
            (value for part in parts for kind, value in part if kind in {"commonName", "organizationName"}), "?"
        )
        if ends < moment:
            usable -= 1
            warnings.append(f"the CA {name!r} in {path} expired on {_date(ends)}")
        elif ends - moment < EXPIRY_WARNING_DAYS * _DAY:
            warnings.append(f"the CA {name!r} in {path} expires on {_date(ends)}")
    if usable <= 0:
        _refuse(path, f"every CA in {path} has expired: nobody could be trusted", "renew the bundle")
    return tuple(warnings)


def fingerprint(paths: Iterable[Path | None]) -> Fingerprint:
    """Return what changes when one of the files is replaced or written; None entries of `paths` are left out."""
    return tuple(_stamp(path) for path in paths if path is not None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
