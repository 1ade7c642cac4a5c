"""Heads of HTTP/2 messages: from decoded fields to a Request, from a Response to fields."""

cimport cython

from siphon_http._core.header_block cimport HeaderBlock
from siphon_http._core.hpack cimport Decoder
from siphon_http._core.message cimport Request, Response


cdef enum:
    MALFORMED = -1          # RFC 9113, 8.1.1: a stream error, no answer


cdef struct Http2Head:
    Py_ssize_t length           # Content-Length, or -1
    int refusal                 # 0: none, MALFORMED, or the status to refuse with
    const char* reason          # why it is refused, ASCII, static; NULL when it is not


@cython.final
cdef class FieldDecoder:
    cdef readonly Decoder decoder   # holds the dynamic table
    cdef HeaderBlock block          # what was decoded last
    cdef bint trailers              # the next block that h2 decodes has trailers, or is for a stream that is over

    cdef int read(self, const unsigned char* data, Py_ssize_t size) except -1
    cdef bint is_bomb(self)


# Make the Request of a decoded field section; `head` says what came of it.
cdef Request build_request(HeaderBlock block, bint ended, Http2Head* head)
# The fields of an answer for h2. length: of the content, -1: none is told; date: used unless the script set one.
cdef list answer_fields(int status, list fields, Py_ssize_t length, bytes date)
# What is sent of an answer's content, or None. length: what Content-Length tells, -1: it is not told.
cdef bytes answer_content(Response response, bint is_head, Py_ssize_t* length)
