"""Streams of one HTTP/2 connection, and what they share: windows, turns, output."""

cimport cython

from siphon_http._core.body cimport BodyAccumulator
from siphon_http._core.message cimport Request, Response
from siphon_http._core.traffic cimport RouteCounts
from siphon_http.protocol.http2_flood cimport FloodMeter
from siphon_http.protocol.http2_link cimport Http2Link
from siphon_http.protocol.http2_output cimport Http2Output


cdef enum Watch:
    WATCH_NOTHING = 0
    WATCH_OUTPUT = 1        # that the client takes content
    WATCH_UPLOAD = 2        # that it sends content


cpdef enum Http2State:
    PREFACE = 0         # the client's preface has not arrived whole
    OPEN = 1
    DRAINING = 2        # the last GOAWAY is sent: streams in flight finish, new ones are refused
    CLOSED = 3


cdef class Http2Flow(Http2Link):
    # Stream table and turns; whoever sends frames of a stream does it through here.
    cdef readonly Http2State state      # changed by `_go`, by its table; any state may become CLOSED
    cdef readonly dict streams          # streams that are not over: id -> Http2Stream
    cdef readonly int abandoned         # streams that are over while their handler still runs; they count as open
    cdef readonly long long sent_bytes  # content sent so far, of all streams
    cdef readonly Py_ssize_t owed       # bytes of the objects that answers keep because the client does not take them
    cdef readonly Py_ssize_t foreseen   # bytes that handlers under way will probably answer with; large answers only
    cdef readonly int trials            # handlers under way that began before their route had ever answered
    cdef readonly dict waiting          # requests held back until less is owed: id -> Http2Stream, in order
    cdef long long let_at               # `sent_bytes` when the last of them was let through, or the first held back
    cdef object ready                   # deque of streams with content to send, in the order of their turns
    cdef double now                     # time of the input under way, seconds on the owner's clock
    cdef bint pumping                   # input or output is under way; it ends with a flush
    cdef Py_ssize_t buffered            # content of requests that is kept until their exchanges end, bytes
    cdef bint withheld                  # a stream waits for window because too much is buffered
    cdef FloodMeter meter               # what the peer did that costs us more than itself
    cdef double write_timeout           # seconds that an answer may wait for the peer's window without any progress
    cdef double upload_timeout          # seconds that content may stand still once its answer has begun

    cdef int _go(self, Http2State state) except -1
    cdef int _settle(self) except -1
    cdef int _admit(self, Http2Stream stream) except -1
    cdef int _release(self) except -1
    cdef int _blame(self) except -1
    cdef int _owe(self, Py_ssize_t size) except -1
    cdef int _send(self) except -1
    cdef Py_ssize_t _window(self, Http2Stream stream) except? -1
    cdef int _send_some(self, Http2Stream stream, Py_ssize_t window) except -1
    cdef int _end(self, Http2Stream stream) except -1
    cdef int _ask(self, Http2Stream stream) except -1
    cdef int _enqueue(self, Http2Stream stream) except -1
    cdef int _write_head(self, Http2Stream stream, Response response, Py_ssize_t length, bint ends) except -1
    cdef int _sent(self, Http2Stream stream) except -1
    cdef int _acknowledge(self, Http2Stream stream, Py_ssize_t size) except -1
    cdef int _grant(self, Http2Stream stream) except -1
    cdef int _relieve(self) except -1
    cdef int _reset(self, Http2Stream stream, int code) except -1
    cdef int _drop(self, Http2Stream stream) except -1
    cdef int _after(self) except -1


@cython.final
cdef class Http2Stream(Http2Output):
    cdef readonly int id            # odd, as the client chose it
    cdef readonly double due        # when its time is over, seconds on the owner's clock; 0 = never
    cdef Http2Flow flow             # the connection that it belongs to
    cdef bint is_hot                # h2 does not know it
    cdef bint was_reset             # RST_STREAM was sent or received
    cdef bint was_refused           # RST_STREAM was sent
    cdef bint is_gone               # it is in no table any more
    cdef long long send_window      # of a hot stream, bytes; below 0 after a setting
    cdef Py_ssize_t receive_window  # of a hot stream: bytes that the peer may still send
    cdef Py_ssize_t processed       # bytes of it that were taken, and not given back yet
    cdef Request request            # request whose exchange is not over, or None
    cdef bint known                 # the sink was told of the request, and will be told of its end
    cdef bint runs                  # the request was delivered, and its handler has not come to an end
    cdef bint abandoned             # it counts in `flow.abandoned`
    cdef Py_ssize_t weight          # bytes that its answer will probably have; 0: few, or nobody knows
    cdef bint is_foreseen           # they count in `flow.foreseen`
    cdef RouteCounts tried          # where it counts as a trial, until its answer has begun, or None
    cdef double held_at             # when it was put into `flow.waiting`, seconds on the owner's clock
    # The request's content:
    cdef Py_ssize_t expected        # Content-Length, or -1
    cdef Py_ssize_t received        # bytes that have arrived
    cdef Py_ssize_t cap             # largest content accepted, bytes
    cdef bint complete              # the peer has ended its side
    cdef bint owes_continue         # 100 (Continue) is due once the content is wanted
    cdef BodyAccumulator body       # content in pieces for a request that is buffered, or None
    cdef list queue                 # content in pieces for a request that streams, or None
    cdef Py_ssize_t kept            # bytes that count in `flow.buffered`
    cdef Py_ssize_t unacknowledged  # bytes that the peer was not yet given new window for
    # The answer:
    cdef bint answered              # its head is sent
    cdef bint is_empty              # HEAD, 204, 304: no content whatever the script sends
    cdef bint ends                  # nothing follows the pieces
    cdef bint finished              # END_STREAM is sent
    cdef bint is_ready              # it is in `flow.ready`
    cdef bint moved                 # something of it was sent, or arrived, since `expire` last looked
    cdef Watch watch                # once its answer has begun: what `due` stands for

    cdef int _receive(self, bytes data, Py_ssize_t flow_size) except -1
    cdef int _end_content(self) except -1
    cdef int _deliver(self) except -1
    cdef int _is_known(self) except -1
    cdef int _refuse(self, int status, const char* reason) except -1
    cdef int _answer(self, Response response) except -1
    cdef int _over(self, bint abandoned) except -1
    cdef int _lose(self, bint abandoned) except -1
    cdef int _break(self, int code) except -1
    cdef int _handler_ended(self) except -1
    cdef int _ask(self) except -1
    cdef bint _sends_at_once(self, bytes content, Py_ssize_t length) except -1
    cdef int _append(self, bytes data) except -1
