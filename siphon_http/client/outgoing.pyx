"""A request as it goes out: where, and with which lines (RFC 9110, sections 5 and 7.1).

Every name and value is checked here, so that nothing that a script passes on can end a line. What frames the message or
concerns one connection only is the client's business: a script that hands on the fields of a request that it has got
itself (a proxy) need not take them out.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

from collections.abc import Mapping

from siphon_http import __version__
from siphon_http.errors import ClientError

from siphon_http._core.headers cimport check_name, check_value
from siphon_http._core.request_id cimport current_id
from siphon_http._core.url cimport Url, add_query, encode_query, is_absolute, parse_url, shown_url
from siphon_http.client.carrier cimport Settings
from siphon_http.client.request cimport ClientRequest
from siphon_http.protocol.answer cimport LENGTH_UNKNOWN, LENGTH_WHOLE
from siphon_http.protocol.http1_client cimport is_idempotent

from siphon_http.client.carrier import encode_host

__all__ = ["Outgoing", "check_request", "serialise_fields"]

cdef dict METHODS = {name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}

cdef bytes ACCEPT = b"accept: */*\r\n"
cdef bytes CODINGS = b"accept-encoding: gzip, deflate\r\n"
cdef bytes AGENT = b"user-agent: siphon-http/" + __version__.encode("ascii") + b"\r\n"
cdef bytes DEFAULTS = ACCEPT + CODINGS + AGENT
cdef bytes JSON = b"content-type: application/json\r\n"
cdef frozenset OURS = frozenset((
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer",
    "proxy-authorization",
))

cdef extern from "Python.h":
    void* PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept


cdef bytes _line(str name, str value):
    """Return one line; both are checked, and so have one byte for each character."""
    cdef Py_ssize_t name_size = PyUnicode_GET_LENGTH(name)
    cdef Py_ssize_t value_size = PyUnicode_GET_LENGTH(value)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, name_size + value_size + 4)
    cdef char* p = PyBytes_AS_STRING(out)
    memcpy(p, PyUnicode_DATA(name), name_size)
    memcpy(p + name_size, b": ", 2)
    memcpy(p + name_size + 2, PyUnicode_DATA(value), value_size)
    memcpy(p + name_size + 2 + value_size, b"\r\n", 2)
    return out


cdef bytes request_fields(object headers, bint is_json, object request_id, RequestFields* found, list host):
    """Return the lines "name: value CR LF" of what the script gave, checked, and of the defaults that it did not.

    request_id: of the request that the caller answers, where its listener asks for ids; None: there is none.
    Host and what frames the message are left out and noted in `found`; `host` gets the value of a Host.

    Raises:
        TypeError, ValueError: a name or value is not valid.
    """
    cdef list lines
    cdef str key
    cdef bint accept = False, codings = False, agent = False, kind = False, named = False
    cdef bytes traced = b""
    found.has_host = found.has_length = False
    if request_id is not None:
        traced = _line("x-request-id", request_id)
    if headers is None:
        return DEFAULTS + JSON + traced if is_json else DEFAULTS + traced if traced else DEFAULTS
    lines = []
    for pair in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"headers given as a list have pairs (name, value), not {type(pair).__name__}")
        key = check_name(pair[0])
        for value in pair[1] if isinstance(pair[1], (list, tuple)) else (pair[1],):
            value = check_value(value)
            if key == "host":
                found.has_host = True
                host.append(value.encode("latin-1"))
            elif key == "content-length":
                if not (value.isascii() and value.isdigit() and len(value) < 19):
                    raise ValueError(f"content-length {value!r} is no number")
                found.has_length = True
                found.length = int(value)
            elif key not in OURS:
                lines.append(_line(key, value))
        accept |= key == "accept"
        codings |= key == "accept-encoding" or key == "range"   # a part of coded content cannot be decoded
        agent |= key == "user-agent"
        kind |= key == "content-type"
        named |= key == "x-request-id"
    if not accept:
        lines.append(ACCEPT)
    if not codings:
        lines.append(CODINGS)
    if not agent:
        lines.append(AGENT)
    if is_json and not kind:
        lines.append(JSON)
    if traced and not named:
        lines.append(traced)
    return b"".join(lines)


def serialise_fields(headers, bint is_json=False):
    """Return the lines that go out for `headers`; for tests."""
    cdef RequestFields found
    return request_fields(headers, is_json, current_id(), &found, [])


def check_request(ClientRequest request not None, str base not None):
    """Raise what sending would, ClientError or TypeError, for a request that cannot be sent: for recorders.

    base: URL in the place of a base_url that the client does not have.
    """
    cdef Outgoing outgoing = Outgoing.__new__(Outgoing)
    try:
        outgoing._locate(request, parse_url(base if request.base_url is None else request.base_url, encode_host))
        outgoing._write(request, None)
    except ValueError as error:
        raise ClientError(str(error), method=request.method, url=outgoing.shown_url(request)) from error


@cython.final
@cython.freelist(64)
cdef class Outgoing:
    """One request as it goes out."""

    cdef int prepare(self, ClientRequest request, Settings settings, object request_id) except -1:
        """Read `request`; raises ClientError (TypeError for what is no text at all) when it cannot be sent."""
        try:
            self._locate(request, settings.base)
            self._write(request, request_id)
        except ValueError as error:
            raise ClientError(str(error), method=request.method, url=self.shown_url(request)) from error
        return 0

    cdef int _locate(self, ClientRequest request, Url base) except -1:
        """Find out where it goes."""
        if is_absolute(request.path):
            self.url = parse_url(request.path, encode_host)
            self.target = self.url.target
        elif base is not None:
            self.url = base
            self.target = base.join(request.path)
        else:
            raise ValueError("the client has no base_url: give an absolute URL")
        if request.params is not None:
            self.target = add_query(self.target, encode_query(request.params))
        self.authority = self.url.authority
        self.method = METHODS.get(request.method)
        if self.method is None:
            check_name(request.method)
            if request.method == "CONNECT":
                raise ValueError("CONNECT is the client's own business")
            self.method = request.method.encode("ascii")
        return 0

    cdef int _write(self, ClientRequest request, object request_id) except -1:
        """Check the fields and the body, and write the fields down."""
        cdef RequestFields found
        cdef list host = []
        self.fields = request_fields(request.headers, request.is_json, request_id, &found, host)
        if found.has_host:
            if len(host) != 1 or not host[0] or b" " in host[0]:
                raise ValueError("host names one authority")
            self.authority = host[0]
        self.body = request.body
        self.length = LENGTH_WHOLE
        if self.body is not None and type(self.body) is not bytes:
            self.length = found.length if found.has_length else LENGTH_UNKNOWN
        elif found.has_length and self.body is not None and found.length != len(<bytes> self.body):
            raise ValueError(f"content-length is {found.length}, but the body has {len(self.body)} bytes")
        self.may_repeat = self.length == LENGTH_WHOLE and is_idempotent(self.method)
        return 0

    cdef str shown_url(self, ClientRequest request):
        """Return the URL for a message."""
        return shown_url(request.path if self.url is None else self.url.text(self.target or b""))


cdef str whole_url(Outgoing outgoing):
    """Return where a request went; see the header file."""
    if outgoing is None or outgoing.target is None:
        raise AttributeError("the url is the answer's: await the call first")
    return outgoing.url.text(outgoing.target)
