"""Answers of one HTTP/1.1 connection: what goes out."""

cimport cython

from siphon_http._core.exchange cimport Exchange
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.message cimport Request, Response
from siphon_http.protocol.sink cimport Sink


cpdef enum Http1State:
    IDLE = 0            # nothing of a message has arrived
    READING_HEAD = 1    # part of a head has arrived
    READING_BODY = 2    # the head is complete, its content is not
    RESPONDING = 3      # the message is complete, its answer is not
    CLOSED = 4


cdef enum:
    FLUSH_BYTES = 65536     # answers of one read are sent at the latest when they are this many bytes


cdef class Http1Answers(Exchange):
    cdef readonly Http1State state    # changed by `_go`, by its table; any state may become CLOSED
    cdef Sink sink                    # owner; one that does nothing once detached
    cdef OutBuffer out                # shared by all connections of the loop
    cdef Request current              # request whose exchange is not over, or None
    cdef bint answered                # a head for `current` is written; its body may still be on its way
    cdef bint full                    # the transport takes no more; nothing new is begun
    cdef bint ended                   # the peer has sent its last byte (half-closed)
    cdef bint pumping                 # `pump` is on the stack
    cdef list wakers                  # who waits for content or room, or None
    cdef int framing                  # of a streamed answer: how its body is delimited
    cdef bint keeps                   # of a streamed answer: its head says that the connection goes on

    @cython.final
    cdef int flush(self) except -1
    @cython.final
    cdef int _own(self) except -1
    @cython.final
    cdef int _write_head(self, Request request, Response response, Py_ssize_t length, int flags) except -1
    @cython.final
    cdef int _write_refusal(self, Request request, Response response, bytes begun) except -1
    @cython.final
    cdef int _shut(self, bint linger) except -1
    @cython.final
    cdef int _end(self, bint abort, bint linger) except -1
    @cython.final
    cdef int _wake(self) except -1
    # The receiving side says:
    cdef bint _keeps(self, Request request, Response response)
    cdef int _finish(self, bint keep) except -1
    cdef int _forget(self) except -1
