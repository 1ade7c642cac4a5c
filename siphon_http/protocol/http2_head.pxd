"""Heads of HTTP/2 messages: from decoded fields to a Request, from a Response to fields."""

cimport cython

from siphon_http._core.message cimport Request, Response


cdef enum:
    MALFORMED = -1          # RFC 9113, 8.1.1: a stream error, no answer


cdef struct Http2Head:
    Py_ssize_t length           # Content-Length, or -1
    int refusal                 # 0: none, MALFORMED, or the status to refuse with
    const char* reason          # why it is refused, ASCII, static; NULL when it is not


@cython.final
cdef class FieldDecoder:
    cdef readonly object decoder    # hpack.Decoder
    cdef readonly list fields       # of the block decoded last, (name, value) of bytes; None before the first

    cdef list take(self)


# Make the Request of a decoded field section; `head` says what came of it. Limits: bytes as RFC 9113, 6.5.2 counts
# them; field lines.
cdef Request build_request(list fields, bint ended, Py_ssize_t max_bytes, int max_fields, Http2Head* head)
# Tell whether a trailer section is well-formed.
cdef bint is_trailer_section(list fields)
# The fields of an answer for h2. length: of the content, -1: none is told; date: used unless the script set one.
cdef list answer_fields(Response response, Py_ssize_t length, bytes date)
