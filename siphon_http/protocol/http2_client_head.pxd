"""Heads of HTTP/2 as a client has them: the decoder of answers, and a request's fields for h2."""

cimport cython

from siphon_http._core.header_block cimport HeaderBlock
from siphon_http._core.hpack cimport Decoder


@cython.final
cdef class AnswerDecoder:
    cdef readonly Decoder decoder   # holds the dynamic table
    cdef HeaderBlock block          # what was decoded last
    cdef bint trailers              # the next block has trailers

    # Decode the block of an answer, data[0:size], whole; return the BlockResult.
    cdef int read(self, const unsigned char* data, Py_ssize_t size) except -1
    cdef bint is_bomb(self)


# The fields of a request for h2. fields: lines as of ClientProtocol.begin; length: content-length, -1: none is told.
cdef list request_fields(bytes method, bytes scheme, bytes authority, bytes target, bytes fields, long long length)
# An h2 connection as a client that has its first frames to send, and reads field blocks with `decoder`.
cdef object new_client_judge(Py_ssize_t max_header_bytes, int window, long long whole_window, AnswerDecoder decoder)
# Whether a method may be repeated without harm when it is not known what came of it (RFC 9110, 9.2.2).
cdef bint is_idempotent(bytes method)
