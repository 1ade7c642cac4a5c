"""Heads of HTTP/2 messages: from decoded fields to a Request, from a Response to fields (RFC 9113, 8.2 and 8.3).

h2 judges the fields with its own rules; what it lets through is looked at here: field names that are no tokens, control
characters, Content-Length, the target and the authority. h2 is asked by us and not inside its `receive_data`, where one
malformed request would end the connection with all its other streams.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcmp, memset

from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, validate_headers
from hpack import NeverIndexedHeaderTuple

from siphon_http._core.ascii cimport is_digit, is_field_vchar, is_reg_name, is_target, is_token, to_lower
from siphon_http._core.headers cimport check_name, check_value
from siphon_http._core.message cimport Request, Response

__all__ = ["FieldDecoder", "read_request"]

cdef Py_ssize_t FIELD_OVERHEAD = 32     # what each field counts beside its bytes (RFC 9113, 6.5.2)
cdef int LENGTH_DIGITS = 18             # of a Content-Length that fits

cdef object REQUEST_FLAGS = HeaderValidationFlags(False, False, False, False)
cdef object TRAILER_FLAGS = HeaderValidationFlags(False, True, False, False)

# Fields of a connection, which HTTP/2 has no use for (RFC 9113, 8.2.2), and Content-Length, which we write ourselves.
cdef frozenset DROPPED = frozenset((
    "connection", "content-length", "http2-settings", "keep-alive", "proxy-connection", "te", "transfer-encoding",
    "upgrade",
))
# Values that must not become guessable by their compression (RFC 7541, 7.1.3).
cdef frozenset SECRET = frozenset(("authorization", "proxy-authorization", "set-cookie"))

cdef str GET = "GET"
cdef str POST = "POST"


@cython.final
cdef class FieldDecoder:
    """What h2 decodes field blocks with: it keeps the fields for us, and hands h2 none.

    decoder: hpack.Decoder, or another with its interface. So h2 makes no check whose failure would end the whole
    connection; the compression state, which all streams share, stays in one place.
    """

    def __init__(self, decoder):
        self.decoder = decoder

    def decode(self, data, raw=False):
        """Decode one block, whole, and return an empty list. Raises hpack's errors."""
        self.fields = self.decoder.decode(data, raw=True)
        return []

    cdef list take(self):
        """Return the fields of the block decoded last, and forget them."""
        cdef list fields = self.fields
        self.fields = None
        return fields

    @property
    def header_table_size(self):
        """Size of the dynamic table, bytes."""
        return self.decoder.header_table_size

    @header_table_size.setter
    def header_table_size(self, value):
        self.decoder.header_table_size = value

    @property
    def max_header_list_size(self):
        """Largest section decoded, bytes as RFC 9113, 6.5.2 counts; beyond it the connection ends."""
        return self.decoder.max_header_list_size

    @max_header_list_size.setter
    def max_header_list_size(self, value):
        self.decoder.max_header_list_size = value

    @property
    def max_allowed_table_size(self):
        """Largest dynamic table that the peer may choose, bytes."""
        return self.decoder.max_allowed_table_size

    @max_allowed_table_size.setter
    def max_allowed_table_size(self, value):
        self.decoder.max_allowed_table_size = value


cdef bint _is_accepted(list fields, object flags):
    """Ask h2 whether a field section is well-formed."""
    try:
        for _ in validate_headers(fields, flags):
            pass
    except ProtocolError:
        return False
    return True


cdef bint is_trailer_section(list fields):
    """Tell whether a trailer section is well-formed."""
    for name, value in fields:
        if not _is_field(<bytes> name, <bytes> value):
            return False
    return _is_accepted(fields, TRAILER_FLAGS)


cdef bint _is_field(bytes name, bytes value):
    """Tell whether a field, but no pseudo-header field, has a token for its name and no control characters."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(name)
    cdef Py_ssize_t i
    if PyBytes_GET_SIZE(name) == 0:
        return False
    for i in range(PyBytes_GET_SIZE(name)):
        if not is_token(data[i]):
            return False
    data = <const unsigned char*> PyBytes_AS_STRING(value)
    for i in range(PyBytes_GET_SIZE(value)):
        if not is_field_vchar(data[i]):
            return False
    return True


cdef bint _is_all(bytes text, int kind):
    """Tell whether every byte is a token's (0), a target's (1) or a digit (2); there must be one."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef Py_ssize_t i
    for i in range(PyBytes_GET_SIZE(text)):
        if kind == 0 and not is_token(data[i]) or kind == 1 and not is_target(data[i]) \
                or kind == 2 and not is_digit(data[i]):
            return False
    return PyBytes_GET_SIZE(text) > 0


cdef bint _is_authority(bytes text):
    """Tell whether `text` can be "host" or "host:port", without userinfo (RFC 9113, 8.3.1)."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    cdef Py_ssize_t i = 0
    if size and data[0] == c"[":
        while i < size and data[i] != c"]":
            i += 1
            if i < size and data[i] != c"]" and data[i] != c":" and not is_reg_name(data[i]):
                return False
        i += 1
        if i > size or i < 4:
            return False
    else:
        while i < size and (is_reg_name(data[i]) or data[i] == c"%"):
            i += 1
        if i == 0:
            return False
    if i == size:
        return True
    if data[i] != c":":
        return False
    for i in range(i + 1, size):
        if not is_digit(data[i]):
            return False
    return True


cdef bint _same(bytes text, const char* lower, Py_ssize_t size):
    """Compare without regard to case; `lower` is lower case."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef Py_ssize_t i
    if PyBytes_GET_SIZE(text) != size:
        return False
    for i in range(size):
        if to_lower(data[i]) != <unsigned char> lower[i]:
            return False
    return True


cdef str _method(bytes text):
    if text == b"GET":
        return GET
    if text == b"POST":
        return POST
    return PyUnicode_DecodeASCII(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), NULL)


cdef int _refuse(Http2Head* head, int status, const char* reason) noexcept:
    """Note the first reason to refuse."""
    if head.refusal == 0:
        head.refusal = status
        head.reason = reason
    return 0


cdef Request build_request(list fields, bint ended, Py_ssize_t max_bytes, int max_fields, Http2Head* head):
    """Return the Request, or None when the section is malformed.

    ended: no content follows. `head.refusal` is a status when the request is well-formed but not served.
    """
    cdef Request request
    cdef bytes name, value
    cdef bytes method = None
    cdef bytes path = None
    cdef bytes authority = None
    cdef bytes host = None
    cdef list lines = []
    cdef Py_ssize_t size = 0
    cdef bint expects = False
    memset(head, 0, sizeof(Http2Head))
    head.length = -1
    if not _is_accepted(fields, REQUEST_FLAGS):
        _refuse(head, MALFORMED, b"malformed request")
        return None
    for name, value in fields:
        size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + FIELD_OVERHEAD
        if PyBytes_AS_STRING(name)[0] == c":":
            if name == b":method":
                method = value
            elif name == b":path":
                path = value
            elif name == b":authority":
                authority = value
            elif name == b":protocol":
                _refuse(head, MALFORMED, b"extended CONNECT was not offered")
            continue
        if not _is_field(name, value):
            _refuse(head, MALFORMED, b"a field is malformed")
            return None
        if name == b"content-length":
            _read_length(value, head)
        elif name == b"host":
            host = value
        elif name == b"expect":
            if _same(value, b"100-continue", 12):
                expects = True
            else:
                _refuse(head, 417, b"expectation failed")
        lines += (name, b": ", value, b"\r\n")
    if not _is_all(method, 0) or ended and head.length > 0:
        _refuse(head, MALFORMED, b"malformed request")
    if head.refusal == MALFORMED:
        return None
    if len(lines) // 4 > max_fields or size > max_bytes:
        head.refusal = 0
        if path is not None and PyBytes_GET_SIZE(path) > max_bytes:
            _refuse(head, 414, b"uri too long")
        else:
            _refuse(head, 431, b"request header fields too large")
    request = _request(method, path or b"/", authority or b"", lines)
    request.has_content = not ended and head.length != 0
    request.is_complete = ended
    request.expects = expects and not ended
    _check_target(request, path, authority if authority is not None else host, head)
    return None if head.refusal == MALFORMED else request


cdef int _read_length(bytes value, Http2Head* head) except -1:
    """Note Content-Length; repeats must agree (RFC 9110, 8.6)."""
    if not _is_all(value, 2) or PyBytes_GET_SIZE(value) > LENGTH_DIGITS:
        return _refuse(head, MALFORMED, b"content-length is no number")
    if head.length >= 0 and head.length != int(value):
        return _refuse(head, MALFORMED, b"two content-length fields differ")
    head.length = int(value)
    return 0


cdef int _check_target(Request request, bytes path, bytes authority, Http2Head* head) except -1:
    """Refuse what is well-formed for h2, but no target of ours."""
    if request.method == "CONNECT":
        return _refuse(head, 501, b"CONNECT is not implemented")
    if not path.startswith(b"/") and not (path == b"*" and request.method == "OPTIONS"):
        return _refuse(head, MALFORMED, b"the path does not begin with a slash")
    if not _is_all(path, 1):
        return _refuse(head, 400, b"the target has a character that it must not have")
    if not _is_authority(authority):
        return _refuse(head, 400, b"the authority is malformed")
    return 0


cdef Request _request(bytes method, bytes path, bytes authority, list lines):
    """Lay out one bytes object as a head of HTTP/1 would lie, with the authority behind the target."""
    cdef Request request = Request.__new__(Request)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(path)
    cdef const char* data = PyBytes_AS_STRING(path)
    cdef const char* mark = <const char*> memchr(data, c"?", size)
    cdef Py_ssize_t path_size = size if mark == NULL else mark - data
    request.head = b"".join([method, b" ", path, b" ", authority, b"\r\n"] + lines)
    request.method = _method(method)
    request.is_head = method == b"HEAD"
    request.version = 20
    request.keep_alive = True
    request.target = PyBytes_GET_SIZE(method) + 1
    request.target_end = request.target + size
    request.path = request.target
    request.path_end = request.target + path_size
    request.query = request.path_end + (mark != NULL)
    request.query_end = request.target_end
    request.authority = request.target_end + 1
    request.authority_end = request.authority + PyBytes_GET_SIZE(authority)
    request.fields = request.authority_end + 2
    request.fields_end = PyBytes_GET_SIZE(request.head)
    return request


cdef list answer_fields(Response response, Py_ssize_t length, bytes date):
    """Return the fields of an answer; names and values are checked again, h2 would send a line end as it is."""
    cdef list fields = response.fields
    cdef list out = [(b":status", b"%d" % response._status)]
    cdef Py_ssize_t i
    cdef bint dated = False
    cdef bytes name
    cdef bytes value
    for i in range(0, 0 if fields is None else len(fields), 2):
        if fields[i] in DROPPED:
            continue
        name = check_name(fields[i]).encode("ascii")
        value = check_value(fields[i + 1]).encode("latin-1")
        if name == b"date":
            dated = True
        out.append(NeverIndexedHeaderTuple(name, value) if fields[i] in SECRET else (name, value))
    if length >= 0:
        out.append((b"content-length", b"%d" % length))
    if not dated:
        out.append((b"date", date))
    return out


def read_request(fields, ended=True, Py_ssize_t max_bytes=65536, int max_fields=128):
    """Return `(Request or None, refusal, content-length, reason)` of decoded fields. For tests.

    refusal: 0, -1 for a malformed request, or a status.
    """
    cdef Http2Head head
    cdef Request request = build_request(list(fields), ended, max_bytes, max_fields, &head)
    return request, head.refusal, head.length, b"" if head.reason == NULL else <bytes> head.reason
