"""Access log of one listener: lines are made in C and leave in batches."""

cimport cython
from libc.stdint cimport int64_t
from libc.time cimport time_t

from siphon_http._core.message cimport Peer, Request


cdef enum:
    MOST_FIELDS = 16        # header fields in one line
    MOST_PIECES = 128       # values in one line
    STEP = 16               # texts are copied in steps of so many bytes: there is room for the last on both sides
    MOST_KNOWN = 1024       # bytes of a head, and of what a line has of it, that are remembered


cdef struct Piece:
    int kind                # one of Part
    int place               # of a header field: index into `fields`
    const char* text        # what goes before the value
    Py_ssize_t size         # of that, bytes


cdef struct Field:
    const char* name        # lower case
    const char* letters     # 0x20 where the name has a letter, else 0
    Py_ssize_t name_size    # bytes
    const char* value       # of the request that is noted, inside its head; NULL = it has none
    Py_ssize_t size         # of the value, bytes
    bint repeated           # the head has it more than once; `value` is the first


@cython.final
cdef class Lines:
    cdef char* data                 # whole lines, each with its newline; all of it is ASCII
    cdef Py_ssize_t size            # bytes of them
    cdef char* end                  # of what may be written: STEP before the end of `data`

    # Make room for `more` bytes behind those before `p`; return where `p` is then.
    cdef char* grow(self, char* p, Py_ssize_t more) except NULL


@cython.final
cdef class AccessLog:
    cdef object emit                # callable(Lines)
    cdef object call_later          # callable(seconds, function): of the loop
    cdef object timer               # handle of the flush that is due, or None
    cdef bint json                  # values are escaped for JSON, else as C strings
    cdef bint combined              # time as the Combined Log Format has it, else ISO 8601
    cdef list texts                 # what `pieces` point into: each text with STEP zeros behind it
    cdef list names                 # what `fields` point into: each name, and its letters
    cdef Piece pieces[MOST_PIECES]  # the values of a line, in order; the last has none, and ends the line
    cdef int count                  # of pieces
    cdef int tail                   # the first of the last pieces that say nothing but what the fields of a head say
    cdef int repeats                # how often a line has the same value, at most
    cdef Py_ssize_t fixed           # bytes of a line without what is text in it
    cdef Py_ssize_t need            # bytes that the line may take that is written
    cdef Field fields[MOST_FIELDS]  # the header fields that lines have
    cdef int wanted                 # how many these are
    cdef int initials[32]           # bit i: the name of field i may begin so; by the low five bits of a letter
    cdef bytes listener             # its address
    cdef Lines lines                # what is not sent yet
    cdef Lines sent                 # what was sent last; written into again once nobody else has it
    cdef time_t second              # that `stamp` is for
    cdef bytes stamp                # time as it is written, without fractions of the ISO form; STEP zeros behind it
    cdef Py_ssize_t stamp_size      # without these
    cdef int known_version          # of the request whose tail is remembered; 0 = none is
    cdef Py_ssize_t known_authority # bytes of the authority of its target, with which `known` begins
    cdef Py_ssize_t known_size      # bytes of `known`
    cdef char known[MOST_KNOWN]     # that authority, and the field lines
    cdef Py_ssize_t told_size       # bytes of `told`
    cdef char told[MOST_KNOWN + STEP]   # what its line has from the tail on
    cdef unsigned int unlike        # lines since one had that tail

    cdef int note(self, Request request, Peer peer, int status, int64_t nanoseconds) except -1
    cpdef flush(self)
    cdef int _lay_out(self, object parts) except -1
    cdef int _want(self, bytes name) except -1
    cdef int _remember(self, Request request, const char* text, Py_ssize_t size) except -1
    # Each writes at `p` and returns where that ends; `p` itself may have moved.
    cdef char* _wide(self, char* p, str value) except NULL
    cdef char* _masked(self, char* p, const char* text, Py_ssize_t size) except NULL
    cdef char* _escaped(self, char* p, bytes data) except NULL
