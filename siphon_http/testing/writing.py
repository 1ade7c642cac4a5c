"""A request as a test describes it, written as HTTP/1.1."""

from __future__ import annotations

import ipaddress
import json as json_module
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

__all__ = ["NOTHING", "Body", "Fields", "Pieces", "Written", "address_of", "written"]

Fields: TypeAlias = Mapping[str, str | Sequence[str]] | Sequence[tuple[str, str]]
Body: TypeAlias = bytes | bytearray | memoryview | str | Iterable[bytes] | AsyncIterable[bytes]
Pieces: TypeAlias = Iterable[bytes] | AsyncIterable[bytes]

HOST = "harness.test"
"""What `host` says where a test says nothing."""
PIECE = 65_536
"""Bytes of content given to the server at once."""
NOTHING: Any = object()
"""Stands for an argument that was not given."""
_AS_SENT = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Written:
    """A request ready to be sent. chunked: `content` is framed as chunks; expects: it waits until it is asked for."""

    method: str
    target: str
    head: bytes
    content: Pieces
    chunked: bool
    expects: bool

    @property
    def name(self) -> str:
        """The request, for messages."""
        return f"{self.method} {self.target}"


def written(
    method: str,
    path: str,
    *,
    headers: Fields | None = None,
    query_params: Mapping[str, Any] | None = None,
    path_params: Mapping[str, str] | None = None,
    body: Body | None = None,
    json: Any = NOTHING,
) -> Written:
    """Return a request as bytes; the arguments are those of `HttpTestHarness.request`.

    What cannot stand in a target (spaces, controls, non-ASCII) is percent-encoded.

    Raises:
        ValueError: path_params that the path has no place for; CR, LF or NUL in a method, name or value.
        TypeError: both body and json.
    """
    method = method.upper()
    fields = _fields(headers)
    if json is not NOTHING:
        if body is not None:
            raise TypeError("a request has body= or json=, not both")
        body = json_module.dumps(json)
        _add(fields, "content-type", "application/json")
    target = quote(_target(path, query_params, path_params), safe=_AS_SENT)
    content, chunked = _content(method, body, fields)
    expects = any(name.lower() == "expect" for name, _ in fields)
    return Written(method, target, _head(method, target, fields), content, chunked, expects)


def address_of(client: str) -> tuple[str, int]:
    """Return "ip:port" or "[v6]:port" as a pair. Raises ValueError."""
    host, _, port = client.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError:
        raise ValueError(f'client is "ip:port" or "[v6]:port", not {client!r}') from None


def _head(method: str, target: str, fields: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    if any(mark in line for line in lines for mark in "\r\n\0"):
        raise ValueError("method, names and values of a request cannot hold CR, LF or NUL")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _fields(headers: Fields | None) -> list[tuple[str, str]]:
    """Return header fields as pairs, `host` among them."""
    given = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    pairs: list[tuple[str, str]] = []
    for name, value in given:
        pairs += [(name, one) for one in ([value] if isinstance(value, str) else value)]
    has_host = any(name.lower() == "host" for name, _ in pairs)
    return pairs if has_host else [("host", HOST), *pairs]


def _add(fields: list[tuple[str, str]], name: str, value: str) -> None:
    if not any(known.lower() == name for known, _ in fields):
        fields.append((name, value))


def _target(path: str, query_params: Mapping[str, Any] | None, path_params: Mapping[str, str] | None) -> str:
    """Return the target of a request, from a path, what its `{names}` stand for, and query parameters."""
    for name, value in (path_params or {}).items():
        rest = f"{{*{name}}}"
        if f"{{{name}}}" not in path and rest not in path:
            raise ValueError(
                f"path_params has {name!r}, but there is no {{{name}}} in {path!r}: "
                "parameters are found in the path by the router; write the path as it is asked for"
            )
        path = path.replace(rest, quote(value, safe="/")).replace(f"{{{name}}}", quote(value, safe=""))
    if query_params:
        path += ("&" if "?" in path else "?") + urlencode(query_params, doseq=True, quote_via=quote)
    return path


def _content(method: str, body: Body | None, fields: list[tuple[str, str]]) -> tuple[Pieces, bool]:
    """Return the content in pieces, and whether it is sent in chunks; adds the field that frames it, if it has none."""
    coding = next((value.lower() for name, value in fields if name.lower() == "transfer-encoding"), None)
    has_length = any(name.lower() == "content-length" for name, _ in fields)
    chunked = coding == "chunked"
    if body is None:
        if method in ("POST", "PUT", "PATCH") and coding is None:
            _add(fields, "content-length", "0")
        return (), chunked
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        whole = bytes(body)
        if coding is None:
            _add(fields, "content-length", str(len(whole)))
        return [whole[start : start + PIECE] for start in range(0, len(whole), PIECE)], chunked
    if coding is None and not has_length:
        fields.append(("transfer-encoding", "chunked"))
        chunked = True
    return body, chunked
