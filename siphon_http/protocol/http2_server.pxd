"""Server side of one HTTP/2 connection: its input, its life and its time."""

cimport cython

from siphon_http._core.message cimport Request
from siphon_http.protocol.http2_times cimport Http2Times


@cython.final
cdef class Http2ServerConnection(Http2Times):
    cdef bytearray inbox                  # received bytes; inbox[at:] is not parsed yet
    cdef Py_ssize_t at                    # bytes of `inbox` that are parsed
    cdef bint greeted                     # the SETTINGS frame that belongs to the preface has arrived
    cdef bint in_block                    # a field block has begun and not ended: only CONTINUATION may come
    cdef int continuations                # CONTINUATION frames of that block
    cdef Py_ssize_t block_bytes           # bytes of that block
    cdef int spent                        # frames handled in this turn, those of h2 counted as what they cost
    cdef readonly bint has_more           # the turn is over, and frames may be left: call `receive_data` again, with b""
    cdef bint held                        # the owner was asked to stop reading
    cdef bint ended                       # the peer has sent its last byte (half-closed)
    cdef readonly unsigned int progress   # changes when what has arrived in part is another frame, or field block
    cdef bint warned                      # a first GOAWAY is sent; the last one follows
    cdef bint noticed                     # the peer has read it: it answers PING, and knows
    cdef readonly bint parting            # all is sent and told; the peer is asked whether it has read it
    cdef bint leaving                     # the peer has sent GOAWAY

    cpdef int receive_data(self, bytes data, double now=*) except -1
    cpdef int receive_eof(self) except -1
    cpdef int pause(self) except -1
    cpdef int resume(self) except -1
    cpdef int drain(self) except -1
    cpdef int time_out(self, Request request=*) except -1
    cpdef bint is_quiet(self)
    cpdef bint is_reading_head(self)
    cpdef bint is_stuck(self)
    cpdef int ping(self) except -1
    cpdef list detach(self)
    cdef int _pump(self) except -1
    cdef int _hold(self) except -1
    cdef int _read_preface(self, const char* data, Py_ssize_t size) except -1
    cdef int _read_frame(self) except -1
    cdef int _frame(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef bint _is_flood(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size)
    cdef int _events(self, list events) except -1
    cdef int _drain_now(self) except -1
    cdef int _cut_off(self) except -1
    cdef int _part(self) except -1
    cdef int _close(self, bint linger) except -1
    cdef int _lose_all(self) except -1
