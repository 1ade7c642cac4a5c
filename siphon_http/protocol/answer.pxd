"""What a client's connection asks of the caller of one exchange, and of its own owner."""

cimport cython


cdef enum Failure:              # why an exchange ended without its answer
    FAILED_CLOSED = 1           # the peer closed or reset the connection, or the stream
    FAILED_PROTOCOL = 2         # the peer broke a rule of RFC 9112 or 9113
    FAILED_LIMIT = 3            # the answer is larger than a limit of ours
    FAILED_CANCELLED = 4        # the caller left
    FAILED_REFUSED = 5          # the peer has said that it did nothing of the request: it may be sent again at any time


cdef class Answer:
    cdef int head_received(self, int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, int version) except -1
    cdef int content_received(self, bytes data) except -1
    cdef int answer_ended(self) except -1
    cdef int answer_failed(self, int failure, bint unprocessed, str reason) except -1
    cdef int content_wanted(self) except -1


@cython.final
cdef class NoAnswer(Answer):
    pass


cdef class Link:
    cdef int write(self, bytes data) except -1
    cdef int hold(self, bint stop) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1
    cdef int room_changed(self) except -1


cdef enum:
    LENGTH_WHOLE = -2           # of `begin`: `content` is everything, None = the request has no content
    LENGTH_UNKNOWN = -1         # of `begin`: streamed with `send`, length not known


cdef class ClientProtocol:
    cdef str ending             # why the connection has ended, for who had nothing under way; None = it has not, or was asked to

    cdef long begin(
        self, Answer answer, bytes method, bytes scheme, bytes authority, bytes target, bytes fields,
        bytes content, long long length
    ) except -1
    cdef int send(self, long exchange, bytes data, bint last) except -1
    cdef int taken(self, long exchange, Py_ssize_t size) except -1
    cdef int leave(self, long exchange) except -1
    cdef int receive_data(self, bytes data) except -1
    cdef int eof_received(self) except -1
    cdef int lost(self, str reason) except -1
    cdef int shut_down(self) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef int cork(self) except -1
    cdef int uncork(self) except -1
    cdef bint check_alive(self) except -1
    cdef Py_ssize_t waiting(self, long exchange) except -1
    cdef long long heard_of(self, long exchange) except -1
    cdef int room(self) noexcept
    cdef bint is_idle(self) noexcept
