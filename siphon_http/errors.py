"""Every exception that siphon-http raises, in one tree.

Classes say whose fault it is and, for the client, in which phase it happened. Status code and reason text of those that
end in an answer sit on the class, so that an answer is made in one place.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BindError",
    "ClientError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "ContentTooLarge",
    "ExpectationFailed",
    "HandlerError",
    "HeaderFieldsTooLarge",
    "HttpError",
    "HttpStatusError",
    "LocalProtocolError",
    "NotImplementedCoding",
    "PoolTimeout",
    "Problem",
    "ProtocolError",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "RequestTimeout",
    "RouteConflictError",
    "RouteError",
    "RouteSyntaxError",
    "ScriptError",
    "TlsError",
    "TlsMaterialError",
    "TotalTimeout",
    "UriTooLong",
    "WriteError",
    "WriteTimeout",
]


class HttpError(Exception):
    """Base of all errors of siphon-http."""


class Problem:
    """One mistake in a configuration file.

    file: path as the user named it; line, column: from 1, or 0 where no place is known; source: the line's text;
    reason: what is wrong; hint: what to do, or "".
    """

    __slots__ = ("column", "file", "hint", "line", "reason", "source")

    def __init__(self, file: str, line: int, column: int, source: str, reason: str, hint: str = "") -> None:
        self.file = file
        self.line = line
        self.column = column
        self.source = source
        self.reason = reason
        self.hint = hint

    def __repr__(self) -> str:
        return f"Problem({self.file}:{self.line}:{self.column} {self.reason!r})"

    def __str__(self) -> str:
        """Print as `file:line:column: reason`, the source line, a caret under the column, and the hint."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = f"{where}: {self.reason}"
        if self.line and self.source.strip():
            lead = self.source[: self.column - 1]
            pad = "".join("\t" if c == "\t" else " " for c in lead)
            text += f"\n    {self.source.rstrip()}\n    {pad}^"
        if self.hint:
            text += f"\n    {self.hint}"
        return text


class ConfigError(HttpError):
    """Mistakes in siphon.yaml or http.yaml, all of them at once (exit code 2)."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: list[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("", 0, 0, "", problems)]
        self.problems = problems
        super().__init__("\n".join(str(p).removeprefix(": ") for p in problems))


class TlsMaterialError(ConfigError):
    """Certificates or keys that cannot be used (exit code 5)."""

    exit_code: ClassVar[int] = 5


class BindError(HttpError):
    """A listener's address cannot be bound (exit code 3)."""

    exit_code: ClassVar[int] = 3


class ScriptError(HttpError):
    """The script cannot be loaded, or asked for something that is not there (exit code 4)."""

    exit_code: ClassVar[int] = 4


class RouteError(HttpError):
    """A route cannot be registered."""


class RouteSyntaxError(RouteError):
    """A path pattern cannot be read; `offset` is the place in `pattern`, from 0."""

    def __init__(self, reason: str, pattern: str, offset: int) -> None:
        self.pattern = pattern
        self.offset = offset
        super().__init__(f"{reason} at offset {offset} of {pattern!r}")


class RouteConflictError(RouteError):
    """Two routes claim the same method and path shape; `other` names the first, with its file:line."""

    def __init__(self, message: str, other: str) -> None:
        self.other = other
        super().__init__(message)


class ProtocolError(HttpError):
    """HTTP was not spoken as the RFCs ask."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "internal server error"


class LocalProtocolError(ProtocolError):
    """Our own mistake: an illegal transition or message; answered 500."""


class RemoteProtocolError(ProtocolError):
    """The peer's mistake; `status` is the answer to it."""

    status: ClassVar[int] = 400
    reason: ClassVar[str] = "bad request"


class RequestTimeout(RemoteProtocolError):
    """The request did not arrive in time (RFC 9110, 15.5.9)."""

    status: ClassVar[int] = 408
    reason: ClassVar[str] = "request timeout"


class ContentTooLarge(RemoteProtocolError):
    """The request content is larger than the route takes (RFC 9110, 15.5.14)."""

    status: ClassVar[int] = 413
    reason: ClassVar[str] = "content too large"


class UriTooLong(RemoteProtocolError):
    """The request target is longer than the listener takes (RFC 9110, 15.5.15)."""

    status: ClassVar[int] = 414
    reason: ClassVar[str] = "uri too long"


class ExpectationFailed(RemoteProtocolError):
    """An expectation other than 100-continue (RFC 9110, 15.5.18)."""

    status: ClassVar[int] = 417
    reason: ClassVar[str] = "expectation failed"


class HeaderFieldsTooLarge(RemoteProtocolError):
    """The header section is larger, or has more fields, than the listener takes (RFC 6585, section 5)."""

    status: ClassVar[int] = 431
    reason: ClassVar[str] = "request header fields too large"


class NotImplementedCoding(RemoteProtocolError):
    """A transfer coding or method that we do not implement (RFC 9112, 6.1)."""

    status: ClassVar[int] = 501
    reason: ClassVar[str] = "not implemented"


class HandlerError(HttpError):
    """A script's handler, guard or wrap returned what is no answer."""


class ClientError(HttpError, RuntimeError):
    """A call of `http.Client` that brought no whole answer; a RuntimeError too, as scripts of the original catch.

    phase: what was being done: "pool", "connect", "tls", "write", "read", "total", "status" (HttpStatusError), or "request" (it
    could not be sent at all). method, url: of the request, without userinfo; "" where they are not known.
    """

    phase: ClassVar[str] = "request"

    def __init__(self, reason: str, *, method: str = "", url: str = "") -> None:
        self.method = method
        self.url = url
        super().__init__(f"{method} {url}: {reason}" if url else reason)


class PoolTimeout(ClientError):
    """No connection came free in time (`pool_timeout_ms`)."""

    phase: ClassVar[str] = "pool"


class ConnectTimeout(ClientError):
    """Look-up, TCP, proxy and TLS handshake took too long together (`connect_timeout_ms`)."""

    phase: ClassVar[str] = "connect"


class WriteTimeout(ClientError):
    """The peer took nothing of the request for too long (`write_timeout_ms`)."""

    phase: ClassVar[str] = "write"


class ReadTimeout(ClientError):
    """The peer sent nothing of the answer for too long (`read_timeout_ms`)."""

    phase: ClassVar[str] = "read"


class TotalTimeout(ClientError):
    """The whole exchange took too long (`timeout_ms`), whatever trickled."""

    phase: ClassVar[str] = "total"


class ConnectError(ClientError):
    """The name cannot be resolved, or no address of it takes a connection."""

    phase: ClassVar[str] = "connect"


class TlsError(ClientError):
    """The TLS handshake failed: the peer's certificate is not trusted, or ours is refused."""

    phase: ClassVar[str] = "tls"


class WriteError(ClientError):
    """The connection broke while the request was sent."""

    phase: ClassVar[str] = "write"


class ReadError(ClientError):
    """The connection broke, or the peer broke a rule or a limit, while the answer came."""

    phase: ClassVar[str] = "read"


class HttpStatusError(ClientError):
    """`raise_for_status()` met a status of 400 or above.

    status: the code; body: the first bytes of the content (at most 200). method, url: of the request that a client's
    answer belongs to; "" for a script's own Response.
    """

    phase: ClassVar[str] = "status"

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.status = status
        self.body = body[:200]
        text = f"HTTP {status} response"
        super().__init__(f"{text}: {self.body!r}" if self.body else text)
