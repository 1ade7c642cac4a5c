"""What the next request is when an answer is a redirect (RFC 9110, 15.4). Pure: nothing is sent here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from siphon_http._core.url import parse_url
from siphon_http.errors import ReadError

__all__ = ["NextRequest", "next_request", "origin_of"]

STATUSES: Final = frozenset({301, 302, 303, 307, 308})

_CREDENTIALS = frozenset({"authorization", "cookie", "cookie2", "proxy-authorization", "host", "origin", "referer"})
_SECRET = re.compile(r"token|secret|passw|credential|session|signature|api-?key|access-?key|x-auth|jwt|csrf|xsrf")
_CONTENT = frozenset({"digest", "expect", "last-modified", "trailer", "transfer-encoding"})
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LEGAL = "!#$%&'()*+,/:;=?@[]~"  # beside letters, digits, "-._": what stays as it is in a target

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NextRequest:
    """The request that a redirect leads to.

    url: absolute, without fragment and userinfo; fields: those of the last request that may go there too; keeps_content:
    whether the content is sent again.
    """

    method: str
    url: str
    fields: Fields
    keeps_content: bool


def next_request(
    status: int,
    location: str | None,
    *,
    method: str,
    url: str,
    fields: Iterable[tuple[str, str]],
    replayable: bool,
    followed: int,
    limit: int,
) -> NextRequest | None:
    """Return what to send next, or None: the answer is no redirect that can be followed, and is the caller's.

    location: value of the field, latin-1 as received; method, url, fields: of the request answered; replayable: its
    content, if any, can be sent again; followed: redirects so far; limit: largest number of them, 0 follows none.

    301 and 302 make POST a GET, as every client does; 303 makes all but HEAD a GET; 307 and 308 change nothing, and are
    the caller's when the content is consumed. Across origins, credentials and what is named like them stay behind.

    Raises ReadError: too many, from https to http, to another scheme, or to no URL.
    """
    if status not in STATUSES or not limit or not location:
        return None
    to_get = (status == 303 and method not in {"GET", "HEAD"}) or (status in {301, 302} and method == "POST")
    if not to_get and not replayable:
        return None
    if followed >= limit:
        raise ReadError(f"more than {limit} redirects, the last to {_shown(location)}", method=method, url=url)
    target = _resolved(location, method, url)
    if url[:8].lower() == "https://" and target.startswith("http://"):
        raise ReadError(
            f"redirect from https to {_shown(target)} is not followed: it would be in clear", method=method, url=url
        )
    kept = tuple(fields)
    if origin_of(target) != origin_of(url):
        kept = tuple(field for field in kept if not _is_credential(field[0].lower()))
    if to_get:
        kept = tuple(field for field in kept if not _is_of_content(field[0].lower()))
    return NextRequest("GET" if to_get else method, target, kept, not to_get)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an absolute http or https URL (RFC 6454, section 4). Raises ValueError."""
    place = parse_url(url)  # as it is connected to: an address has one spelling
    return place.scheme.decode(), place.host, place.port


def _resolved(location: str, method: str, url: str) -> str:
    """Return `location` against `url` (RFC 3986, section 5). Raises ReadError."""
    # Browsers take bytes beyond ASCII, spaces and backslashes as they come; encoded, none can move the end of the host.
    encoded = quote(location.strip(" \t").encode("latin-1", "replace"), safe=_LEGAL)
    try:
        parts = urlsplit(encoded if _ABSOLUTE.match(encoded) else urljoin(url, encoded))
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    else:
        if parts.scheme not in {"http", "https"}:
            raise ReadError(f"redirect to {_shown(location)}: only http and https are followed", method=method, url=url)
    if not host or "%" in host or port == 0:
        raise ReadError(f"redirect to {_shown(location)}, which is no URL", method=method, url=url)
    place = f"[{host}]" if ":" in host else host  # userinfo would be credentials that the peer chose
    target = urlunsplit(
        (parts.scheme, place if port is None else f"{place}:{port}", parts.path or "/", parts.query, "")
    )
    try:
        parse_url(target)  # which reads it again to connect, and must find the same host
    except ValueError as error:
        raise ReadError(f"redirect to {_shown(location)}, which is no URL", method=method, url=url) from error
    return target


def _is_credential(name: str) -> bool:
    return name in _CREDENTIALS or _SECRET.search(name.replace("_", "-")) is not None


def _is_of_content(name: str) -> bool:
    return name.startswith("content-") or name in _CONTENT


def _shown(location: str) -> str:
    """Return a Location for a message: shortened, without userinfo, query and fragment, which may hold secrets."""
    text = re.sub(r"//[^/?#]*@", "//", location)
    text, cut, _ = re.sub(r"[?#].*", "?", text, flags=re.DOTALL).partition("?")
    text += "?..." if cut else ""
    return repr(text if len(text) <= 100 else text[:97] + "...")
