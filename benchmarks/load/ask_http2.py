"""Is the answer right over HTTP/2? Asked with h2, by prior knowledge in cleartext and by ALPN over TLS."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from ask import POLL_SECS, READY_SECS, WrongAnswerError, connected, judge
from cases import Question
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from measure import LoadError, Server

__all__ = ["check_http2", "wait_for_listener"]

READ_BYTES = 65_536


class Asker:
    """One HTTP/2 connection of a client that asks one question on several streams at once."""

    def __init__(self, sock: socket.socket, scheme: str, authority: str) -> None:
        self._sock = sock
        self._scheme = scheme
        self._authority = authority
        self._conn = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._conn.initiate_connection()
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._ended: set[int] = set()

    def ask(self, question: Question, streams: int) -> list[tuple[int, dict[str, str], bytes]]:
        """Send the question on `streams` new streams in one write; return status, fields and body of each.

        Raises WrongAnswerError, OSError, h2.exceptions.ProtocolError.
        """
        opened = [self._open(question) for _ in range(streams)]
        self._sock.sendall(self._conn.data_to_send())
        while not self._ended.issuperset(opened):
            data = self._sock.recv(READ_BYTES)
            if not data:
                raise WrongAnswerError(f"the connection was closed with {len(self._ended)} streams answered")
            self._receive(data)
            self._sock.sendall(self._conn.data_to_send())
        return [(int(self._heads[n][":status"]), self._heads[n], self._bodies[n]) for n in opened]

    def _open(self, question: Question) -> int:
        """Queue one request; return its stream. Its body must fit the windows that every connection begins with."""
        number = self._conn.get_next_available_stream_id()
        fields = [(":method", question.method), (":scheme", self._scheme), (":authority", self._authority)]
        fields += [(":path", question.path), *((name.lower(), value) for name, value in question.headers.items())]
        self._conn.send_headers(number, fields, end_stream=not question.body)
        if question.body:
            self._conn.send_data(number, question.body, end_stream=True)
        self._bodies[number] = b""
        return number

    def _receive(self, data: bytes) -> None:
        """Take what arrived."""
        for event in self._conn.receive_data(data):
            if isinstance(event, ResponseReceived):
                self._heads[event.stream_id] = {str(name): str(value) for name, value in event.headers}
            elif isinstance(event, DataReceived):
                self._bodies[event.stream_id] += event.data
                self._conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self._ended.add(event.stream_id)
            elif isinstance(event, StreamReset):
                raise WrongAnswerError(f"stream {event.stream_id} was reset, error code {event.error_code}")
            elif isinstance(event, ConnectionTerminated):
                raise WrongAnswerError(f"the connection was ended by GOAWAY, error code {event.error_code}")


def check_http2(question: Question, streams: int, port: int, certificate: Path | None) -> None:
    """Ask twice on one connection, on `streams` streams at once, and compare. Raises WrongAnswerError."""
    scheme = "https" if certificate else "http"
    try:
        with connected(port, certificate, alpn="h2") as sock:
            asker = Asker(sock, scheme, f"127.0.0.1:{port}")
            for _ in range(2):
                for answer in asker.ask(question, streams):
                    judge(question, answer)
    except ProtocolError as exc:
        raise WrongAnswerError(f"does not speak HTTP/2: {type(exc).__name__}: {exc}") from exc
    except OSError as exc:
        raise WrongAnswerError(f"{question.method} {question.path} over HTTP/2: {exc}") from exc


def wait_for_listener(server: Server, port: int) -> None:
    """Wait until `server` takes connections, whatever it speaks. Raises LoadError."""
    while time.perf_counter() - server.began < READY_SECS:
        try:
            with connected(port, None):
                return
        except OSError:
            if not server.is_alive():
                raise LoadError(f"ended at start: {server.last_words()}") from None
            time.sleep(POLL_SECS)
    raise LoadError(f"does not listen after {READY_SECS:.0f} s: {server.last_words()}")
