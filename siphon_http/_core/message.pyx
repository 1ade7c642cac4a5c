"""Request and Response as scripts see them.

A Request is lazy: it holds the received bytes and offsets into them. Dictionaries and strings are made when a script
reads them, once. A Response checks what it is given where the author sees it: in the handler.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next, PyDict_Size
from cpython.list cimport PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.ref cimport Py_INCREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memcmp

import json as _json
from collections.abc import AsyncIterable, Iterable, Mapping

from siphon_http.errors import HttpStatusError

from siphon_http._core.headers cimport (
    Headers, PyList_GET_ITEM, PyUnicode_GET_LENGTH, check_name, check_value, field_dict, find_field, is_clean_value,
)
from siphon_http._core.urldecode cimport decode_component, query_dict, query_list

__all__ = ["Peer", "Request", "Response"]


@cython.final
cdef class Peer:
    """Who is at the other end of a connection.

    client: "ip:port", "[v6]:port", or "unix:"; scheme: "http" or "https"; certificate: dict of
    ssl.SSLSocket.getpeercert(), or None.
    """

    def __init__(self, str client, str scheme="http", certificate=None):
        self.client = client
        self.scheme = scheme
        self.certificate = certificate


cdef inline str _latin1(bytes source, Py_ssize_t start, Py_ssize_t end):
    return PyUnicode_DecodeLatin1(PyBytes_AS_STRING(source) + start, end - start, NULL)


@cython.final
@cython.freelist(64)
cdef class Request:
    """One request, as handlers and middleware get it. Not constructible by scripts; belongs to the loop's thread.

    Attributes are read-only. Dictionaries are built when first read, and are the script's to change.
    """

    def __repr__(self):
        return f"<Request {self.method} {self.raw_path}>"

    @property
    def path(self):
        """Path of the target, percent-decoded as UTF-8; without the query. Not cleaned: `//` and `..` stay."""
        if self.path == self.path_end:
            return "/"      # an absolute target without a path (RFC 9110, 4.2.3)
        return decode_component(PyBytes_AS_STRING(self.head) + self.path, self.path_end - self.path)

    @property
    def raw_path(self):
        """Path of the target as it was sent, without the query."""
        return _latin1(self.head, self.path, self.path_end)

    @property
    def query_string(self):
        """Query of the target as it was sent, without the question mark; "" when there is none."""
        return _latin1(self.head, self.query, self.query_end)

    @property
    def path_params(self):
        """Parameters of the route: names to values, percent-decoded as UTF-8 once; `+` stays `+`."""
        cdef Py_ssize_t i
        cdef const char* base
        cdef dict out
        if self._path_params is None:
            out = {}
            if self.entry is not None:
                if self.params_source is None:
                    base = PyBytes_AS_STRING(self.head) + self.path
                else:
                    base = PyBytes_AS_STRING(self.params_source)
                i = 0
                for name in self.entry.names:
                    out[name] = decode_component(base + self.params[i], self.params[i + 1] - self.params[i])
                    i += 2
            self._path_params = out
        return self._path_params

    @property
    def query_params(self):
        """Query as a dict; the last of duplicates wins, `+` is a space, a bad escape is kept literally."""
        if self._query_params is None:
            self._query_params = query_dict(
                PyBytes_AS_STRING(self.head) + self.query, self.query_end - self.query)
        return self._query_params

    def query_list(self, name):
        """Return all values of the query parameter `name`, in order, as a list of str."""
        return query_list(PyBytes_AS_STRING(self.head) + self.query, self.query_end - self.query, name)

    @property
    def headers(self):
        """Header fields: lower-case names to values (latin-1); repeats joined ", ", cookies "; "."""
        if self._headers is None:
            self._headers = field_dict(PyBytes_AS_STRING(self.head) + self.fields, self.fields_end - self.fields)
            if self.authority < self.authority_end:
                self._headers["host"] = _latin1(self.head, self.authority, self.authority_end)
        return self._headers

    cdef object field(self, const char* name, Py_ssize_t size):
        """Return the value of one field, `name` in lower case, or None."""
        return find_field(PyBytes_AS_STRING(self.head) + self.fields, self.fields_end - self.fields, name, size)

    def header(self, name):
        """Return the value of one header field, in any case, or None; repeats joined."""
        cdef bytes key
        if self._headers is not None:
            return self._headers.get(name.lower())
        try:
            key = name.lower().encode("latin-1")
        except UnicodeEncodeError:
            return None
        if self.authority < self.authority_end and key == b"host":
            return _latin1(self.head, self.authority, self.authority_end)
        return self.field(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    @property
    def cookies(self):
        """Cookies as a dict (RFC 6265, 5.4); the first of duplicates wins, as sent by a user agent."""
        cdef dict out
        if self._cookies is None:
            out = {}
            for pair in (self.header("cookie") or "").split(";"):
                name, sign, value = pair.partition("=")
                name = name.strip(" \t")
                value = value.strip(" \t")
                if len(value) > 1 and value[0] == value[-1] == '"':
                    value = value[1:-1]
                if sign and name:
                    out.setdefault(name, value)
            self._cookies = out
        return self._cookies

    @property
    def client(self):
        """Address of the client, "ip:port" or "[v6]:port"; behind a trusted proxy what that proxy tells."""
        return self.peer.client if self.forwarded_client is None else self.forwarded_client

    @property
    def scheme(self):
        """Scheme of the connection: "http" or "https"."""
        return self.peer.scheme

    @property
    def peer_certificate(self):
        """Client certificate as ssl.SSLSocket.getpeercert() gives it, or None."""
        return self.peer.certificate

    @property
    def host(self):
        """Authority that the request is for: the Host field, or that of an absolute target; "" when unknown."""
        return self.header("host") or ""

    @property
    def url(self):
        """Whole URL of the request: scheme, host and target as sent; no path for `OPTIONS *` (RFC 9110, 7.1)."""
        if PyBytes_AS_STRING(self.head)[self.target] == c"*":
            return f"{self.peer.scheme}://{self.host}"
        if self.authority < self.authority_end or self.path == self.path_end:
            query = self.query_string
            return f"{self.peer.scheme}://{self.host}{self.raw_path}" + (f"?{query}" if query else "")
        return f"{self.peer.scheme}://{self.host}{_latin1(self.head, self.target, self.target_end)}"

    @property
    def http_version(self):
        """Protocol version of the message: "1.0", "1.1" or "2"."""
        return "1.1" if self.version == 11 else "1.0" if self.version == 10 else "2"

    @property
    def route(self):
        """Pattern of the route that matched, such as "/orders/{id}", or None."""
        return None if self.entry is None else self.entry.pattern

    @property
    def state(self):
        """A dict for middleware and handlers to pass things along."""
        if self._state is None:
            self._state = {}
        return self._state

    def body(self):
        """Return the content as bytes; b"" when there is none.

        Raises:
            RuntimeError: the route has `stream=True`; read with `async for chunk in req.stream()`.
        """
        if self.streams:
            raise RuntimeError("this route has stream=True: read the content with `async for chunk in req.stream()`")
        return b"" if self.content is None else self.content

    def text(self):
        """Return the content as str, by the charset of Content-Type, else UTF-8.

        Raises:
            UnicodeDecodeError: the content is not what the charset says. LookupError: unknown charset.
        """
        return self.body().decode(_charset(self.header("content-type")))

    def json(self):
        """Return the content parsed as JSON (RFC 8259).

        Raises:
            ValueError: it is not JSON.
        """
        return _json.loads(self.body())

    def stream(self):
        """Return an async iterator over the content, as it arrives; for routes with `stream=True`.

        Raises:
            RuntimeError: the route buffers; use body().
        """
        if self.stream_source is None:
            raise RuntimeError("stream() is for routes with stream=True; this one has body()")
        return self.stream_source


cdef str _charset(content_type):
    if not content_type or "charset" not in content_type.lower():
        return "utf-8"
    from email.message import Message  # only here: it is slow to import and seldom needed

    message = Message()
    message["content-type"] = content_type
    return message.get_content_charset("utf-8")


@cython.final
@cython.freelist(64)
cdef class Response:
    """An answer: what a handler returns.

    status: 200 to 599. headers: dict of str to str or list of str, list of pairs, or Headers. body: bytes, bytearray,
    memoryview, str (sent as UTF-8), None, or an (async) iterator of bytes, which is streamed.

    Raises:
        TypeError, ValueError: at construction, where the author sees it.
    """

    def __cinit__(self):
        self.declared = -1

    def __init__(self, status=200, headers=None, body=None):
        self._status = _check_status(status)
        if headers is not None:
            self._set_headers(headers)
        if body is not None:
            if type(body) is bytes:
                self.content = body
            else:
                self._set_body(body)

    cdef int _set_headers(self, headers) except -1:
        cdef list fields = None
        if type(headers) is dict:
            fields = _plain_fields(<dict> headers)
        if fields is not None:
            pass
        elif isinstance(headers, Headers):
            fields = (<Headers> headers).fields[:]
        elif isinstance(headers, Mapping):
            fields = []
            for name, value in headers.items():
                _add_field(fields, name, value)
        elif isinstance(headers, (list, tuple)):
            fields = []
            for pair in headers:
                if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                    raise TypeError(f"headers given as a list have pairs (name, value), not {type(pair).__name__}")
                _add_field(fields, pair[0], pair[1])
        else:
            raise TypeError(f"headers are a dict or a list of pairs, not {type(headers).__name__}")
        self.fields = fields
        if self._headers is not None:
            self._headers.fields = fields
        return 0

    cdef int _set_body(self, body) except -1:
        self.streams = False
        if body is None or isinstance(body, bytes):
            self.content = body
        elif isinstance(body, str):
            self.content = (<str> body).encode("utf-8")
        elif isinstance(body, (bytearray, memoryview)):
            self.content = bytes(body)
        elif isinstance(body, (Mapping, set, frozenset)):
            raise TypeError(f"a body is bytes, str or an iterator of bytes, not {type(body).__name__}; for JSON: json.dumps(...)")
        elif isinstance(body, (AsyncIterable, Iterable)):
            self.content = body
            self.streams = True
        else:
            raise TypeError(f"a body is bytes, str, None or an iterator of bytes, not {type(body).__name__}")
        return 0

    def __repr__(self):
        size = "streamed" if self.streams else f"{len(self.content or b'')} bytes"
        return f"<Response {self._status}, {size}>"

    @property
    def status(self):
        """Status code, 200 to 599; assignable."""
        return self._status

    @status.setter
    def status(self, value):
        self._status = _check_status(value)

    @property
    def headers(self):
        """Header fields: a live, checked mapping of lower-case names."""
        if self._headers is None:
            self._headers = Headers()
            if self.fields is None:
                self.fields = []
            self._headers.fields = self.fields
        return self._headers

    @headers.setter
    def headers(self, value):
        self._set_headers(value if value is not None else {})

    @property
    def body(self):
        """Content: bytes (b"" when none), or the iterator when it is streamed; assignable."""
        return b"" if self.content is None else self.content

    @body.setter
    def body(self, value):
        self._set_body(value)

    def header(self, name):
        """Return the value of one header field, in any case, or None; repeats joined."""
        return None if self.fields is None else self.headers.get(name)

    def header_list(self, name):
        """Return all values of a repeated field, in order, as a list of str."""
        return [] if self.fields is None else self.headers.getlist(name)

    @property
    def text(self):
        """Content as str, by the charset of Content-Type, else UTF-8."""
        return _whole(self).decode(_charset(self.header("content-type")))

    def json(self):
        """Return the content parsed as JSON (RFC 8259). Raises ValueError when it is not JSON."""
        return _json.loads(_whole(self))

    def raise_for_status(self):
        """Return self, or raise HttpStatusError for 400 and above."""
        if self._status >= 400:
            raise HttpStatusError(self._status, b"" if self.streams else self.body)
        return self

    cdef bint has_framing(self) noexcept:
        """Tell whether the script may have set a field that frames the message; if not, `check_framing` is not needed."""
        cdef Py_ssize_t i, size
        self.declared = -1
        self.closes = False
        if self.fields is None:
            return False
        for i in range(0, PyList_GET_SIZE(self.fields), 2):
            size = PyUnicode_GET_LENGTH(PyList_GET_ITEM(self.fields, i))
            if size == 14 or size == 17 or size == 10:
                return True
        return False

    cdef int check_framing(self, bint is_head) except -1:
        """Compare framing fields that the script set with the content; note `declared` and `closes`.

        is_head: the answer is to HEAD, whose Content-Length speaks of content that is not sent.

        Raises:
            ValueError: they contradict each other.
        """
        cdef Py_ssize_t i, actual
        if not self.has_framing():
            return 0
        for i in range(0, len(self.fields), 2):
            name = self.fields[i]
            value = <str> self.fields[i + 1]
            if name == "content-length":
                if not (value.isascii() and value.isdigit() and len(value) < 19):
                    raise ValueError(f"content-length {value!r} is no number")
                if self.declared >= 0 and self.declared != int(value):
                    raise ValueError("the response has two content-length fields that differ")
                self.declared = int(value)
            elif name == "transfer-encoding":
                if value.lower() != "chunked":
                    raise ValueError(f"transfer-encoding {value!r}: the server frames the message itself")
            elif name == "connection":
                if "close" in [token.strip() for token in value.lower().split(",")]:
                    self.closes = True
        if self.declared >= 0 and not self.streams and self._status != 304:
            actual = 0 if self.content is None else len(<bytes> self.content)
            if self.declared != actual and not (is_head and actual == 0):
                raise ValueError(f"content-length is {self.declared}, but the body has {actual} bytes")
        return 0


cdef bytes _whole(Response response):
    if response.streams:
        raise RuntimeError("the body is streamed: it can be read once, by the client")
    return response.body


cdef int _check_status(status) except -1:
    cdef long code
    cdef int overflow = 0
    if type(status) is not int:
        if not isinstance(status, int) or isinstance(status, bool):
            raise TypeError(f"a status is an int, not {type(status).__name__}")
        status = int(status)
    code = PyLong_AsLongAndOverflow(status, &overflow)
    if overflow or not 200 <= code <= 599:
        raise ValueError(f"status {status} is no final status: 200 to 599 (RFC 9110, section 15)")
    return <int> code


cdef list _plain_fields(dict headers):
    """Return the checked fields of a dict of str to str, or None when there is anything else in it."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t i = 0
    cdef PyObject* key = NULL
    cdef PyObject* value = NULL
    cdef Py_ssize_t count = 2 * PyDict_Size(headers)
    cdef list fields = PyList_New(count)    # no code of the script's runs while it is filled
    cdef str checked
    while i < count and PyDict_Next(headers, &at, &key, &value):
        if type(<object> key) is not str or type(<object> value) is not str:
            return None
        checked = check_name(<object> key)
        Py_INCREF(checked)
        PyList_SET_ITEM(fields, i, checked)
        checked = <str> value if is_clean_value(value) else check_value(<object> value)
        Py_INCREF(checked)
        PyList_SET_ITEM(fields, i + 1, checked)
        i += 2
    return fields


cdef int _add_field(list fields, name, value) except -1:
    cdef str key = check_name(name)
    if isinstance(value, (list, tuple)):
        for one in value:
            fields.append(key)
            fields.append(check_value(one))
    else:
        fields.append(key)
        fields.append(check_value(value))
    return 0


cdef Response plain_response(int status, bytes text):
    """Return a one-line text/plain answer made by the server itself."""
    cdef Response response = Response.__new__(Response)
    response._status = status
    response.fields = ["content-type", "text/plain; charset=utf-8"]
    response.content = text + b"\n"
    return response


cpdef Response answer_405(bytes allow, bint options):
    """Return the answer to a method that the path does not have, or, with `options`, to OPTIONS (RFC 9110, 9.3.7)."""
    cdef Response response
    if options:
        response = Response.__new__(Response)
        response._status = 204
        response.fields = ["allow", allow.decode("ascii")]
        return response
    response = plain_response(405, b"method not allowed")
    response.fields += ["allow", allow.decode("ascii")]
    return response
