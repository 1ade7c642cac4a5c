"""A door for tests to an HTTP/2 connection as a client."""

cimport cython

from siphon_http.protocol.http2_client cimport Http2ClientConnection


@cython.final
cdef class Http2ClientDriver:
    cdef readonly Http2ClientConnection connection      # what is driven
