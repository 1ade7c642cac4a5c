"""Absolute URLs, what they are joined with, and query strings."""

cimport cython


@cython.final
cdef class Url:
    cdef readonly bytes scheme      # b"http" or b"https"
    cdef readonly str host          # ASCII, lower case; an IPv6 address without its brackets
    cdef readonly int port          # 1 to 65535; the scheme's own when the URL names none
    cdef readonly bytes authority   # for Host: host[:port], the scheme's own port left out
    cdef readonly bytes target      # path and query in origin form; begins with "/"
    cdef bytes prefix               # path without the "/" at its end, which joined paths follow

    cpdef bytes join(self, str path)
    cpdef str text(self, bytes target)


cpdef Url parse_url(str text, object encode_host=?)
cpdef str shown_url(str text)
cpdef bytes encode_query(object params)
cdef bytes add_query(bytes target, bytes query)
cdef bint is_absolute(str path)
