"""A door for tests to a client's connection, whatever it speaks."""

cimport cython

from siphon_http.protocol.answer cimport ClientProtocol


@cython.final
cdef class ClientDriver:
    cdef readonly ClientProtocol connection     # what is driven
