"""Absolute URLs, what they are joined with, and query strings (RFC 3986; RFC 9110, 4.2).

A URL of a client is parsed once; what is joined onto it for each request costs one pass over the path. What may not
stand in a target is percent-encoded as UTF-8, escapes that are there stay, and control characters are refused: they are
never meant. Host names beyond ASCII are for the caller to encode.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memchr, memcpy

import ipaddress
from collections.abc import Mapping

from siphon_http._core.ascii cimport hex_value, is_alpha, is_digit, is_reg_name, is_target, is_unreserved, to_lower

__all__ = ["Url", "encode_query", "join_url", "parse_url", "shown_url"]

cdef const char* HEX = b"0123456789ABCDEF"


cdef inline bint _stays(unsigned char c) noexcept nogil:
    """Whether `c` may stand in a target as it is; "%" is looked at apart, "#" where a fragment means something."""
    if not is_target(c):
        return False
    return not (c == c'"' or c == c"<" or c == c">" or c == c"\\" or c == c"^" or c == c"`" or c == c"{" or c == c"|"
                or c == c"}")


cdef bytes _encode(const char* lead, Py_ssize_t lead_size, str text, bint fragment):
    """Return `lead`, then `text` for a target: encoded where it must be.

    fragment: what follows "#" is a fragment, and never sent; otherwise "#" is a character like others.

    Raises:
        ValueError: a control character, or half of a surrogate pair.
    """
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t i
    cdef Py_ssize_t extra = 0
    cdef const unsigned char* data
    cdef unsigned char c
    cdef unsigned char* p
    cdef bytes out
    try:
        data = <const unsigned char*> PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        raise ValueError(f"{_shown(text)} has half of a surrogate pair") from None
    for i in range(size):
        c = data[i]
        if c < 32 or c == 127:
            raise ValueError(f"{_shown(text)} has the control character {chr(c)!r}: encode it (%{c:02X}), or remove it")
        if c == c"#" and fragment:
            size = i
            break
        if not _stays(c) or c == c"%" and not _is_escape(data + i, size - i):
            extra += 2
    out = PyBytes_FromStringAndSize(NULL, lead_size + size + extra)
    p = <unsigned char*> PyBytes_AS_STRING(out)
    memcpy(p, lead, lead_size)
    p += lead_size
    if extra == 0:
        memcpy(p, data, size)
        return out
    for i in range(size):
        c = data[i]
        if not _stays(c) or c == c"%" and not _is_escape(data + i, size - i):
            p[0] = c"%"
            p[1] = HEX[c >> 4]
            p[2] = HEX[c & 15]
            p += 3
        else:
            p[0] = c
            p += 1
    return out


cdef inline bint _is_escape(const unsigned char* data, Py_ssize_t left) noexcept nogil:
    return left > 2 and hex_value(data[1]) >= 0 and hex_value(data[2]) >= 0


cpdef str shown_url(str text):
    """Return a URL for a message: without userinfo and query, which may hold secrets."""
    text, query, _ = text.partition("?")
    scheme, mark, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    if mark and "@" in authority:
        text = f"{scheme}://***@{authority.rpartition('@')[2]}{slash}{path}"
    return text + "?..." if query else text


cdef str _shown(str text):
    """Shorten what a message quotes."""
    text = shown_url(text)
    return repr(text if len(text) <= 60 else text[:57] + "...")


cdef bint is_absolute(str path):
    """Tell whether `path` begins with a scheme and "://"."""
    cdef Py_ssize_t at = path.find("://", 0, 24)
    cdef Py_ssize_t i
    if at <= 0:
        return False
    for i in range(at):
        if not (path[i].isalnum() or path[i] in "+-."):
            return False
    return True


@cython.final
cdef class Url:
    """One absolute http or https URL, checked. Made by `parse_url`; immutable.

    scheme: b"http" or b"https"; host: ASCII, without brackets; port; authority: for Host; target: path and query, in
    origin form.
    """

    def __repr__(self):
        return f"<Url {self.text(self.target)}>"

    cpdef bytes join(self, str path):
        """Return the target of `path` below this URL: its path without the "/" at the end, one "/", and `path`.

        An empty path is the URL itself; a path that begins with "?" is its query.

        Raises:
            ValueError: `path` has a control character.
        """
        cdef Py_ssize_t size = len(path)
        cdef bytes lead = self.prefix
        if size == 0:
            return self.target
        if path[0] == c"/":
            return _encode(PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead), path, False)
        if path[0] == c"?":
            lead = self.target.partition(b"?")[0]
        else:
            lead = lead + b"/"
        return _encode(PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead), path, False)

    cpdef str text(self, bytes target):
        """Return the whole URL with `target` in place of its own."""
        return (self.scheme + b"://" + self.authority + target).decode("ascii")


cpdef Url parse_url(str text, object encode_host=None):
    """Return the parts of an absolute URL.

    encode_host: callable(str) -> str for a host name beyond ASCII (IDNA), None: refused.

    Raises:
        ValueError: it is no http or https URL, names credentials, or its host or port is not valid; says which.
    """
    cdef Url url = Url.__new__(Url)
    cdef str scheme, rest, authority
    cdef Py_ssize_t end
    scheme, mark, rest = text.strip(" ").partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("http", "https"):
        raise ValueError(f"{_shown(text)} is no http:// or https:// URL")
    end = len(rest)
    for stop in "/?#\\":
        place = rest.find(stop, 0, end)
        if place >= 0:
            end = place
    authority = rest[:end]
    if "@" in authority:
        raise ValueError(f"{_shown(text)} has credentials in it; send them in a header (authorization) instead")
    url.scheme = scheme.encode("ascii")
    url.port = _port(authority, 443 if scheme == "https" else 80, text)
    url.host = _host(authority, encode_host, text)
    shown = f"[{url.host}]" if ":" in url.host else url.host
    if url.port != (443 if scheme == "https" else 80):
        shown = f"{shown}:{url.port}"
    url.authority = shown.encode("ascii")
    rest = rest[end:]
    if rest[:1] != "/":
        rest = "/" + rest
    url.target = _encode(b"", 0, rest, True)
    url.prefix = url.target.partition(b"?")[0]
    if url.prefix.endswith(b"/"):
        url.prefix = url.prefix[:-1]
    return url


cdef int _port(str authority, int default, str text) except -1:
    """Return the port of host[:port]."""
    cdef str digits = authority.rpartition(":")[2]
    if ":" not in authority or "]" in digits or digits == "":
        return default
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535):
        raise ValueError(f"{_shown(text)}: the port must be a number between 1 and 65535, got {digits[:20]!r}")
    return int(digits)


cdef str _host(str authority, object encode_host, str text):
    """Return the host of host[:port] in lower case, without brackets."""
    cdef str host = authority
    cdef Py_ssize_t end
    if host.startswith("["):
        end = host.find("]")
        try:
            if end < 0 or host[end + 1:end + 2] not in ("", ":") or "%" in host[:end]:
                raise ValueError
            return str(ipaddress.IPv6Address(host[1:end]))
        except ValueError:
            raise ValueError(f"{_shown(text)}: {host[:60]!r} is no IPv6 address in brackets") from None
    host = host.partition(":")[0].lower()
    if authority.count(":") > 1:
        raise ValueError(f"{_shown(text)}: an IPv6 address stands in brackets: http://[::1]/")
    if host == "":
        raise ValueError(f"{_shown(text)} has no host")
    if not host.isascii():
        if encode_host is None:
            raise ValueError(f"{_shown(text)}: the host is not ASCII")
        host = encode_host(host)
    for c in host:
        if not (is_unreserved(<unsigned char> ord(c)) and c != "~"):
            raise ValueError(f"{_shown(text)}: {c!r} cannot be part of a host name")
    return host


# ---- query strings


cpdef bytes encode_query(object params):
    """Return `params`, a mapping or pairs, as a query string without its question mark.

    Values are str, bytes, numbers (bools as true and false), or a list of these for a repeated name; None leaves a name
    out. Encoded as UTF-8; a space becomes %20.

    Raises:
        TypeError: a name or value of another type.
    """
    cdef list out = []
    pairs = params.items() if isinstance(params, Mapping) else params
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"params are a dict or pairs (name, value), not {type(pair).__name__} in a list")
        name, value = pair
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None:
                out.append(_component(name) + b"=" + _component(one))
    return b"&".join(out)


cdef bytes _component(object value):
    """Return one name or value, with every byte but the unreserved ones encoded (RFC 3986, 2.3)."""
    cdef bytes raw
    cdef const unsigned char* data
    cdef Py_ssize_t i
    cdef bytearray out
    if isinstance(value, bool):
        raw = b"true" if value else b"false"
    elif isinstance(value, str):
        raw = value.encode("utf-8")
    elif isinstance(value, bytes):
        raw = value
    elif isinstance(value, (int, float)):
        raw = str(value).encode("ascii")
    else:
        raise TypeError(f"a query parameter is str, bytes, a number or a list of these, not {type(value).__name__}")
    data = raw
    for i in range(len(raw)):
        if not is_unreserved(data[i]):
            break
    else:
        return raw
    out = bytearray()
    for i in range(len(raw)):
        if is_unreserved(data[i]):
            out.append(data[i])
        else:
            out += bytes((c"%", HEX[data[i] >> 4], HEX[data[i] & 15]))
    return bytes(out)


cdef bytes add_query(bytes target, bytes query):
    """Return `target` with `query` added to what query it has."""
    if not query:
        return target
    if memchr(PyBytes_AS_STRING(target), c"?", PyBytes_GET_SIZE(target)) == NULL:
        return target + b"?" + query
    return target + (query if target.endswith((b"?", b"&")) else b"&" + query)


def join_url(str base, str path, params=None):
    """Return the URL that a request for `path` below `base` goes to; an absolute path replaces the base.

    Raises:
        ValueError: there is no base, or either is not valid.
    """
    cdef Url url
    cdef bytes target
    if is_absolute(path):
        url = parse_url(path)
        target = url.target
    else:
        url = parse_url(base)
        target = url.join(path)
    if params is not None:
        target = add_query(target, encode_query(params))
    return url.text(target)
