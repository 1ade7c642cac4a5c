"""Request, and Response, as scripts see them; Response comes from its own module.

A Request is lazy: it holds the received bytes and offsets into them. Dictionaries and strings are made when a script
reads them, once.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memcmp

import json as _json

from siphon_http._core.headers cimport field_dict, find_field
from siphon_http._core.request_id cimport kept_or_new, with_request_id
from siphon_http._core.response cimport charset_of
from siphon_http._core.urldecode cimport decode_component, query_dict, query_list

from siphon_http._core import response as _response

__all__ = ["Peer", "Request", "Response"]

# The header file has these names for Cython, so that an import statement would bind nothing for Python.
globals().update(Response=_response.Response, answer_405=_response.answer_405)


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


cdef Peer NOBODY = Peer("")     # of a request that no server has made


cdef inline Peer _peer_of(Request request):
    return NOBODY if request.peer is None else request.peer


cdef inline str _latin1(bytes source, Py_ssize_t start, Py_ssize_t end):
    return PyUnicode_DecodeLatin1(PyBytes_AS_STRING(source) + start, end - start, NULL)


@cython.final
@cython.freelist(64)
cdef class Request:
    """One request, as handlers and middleware get it. Not constructible by scripts; belongs to the loop's thread.

    Attributes are read-only. Dictionaries are built when first read, and are the script's to change.
    """

    def __init__(self, *args, **kwargs):
        raise TypeError("a Request is made of what a client sent; the test harness of siphon_http.testing sends one")

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

    cdef list answered(self, Response response):
        """Note the status of the answer, and return its fields; with the request's id when it is sent back."""
        self.status = response._status
        return with_request_id(response.fields, self.request_id) if self.traced else response.fields

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
        return _peer_of(self).client if self.forwarded_client is None else self.forwarded_client

    @property
    def scheme(self):
        """Scheme of the connection: "http" or "https"."""
        return _peer_of(self).scheme

    @property
    def peer_certificate(self):
        """Client certificate as ssl.SSLSocket.getpeercert() gives it, or None."""
        return _peer_of(self).certificate

    @property
    def host(self):
        """Authority that the request is for: the Host field, or that of an absolute target; "" when unknown."""
        return self.header("host") or ""

    @property
    def url(self):
        """Whole URL of the request: scheme, host and target as sent; no path for `OPTIONS *` (RFC 9110, 7.1)."""
        if self.head is not None and PyBytes_AS_STRING(self.head)[self.target] == c"*":
            return f"{self.scheme}://{self.host}"
        if self.authority < self.authority_end or self.path == self.path_end:
            query = self.query_string
            return f"{self.scheme}://{self.host}{self.raw_path}" + (f"?{query}" if query else "")
        return f"{self.scheme}://{self.host}{_latin1(self.head, self.target, self.target_end)}"

    @property
    def http_version(self):
        """Protocol version of the message: "1.0", "1.1" or "2"."""
        return "1.1" if self.version == 11 else "1.0" if self.version == 10 else "2"

    @property
    def route(self):
        """Pattern of the route that matched, such as "/orders/{id}", or None."""
        return None if self.entry is None else self.entry.pattern

    @property
    def request_id(self):
        """Id of the request: the client's X-Request-ID when it is 1 to 128 visible ASCII characters, else a new one."""
        if self._id is None:
            self._id = kept_or_new(self.field(b"x-request-id", 12))
        return self._id

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
        return self.body().decode(charset_of(self.header("content-type")))

    def json(self):
        """Return the content parsed as JSON (RFC 8259). Raises ValueError when it is not JSON."""
        return _json.loads(self.body())

    def stream(self):
        """Return an async iterator over the content, as it arrives; for routes with `stream=True`.

        Raises:
            RuntimeError: the route buffers; use body().
        """
        if self.stream_source is None:
            raise RuntimeError("stream() is for routes with stream=True; this one has body()")
        return self.stream_source
