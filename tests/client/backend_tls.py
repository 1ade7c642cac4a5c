"""The certificates of the backend: one CA, good servers of it, and all kinds of bad ones."""

from __future__ import annotations

import datetime
import shutil
import socket
import ssl
import tempfile
import threading
from pathlib import Path

import trustme

KINDS = ("tls", "tls12", "mtls", "wrong_name", "expired", "self_signed")
"""tls12: TLS 1.2 at most; mtls: wants a client certificate. None offers h2."""

_THEN = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)


class Certificates:
    """Files in a folder of their own: ca.pem, client.pem (combined), client-cert.pem, client-key.pem, and those of a stranger."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="backend-"))
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        stranger = trustme.CA()
        stranger.cert_pem.write_to_path(self.folder / "stranger-ca.pem")
        for name, authority in (("client", self.authority), ("stranger", stranger)):
            leaf = authority.issue_cert(f"{name}.example")
            leaf.private_key_and_cert_chain_pem.write_to_path(self.folder / f"{name}.pem")
            leaf.cert_chain_pems[0].write_to_path(self.folder / f"{name}-cert.pem")
            leaf.private_key_pem.write_to_path(self.folder / f"{name}-key.pem")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def server_files(self) -> dict[str, str]:
        """Write a good server's files; return them as `tls:` of http.yaml has them."""
        leaf = self.authority.issue_cert("localhost", "127.0.0.1")
        leaf.private_key_pem.write_to_path(self.folder / "server-key.pem")
        self.folder.joinpath("server.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        return {"cert_path": self.path("server.pem"), "key_path": self.path("server-key.pem")}

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def context(self, kind: str) -> ssl.SSLContext:
        """Return the context of one kind of server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer = trustme.CA() if kind == "self_signed" else self.authority
        names = ("other.example",) if kind == "wrong_name" else ("localhost", "127.0.0.1", "::1")
        if kind == "expired":
            leaf = issuer.issue_cert(*names, not_before=_THEN, not_after=_THEN.replace(month=4))
        else:
            leaf = issuer.issue_cert(*names)
        leaf.configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        if kind == "mtls":
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        if kind == "tls12":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


class BlockingServer:
    """A server over blocking sockets, a thread for each connection: unlike asyncio's, OpenSSL sends its alerts there.

    It answers every request with its kind, as /echo does.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="blocking", daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        body = b'{"kind": "mtls"}'
        with sock:
            try:
                secure = self._context.wrap_socket(sock, server_side=True)
                data = b""
                while piece := secure.recv(65536):
                    data += piece
                    while b"\r\n\r\n" in data:
                        data = data.partition(b"\r\n\r\n")[2]
                        secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                secure.close()
            except OSError:
                return
