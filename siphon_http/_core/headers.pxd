"""Header fields: lookup in a received block, checks, and the serialised head of an answer."""

cimport cython
from cpython.ref cimport PyObject
from libc.string cimport memcpy
from libc.time cimport time_t

from siphon_http._core.ascii cimport is_field_value


cdef extern from "Python.h":
    # Borrowed, and unchecked: for lists of str that are ours.
    int PyUnicode_KIND(PyObject* text) noexcept
    void* PyUnicode_DATA(PyObject* text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text) noexcept
    PyObject* PyList_GET_ITEM(list items, Py_ssize_t i) noexcept


cdef enum HeadFlags:
    HEAD_CLOSE = 1          # announce that the connection ends (RFC 9112, 9.6)
    HEAD_KEEP_ALIVE = 2     # HTTP/1.0 peer that asked for persistence
    HEAD_CHUNKED = 4        # the body follows in chunks
    HEAD_NO_LENGTH = 8      # neither content-length nor chunks: 1xx, 204, 304, or ended by close


# Value of the field `name` (lower case, ASCII, `size` bytes) in a block of "name: value CRLF" lines; repeats are joined
# with ", " ("; " for cookie). None when there is none. Reads block[0:length].
cdef object find_field(const char* block, Py_ssize_t length, const char* name, Py_ssize_t size)
# All fields as a dict with lower-case keys, repeats joined as above, values decoded as latin-1.
cdef dict field_dict(const char* block, Py_ssize_t length)

cpdef str check_name(object name)      # lower-case form, or raises
cpdef str check_value(object value)    # value without outer white space, or raises


# Whether `value`, an exact str, is what check_value would return as it is.
cdef inline bint is_clean_value(PyObject* value) noexcept:
    cdef const unsigned char* data = <const unsigned char*> PyUnicode_DATA(value)
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(value)
    return PyUnicode_KIND(value) == 1 and (
        size == 0 or data[0] > 32 and data[size - 1] > 32 and is_field_value(data, size))


@cython.final
cdef class Headers:
    cdef list fields        # flat: name, value, name, value, ... checked str objects; shared with the Response


@cython.final
cdef class OutBuffer:
    """Bytes on their way out, one buffer per loop; empty between two reads."""
    cdef char* data               # malloc'd, owned
    cdef Py_ssize_t size          # bytes in use
    cdef Py_ssize_t capacity      # bytes allocated
    cdef object owner             # whose bytes lie in it; None when empty
    cdef Py_ssize_t owed          # content kept for clients that do not take it, bytes, of all connections (HTTP/2)
    cdef time_t date_second       # second that `date` is valid for
    cdef char date[37]            # "date: " IMF-fixdate CR LF

    cdef int _grow(self, Py_ssize_t wanted) except -1

    # A place for `size` more bytes; `self.size` stays.
    cdef inline char* room(self, Py_ssize_t size) except NULL:
        if self.size + size > self.capacity:
            self._grow(self.size + size)
        return self.data + self.size

    cdef inline int add(self, const char* data, Py_ssize_t size) except -1:
        memcpy(self.room(size), data, size)
        self.size += size
        return 0

    cdef int head(self, int status, list fields, Py_ssize_t length, int flags) except -1
    cdef bytes take(self)
