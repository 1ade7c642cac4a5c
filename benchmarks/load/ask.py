"""The asking side in Python: is the answer right, how soon is the first one there, what does an idle connection hold."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cases import PLAIN, Question
from measure import LoadError, Server

__all__ = [
    "POLL_SECS",
    "READY_SECS",
    "WrongAnswerError",
    "check",
    "connected",
    "idle_bytes",
    "judge",
    "seconds_to_first_answer",
]

READY_SECS = 15.0  # a contender that has not answered by then is left out
POLL_SECS = 0.001  # between two attempts to connect to a server that is starting
IDLE_WARM_UP = 100  # requests before memory is first read, so that what is made once is not counted per connection


class WrongAnswerError(Exception):
    """A contender does not do what the case asks."""


@contextlib.contextmanager
def connected(port: int, certificate: Path | None, alpn: str = "") -> Iterator[socket.socket]:
    """Connect to the server, over TLS when its certificate is given.

    alpn: protocol that a TLS server must choose. Raises OSError, and WrongAnswerError when it does not.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if certificate is None:
            yield plain
            return
        context = ssl.create_default_context(cafile=str(certificate))
        if alpn:
            context.set_alpn_protocols([alpn])
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            if alpn and wrapped.selected_alpn_protocol() != alpn:
                raise WrongAnswerError(f"does not choose {alpn} by ALPN, but {wrapped.selected_alpn_protocol()!r}")
            yield wrapped


def render(question: Question, port: int) -> bytes:
    """Return the request's bytes, `depth` times."""
    fields = {"Host": f"127.0.0.1:{port}", **question.headers}
    if question.body:
        fields["Content-Length"] = str(len(question.body))
    lines = [f"{question.method} {question.path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items()), "", ""]
    return ("\r\n".join(lines).encode() + question.body) * question.depth


def read_answer(file: BinaryIO) -> tuple[int, dict[str, str], bytes]:
    """Read one response with a content-length: status, header fields by lower-case name, body. Raises WrongAnswerError."""
    start = file.readline().split(maxsplit=2)
    if len(start) < 2 or not start[0].startswith(b"HTTP/1.1"):
        raise WrongAnswerError(f"no HTTP/1.1 status line: {b' '.join(start)!r}")
    fields: dict[str, str] = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    if not fields.get("content-length", "").isdigit():
        raise WrongAnswerError(f"no content-length among {sorted(fields)}")
    return int(start[1]), fields, file.read(int(fields["content-length"]))


def judge(question: Question, answer: tuple[int, dict[str, str], bytes]) -> None:
    """Raise WrongAnswerError unless status, media type and body are those of the question."""
    status, fields, body = answer
    media = fields.get("content-type", "").partition(";")[0]
    if status != 200 or body != question.answer or media != question.content_type:
        raise WrongAnswerError(
            f"{question.method} {question.path} was answered {status} {media!r} {body[:80]!r}, not {question.answer[:80]!r}"
        )


def check(question: Question, port: int, certificate: Path | None) -> None:
    """Ask twice on one connection, and compare. Raises WrongAnswerError."""
    try:
        with connected(port, certificate) as sock, sock.makefile("rb") as file:
            for _ in range(2):
                sock.sendall(render(question, port))
                for _ in range(question.depth):
                    judge(question, read_answer(file))
    except OSError as exc:
        raise WrongAnswerError(f"{question.method} {question.path}: {exc}") from exc


def seconds_to_first_answer(server: Server, port: int, certificate: Path | None) -> float:
    """Wait until `server` answers; return seconds from its start to the first answer. Raises LoadError, WrongAnswerError."""
    while time.perf_counter() - server.began < READY_SECS:
        try:
            with connected(port, certificate) as sock, sock.makefile("rb") as file:
                sock.sendall(render(PLAIN, port))
                answer = read_answer(file)
                took = time.perf_counter() - server.began
            judge(PLAIN, answer)
            return took
        except OSError:
            if not server.is_alive():
                raise LoadError(f"ended at start: {server.last_words()}") from None
            time.sleep(POLL_SECS)
    raise LoadError(f"no answer in {READY_SECS:.0f} s: {server.last_words()}")


def idle_bytes(server: Server, question: Question, port: int, connections: int) -> float:
    """Return the resident bytes that each of `connections` holds which made one request and stays open.

    Raises LoadError, WrongAnswerError.
    """
    request = render(question, port)
    try:
        with connected(port, None) as sock, sock.makefile("rb") as file:
            for _ in range(IDLE_WARM_UP):
                sock.sendall(request)
                judge(question, read_answer(file))
        before = server.resident_bytes()
        with contextlib.ExitStack() as stack:
            for _ in range(connections):
                sock = stack.enter_context(connected(port, None))
                sock.sendall(request)
                with sock.makefile("rb") as file:
                    judge(question, read_answer(file))
            held = server.resident_bytes() - before
            if not server.is_alive():
                raise LoadError(f"ended while connections were opened: {server.last_words()}")
    except OSError as exc:
        raise LoadError(f"connections were not held: {exc}") from exc
    return held / connections
