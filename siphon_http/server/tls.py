"""Server side of TLS: the SSLContext of a listener, mutual TLS, and the check of its files before the start."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path

from siphon_http import certs
from siphon_http.config import TlsConfig
from siphon_http.errors import TlsMaterialError

__all__ = ["Credentials", "check_material", "expiry_of", "fingerprint", "server_context"]

log = logging.getLogger("siphon_http.server")

# TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, 4.2), all of them allowed for HTTP/2 (RFC 9113,
# 9.2.2). The suites of TLS 1.3 are all of that kind and are not chosen here.
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(tls: TlsConfig, *, alpn: Sequence[str]) -> ssl.SSLContext:
    """Return the context of a listener with the files of `tls` loaded; call it again when they have changed.

    alpn: protocols offered, preferred first (`ServerConfig.alpn`); a client that shares none of them is still accepted,
    one that sends no ALPN too. With `client_ca`, a handshake without a certificate of these CAs fails. Thread-safe.

    Raises TlsMaterialError: a file is missing, unreadable, or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    # Renegotiation is a flood that costs the server far more than the client (CVE-2011-1473); compression leaks (CRIME).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # Most clients end without close_notify. HTTP has its own framing, so a cut message is still seen as cut; without this
    # an ordinary disconnect would be an error in the log.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL before 3.0 behaves so without it
    if alpn:
        context.set_alpn_protocols(list(alpn))
    certs.load_pair(context, tls.cert_path, tls.key_path)
    if tls.client_ca is not None:
        certs.load_bundle(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # Whoever is named in client_ca is trusted, also an issuing CA without its root, as the original does.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def check_material(
    cert_path: Path | None, key_path: Path | None, ca_path: Path | None, names: Sequence[str]
) -> Sequence[str]:
    """Check the files of a listener or client, all of them, and return warnings (a `config.MaterialCheck`).

    Raises TlsMaterialError with one problem for each file at fault.
    """
    warnings: list[str] = []
    problems = []
    if cert_path is not None:
        try:
            warnings += certs.check_pair(cert_path, key_path, names=names).warnings
        except TlsMaterialError as exc:
            problems += exc.problems
    if ca_path is not None:
        try:
            warnings += certs.check_bundle(ca_path)
        except TlsMaterialError as exc:
            problems += exc.problems
    if problems:
        raise TlsMaterialError(problems)
    return warnings


def fingerprint(tls: TlsConfig) -> certs.Fingerprint:
    """Return what changes when a file of `tls` does: compare it with an earlier one to see whether to load again."""
    return certs.fingerprint((tls.cert_path, tls.key_path, tls.client_ca))


class Credentials:
    """The SSLContext of a listener, made anew when its files have changed; files that cannot be used change nothing.

    tls, alpn: as for `server_context`. Raises TlsMaterialError when the first ones cannot be used.
    """

    def __init__(self, tls: TlsConfig, *, alpn: Sequence[str]) -> None:
        self._tls = tls
        self._alpn = tuple(alpn)
        self._used = self._seen = fingerprint(tls)
        self.context = server_context(tls, alpn=alpn)

    def refresh(self) -> bool:
        """Look at the files; return whether `context` is a new one. Connections that are open keep theirs.

        Certificate and key are replaced one after the other: they are read when two looks have found them alike.
        """
        now = fingerprint(self._tls)
        changed, self._seen = now != self._seen, now
        if changed or now == self._used:
            return False
        self._used = now
        try:
            self.context = server_context(self._tls, alpn=self._alpn)
        except TlsMaterialError as error:
            log.error("the changed certificate cannot be used, the old one stays in use: %s", error)
            return False
        log.info("certificate read again: %s", self._tls.cert_path)
        return True


def expiry_of(cert_path: Path) -> float:
    """Return until when a certificate is valid, seconds since 1970. Raises TlsMaterialError."""
    return certs.facts_of(cert_path).not_after
