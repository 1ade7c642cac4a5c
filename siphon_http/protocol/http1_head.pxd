"""The head of an HTTP/1.1 request: where its parts are, and what RFC 9112 asks beyond the parser."""


cdef enum HeadResult:
    HEAD_MORE = 0           # not complete yet
    HEAD_DONE = 1
    # any other value is the status to refuse with


cdef enum:
    FORM_ORIGIN = 0         # "/path?query"
    FORM_ABSOLUTE = 1       # "http://authority/path?query"
    FORM_ASTERISK = 2       # "*"
    LENGTH_NONE = -1        # no Content-Length
    LENGTH_CHUNKED = -2     # Transfer-Encoding: chunked


cdef struct Head:
    # Offsets count from the first byte of the request line.
    Py_ssize_t skipped          # empty lines before the request line, bytes; 0 until a byte of that has come
    Py_ssize_t size             # bytes of the head, with its empty line
    Py_ssize_t method_end       # method is [0:method_end]
    Py_ssize_t target           # request target
    Py_ssize_t target_end
    Py_ssize_t authority        # of an absolute-form target; equal = none
    Py_ssize_t authority_end
    Py_ssize_t path
    Py_ssize_t path_end
    Py_ssize_t query            # without "?"; equal = none
    Py_ssize_t query_end
    Py_ssize_t fields           # first field line
    Py_ssize_t fields_end       # one past the last field line
    Py_ssize_t length           # Content-Length, or LENGTH_NONE, LENGTH_CHUNKED
    int version                 # 10 or 11
    int form                    # FORM_*
    bint rewrite                # the parser gets a copy: with a method or version that it knows
    bint hide                   # ... or without fields that would mislead it: Upgrade, Proxy-Connection, tabs behind a coding
    bint close                  # Connection says close
    bint keep                   # Connection says keep-alive
    bint expects                # Expect: 100-continue
    const char* reason          # why it is refused, ASCII, static


# Scan data[0:size]. Returns HeadResult or the status of a refusal (400, 414, 417, 431, 501, 505).
cdef int scan_head(const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, Head* head) noexcept nogil


# Copy of a message that has `rewrite` or `hide`, for the parser alone.
cdef bytes message_for_parser(bytes message, Head* head)
