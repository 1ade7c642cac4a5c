"""Response as scripts see it."""

cimport cython

from siphon_http._core.headers cimport Headers


@cython.final
cdef class Response:
    cdef int _status               # 200 to 599
    cdef list fields               # flat list of checked names and values, or None when there is none
    cdef object content            # bytes, None, or an (async) iterator
    cdef bint streams              # content is an iterator
    cdef Headers _headers          # the live view, made when asked for
    cdef bytes head                # of a client's answer: bytes that hold its fields until they are read; None then
    cdef Py_ssize_t head_fields    # first byte of the field lines in `head`
    cdef Py_ssize_t head_end       # one past the last of them
    cdef object received           # what the client knows of its answer: url, timings, ...; None for a script's own

    cdef Py_ssize_t declared       # Content-Length that the script set, -1 = none; valid after check_framing
    cdef bint closes               # the script asked for the connection to end; valid after check_framing

    cdef int check_framing(self, bint is_head) except -1
    cdef bint has_framing(self) noexcept
    cdef int _read_head(self) except -1
    cdef int _make_forwardable(self) except -1
    cdef int _set_headers(self, object headers) except -1
    cdef int _set_body(self, object body) except -1


# The answer that a client has received: head[fields:fields_end] are its field lines; received: see Response.received.
cdef Response received_response(int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, object received)
cdef Response plain_response(int status, bytes text)
cpdef Response answer_405(bytes allow, bint options)
cdef str charset_of(content_type)
