"""A strict HTTP/1.1 client over raw sockets: it sends what it is given and believes nothing that it reads."""

from __future__ import annotations

import email.utils
import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Address = tuple[str, int] | str

PING = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|)"
)
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
IMF_DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"[0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT"
)


class WireFaultError(AssertionError):
    """The server sent what is no correct HTTP/1.1 response."""


class NoAnswerError(AssertionError):
    """The connection ended before any byte of a response."""


class CutShortError(AssertionError):
    """The connection ended in the middle of a response."""


@dataclass
class Response:
    """One parsed response; header names in lower case, in order."""

    minor: int
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    framing: str = "none"  # none, length, chunked, close
    chunks: list[bytes] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [v for k, v in self.headers if k == name]

    def header(self, name: str) -> str | None:
        """Return the values of a field joined, or None."""
        values = self.all(name)
        return ", ".join(values) if values else None

    @property
    def closes(self) -> bool:
        """Whether this response says that the connection ends with it."""
        options = {o.strip().lower() for v in self.all("connection") for o in v.split(",")}
        return self.framing == "close" or "close" in options or (self.minor == 0 and "keep-alive" not in options)


def fault(condition: bool, text: str, data: object = "") -> None:
    """Raise WireFaultError unless `condition` holds."""
    if not condition:
        raise WireFaultError(f"{text}: {data!r}"[:600])


def parse_head(head: bytes) -> Response:
    """Parse status line and fields (RFC 9112, 4 and 5), without the blank line at the end."""
    bare = head.replace(b"\r\n", b"")
    fault(b"\r" not in bare and b"\n" not in bare and b"\0" not in bare, "bare CR, LF or NUL in a head", head)
    lines = head.split(b"\r\n")
    match = STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise WireFaultError(f"bad status line: {lines[0]!r}")
    headers = []
    for line in lines[1:]:
        found = FIELD.fullmatch(line)
        if found is None:
            raise WireFaultError(f"bad field line: {line!r}")
        headers.append((found[1].decode().lower(), found[2].decode("latin-1")))
    return Response(int(match[1]), int(match[2]), match[3].decode("latin-1"), headers)


def check_head(res: Response) -> None:
    """Check what must hold for each response of ours, whatever was asked."""
    lengths = res.all("content-length")
    codings = res.all("transfer-encoding")
    fault(len(lengths) <= 1, "more than one content-length", res.headers)
    fault(not (lengths and codings), "content-length with transfer-encoding", res.headers)
    fault(all(re.fullmatch("[0-9]+", v) for v in lengths), "malformed content-length", lengths)
    fault(codings in ([], ["chunked"]), "unexpected transfer-encoding", codings)
    fault(not res.all("server"), "a server field", res.headers)
    if res.status < 200 or res.status == 204:
        fault(not lengths and not codings, "framing fields on 1xx or 204 (RFC 9110, 8.6)", res.headers)
    if res.status >= 200:
        dates = res.all("date")
        fault(len(dates) == 1 and IMF_DATE.fullmatch(dates[0]) is not None, "date is not one IMF-fixdate", dates)
        off = time.time() - email.utils.parsedate_to_datetime(dates[0]).timestamp()
        fault(-2 <= off <= 5, "date is not now", dates)


class Wire:
    """One client connection."""

    def __init__(self, address: Address, *, timeout: float = 5.0, tls: ssl.SSLContext | None = None) -> None:
        family = (
            socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        )
        self.sock: socket.socket = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.buffer = b""
        self.ended = False
        self.was_reset = False
        try:
            self.sock.connect(address)
            if family != socket.AF_UNIX:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send everything; a peer that went away is noticed when reading."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.was_reset = True

    def send_pieces(self, pieces: Iterable[bytes], pause: float = 0.0004) -> None:
        """Send pieces one by one, with a pause that lets the server read each alone."""
        for piece in pieces:
            self.send(piece)
            time.sleep(pause)

    def answered(self) -> bool:
        """Whether the server has sent anything, or closed, that nobody has read yet."""
        return self.was_reset or self.ended or bool(select.select([self.sock], [], [], 0)[0])

    def finish_sending(self) -> None:
        """Half-close: no more bytes from us."""
        self.sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fill(self) -> bool:
        """Read once; False at the end of the stream."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(262_144)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            self.was_reset = True
            data = b""
        except ssl.SSLError:
            self.was_reset = True
            data = b""
        self.ended = not data
        self.buffer += data
        return not self.ended

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        parts = [self.buffer]
        have = len(self.buffer)
        while have < count:
            self.buffer = b""
            if not self.fill():
                raise CutShortError(f"wanted {count} bytes, got {have}")
            parts.append(self.buffer)
            have += len(self.buffer)
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def until(self, mark: bytes) -> bytes:
        """Return the bytes before `mark` and drop both."""
        while (at := self.buffer.find(mark)) < 0:
            if not self.fill():
                if not self.buffer:
                    raise NoAnswerError("closed without an answer" + " (reset)" * self.was_reset)
                raise CutShortError(f"ended inside {self.buffer[:200]!r}")
        data = self.buffer[:at]
        self.buffer = self.buffer[at + len(mark) :]
        return data

    def read_head(self) -> Response:
        """Read one head, interim ones too."""
        res = parse_head(self.until(b"\r\n\r\n"))
        check_head(res)
        return res

    def read(self, method: str = "GET") -> Response:
        """Read one final response, strictly; interim ones are a fault (ask for them with read_head)."""
        res = self.read_head()
        fault(res.status >= 200, "unexpected interim response", res.status)
        self.read_body(res, method)
        return res

    def read_body(self, res: Response, method: str = "GET") -> None:
        """Read the content of `res` (RFC 9112, 6.3)."""
        length = res.header("content-length")
        if method == "HEAD" or res.status in (204, 304):
            return
        if res.all("transfer-encoding"):
            res.framing = "chunked"
            self.read_chunks(res)
        elif length is not None:
            res.framing = "length"
            res.body = self.take(int(length))
        else:
            res.framing = "close"
            while self.fill():
                pass
            res.body, self.buffer = self.buffer, b""

    def read_chunks(self, res: Response) -> None:
        """Read a chunked body; ours has no extensions and no trailers."""
        while True:
            try:
                size = self.until(b"\r\n")
            except NoAnswerError as exc:
                raise CutShortError("ended between two chunks") from exc
            fault(CHUNK_SIZE.fullmatch(size) is not None, "bad chunk size", size)
            data = self.take(int(size, 16))
            fault(self.take(2) == b"\r\n", "no CRLF after a chunk", data[:50])
            if not data:
                break
            res.chunks.append(data)
        res.body = b"".join(res.chunks)

    def expect_end(self, within: float = 3.0) -> None:
        """Assert that nothing more comes and that the server closes."""
        self.sock.settimeout(within)
        try:
            while self.fill():
                pass
        except TimeoutError:
            raise WireFaultError(f"connection still open after {within} s, unread: {self.buffer[:200]!r}") from None
        fault(not self.buffer, "bytes after the last response", self.buffer[:300])

    def expect_open(self) -> None:
        """Assert that nothing is left over and that the connection serves another request (404 where a script has no `/`)."""
        fault(not self.buffer, "bytes after the response", self.buffer[:300])
        self.send(PING)
        res = self.read()
        fault(
            (res.status, res.body) == (200, b"ok") or res.status == 404,
            "the connection does not go on",
            (res.status, res.body),
        )

    def expect_state(self, res: Response) -> None:
        """Assert that the connection is in the state that `res` announced."""
        if res.closes:
            self.expect_end()
        else:
            self.expect_open()

    def read_all(self, within: float = 3.0) -> list[Response]:
        """Read responses (to methods with content) until the server closes; it must close."""
        self.sock.settimeout(within)
        answers = []
        while True:
            try:
                answers.append(self.read())
            except NoAnswerError:
                return answers
            except TimeoutError:
                raise WireFaultError(f"open after {within} s; so far {[a.status for a in answers]}") from None


def exchange(
    address: Address, data: bytes, methods: Sequence[str] = ("GET",), *, tls: ssl.SSLContext | None = None
) -> list[Response]:
    """Send `data`, read one response for each of `methods`, and check the state of the connection after the last."""
    with Wire(address, tls=tls) as wire:
        wire.send(data)
        answers = []
        for method in methods:
            answers.append(wire.read(method))
            if answers[-1].closes:
                break
        wire.expect_state(answers[-1])
        return answers


def one(address: Address, data: bytes, method: str = "GET", *, tls: ssl.SSLContext | None = None) -> Response:
    """`exchange` of a single request."""
    return exchange(address, data, (method,), tls=tls)[0]


def request(
    address: Address,
    target: str,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Ask politely, on a connection of its own."""
    return one(address, polite(target, method, headers, body), method, tls=tls)


def polite(
    target: str, method: str = "GET", headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
) -> bytes:
    """Return a correct request as bytes."""
    lines = [f"{method} {target} HTTP/1.1", "Host: t", *(f"{k}: {v}" for k, v in headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def check_error_body(res: Response) -> None:
    """Check design section 5: errors are text/plain, one line."""
    fault((res.header("content-type") or "").startswith("text/plain"), "error without text/plain", res.headers)
    text = res.body.removesuffix(b"\n").removesuffix(b"\r")
    fault(bool(text) and b"\n" not in text, "an error's body is not one line", res.body)


def refused(
    address: Address,
    data: bytes,
    allowed: Iterable[int] = (400,),
    *,
    before: Sequence[int] = (),
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Send `data`; the last answer must be an error of `allowed`, announced as the last, and then the connection closes.

    before: the statuses of the answers to what precedes the bad message.
    """
    allowed = set(allowed)
    with Wire(address, tls=tls) as wire:
        wire.send(data)
        answers = wire.read_all()
    statuses = [a.status for a in answers]
    assert statuses[:-1] == list(before) and statuses[-1:], f"answers {statuses}, wanted {[*before, sorted(allowed)]}"
    last = answers[-1]
    assert last.status in allowed, f"answers {statuses}, wanted {[*before, sorted(allowed)]}"
    assert last.closes, f"{last.status} without connection: close"
    check_error_body(last)
    return last
