"""The head of an HTTP/1.1 answer: where its parts are, and how what follows is framed."""


cdef enum AnswerResult:
    ANSWER_REFUSED = -1
    ANSWER_MORE = 0         # not complete yet
    ANSWER_DONE = 1


cdef enum:
    ANSWER_NO_LENGTH = -1   # neither Content-Length nor chunks: to the end of the connection, unless it has no content
    ANSWER_CHUNKED = -2


cdef struct AnswerHead:
    Py_ssize_t size         # bytes of the head, with its empty line
    Py_ssize_t fields       # first field line
    Py_ssize_t fields_end   # one past the last field line
    long long length        # Content-Length, or ANSWER_NO_LENGTH, ANSWER_CHUNKED
    int status              # 100 to 999
    int version             # 10 or 11
    int keep_seconds        # Keep-Alive: timeout=N; -1 = none
    bint close              # Connection says close
    bint keep               # Connection says keep-alive
    bint odd                # Connection says something else, too
    const char* reason      # why it is refused, ASCII, static


# Scan data[0:size]; cost is linear, the result does not depend on the split.
cdef AnswerResult scan_answer(
    const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, AnswerHead* head) noexcept nogil
