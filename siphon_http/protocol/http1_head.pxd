"""The head of an HTTP/1.1 request: where its parts are, and what RFC 9112 asks beyond the parser."""

from siphon_http._core.message cimport Request


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
    Py_ssize_t target_end       # one past it
    Py_ssize_t authority        # of an absolute-form target; equal = none
    Py_ssize_t authority_end    # one past it
    Py_ssize_t path             # of the target
    Py_ssize_t path_end         # one past it
    Py_ssize_t query            # without "?"; equal = none
    Py_ssize_t query_end        # one past it
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


cdef enum:
    AHEAD_HEADS = 15        # heads scanned ahead of their turn


cdef struct Ahead:
    Head heads[15]              # scanned; the parser has taken them
    int next                    # of `heads`: the one whose turn is next
    int count                   # of `heads` that are valid; `next` == `count`: none is left


# A head that is a message by itself, and after which the parser goes on as if it had seen none.
cdef inline bint is_plain_head(const Head* head) noexcept nogil:
    return (head.length == LENGTH_NONE or head.length == 0) and head.version == 11 and not head.close \
        and not head.rewrite and not head.hide


# Scan data[0:size]. Returns HeadResult or the status of a refusal (400, 414, 417, 431, 501, 505).
cdef int scan_head(const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, Head* head) noexcept nogil


# Copy of a message that has `rewrite` or `hide`, for the parser alone.
cdef bytes message_for_parser(bytes message, Head* head)


# Scan data[0:size] for plain heads, one right behind the other, into `ahead`; what comes then is left to its turn.
# Returns the bytes that they take.
cdef Py_ssize_t scan_ahead(const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, Ahead* ahead) noexcept nogil

# The request of a scanned head that begins at data[at]. It keeps `data` if that has at most `share` bytes, else a copy.
cdef Request request_of(bytes data, Py_ssize_t at, Head* head, Py_ssize_t share)
