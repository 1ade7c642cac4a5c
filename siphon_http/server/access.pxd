"""Access log of one listener: lines are made in C and leave in batches."""

cimport cython
from libc.stdint cimport int64_t
from libc.time cimport time_t

from siphon_http._core.message cimport Peer, Request


cdef enum:
    MOST_FIELDS = 16        # header fields in one line
    MOST_PIECES = 128       # values in one line
    STEP = 16               # texts are copied in steps of so many bytes: there is room for the last on both sides


cdef struct Piece:
    int kind                # one of Part
    int place               # of a header field: index into `fields`
    const char* text        # what goes before the value
    Py_ssize_t size         # of that, bytes


cdef struct Field:
    const char* name        # lower case
    Py_ssize_t name_size    # bytes
    const char* value       # of the request that is noted, inside its head; NULL = it has none
    Py_ssize_t size         # of the value, bytes


@cython.final
cdef class AccessLog:
    cdef object emit                # callable(text): takes whole lines, each with its newline
    cdef object call_later          # callable(seconds, function): of the loop
    cdef object timer               # handle of the flush that is due, or None
    cdef bint json                  # values are escaped for JSON, else as C strings
    cdef bint combined              # time as the Combined Log Format has it, else ISO 8601
    cdef list texts                 # what `pieces` point into: each text with STEP zeros behind it
    cdef list names                 # what `fields` point into
    cdef Piece pieces[MOST_PIECES]  # the values of a line, in order; the last has none, and ends the line
    cdef int count                  # of pieces
    cdef Field fields[MOST_FIELDS]  # the header fields that lines have
    cdef int wanted                 # how many these are
    cdef bytes listener             # its address
    cdef char* data                 # lines that are not sent yet
    cdef Py_ssize_t size            # bytes in `data`
    cdef char* end                  # of what may be written: STEP before the end of `data`
    cdef time_t second              # that `stamp` is for
    cdef bytes stamp                # time as it is written, without fractions of the ISO form; STEP zeros behind it
    cdef Py_ssize_t stamp_size      # without these

    cdef int note(self, Request request, Peer peer, int status, int64_t nanoseconds) except -1
    cpdef flush(self)
    cdef int _lay_out(self, object parts) except -1
    cdef int _want(self, bytes name) except -1
    cdef int _find(self, Request request) except -1
    cdef int _note_value(self, Field* field, const char* start, const char* end) noexcept
    # Each writes at `p` and returns where that ends; `p` itself may have moved.
    cdef char* _value(self, char* p, int kind, int place, Request request, str client, int status, int64_t took) except NULL
    cdef char* _of_request(self, char* p, int kind, int place, Request request) except NULL
    cdef char* _id(self, char* p, Request request, int place) except NULL
    cdef char* _nothing(self, char* p) except NULL
    cdef char* _text(self, char* p, str value) except NULL
    cdef char* _url(self, char* p, const char* text, Py_ssize_t size) except NULL
    cdef char* _escaped(self, char* p, const char* text, Py_ssize_t size) except NULL
    cdef char* _time(self, char* p) except NULL
    cdef char* _number(self, char* p, int64_t value) except NULL
    cdef char* _milliseconds(self, char* p, int64_t nanoseconds) except NULL
    cdef char* _grow(self, char* p, Py_ssize_t more) except NULL
