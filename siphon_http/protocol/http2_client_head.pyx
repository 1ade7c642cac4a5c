"""Heads of HTTP/2 as a client has them: the decoder of answers, and a request's fields for h2 (RFC 9113, 8.2 and 8.3)."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from h2.config import H2Configuration
from h2.exceptions import DenialOfServiceError
from h2.settings import SettingCodes, Settings
from hpack import NeverIndexedHeaderTuple

from siphon_http._core.header_block cimport (
    BLOCK_ANSWER, BLOCK_BROKEN, BLOCK_DONE, BLOCK_TRAILERS, K_COOKIE, K_FORBIDDEN, K_HOST, K_LENGTH, K_TE, HeaderBlock,
    field_kind,
)
from siphon_http._core.hpack cimport Decoder
from siphon_http.protocol.http2_head import CompressionError
from siphon_http.protocol.http2_judge import Judge

__all__ = ["AnswerDecoder"]

cdef frozenset IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", b"QUERY"))
# Values that must not become guessable by their compression (RFC 7541, 7.1.3).
cdef frozenset SECRET = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
cdef int INITIAL_WINDOW = 65535     # what the connection begins with; no setting changes it (RFC 9113, 6.9.2)


@cython.final
cdef class AnswerDecoder:
    """What field blocks are decoded with, by us and by h2: it keeps the fields for us.

    h2 learns only whether the answer is an interim one, so it makes no check whose failure would end the whole
    connection; the compression state, which all streams share, stays in one place.
    """

    def __cinit__(self, Decoder decoder not None):
        self.decoder = decoder
        self.block = HeaderBlock.__new__(HeaderBlock)

    def decode(self, bytes data not None, raw=False):
        """Decode one block, whole; return what h2 has to know of it. Raises h2's errors."""
        if self.read(<const unsigned char*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) == BLOCK_BROKEN:
            raise CompressionError(self.block.reason.decode("ascii"))
        if self.is_bomb():
            raise DenialOfServiceError("the field section is far too large")
        if self.trailers:
            return []
        interim = self.block.result == BLOCK_DONE and self.block.status < 200
        return [(b":status", b"100" if interim else b"200")]

    cdef int read(self, const unsigned char* data, Py_ssize_t size) except -1:
        """Decode the block of an answer; return the BlockResult."""
        return self.decoder.decode_block(data, size, self.block, BLOCK_TRAILERS if self.trailers else BLOCK_ANSWER)

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


cdef bint is_idempotent(bytes method):
    """Tell whether `method` may be repeated; see the header file."""
    return method in IDEMPOTENT


cdef list request_fields(bytes method, bytes scheme, bytes authority, bytes target, bytes fields, long long length):
    """Return the fields of a request as pairs, those of a connection left out (RFC 9113, 8.2.2)."""
    cdef list out = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", target)]
    cdef bytes line, name, value
    cdef unsigned int kind
    for line in fields.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.lstrip(b" ")
        kind = field_kind(<const unsigned char*> PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        if not name or kind == K_FORBIDDEN or kind == K_LENGTH or kind == K_HOST or kind == K_TE and value != b"trailers":
            continue
        out.append(NeverIndexedHeaderTuple(name, value) if name in SECRET else (name, value))
    if length >= 0:
        out.append((b"content-length", b"%d" % length))
    return out


cdef object new_client_judge(Py_ssize_t max_header_bytes, int window, long long whole_window, AnswerDecoder decoder):
    """Return an h2 connection as a client; see the header file. It checks no fields: AnswerDecoder has them."""
    connection = Judge(H2Configuration(
        client_side=True, header_encoding=None, validate_inbound_headers=False, normalize_inbound_headers=False,
        validate_outbound_headers=False, normalize_outbound_headers=False))
    connection.decoder = decoder
    connection.local_settings = Settings(client=True, initial_values={
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.MAX_HEADER_LIST_SIZE: max_header_bytes,
        SettingCodes.INITIAL_WINDOW_SIZE: window,
    })
    connection.initiate_connection()
    connection.local_settings.acknowledge()
    if whole_window > INITIAL_WINDOW:
        connection.increment_flow_control_window(whole_window - INITIAL_WINDOW)
    return connection
