"""Types of request.pyx."""

from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, final

from typing_extensions import disjoint_base

from siphon_http._core.message import Response

__all__ = ["ClientHandle", "ClientRequest"]

_FieldValue: TypeAlias = str | list[str] | tuple[str, ...]
_Fields: TypeAlias = Mapping[str, _FieldValue] | Sequence[tuple[str, _FieldValue]]
_Scalar: TypeAlias = str | bytes | int | float | bool | None
_Params: TypeAlias = Mapping[str, _Scalar | Sequence[_Scalar]] | Iterable[tuple[str, _Scalar]]
_Piece: TypeAlias = bytes | bytearray | memoryview
_Body: TypeAlias = _Piece | str | Iterable[_Piece] | AsyncIterable[_Piece]

@final
class ClientRequest:
    """One request as a script asked for it: what a transport is given."""

    @property
    def name(self) -> str | None:
        """Name of the client in http.yaml; None for an inline one."""

    @property
    def base_url(self) -> str | None:
        """Base URL of the client, as given."""

    @property
    def method(self) -> str:
        """Method, in upper case."""

    @property
    def path(self) -> str:
        """Path, or absolute URL, as the script gave it."""

    @property
    def headers(self) -> Any:
        """Header fields: a dict or a list of pairs as the script gave them, or None."""

    @property
    def params(self) -> Any:
        """Query parameters: a mapping or pairs, or None."""

    @property
    def body(self) -> bytes | Iterable[_Piece] | AsyncIterable[_Piece] | None:
        """Content: bytes, None, or an (async) iterator of bytes."""

    @property
    def is_json(self) -> bool:
        """Whether the content was given as `json=`."""

    @property
    def stream(self) -> bool:
        """Whether the answer's content is wanted in pieces."""

    @property
    def timeout_ms(self) -> int | None:
        """Milliseconds for the whole exchange; None: the client's."""

    @property
    def follow_redirects(self) -> int | None:
        """Redirects followed at most; None: the client's."""

    @property
    def url(self) -> str:
        """Absolute URL with its query. Raises ValueError when path and base make none."""

    def pairs(self) -> list[tuple[str, str]]:
        """Return the header fields as pairs, the content type of `json=` among them."""

@disjoint_base
class ClientHandle:
    """The methods of `http.Client`: each returns a coroutine whose result is a Response.

    path: below the client's base URL, or an absolute URL in its place. headers: dict of str to str or list of str, or
    list of pairs. params: query parameters, dict or pairs. body: bytes, str (UTF-8), or an (async) iterator of bytes,
    which is streamed; json: a value to send as JSON instead. timeout_ms: for the whole exchange, in place of the
    client's. stream: the answer comes with its head, its content in pieces. follow_redirects: how many at most.

    Raises (when awaited):
        ClientError: and its subclasses, when there is no whole answer.
    """

    @property
    def name(self) -> str | None:
        """Name of the client in http.yaml; None for an inline one."""

    @property
    def base_url(self) -> str | None:
        """What relative paths are joined onto."""

    def _bind(self, transport: Any, name: str | None, base_url: str | None, /) -> None: ...
    def request(
        self,
        method: str,
        path: str,
        *,
        body: _Body | None = None,
        headers: _Fields | None = None,
        params: _Params | None = None,
        json: Any = ...,
        timeout_ms: int | None = None,
        stream: bool = False,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a request with any method. Raises ClientError when there is no whole answer."""

    def get(
        self,
        path: str,
        *,
        headers: _Fields | None = None,
        params: _Params | None = None,
        timeout_ms: int | None = None,
        stream: bool = False,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a GET request. Raises ClientError when there is no whole answer."""

    def head(
        self,
        path: str,
        *,
        headers: _Fields | None = None,
        params: _Params | None = None,
        timeout_ms: int | None = None,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a HEAD request. Raises ClientError when there is no whole answer."""

    def options(
        self,
        path: str,
        *,
        headers: _Fields | None = None,
        params: _Params | None = None,
        timeout_ms: int | None = None,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send an OPTIONS request. Raises ClientError when there is no whole answer."""

    def post(
        self,
        path: str,
        *,
        body: _Body | None = None,
        headers: _Fields | None = None,
        params: _Params | None = None,
        json: Any = ...,
        timeout_ms: int | None = None,
        stream: bool = False,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a POST request. Raises ClientError when there is no whole answer."""

    def put(
        self,
        path: str,
        *,
        body: _Body | None = None,
        headers: _Fields | None = None,
        params: _Params | None = None,
        json: Any = ...,
        timeout_ms: int | None = None,
        stream: bool = False,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a PUT request. Raises ClientError when there is no whole answer."""

    def patch(
        self,
        path: str,
        *,
        body: _Body | None = None,
        headers: _Fields | None = None,
        params: _Params | None = None,
        json: Any = ...,
        timeout_ms: int | None = None,
        stream: bool = False,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a PATCH request. Raises ClientError when there is no whole answer."""

    def delete(
        self,
        path: str,
        *,
        body: _Body | None = None,
        headers: _Fields | None = None,
        params: _Params | None = None,
        json: Any = ...,
        timeout_ms: int | None = None,
        stream: bool = False,
        follow_redirects: int | bool | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send a DELETE request. Raises ClientError when there is no whole answer."""
