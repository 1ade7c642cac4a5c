"""Content of an answer, in pieces."""

cimport cython

from siphon_http.client.call cimport Call


@cython.final
cdef class ContentReader:
    cdef Call call          # whose content it is
    cdef object decoded     # iterator over decoded pieces of what has come, or None
    cdef bint is_closed     # left, or read to its end
    cdef bint is_waiting    # a task waits for a piece
