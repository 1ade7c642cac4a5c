"""Types of message.pyx: what scripts see of a request, and what they answer with."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias, final

from siphon_http._core.headers import Headers

__all__ = ["Peer", "Request", "Response"]

_FieldValue: TypeAlias = str | list[str] | tuple[str, ...]
_Fields: TypeAlias = Mapping[str, _FieldValue] | Sequence[tuple[str, _FieldValue]]
_Piece: TypeAlias = bytes | bytearray | memoryview
_Stream: TypeAlias = Iterable[_Piece] | AsyncIterable[_Piece]

@final
class Peer:
    """Who is at the other end of a connection."""

    @property
    def client(self) -> str:
        """Address as "ip:port", "[v6]:port", or "unix:"."""

    @property
    def scheme(self) -> str:
        """Scheme of the connection: "http" or "https"."""

    @property
    def certificate(self) -> dict[str, Any] | None:
        """Client certificate as ssl.SSLSocket.getpeercert() gives it, or None."""

    def __init__(self, client: str, scheme: str = "http", certificate: dict[str, Any] | None = None) -> None: ...

@final
class Request:
    """One request, as handlers and middleware get it. Its dictionaries are built when first read."""

    @property
    def method(self) -> str:
        """Method as sent: "GET", "POST", ..."""

    @property
    def path(self) -> str:
        """Path, percent-decoded as UTF-8; without the query."""

    @property
    def raw_path(self) -> str:
        """Path as it was sent, without the query."""

    @property
    def query_string(self) -> str:
        """Query as it was sent, without the question mark; "" when there is none."""

    @property
    def path_params(self) -> dict[str, str]:
        """Parameters of the route, percent-decoded: `{id}` is `path_params["id"]`."""

    @property
    def query_params(self) -> dict[str, str]:
        """Query as a dict; the last of duplicates wins."""

    @property
    def headers(self) -> dict[str, str]:
        """Header fields: lower-case names to values; repeats joined ", ", cookies "; "."""

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies; the first of duplicates wins."""

    @property
    def client(self) -> str:
        """Address of the client, "ip:port" or "[v6]:port"; behind a trusted proxy what that proxy tells."""

    @property
    def scheme(self) -> str:
        """Scheme of the connection: "http" or "https"."""

    @property
    def peer_certificate(self) -> dict[str, Any] | None:
        """Client certificate as ssl.SSLSocket.getpeercert() gives it, or None."""

    @property
    def host(self) -> str:
        """Authority that the request is for, as sent; "" when unknown."""

    @property
    def url(self) -> str:
        """Whole URL: scheme, host and target as sent."""

    @property
    def http_version(self) -> Literal["1.0", "1.1", "2"]:
        """Protocol version of the message."""

    @property
    def route(self) -> str | None:
        """Pattern of the route that matched, such as "/orders/{id}"."""

    @property
    def state(self) -> dict[str, Any]:
        """Whatever middleware and handlers pass along."""

    def query_list(self, name: str) -> list[str]:
        """Return all values of the query parameter `name`, in order."""

    def header(self, name: str) -> str | None:
        """Return the value of one header field, in any case, or None."""

    def body(self) -> bytes:
        """Return the content; b"" when there is none."""

    def text(self) -> str:
        """Return the content as str, by the charset of Content-Type, else UTF-8."""

    def json(self) -> Any:
        """Return the content parsed as JSON. Raises ValueError when it is not."""

    def stream(self) -> AsyncIterator[bytes]:
        """Return an async iterator over the content, for routes with `stream=True`."""

@final
class Response:
    """An answer: what a handler returns.

    headers: dict of str to str or list of str, list of pairs, or Headers. body: bytes, bytearray, memoryview, str (sent
    as UTF-8), None, or an (async) iterator of bytes, which is streamed. Raises TypeError or ValueError for a bad status,
    header or body.
    """

    def __init__(
        self, status: int = 200, headers: _Fields | None = None, body: _Piece | str | _Stream | None = None
    ) -> None: ...
    @property
    def status(self) -> int:
        """Status code, 200 to 599; assignable."""

    @status.setter
    def status(self, value: int) -> None: ...
    @property
    def headers(self) -> Headers:
        """Header fields: a live, checked mapping of lower-case names; assignable."""

    @headers.setter
    def headers(self, value: _Fields | None) -> None: ...
    @property
    def body(self) -> bytes | _Stream:
        """Content: bytes (b"" when none), or the iterator when it is streamed; assignable."""

    @body.setter
    def body(self, value: _Piece | str | _Stream | None) -> None: ...
    @property
    def text(self) -> str:
        """Content as str, by the charset of Content-Type, else UTF-8."""

    def header(self, name: str) -> str | None:
        """Return the value of one header field, in any case, or None; repeats joined."""

    def header_list(self, name: str) -> list[str]:
        """Return all values of a repeated field, in order."""

    def json(self) -> Any:
        """Return the content parsed as JSON. Raises ValueError when it is not."""

    def raise_for_status(self) -> Self:
        """Return self, or raise HttpStatusError for 400 and above."""

def answer_405(allow: bytes, options: bool) -> Response: ...
