"""What a task awaits while an answer is on its way."""

from siphon_http._core.response cimport Response
from siphon_http.protocol.answer cimport Answer


cdef enum CallState:
    CALL_NEW = 0            # made, not awaited yet
    CALL_WAITING = 1        # for a connection
    CALL_OPEN = 2           # an exchange is under way
    CALL_PAUSED = 3         # until it is sent again
    CALL_STREAMING = 4      # the head was handed out, content still arrives
    CALL_DONE = 5           # with a response, or an error
    CALL_TAKEN = 6          # ... which the caller has


cdef class AwaitedAnswer(Answer):
    cdef CallState state                   # see above
    cdef object loop                       # event loop that it is awaited on; None before
    cdef object future                     # what the awaiting task waits for; None before it has to
    cdef object reader_waiter              # future of who waits for a piece of content, or None
    cdef object upload_waiter              # future of who sends the body in pieces, or None
    cdef Response response                 # until the caller takes it
    cdef object error                      # exception, likewise
    cdef bytes piece                       # content so far that is not taken: first piece, or None
    cdef list pieces                       # further pieces, or None
    cdef int version                       # of the answer: 10, 11, 20
    cdef double began, connected, answered, finished  # stamps of the precise clock; 0 = not yet
    cdef double dns, tcp, tls              # phases of a connect made for it, seconds

    cdef int start(self) except -1
    cdef int leave(self) except -1
    cdef object step(self)
    cdef int wake(self) except -1
    cdef int keep(self, bytes data) except -1
    cdef bytes take_pieces(self)
