"""h2 beside the streams that it does not see, and the way out for both."""

from siphon_http._core.headers cimport OutBuffer
from siphon_http.protocol.sink cimport Sink


cdef enum:
    CLOSED_SEEN = 1024      # how many of the last streams it is known of how they ended


cdef enum Closed:
    CLOSED_UNKNOWN = 0      # open, never used, or h2's own
    CLOSED_BY_RESET = 1
    CLOSED_BY_END = 2
    CLOSED_BY_US = 3        # we have sent RST_STREAM, here or through h2: what follows is passed over


cdef class Http2Link:
    cdef readonly object connection     # h2.connection.H2Connection: judges every frame that is not plain
    cdef readonly int highest_stream    # highest id that the peer has used, with h2 or beside it
    cdef readonly long long send_window     # of the connection, bytes: owned here, lent to h2 for each call
    cdef long long initial_window       # SETTINGS_INITIAL_WINDOW_SIZE of the peer
    cdef Py_ssize_t receive_limit       # our own SETTINGS_INITIAL_WINDOW_SIZE
    cdef object receive_manager         # h2's bookkeeping of the connection's receive window: the one owner of it
    cdef bint owes_table_size           # the next answer's head begins with a table size update (RFC 7541, 4.2)
    cdef bint has_opened                # h2 knows that a stream was opened
    cdef unsigned char[1024] closed     # Closed of stream 2n + 1 at n % CLOSED_SEEN
    cdef Sink sink                      # owner; one that does nothing once detached
    cdef OutBuffer out                  # shared by all connections of the loop; its Date line is ours too
    cdef list outbox                    # bytes that could not be written yet
    cdef bint full                      # the transport takes no more

    cdef int _lend(self) except -1
    cdef int _take_back(self) except -1
    cdef int _note_settings(self) except -1
    cdef int _shrink_table(self, const char* data, Py_ssize_t size) except -1
    cdef int _own(self) except -1
    cdef bint _is_much(self)
    cdef int _collect(self) except -1
    cdef int _collect_quietly(self) except -1
    cdef int _put(self, bytes frame) except -1
    cdef int _put_number(self, int kind, unsigned int id, unsigned int number) except -1
    cdef int _put_data(self, unsigned int id, const char* data, Py_ssize_t size, bint ends) except -1
    cdef int _put_head(self, unsigned int id, int status, list fields, Py_ssize_t length, bint ends) except -1
    cdef int _put_table_size(self) except -1
    cdef int _flush(self, bint anyway) except -1
    cdef const char* _date(self)
    cdef int _raise_highest(self, unsigned int id) except -1
    cdef int _note_closed(self, unsigned int id, int how) except -1
    cdef int _show_closed(self, unsigned int id) except -1
    cdef bint _was_refused(self, unsigned int id) noexcept


# Write the head of a frame (RFC 9113, 4.1); returns the place after it.
cdef char* write_frame_head(char* p, Py_ssize_t size, int kind, int flags, unsigned int id) noexcept nogil
