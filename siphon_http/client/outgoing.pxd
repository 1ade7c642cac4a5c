"""A request as it goes out."""

cimport cython

from siphon_http._core.url cimport Url
from siphon_http.client.carrier cimport Settings
from siphon_http.client.request cimport ClientRequest


cdef struct RequestFields:
    bint has_host           # `host` of the script takes the place of the URL's
    bint has_length         # it gave a Content-Length:
    long long length        # ... this one


cdef bytes request_fields(object headers, bint is_json, object request_id, RequestFields* found, list host)


@cython.final
cdef class Outgoing:
    cdef Url url                           # scheme and authority of where it goes
    cdef bytes method                      # ASCII
    cdef bytes authority                   # for Host
    cdef bytes target                      # origin form
    cdef bytes fields                      # checked lines, see ClientProtocol.begin
    cdef object body                       # bytes, None, or an iterator
    cdef long long length                  # see ClientProtocol.begin
    cdef bint may_repeat                   # idempotent, and of which the body can be sent again
    cdef bint consumed                     # the body was an iterator, and has been asked for pieces

    cdef int prepare(self, ClientRequest request, Settings settings, object request_id) except -1
    cdef int _locate(self, ClientRequest request, Url base) except -1
    cdef int _write(self, ClientRequest request, object request_id) except -1
    cdef str shown_url(self, ClientRequest request)


# The URL that a request went to. Raises AttributeError: it is None, or was not prepared.
cdef str whole_url(Outgoing outgoing)
