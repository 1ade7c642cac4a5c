"""Request and Response as scripts see them."""

from libc.stdint cimport int64_t

from siphon_http._core.response cimport Response, answer_405, plain_response
from siphon_http._core.traffic cimport RouteCounts


cimport cython


@cython.final
cdef class Peer:
    """Who is at the other end of a connection; one object per connection, shared by its requests."""
    cdef readonly str client       # "ip:port", "[v6]:port", "unix:" for a unix socket
    cdef readonly str scheme       # "http" or "https"
    cdef readonly object certificate   # dict of ssl.SSLSocket.getpeercert(), or None


@cython.final
cdef class Request:
    cdef bytes head                # bytes that the offsets below point into; the received bytes themselves
    cdef Py_ssize_t target         # first byte of the request target
    cdef Py_ssize_t target_end     # one past its last byte
    cdef Py_ssize_t path           # first byte of the path; inside the target
    cdef Py_ssize_t path_end       # one past the path
    cdef Py_ssize_t query          # first byte of the query; == query_end when there is none
    cdef Py_ssize_t query_end      # one past the query
    cdef Py_ssize_t authority      # authority of an absolute-form target; == authority_end when there is none
    cdef Py_ssize_t authority_end  # one past the authority
    cdef Py_ssize_t fields         # first byte of the field lines
    cdef Py_ssize_t fields_end     # one past the last field line's LF
    cdef readonly str method       # as sent
    cdef bint is_head              # method is HEAD: the answer has no content
    cdef int version               # 10, 11 or 20
    cdef bint keep_alive           # the connection may carry another request after this one
    cdef bint expects              # waits for 100 (Continue) before it sends content
    cdef bint has_content          # Content-Length above 0, or chunks
    cdef bint is_complete          # content has arrived to its end
    cdef bint bad_path             # the path has a bad escape or is not UTF-8: answered 400
    cdef bint streams              # content goes to stream(), not to body()
    cdef bint finishes             # on_disconnect="finish": not cancelled when the client leaves
    cdef int timeout_ms            # of the route; 0 = the listener's
    cdef bytes content             # whole content, or None
    cdef Peer peer                 # of the connection
    cdef str forwarded_client      # address told by a trusted proxy, or None
    cdef object leaf               # what the router found; dispatch's
    cdef object entry              # the route; dispatch's
    cdef bytes params_source       # bytes that `params` point into: head's path, or its normalised form; None = head
    cdef int params[32]            # start, end of each parameter, from the start of the path
    cdef RouteCounts counts        # numbers of its route, or None; dispatch's
    cdef int64_t began             # when its head was complete, nanoseconds on the exact clock
    cdef int status                # of its answer; 0 = none has begun
    cdef Py_ssize_t sent           # content of the answer that was handed on, bytes
    cdef Py_ssize_t received       # content that came in pieces, bytes
    cdef bint traced               # its id is sent back, and known to what its handler calls
    cdef str _id                   # its id, or None until asked for
    cdef object running            # the Task, or job, that answers it while it is suspended; dispatch's
    cdef object stream_source      # async iterator behind stream(); dispatch's
    cdef dict _path_params, _query_params, _headers, _cookies, _state  # made when first read; None until then

    cdef object field(self, const char* name, Py_ssize_t size)
    cdef list answered(self, Response response)
