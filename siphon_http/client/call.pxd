"""One call of a client: from the request to its answer, over as many exchanges as that takes."""

cimport cython

from siphon_http._core.deadlines cimport Deadline
from siphon_http.client.awaited cimport AwaitedAnswer
from siphon_http.client.carrier cimport Carrier
from siphon_http.client.connection cimport ClientConnection, ConnectionOwner
from siphon_http.client.outgoing cimport Outgoing
from siphon_http.client.request cimport ClientRequest


cdef enum:
    REFUSALS = 8            # so often may an HTTP/2 server refuse one request: GOAWAY, REFUSED_STREAM


@cython.final
cdef class CallDeadline(Deadline):
    cdef Call owner                        # None once the call has ended


@cython.final
cdef class Call(AwaitedAnswer):
    cdef readonly ClientRequest request    # what the script asked for
    cdef object transport                  # the client's PoolTransport
    cdef Carrier carrier                   # the pool on the loop that it is awaited on; None before
    cdef CallDeadline deadline             # its place among the loop's deadlines
    cdef ConnectionOwner origin            # the pool's place for where it goes
    cdef ClientConnection connection       # that carries the exchange under way; None when there is none
    cdef long exchange                     # its number there

    # the request
    cdef Outgoing outgoing                 # as it goes out
    cdef object upload                     # Task that sends the pieces of an iterator, or None
    cdef object context                    # context of the caller, for that iterator; None when the body is no iterator
    cdef object request_id                 # of the request that the caller answers, or None
    cdef int redirected                    # redirects so far
    cdef int attempt                       # tries so far, from 1, without replays
    cdef int replays                       # how often it was sent again because nothing of it had been processed
    cdef bint fresh                        # must go over a connection that nothing has used before
    cdef bint discards                     # content of this answer is nobody's: the request goes on elsewhere
    cdef object following                  # redirect.NextRequest that comes when this answer has ended, or None
    cdef double pause                      # seconds to wait before the next attempt; below 0 = there is none

    # the answer
    cdef int status                        # of the final answer; 0 before its head
    cdef bytes head                        # holds its field lines
    cdef Py_ssize_t head_fields            # first byte of these
    cdef Py_ssize_t head_end               # one past them
    cdef Py_ssize_t size                   # content received so far, bytes
    cdef object decoder                    # decode.ContentDecoder, or None
    cdef bint looked                       # Content-Encoding was looked at
    cdef bint ended                        # all content has arrived

    # time
    cdef double due                        # end of the whole call, seconds on the coarse clock
    cdef double phase_due                  # end of its phase; 0 = none
    cdef Py_ssize_t unsent                 # bytes that waited when that was last looked at; -1 = all sent
    cdef Py_ssize_t handed                 # bytes of a streamed body that the connection was given
    cdef Py_ssize_t moved                  # `handed` less all that waits, of that look: it grows while the server takes some
    cdef long long heard                   # what had come for the exchange at the last `_watch` (see ClientProtocol)

    cdef int begin_on(self, ClientConnection connection) except -1
    cdef int failed(self, object kind, str reason, bint may_retry) except -1
    cdef int expired(self, double now) except -1

    cdef int _watch(self, double now) except -1
    cdef int _stalled(self, double now) except -1
    cdef int _begin_again(self, double delay, bint fresh) except -1
    cdef int _judge_head(self) except -1
    cdef int _go_on(self) except -1
    cdef int _look_at_coding(self) except -1
    cdef int _deliver(self) except -1
    cdef int _fail(self, object error) except -1
    cdef int _close(self) except -1
    cdef int _leave_exchange(self) except -1
    cdef bint _is_replayable(self) noexcept
