"""Heads of HTTP/2 messages: from decoded fields to a Request, from a Response to fields (RFC 9113, 8.2 and 8.3).

The fields are judged by HeaderBlock, for streams of h2 and hot ones alike. h2 is not asked: inside its `receive_data`
one malformed request would end the connection with all its other streams.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp

from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, ProtocolError
from hpack import NeverIndexedHeaderTuple

from siphon_http._core.ascii cimport is_digit, is_reg_name
from siphon_http._core.header_block cimport (
    BLOCK_BROKEN, BLOCK_DONE, BLOCK_MALFORMED, BLOCK_REQUEST, BLOCK_TRAILERS, HeaderBlock,
)
from siphon_http._core.headers cimport check_name, check_value
from siphon_http._core.hpack cimport Decoder
from siphon_http._core.message cimport Request, Response

__all__ = ["CompressionError", "FieldDecoder", "read_request"]

# Fields of a connection, which HTTP/2 has no use for (RFC 9113, 8.2.2), and Content-Length, which we write ourselves.
cdef frozenset DROPPED = frozenset((
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding",
    "upgrade",
))
# Values that must not become guessable by their compression (RFC 7541, 7.1.3).
cdef frozenset SECRET = frozenset(("authorization", "proxy-authorization", "set-cookie"))

cdef str GET = "GET"
cdef str POST = "POST"


class CompressionError(ProtocolError):
    """A field block cannot be decoded: the connection ends (RFC 9113, 4.3)."""

    error_code = ErrorCodes.COMPRESSION_ERROR


@cython.final
cdef class FieldDecoder:
    """What field blocks are decoded with, by us and by h2: it keeps the fields for us, and hands h2 none.

    So h2 makes no check whose failure would end the whole connection; the compression state, which all streams share,
    stays in one place.
    """

    def __cinit__(self, Decoder decoder not None):
        self.decoder = decoder
        self.block = HeaderBlock.__new__(HeaderBlock)

    def decode(self, bytes data not None, raw=False):
        """Decode one block, whole, and return an empty list. Raises h2's errors."""
        cdef int kind = BLOCK_TRAILERS if self.trailers else BLOCK_REQUEST
        if self.decoder.decode_block(<const unsigned char*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
                                     self.block, kind) == BLOCK_BROKEN:
            raise CompressionError(self.block.reason.decode("ascii"))
        if self.is_bomb():
            raise DenialOfServiceError("the field section is far too large")
        return []

    cdef int read(self, const unsigned char* data, Py_ssize_t size) except -1:
        """Decode the block of a request, whole; return the BlockResult."""
        return self.decoder.decode_block(data, size, self.block, BLOCK_REQUEST)

    cdef bint is_bomb(self):
        """Tell whether the block was so far beyond the limit that it is no mistake."""
        return self.block.list_size > 2 * self.decoder.max_header_list_size

    @property
    def header_table_size(self):
        """Size of the dynamic table, bytes."""
        return self.decoder.header_table_size

    @header_table_size.setter
    def header_table_size(self, value):
        self.decoder.header_table_size = value

    @property
    def max_header_list_size(self):
        """Largest section accepted, bytes as RFC 9113, 6.5.2 counts; beyond twice that the connection ends."""
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


cdef bint _is_authority(const unsigned char* data, Py_ssize_t size) noexcept nogil:
    """Tell whether data[0:size] can be "host" or "host:port", without userinfo (RFC 9113, 8.3.1)."""
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


cdef inline str _method(const char* data, Py_ssize_t size):
    if size == 3 and memcmp(data, b"GET", 3) == 0:
        return GET
    if size == 4 and memcmp(data, b"POST", 4) == 0:
        return POST
    return PyUnicode_DecodeASCII(data, size, NULL)


cdef inline int _refuse(Http2Head* head, int status, const char* reason) noexcept:
    """Note why to refuse."""
    head.refusal = status
    head.reason = reason
    return 0


cdef Request build_request(HeaderBlock block, bint ended, Http2Head* head):
    """Return the Request, or None when the section is malformed.

    ended: no content follows. `head.refusal` is a status when the request is well-formed but not served.
    """
    cdef Request request
    cdef const char* data = <const char*> block.data
    head.length = -1
    head.refusal = 0
    head.reason = NULL
    if block.has_length:
        head.length = <Py_ssize_t> block.content_length
    if block.result == BLOCK_MALFORMED or block.result == BLOCK_DONE and ended and head.length > 0:
        _refuse(head, MALFORMED, b"content-length without content")
        if block.reason != NULL:
            head.reason = block.reason
        return None
    request = Request.__new__(Request)
    request.version = 20
    request.keep_alive = True
    request.has_content = not ended and head.length != 0
    request.is_complete = ended
    request.method = _method(data + block.method, block.method_end - block.method)
    request.is_head = block.method_end - block.method == 4 and memcmp(data + block.method, b"HEAD", 4) == 0
    if block.result != BLOCK_DONE:
        request.head = b""
        _refuse(head, 414 if block.long_target else 431, block.reason)
        return request
    request.head = block.head()
    request.target = request.path = block.target
    request.target_end = request.query_end = block.target_end
    request.path_end = block.path_end
    request.query = block.query
    request.authority = block.authority
    request.authority_end = block.authority_end
    request.fields = block.fields
    request.fields_end = block.size
    request.expects = block.expects and not ended
    _judge(block, head)
    return request


cdef inline int _judge(HeaderBlock block, Http2Head* head) noexcept:
    """Note why a well-formed request is not served, if it is not."""
    cdef Py_ssize_t begin = block.host
    cdef Py_ssize_t end = block.host_end
    if block.has_authority():
        begin, end = block.authority, block.authority_end
    if block.bad_expect:
        return _refuse(head, 417, b"expectation failed")
    if block.target == block.target_end:
        return _refuse(head, 501, b"CONNECT is not implemented")
    if block.bad_target:
        return _refuse(head, 400, b"the target has a character that it must not have")
    if not _is_authority(block.data + begin, end - begin):
        return _refuse(head, 400, b"the authority is malformed")
    return 0


cdef bytes answer_content(Response response, bint is_head, Py_ssize_t* length):
    """Return what is sent of an answer's content (RFC 9110, 6.4.1); see the header file."""
    cdef bytes content = <bytes> response.content
    cdef int status = response._status
    length[0] = 0 if content is None else PyBytes_GET_SIZE(content)
    if status == 204 or status == 304:
        length[0] = -1
        return None
    if status == 205:
        length[0] = 0
    elif is_head and length[0] == 0 and response.declared > 0:
        length[0] = response.declared
    return None if is_head or length[0] == 0 else content


cdef list answer_fields(int status, list fields, Py_ssize_t length, bytes date):
    """Return the fields of an answer; names and values are checked again, h2 would send a line end as it is."""
    cdef list out = [(b":status", b"%d" % status)]
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
    cdef HeaderBlock block = HeaderBlock()
    cdef Request request
    block.load(list(fields), BLOCK_REQUEST, max_bytes, max_fields)
    request = build_request(block, ended, &head)
    return request, head.refusal, head.length, b"" if head.reason == NULL else <bytes> head.reason
