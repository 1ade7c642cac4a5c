"""Access log of one listener: lines are made in C and leave in batches."""

cimport cython
from libc.stdint cimport int64_t
from libc.time cimport time_t

from siphon_http._core.message cimport Request


@cython.final
cdef class AccessLog:
    cdef object emit                # callable(text): takes whole lines, each with its newline
    cdef object call_later          # callable(seconds, function): of the loop
    cdef object timer               # handle of the flush that is due, or None
    cdef bint json                  # values are escaped for JSON, else as C strings
    cdef bint combined              # time as the Combined Log Format has it, else ISO 8601
    cdef list texts                 # of each part: the literal, or the name of a header field, as bytes
    cdef bytes kinds                # of each part: one of Part
    cdef bytes listener             # its address
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
    cdef int _value(self, int kind, bytes name, Request request, str client, int status, int64_t took) except -1
    cdef int _of_request(self, int kind, bytes name, Request request) except -1
