"""HPACK (RFC 7541): a decoder that h2 and the hot path share, and an encoder without memory for hot answers."""

cimport cython
from libc.stdint cimport uint64_t

from siphon_http._core.header_block cimport HeaderBlock, Line


cdef struct Cursor:             # what is left of an encoded block
    const unsigned char* at     # the next byte to read, <= end
    const unsigned char* end    # one past the last byte


@cython.final
cdef class Decoder:
    """Belongs to one connection, and to its loop's thread."""
    cdef Line* _ring                            # entries of the dynamic table; each `data` is malloc'd and owned
    cdef unsigned int _capacity                 # places in _ring: 0, or a power of two
    cdef unsigned int _newest                   # place of the newest entry
    cdef unsigned int _count                    # entries
    cdef Py_ssize_t _size                       # RFC 7541, 4.1: names, values, and 32 for each
    cdef Py_ssize_t _limit                      # largest _size, set by the encoder's size updates
    cdef unsigned long changes                  # grows with each change of the table
    cdef bint is_plain                          # the last block means the same whatever the table holds
    cdef unsigned int _added                    # fields of it that entered the table, of those that are noted
    cdef Line[8] _lines                         # ... they
    cdef Py_ssize_t[8] _places                  # ... where their lines begin in the HeaderBlock
    cdef public Py_ssize_t max_allowed_table_size   # largest _limit: what our acknowledged SETTINGS say
    cdef public Py_ssize_t max_header_list_size     # largest header section, counted as in RFC 9113, 10.5.1
    cdef public Py_ssize_t max_fields               # most fields beside the pseudo fields; decode_block only

    # Decode one whole block, data[0:n], into `block`. kind: BlockKind. Returns BlockResult; raises MemoryError only.
    # Whatever is wrong with the fields, the block is read to its end, so that the next one is understood.
    cdef int decode_block(self, const unsigned char* data, Py_ssize_t n, HeaderBlock block, int kind) except -1

    # The block that was decoded last, a plain one that came to BLOCK_DONE, has come once more: `block` is as it was left.
    cdef int repeat(self, HeaderBlock block) except -1

    cdef list _pairs(self, const unsigned char* data, Py_ssize_t n, HeaderBlock block, bint raw)
    cdef const Line* _entry(self, uint64_t index) noexcept
    cdef int _evict(self, Py_ssize_t limit) noexcept
    cdef int _insert(self, const Line* line) except -1
    cdef int _next(self, Cursor* cursor, bint begun, HeaderBlock block, Line* line) except -1
    cdef int _literal(self, Cursor* cursor, HeaderBlock block, Line* line) except -1


# Most bytes that write_response needs for `fields` (flat list of checked names and values, or None).
cdef Py_ssize_t response_bound(list fields) except -1

# Write the header block of an answer to `out`; return its size. status: 100 to 599. fields: as above; those that
# belong to a connection, and the script's own content-length, are left out. length: content-length, or -1 for none.
# date: 29 bytes, IMF-fixdate, or NULL; a date among `fields` wins. Uses no dynamic table, so it never gets out of step.
cdef Py_ssize_t write_response(
    unsigned char* out, int status, list fields, Py_ssize_t length, const char* date) except -1

# Write a dynamic table size update (at most 6 bytes), which begins the first block after a change; return its size.
cdef Py_ssize_t write_table_size(unsigned char* out, Py_ssize_t size) noexcept
