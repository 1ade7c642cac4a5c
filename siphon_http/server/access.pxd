"""Access log of one listener: lines are made in C and leave in batches."""

cimport cython
from libc.stdint cimport int64_t
from libc.time cimport time_t

from siphon_http._core.message cimport Request


cdef enum:
    MOST_FIELDS = 16        # header fields in one line
    MOST_PIECES = 128       # fields and texts in one line


cdef struct Piece:
    int kind                # one of Part
    int place               # of a header field: index into `wanted`
    const char* text        # of a literal
    Py_ssize_t size         # of a literal, bytes


@cython.final
cdef class AccessLog:
    cdef object emit                # callable(text): takes whole lines, each with its newline
    cdef object call_later          # callable(seconds, function): of the loop
    cdef object timer               # handle of the flush that is due, or None
    cdef bint json                  # values are escaped for JSON, else as C strings
    cdef bint combined              # time as the Combined Log Format has it, else ISO 8601
    cdef list texts                 # of each part: the literal, or the name of a header field, as bytes
    cdef Piece pieces[MOST_PIECES]  # the parts of a line, in order; literals point into `texts`
    cdef int count                  # of pieces
    cdef bytes listener             # its address
    cdef list wanted                # names of header fields that lines have, lower case
    cdef const char* values[MOST_FIELDS]     # of the request that is noted: where the wanted fields' values are, or NULL
    cdef Py_ssize_t sizes[MOST_FIELDS]       # and their sizes
    cdef char* data                 # lines that are not sent yet
    cdef Py_ssize_t size            # bytes in `data`
    cdef Py_ssize_t capacity        # of `data`
    cdef time_t second              # that `stamp` is for
    cdef bytes stamp                # time as it is written, without fractions of the ISO form

    cdef int note(self, Request request, str client, int status, int64_t nanoseconds) except -1
    cpdef flush(self)
    cdef int _room(self, Py_ssize_t more) except -1
    cdef int _add(self, const char* text, Py_ssize_t size) except -1
    cdef int _escaped(self, const char* text, Py_ssize_t size) except -1
    cdef int _text(self, object value) except -1
    cdef int _number(self, int64_t value) except -1
    cdef int _milliseconds(self, int64_t nanoseconds) except -1
    cdef int _time(self) except -1
    cdef int _url(self, const char* text, Py_ssize_t size) except -1
    cdef int _lay_out(self, object parts) except -1
    cdef int _find(self, Request request) except -1
    cdef int _note_value(self, Py_ssize_t i, const char* start, const char* end) except -1
    cdef int _field(self, int place) except -1
    cdef int _id(self, Request request, int place) except -1
    cdef int _value(self, int kind, int place, Request request, str client, int status, int64_t took) except -1
    cdef int _of_request(self, int kind, int place, Request request) except -1
