"""One header section of HTTP/2: its lines, where its parts are, and what RFC 9113, 8.2 and 8.3, say of it."""

cimport cython
from libc.stdint cimport uint64_t


cdef extern from *:
    """
    #ifndef SIPHON_HTTP_LINE
    #define SIPHON_HTTP_LINE
    typedef struct { const unsigned char* data; unsigned int name_size, value_size, traits; } siphon_line;
    enum {                      /* Line.traits: a kind, and bits */
        K_PLAIN, K_COOKIE, K_LENGTH, K_HOST, K_TE, K_EXPECT, K_FORBIDDEN,
        K_METHOD = 8, K_SCHEME, K_AUTHORITY, K_PATH, K_UNKNOWN, K_STATUS,
        KIND_MASK = 31, BAD_NAME = 32, BAD_VALUE = 64, ODD_TARGET = 128, NEVER_INDEXED = 256
    };
    #endif
    """
    ctypedef struct Line "siphon_line":    # one header field as "name: value CR LF"
        const unsigned char* data          # its first byte
        unsigned int name_size             # bytes
        unsigned int value_size            # bytes
        unsigned int traits                # what it is, and what is wrong with it: found once, kept with table entries

    enum: K_PLAIN, K_COOKIE, K_LENGTH, K_HOST, K_TE, K_EXPECT, K_FORBIDDEN      # kinds
    enum: K_METHOD, K_SCHEME, K_AUTHORITY, K_PATH, K_UNKNOWN, K_STATUS          # kinds of pseudo fields
    enum: KIND_MASK, BAD_NAME, BAD_VALUE, ODD_TARGET, NEVER_INDEXED             # mask of the kind, and bits beside it


cdef enum BlockKind:
    BLOCK_REQUEST = 0
    BLOCK_TRAILERS = 1
    BLOCK_ANSWER = 2


cdef enum BlockResult:
    BLOCK_DONE = 0
    BLOCK_MALFORMED = 1         # stream error PROTOCOL_ERROR (RFC 9113, 8.1.1); the dynamic table is in step
    BLOCK_TOO_LARGE = 2         # above a limit: 431, or a reset; the dynamic table is in step
    BLOCK_BROKEN = 3            # connection error COMPRESSION_ERROR (RFC 9113, 4.3); the decoder is of no more use


@cython.final
cdef class HeaderBlock:
    """One decoded header section: its lines, where its parts are, and the verdict of RFC 9113, 8.2 and 8.3.

    One per loop is enough: it is filled anew by each call. The offsets mean something after BLOCK_DONE only.
    """
    cdef unsigned char* data            # malloc'd, owned: ":name: value CR LF" of the pseudo fields, then the others
    cdef Py_ssize_t size                # bytes in use
    cdef Py_ssize_t capacity            # bytes allocated
    cdef int kind                       # BlockKind: whose fields these are
    cdef int status                     # value of :status; BLOCK_ANSWER only
    cdef Py_ssize_t method              # first byte of :method's value
    cdef Py_ssize_t method_end          # one past it
    cdef Py_ssize_t scheme              # the same of :scheme; equal = none (CONNECT)
    cdef Py_ssize_t scheme_end          # one past it
    cdef Py_ssize_t authority           # the same of :authority; equal = none or empty
    cdef Py_ssize_t authority_end       # one past it
    cdef Py_ssize_t target              # the same of :path, with its query; equal = none (CONNECT)
    cdef Py_ssize_t target_end          # one past it
    cdef Py_ssize_t path_end            # one past the path, which begins at `target`
    cdef Py_ssize_t query               # first byte of the query, without "?"; == target_end when there is none
    cdef Py_ssize_t host                # the same of the host field; equal = none or empty
    cdef Py_ssize_t host_end            # one past it
    cdef Py_ssize_t fields              # first byte of the lines that are no pseudo fields; they end at `size`
    cdef uint64_t content_length        # value of content-length when has_length
    cdef bint has_length                # there is a content-length
    cdef bint expects                   # expect: 100-continue
    cdef bint bad_expect                # some other expectation: 417
    cdef bint bad_target                # :path has bytes that no request target has (RFC 9112, 3.2): 400
    cdef bint long_target               # it is too large since :path alone is: 414
    cdef int result                     # BlockResult
    cdef const char* reason             # why it is not BLOCK_DONE, ASCII, static; NULL otherwise
    cdef Py_ssize_t list_size           # RFC 9113, 10.5.1: names, values, and 32 for each
    cdef Py_ssize_t limit               # of list_size
    cdef Py_ssize_t max_fields          # of `count`
    cdef Py_ssize_t count               # fields but pseudo fields; all cookie crumbs are one
    cdef unsigned int seen              # bit per kind that was met

    cdef bint has_authority(self) noexcept
    # Copy of data[0:size]: Request.head.
    cdef bytes head(self)
    # What h2 has decoded, as pairs of bytes: judged and laid out as decode_block does. Returns BlockResult.
    cdef int load(self, list pairs, int kind, Py_ssize_t limit, Py_ssize_t max_fields) except -1

    # For decoders: begin; a place for `size` more bytes; stop with a verdict; add a field; the verdict at the end.
    cdef int reset(self, Py_ssize_t limit, Py_ssize_t max_fields) except -1
    cdef unsigned char* room(self, Py_ssize_t size) except NULL
    cdef int refuse(self, int result, const char* reason) noexcept
    cdef int take(self, const Line* line) except -1
    cdef int _pseudo(self, unsigned int kind, Py_ssize_t line, Py_ssize_t start, Py_ssize_t end) noexcept
    cdef int _answer_status(self, Py_ssize_t start, Py_ssize_t end) noexcept
    cdef int _special(self, unsigned int kind, Py_ssize_t start, Py_ssize_t end) noexcept
    cdef int judge(self, int kind) noexcept


# K_FORBIDDEN, K_LENGTH ... K_PLAIN of a name that is a lower-case token and no pseudo field.
cdef unsigned int field_kind(const unsigned char* name, Py_ssize_t n) noexcept nogil

# Kind of any name, with BAD_NAME when it is not valid.
cdef unsigned int name_traits(const unsigned char* name, Py_ssize_t n) noexcept nogil

# Punctuate a line whose name and value lie at their places behind `data`, sizes in `line`; complete `line`. traits: of
# the name.
cdef void finish_line(unsigned char* data, Line* line, unsigned int traits) noexcept nogil
