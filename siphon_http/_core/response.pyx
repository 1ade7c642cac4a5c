"""Response as scripts see it: what a handler returns, and what a client receives.

It checks what it is given where the author sees it: in the handler. What a client has received is lazy: fields are read
from the received bytes when somebody asks.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.dict cimport PyDict_Next, PyDict_Size
from cpython.list cimport PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.ref cimport Py_INCREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr

import json as _json
from collections.abc import AsyncIterable, Iterable, Mapping

from siphon_http.errors import HttpStatusError

from siphon_http._core.headers cimport (
    Headers, PyList_GET_ITEM, PyUnicode_GET_LENGTH, check_name, check_value, is_clean_value,
)

__all__ = ["OnePiece", "Response", "answer_405"]


cdef str charset_of(content_type):
    """Return the charset that a Content-Type names and Python knows, else UTF-8."""
    if not content_type or "charset" not in content_type.lower():
        return "utf-8"
    from email.message import Message  # only here: it is slow to import and seldom needed

    import codecs

    message = Message()
    message["content-type"] = content_type
    charset = message.get_content_charset("utf-8")
    try:
        # The peer has chosen it: it may be anything, or one of Python's codecs that make no text.
        return charset if codecs.lookup(charset)._is_text_encoding and charset != "undefined" else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"


@cython.final
@cython.freelist(64)
cdef class Response:
    """An answer: what a handler returns.

    status: 200 to 599. headers: dict of str to str or list of str, list of pairs, or Headers. body: bytes, bytearray,
    memoryview, str (sent as UTF-8), None, or an (async) iterator of bytes, which is streamed.

    One that `http.Client` has received is the same class; its fields are read from the received bytes when first asked
    for, and it has `url`, `http_version` and `timings` besides. A handler may return it as it is.

    Raises:
        TypeError, ValueError: at construction, where the author sees it.
    """

    def __cinit__(self):
        self._status = 200      # of one that was never initialised too: its status line is looked up by number
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
        self.head = None
        if self._headers is not None:
            self._headers.fields = fields
        return 0

    cdef int _read_head(self) except -1:
        """Make `fields` of a received head."""
        cdef bytes head = self.head
        if head is not None:
            self.head = None
            self.fields = field_list(PyBytes_AS_STRING(head) + self.head_fields, self.head_end - self.head_fields)
            if self.received is not None and self.received.decoded:
                _drop(self.fields, ("content-encoding", "content-length"))
        return 0

    cdef int _make_forwardable(self) except -1:
        """Drop what concerned the connection that it came over (RFC 9110, 7.6.1), once."""
        cdef list named = []
        if self.fields is None:
            return 0
        for i in range(0, len(self.fields), 2):
            if self.fields[i] == "connection":
                named += [token.strip().lower() for token in self.fields[i + 1].split(",")]
        _drop(self.fields, (*HOP_BY_HOP, *named))
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
            self._read_head()
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
        self._read_head()
        return None if self.fields is None else self.headers.get(name)

    def header_list(self, name):
        """Return all values of a repeated field, in order, as a list of str."""
        self._read_head()
        return [] if self.fields is None else self.headers.getlist(name)

    @property
    def text(self):
        """Content as str, by the charset of Content-Type, else UTF-8."""
        return _whole(self).decode(charset_of(self.header("content-type")))

    def json(self):
        """Return the content parsed as JSON (RFC 8259). Raises ValueError when it is not JSON."""
        return _json.loads(_whole(self))

    def raise_for_status(self):
        """Return self, or raise HttpStatusError for 400 and above."""
        if self._status >= 400:
            error = HttpStatusError(self._status, b"" if self.streams else self.body)
            if self.received is not None:
                from siphon_http._core.url import shown_url  # only scripts that call out have it

                error.method, error.url = self.received.method, shown_url(self.received.url)
            raise error
        return self

    @property
    def url(self):
        """URL that a client's answer came from, after redirects; None for a script's own."""
        return None if self.received is None else self.received.url

    @property
    def http_version(self):
        """Protocol version of a client's answer: "1.0", "1.1" or "2"; None for a script's own."""
        return None if self.received is None else self.received.http_version

    @property
    def timings(self):
        """Milliseconds that the phases of a client's exchange took, a dict of str to float; {} for a script's own.

        total; pool: until there was a connection; dns, connect, tls: of a connection made for it; wait: from the
        request to the head of the answer; read: of its content.
        """
        return {} if self.received is None else self.received.timings()

    def stream(self):
        """Return an async iterator over the content in pieces, for answers asked for with `stream=True`.

        Of content that is whole it yields one piece. Raises RuntimeError: the response is a script's own stream.
        """
        if self.streams and self.received is not None:
            return self.content
        if self.streams:
            raise RuntimeError("stream() is for what http.Client received; this body is an iterator of its own: .body")
        return _one_piece(self.body)

    async def read(self):
        """Return the whole content, reading what is left of a stream; it is `body` from then on."""
        if self.streams and self.received is not None:
            pieces = []
            async for piece in self.content:
                pieces.append(piece)
            self.content = b"".join(pieces)
            self.streams = False
        return _whole(self)

    async def close(self):
        """Leave what is not read of a streamed answer; its connection ends unless all of it has come."""
        if self.streams and self.received is not None:
            self.content.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, traceback):
        await self.close()

    cdef bint has_framing(self) noexcept:
        """Tell whether a field may frame the message, or the answer was a client's; if not, `check_framing` is not needed."""
        cdef Py_ssize_t i, size
        self.declared = -1
        self.closes = False
        if self.received is not None:
            return True
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
        if self.received is not None:
            self._read_head()
            self._make_forwardable()
        if self.fields is None:
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


cdef list field_list(const char* block, Py_ssize_t length):
    """Return the lines of an accepted field section in order: lower-case name, value, name, value, ..."""
    cdef const char* at = block
    cdef const char* end = block + length
    cdef const char* stop
    cdef const char* colon
    cdef list out = []
    while at < end:
        stop = <const char*> memchr(at, c"\n", end - at)
        colon = <const char*> memchr(at, c":", end - at)
        if stop == NULL or colon == NULL or colon > stop:
            break
        out.append(PyUnicode_DecodeLatin1(at, colon - at, NULL).lower())
        out.append(PyUnicode_DecodeLatin1(colon + 1, stop - colon - 1, NULL).strip(" \t\r"))
        at = stop + 1
    return out


cdef tuple HOP_BY_HOP = (
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer",
    "proxy-authenticate",
)


cdef int _drop(list fields, tuple names) except -1:
    """Remove the fields of these names from a flat list."""
    cdef Py_ssize_t i
    for i in range(len(fields) - 2, -1, -2):
        if fields[i] in names:
            del fields[i:i + 2]
    return 0


@cython.final
cdef class OnePiece:
    """An async iterator over content that is whole."""

    cdef bytes content      # what is still to be given, or b""

    def __aiter__(self):
        return self

    async def __anext__(self):
        cdef bytes content = self.content
        if not content:
            raise StopAsyncIteration
        self.content = b""
        return content


cdef OnePiece _one_piece(bytes content):
    cdef OnePiece out = OnePiece.__new__(OnePiece)
    out.content = content
    return out


cdef Response received_response(int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, object received):
    """Return the answer that a client has received; see the header file."""
    cdef Response response = Response.__new__(Response)
    response._status = status
    response.head = head
    response.head_fields = fields
    response.head_end = fields_end
    response.received = received
    return response


cdef bytes _whole(Response response):
    if response.streams:
        raise RuntimeError("the body is streamed: `await response.read()`, or iterate over response.stream()")
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
