"""Client side of TLS: the SSLContext of a client, read again when its files change, and failures in plain words.

Verification of the peer, its name included, is always on: nothing here can switch it off.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from pathlib import Path
from typing import Any, Final

from siphon_http import certs
from siphon_http.errors import Problem, TlsMaterialError

__all__ = ["ClientTls", "describe_failure"]

log = logging.getLogger("siphon_http.client")

# TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, 4.2), all allowed for HTTP/2 (RFC 9113, 9.2.2).
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SETTLED_SECS = 1.0  # certificate and key are replaced one after the other: files younger than this may not fit yet


class ClientTls:
    """What one client trusts and shows, as SSLContexts.

    verify: PEM bundle of the only CAs trusted, None for the system's; cert: PEM file with the client's certificate, None
    for none; key: its private key, None when `cert` holds it too. Nothing is read before the first `context`. It belongs
    to one thread.
    """

    def __init__(self, verify: Path | None = None, cert: Path | None = None, key: Path | None = None) -> None:
        if key is not None and cert is None:
            raise TlsMaterialError(
                [Problem(str(key), 0, 0, "", f"{key} is the key of no certificate", "name `cert` too")]
            )
        self._verify = verify
        self._cert = cert
        self._key = key
        self._files = (verify, cert, key)
        self._contexts: dict[bool, ssl.SSLContext] = {}  # by "offers HTTP/2"
        self._used: certs.Fingerprint = ()  # of the files as `_contexts` were made, or could not be
        self._seen: certs.Fingerprint = ()
        self._seen_at = 0.0  # monotonic seconds of the first look that found `_seen`

    def context(self, *, http2: bool) -> ssl.SSLContext:
        """Return the context for a new connection; with `http2`, ALPN offers h2 before http/1.1 (RFC 7301).

        Looks at the files each time, and reads them again when they have changed; changed ones that cannot be used are
        logged once, and the old stay in use. The first call reads the system's CAs: about 20 ms.

        Raises TlsMaterialError: a file is missing, unreadable or does not fit, or the system has no CAs at all.
        """
        found = certs.fingerprint(self._files)
        if not self._contexts:
            self._used = self._seen = found
        elif found != self._used and self._is_settled(found):
            self._used = found
            self._renew()
        context = self._contexts.get(http2)
        if context is None:
            context = self._contexts[http2] = self._made(http2)
        return context

    def _is_settled(self, found: certs.Fingerprint) -> bool:
        """Whether files that have changed are all in place: not just written, or twice found alike."""
        moment = time.monotonic()
        if found != self._seen:
            self._seen, self._seen_at = found, moment
        changed = [now for now, before in zip(found, self._used, strict=True) if now != before]
        newest = max((stamp[0] for stamp in changed if stamp is not None), default=0) / 1e9
        return not 0 <= time.time() - newest < _SETTLED_SECS or moment - self._seen_at >= _SETTLED_SECS

    def _renew(self) -> None:
        try:
            self._contexts = {http2: self._made(http2) for http2 in self._contexts}
        except TlsMaterialError as error:
            log.warning("the changed TLS files of a client cannot be used, the old ones stay in use: %s", error)
        else:
            log.info("TLS files of a client read again: %s", ", ".join(str(path) for path in self._files if path))

    def _made(self, http2: bool) -> ssl.SSLContext:
        if self._verify is None:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
            _refuse_empty_trust(context)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody yet; checks names
            certs.load_bundle(context, self._verify)
            # Whoever is named in the bundle is trusted, also an issuing CA, or a server's own certificate, without its root.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_SUITES)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        # An end without close_notify stays an error: content that ends with the connection would seem whole when an
        # attacker, or a crash, has cut it (RFC 9112, 9.8).
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
        if self._cert is not None:
            certs.load_pair(context, self._cert, self._key)
        return context


def _refuse_empty_trust(context: ssl.SSLContext) -> None:
    """Refuse a system without CAs, as slim container images are: every handshake would fail with a riddle."""
    paths = ssl.get_default_verify_paths()
    if context.cert_store_stats()["x509"] or (paths.capath is not None and any(os.scandir(paths.capath))):
        return
    place = paths.cafile or paths.openssl_cafile
    hint = "install the package ca-certificates, or set `verify` to the CA bundle of the peer"
    raise TlsMaterialError([Problem(place, 0, 0, "", "this system trusts no CA at all", hint)])


_VERIFY: Final = {
    9: "its certificate is not valid yet (is this machine's clock right?)",
    10: "its certificate has expired",
    18: "its certificate is self-signed: if it is the right one, set verify= to it",
    19: "unknown CA: its chain ends in a root that is not trusted; set verify= to the right CA bundle",
    20: "unknown CA: nobody trusted has issued its certificate; set verify= to the right CA bundle",
    21: "unknown CA: it sent a certificate without its issuers, and nobody trusted has issued it",
    23: "its certificate has been revoked",
    24: "an issuer of its certificate is no CA",
    26: "its certificate is not meant for servers",
    66: "its certificate has a key that is too small",
    67: "a CA of its chain has a key that is too small",
    68: "its chain is signed with a digest that is too weak",
}
"""What OpenSSL's X509_V_ERR_* mean for the one who reads a log."""

_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "the peer speaks no TLS on this port (is it http:// there?)",
    "HTTP_REQUEST": "the peer speaks no TLS on this port (is it http:// there?)",
    "PACKET_LENGTH_TOO_LONG": "the peer speaks no TLS on this port (is it http:// there?)",
    "RECORD_LAYER_FAILURE": "the peer speaks no TLS on this port (is it http:// there?)",
    "UNEXPECTED_EOF_WHILE_READING": "the peer closed the connection during the TLS handshake",
    "UNSUPPORTED_PROTOCOL": "the peer speaks only versions of TLS before 1.2, which are not safe",
    "PROTOCOL_VERSION": "the peer speaks only versions of TLS before 1.2, which are not safe",
    "HANDSHAKE_FAILURE": "the peer refused the handshake: it shares no cipher suite with us, or wants a client certificate (cert=)",
    "CERTIFICATE_REQUIRED": "the peer wants a client certificate: set cert=",
    "BAD_CERTIFICATE": "the peer refused our client certificate, or wants one: look at cert=",
    "UNKNOWN_CA": "the peer does not trust the CA of our client certificate (cert=)",
    "CERTIFICATE_EXPIRED": "the peer says that our client certificate (cert=) has expired",
    "CERTIFICATE_REVOKED": "the peer says that our client certificate (cert=) has been revoked",
    "CERTIFICATE_UNKNOWN": "the peer refused our client certificate (cert=)",
    "UNSUPPORTED_CERTIFICATE": "the peer refused our client certificate (cert=): it is of the wrong kind",
    "UNRECOGNIZED_NAME": "the peer serves no host of this name",
    "NO_APPLICATION_PROTOCOL": "the peer speaks none of the protocols offered (ALPN)",
    "DH_KEY_TOO_SMALL": "the peer's key exchange is too weak",
    "INTERNAL_ERROR": "the peer reports an internal error of its own",
}
"""What OpenSSL's reasons mean, without the prefix that tells versions and alerts apart."""


def describe_failure(exc: ssl.SSLError, host: str, *, peer: ssl.SSLObject | None = None) -> str:
    """Return in one short line why the handshake with `host` failed, and what to do.

    peer: the object of the failed handshake, if it is there: the message can then name what the certificate is for.
    """
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _verification(exc, host, _shown_certificate(peer))
    if isinstance(exc, ssl.SSLEOFError):
        return _REASONS["UNEXPECTED_EOF_WHILE_READING"]
    reason = getattr(exc, "reason", None) or ""
    for prefix in ("SSL/TLS_", "SSLV3_", "TLSV13_", "TLSV1_", "ALERT_"):
        reason = reason.removeprefix(prefix)
    if reason in _REASONS:
        return _REASONS[reason]
    words = reason.lower().replace("_", " ") or exc.strerror or str(exc) or type(exc).__name__
    return f"TLS failed: {words}"


def _verification(exc: ssl.SSLCertVerificationError, host: str, shown: dict[str, Any]) -> str:
    code = exc.verify_code
    if code in {62, 64}:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        names = [str(name) for kind, name in shown.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        if listed:
            return f"hostname mismatch: the certificate is not for {host}, but for {listed}"
        return f"hostname mismatch: the certificate is not for {host}"
    text = _VERIFY.get(code, f"its certificate is not trusted: {exc.verify_message}")
    date = shown.get({9: "notBefore", 10: "notAfter"}.get(code, ""))
    # The chain's first certificate is shown; it may be an issuer's date that has passed.
    if date is not None and (ssl.cert_time_to_seconds(date) > time.time()) == (code == 9):
        text += f" ({'not before' if code == 9 else 'on'} {date})"
    return text


def _shown_certificate(peer: ssl.SSLObject | None) -> dict[str, Any]:
    """Return what the peer's own certificate says, verified or not; {} where it cannot be known."""
    # Public only since 3.13, and there as bytes; the inner object has had the decoded form since 3.10.
    inner = getattr(peer, "_sslobj", None)
    try:
        chain = inner.get_unverified_chain() if inner is not None else None
        return chain[0].get_info() if chain else {}
    except (AttributeError, ssl.SSLError, ValueError):
        return {}
