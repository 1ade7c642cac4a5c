"""Types of message.pyx: what scripts see of a request, and what they answer with."""

from collections.abc import AsyncIterator
from typing import Any, Literal, Never, final

from siphon_http._core.response import Response as Response
from siphon_http._core.response import answer_405 as answer_405

__all__ = ["Peer", "Request", "Response"]

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

    def __init__(self, *args: Never, **kwargs: Never) -> None:
        """Raise TypeError: scripts do not make requests."""

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
    def request_id(self) -> str:
        """Id of the request: the client's X-Request-ID when it can be kept, else a new one."""

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
