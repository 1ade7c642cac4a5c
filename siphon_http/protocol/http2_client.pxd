"""Client side of one HTTP/2 connection: its input, and what the peer must not do."""

cimport cython

from siphon_http.protocol.http2_client_answers cimport Http2ClientAnswers
from siphon_http.protocol.http2_client_stream cimport ClientStream


@cython.final
cdef class Http2ClientConnection(Http2ClientAnswers):
    cdef bytes rest                     # received bytes of a frame that is not whole, or empty
    cdef bint greeted                   # the SETTINGS frame that belongs to the preface has arrived
    cdef unsigned int block_id          # stream whose field block has begun and not ended, or 0
    cdef bint block_ends                # ... its HEADERS frame has END_STREAM
    cdef bytearray block                # ... what has come of it
    cdef Py_ssize_t block_bytes         # ... and how much
    cdef int continuations              # CONTINUATION frames of it
    cdef unsigned char[256] known       # the field block of an answer that was decoded last
    cdef Py_ssize_t known_size          # ... its size; -1 = none that can come again
    cdef bint known_plain               # ... it means the same whatever the decoder's table holds
    cdef unsigned long known_at         # ... else: the decoder's `changes` then
    cdef Py_ssize_t max_header_bytes    # limit of an answer's field section, as RFC 9113, 6.5.2 counts
    cdef bint held                      # the owner was asked to stop reading
    cdef unsigned long looked_at        # `heard` at the last `check_alive`
    cdef unsigned long probed_at        # ... at the last PING that it sent
    cdef bint probed                    # ... which is not answered
    cdef int silent                     # calls of it since then that found nothing
    cdef int patience                   # calls of it that are let pass after a PING that brought its answer alone
    cdef int passes                     # ... how many of them are left

    cdef Py_ssize_t _parse(self, const char* data, Py_ssize_t size) except -1
    cdef int _hold(self) except -1
    cdef int _suspect(self) except -1
    cdef int _frame(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef bint _is_refused(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef bint _is_flood(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size)
    cdef bint _read_hot(self, int kind, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef bint _headers(
        self, ClientStream stream, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef int _continuation(self, int flags, const char* data, Py_ssize_t size) except -1
    cdef int _field_block(
        self, ClientStream stream, unsigned int id, bint ends, const char* data, Py_ssize_t size) except -1
    cdef int _decode(self, bint trailers, const char* data, Py_ssize_t size) except -1
    cdef bint _data(
        self, ClientStream stream, int flags, unsigned int id, const char* data, Py_ssize_t size) except -1
    cdef bint _window_update(self, unsigned int id, unsigned int more) except -1
    cdef int _stray(self, unsigned int id) except -1
