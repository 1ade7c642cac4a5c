"""Server side of one HTTP/1.1 connection."""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from siphon_http._core.body cimport BodyAccumulator
from siphon_http._core.message cimport Request
from siphon_http.protocol.chunks cimport ChunkScan
from siphon_http.protocol.http1_answers cimport Http1Answers, Http1State
from siphon_http.protocol.http1_head cimport Ahead, Head


@cython.final
cdef class Http1ServerConnection(Http1Answers):
    cdef object parser                # httptools.HttpRequestParser, holding our two callbacks
    cdef object feed                  # its bound feed_data
    cdef Py_ssize_t max_header_bytes  # limit of request line and fields together
    cdef int max_headers              # limit of field lines
    cdef bytes data                   # received bytes; data[at:] is not parsed yet
    cdef Py_ssize_t at                # bytes of `data` that are parsed, <= len(data)
    cdef bytearray pending            # reads that follow `data`, while a head or a queue grows; None = empty
    cdef bint delivered               # `current` was given to the sink
    cdef bint discards                # content still arrives for a request that is over
    cdef bint held                    # the owner was asked to stop reading
    cdef bint draining                # the exchange under way is the last
    cdef int completed                # messages whose end httptools has seen since it was last fed
    cdef int judged                   # heads at `at` that it has taken already; below 0: that are to be fed alone
    cdef bint owes_continue           # 100 (Continue) is due once the content is wanted
    cdef Py_ssize_t left              # content bytes to come, by Content-Length
    cdef bint chunked                 # ... or by chunks:
    cdef ChunkScan chunks             # where in its chunks the content is; valid while `chunked`
    cdef Py_ssize_t cap               # largest content accepted for the message, bytes
    cdef bytes piece                  # content that on_body gave in a single read, or None
    cdef BodyAccumulator body         # content in pieces, or None
    cdef list queue                   # content in pieces for a request that streams
    cdef Py_ssize_t queued            # bytes in `queue`

    cdef inline bint has_more(self) noexcept:    # bytes behind the current message have arrived
        return self.at < PyBytes_GET_SIZE(self.data)

    cpdef int receive_data(self, bytes data) except -1
    cpdef int receive_eof(self) except -1
    cpdef int resume(self) except -1
    cpdef int pause(self) except -1
    cpdef int drain(self) except -1
    cpdef int time_out(self) except -1
    cpdef object detach(self)
    cdef int _go(self, Http1State state) except -1
    cdef int _pump(self) except -1
    cdef int _new_parser(self) except -1
    cdef int _read_head(self, Ahead* ahead) except -1
    cdef int _look_ahead(self, Head* first, Ahead* ahead) except -1
    cdef bytes _cut(self, Py_ssize_t size)
    cdef int _came_to_an_end(self) except -1
    cdef int _begin(self, Head* head) except -1
    cdef int _feed(self, bytes data) except -1
    cdef int _read_body(self) except -1
    cdef int _begin_content(self, Head* head) except -1
    cdef int _continue(self) except -1
    cdef int _body_ended(self) except -1
    cdef int _deliver(self) except -1
    cdef int _refuse(self, int status, const char* reason, bint left=*) except -1
    cdef int _flow(self) except -1
