"""Client side of one HTTP/1.1 connection."""

cimport cython

from siphon_http.protocol.answer cimport Answer, ClientProtocol, Link
from siphon_http.protocol.answer_head cimport AnswerHead
from siphon_http.protocol.chunks cimport ChunkScan


# GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110, 9.2.2).
cdef bint is_idempotent(bytes method) except -1


cpdef enum Http1ClientState:
    IDLE = 0                # nothing is asked; RFC 9112, 9.3
    WAITING = 1             # a request is sent, or being sent; no head of its final answer yet
    READING = 2             # content of the answer arrives
    CLOSED = 3              # nothing more will be asked


@cython.final
cdef class Http1ClientConnection(ClientProtocol):
    cdef Link link                    # the owner
    cdef Answer answer                # caller of the exchange under way, or NoAnswer
    cdef readonly Http1ClientState state  # see above
    cdef object parser                # httptools.HttpResponseParser, holding our two callbacks
    cdef object feed                  # its bound feed_data
    cdef bytes pending                # part of a head, or None
    cdef bytes piece                  # content that on_body gave first since the last delivery, or None
    cdef list pieces                  # further content since then, or None
    cdef AnswerHead head              # of the answer under way; valid while READING
    cdef ChunkScan chunks             # where in its chunks the content is; valid while READING chunks
    cdef long number                  # of the exchange under way, or the last one
    cdef Py_ssize_t max_header_bytes  # limit of the head of an answer
    cdef int max_headers              # limit of its field lines
    cdef int interim                  # interim answers to this request so far
    cdef long long left               # content bytes to come, by Content-Length
    cdef long long unsent             # bytes of declared content still to be sent; -1 = in chunks
    cdef Py_ssize_t untaken           # content given to the caller and not taken yet
    cdef readonly int keep_seconds    # what the server says it keeps an idle connection for; -1 = nothing
    cdef bint is_head                 # the request is HEAD
    cdef bint may_repeat              # the method is idempotent (RFC 9110, 9.2.2)
    cdef bint sending                 # streamed content of the request is not all sent
    cdef bint complete                # httptools has seen the end of the message
    cdef bint keeps                   # the connection lasts after this exchange
    cdef long long heard              # reads since the request began
    cdef bint closing                 # no further exchange may begin
    cdef bint held                    # the owner was asked to stop reading
    cdef bint to_end                  # content ends with the connection
    cdef bint judging                 # what is fed is an interim answer: callbacks are not heeded

    cdef int _waiting(self, bytes data) except -1
    cdef Py_ssize_t _final(self, bytes data, Py_ssize_t at) except -1
    cdef int _interim_answer(self, bytes data, Py_ssize_t at) except -1
    cdef Py_ssize_t _content(self, bytes data, Py_ssize_t at) except -1
    cdef bint _feed(self, bytes data) except -1
    cdef int _deliver(self, Py_ssize_t rest) except -1
    cdef int _fail(self, int failure, str reason, bint unprocessed=?) except -1
    cdef int _end(self) except -1
    cdef int _close(self) except -1
    cdef int _forget(self) except -1
