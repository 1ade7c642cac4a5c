"""Exchanges of one HTTP/2 connection as a client, and what they share: windows, turns, output."""

cimport cython

from siphon_http._core.hpack_encoder cimport Encoder
from siphon_http._core.headers cimport OutBuffer
from siphon_http.protocol.answer cimport Answer, ClientProtocol, Link
from siphon_http.protocol.http2_flood cimport FloodMeter


cdef enum ClientState:
    CLIENT_OPEN = 0
    CLIENT_LEAVING = 1          # no more exchanges; it is closed when those that are open have ended
    CLIENT_CLOSED = 2


cdef enum Ended:
    ENDED_NOT = 0               # open, or never used
    ENDED_WHOLE = 1             # the peer has sent END_STREAM
    ENDED_BY_US = 2             # we have sent RST_STREAM
    ENDED_BY_PEER = 3           # the peer has sent RST_STREAM


cdef enum:
    ENDED_SEEN = 1024           # how many of the last streams it is known of how they ended


@cython.final
cdef class ClientStream:
    cdef long id                        # odd, as we chose it
    cdef Answer answer                  # the caller
    cdef bint is_gone                   # it is in no table any more
    cdef bytes method                   # of the request
    cdef unsigned long heard            # Http2ClientFlow.heard when it began
    # The request's content:
    cdef long long send_window          # that the peer gives, bytes; below 0 after a setting; h2 has its own
    cdef long long declared             # content-length still to come by `send`, or -1
    cdef bytes piece                    # the piece that is being sent, or None
    cdef object pieces                  # deque of the others, or None
    cdef Py_ssize_t offset              # bytes of `piece` that are sent
    cdef Py_ssize_t pending             # bytes that wait for window or room
    cdef bint ends                      # nothing follows the pieces
    cdef bint finished                  # END_STREAM is sent
    cdef bint is_ready                  # it is in `Http2ClientFlow.ready`
    cdef bint waits                     # the caller waits for `content_wanted`
    # The answer:
    cdef bint headed                    # its final head has arrived
    cdef bint complete                  # the peer has sent END_STREAM
    cdef bint is_empty                  # it has no content, whatever its head says: HEAD, 204, 304
    cdef int interim                    # interim heads that came before it
    cdef long long expected             # Content-Length, or -1
    cdef long long received             # bytes of content that have arrived
    cdef long long receive_window       # bytes that the peer may still send
    cdef Py_ssize_t credit              # bytes that were taken, and not given back yet

    cdef int _append(self, bytes data) except -1
    cdef int _take(self, char* to, Py_ssize_t size) except -1


cdef class Http2ClientFlow(ClientProtocol):
    cdef readonly bint through_h2       # h2 sees every frame, and sends them
    cdef object connection              # h2.connection.H2Connection: judges what is not of a stream, or is misshapen
    cdef Link link                      # owner; not called once the state is CLIENT_CLOSED
    cdef OutBuffer out                  # frames that are not written yet
    cdef Encoder encoder                # of the heads of requests; h2 has its own
    cdef int state                      # ClientState
    cdef dict streams                   # streams that are open: id -> ClientStream
    cdef ClientStream last              # the one of them that was looked up last, or None
    cdef unsigned char[1024] ended      # Ended of stream 2n + 1 at n % ENDED_SEEN
    cdef long next_id                   # of the next stream
    cdef long long max_streams          # streams at once: our limit
    cdef long long peer_streams         # ... and the peer's
    cdef long long send_window          # of the connection, bytes; lent to h2 for each call
    cdef long long initial_window       # SETTINGS_INITIAL_WINDOW_SIZE of the peer
    cdef long long receive_limit        # our own
    cdef long long whole_limit          # largest receive window of the connection
    cdef long long whole_window         # bytes that the peer may still send, of all streams
    cdef object ready                   # deque of streams with content to send, in the order of their turns
    cdef bint pumping                   # input or output is under way; it ends with a flush
    cdef bint corked                    # the owner will flush
    cdef bint full                      # the transport takes no more
    cdef bint room_moved                # the owner has to be told that `room()` has changed
    cdef unsigned long heard            # how often something was received
    cdef str farewell                   # the error that the peer's GOAWAY has named, with what it said to it; or None
    cdef FloodMeter meter               # what the peer did that costs us more than itself
    cdef double reads                   # the meter's time: some for each read, whatever a clock says

    # For the owner, beside ClientProtocol:
    cdef int cork(self) except -1
    cdef int uncork(self) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1

    cdef ClientStream _find(self, long id)
    cdef int _settle(self) except -1
    cdef int _send(self) except -1
    cdef int _send_some(self, ClientStream stream, Py_ssize_t window) except -1
    cdef bint _sends_at_once(self, ClientStream stream, bytes content) except -1
    cdef int _send_end(self, ClientStream stream) except -1
    cdef int _enqueue(self, ClientStream stream) except -1
    cdef int _sent_all(self, ClientStream stream) except -1
    cdef int _flush(self, bint anyway) except -1
    cdef int _collect(self) except -1
    cdef int _put_number(self, int kind, unsigned int id, unsigned int number) except -1
    cdef int _put_request(
        self, long id, bytes method, bytes scheme, bytes authority, bytes target, bytes fields, long long length,
        bint ends) except -1
    cdef int _grant(self, ClientStream stream, Py_ssize_t size) except -1
    cdef int _grant_all(self, Py_ssize_t size) except -1
    cdef int _reset(self, ClientStream stream, int code) except -1
    cdef int _drop(self, ClientStream stream, int how) except -1
    cdef int _fail(self, ClientStream stream, int failure, bint unprocessed, str reason, int how) except -1
    cdef int _close(self) except -1
    cdef int _after(self) except -1
