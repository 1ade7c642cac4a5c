"""Header fields: lookup in a received block, checks, and the serialised head of an answer."""

cimport cython
from libc.time cimport time_t


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

    cdef char* room(self, Py_ssize_t size) except NULL
    cdef int add(self, const char* data, Py_ssize_t size) except -1
    cdef int head(self, int status, list fields, Py_ssize_t length, int flags) except -1
    cdef bytes take(self)
