"""HPACK (RFC 7541): the encoder of a client, which indexes what it sends again and again."""

cimport cython
from libc.stdint cimport uint32_t


cdef struct Entry:              # one field of the dynamic table
    unsigned char* data         # malloc'd, owned: name and value, nothing between
    uint32_t hash               # of both
    unsigned int name_size      # bytes
    unsigned int value_size     # bytes


@cython.final
cdef class Encoder:
    """Belongs to one connection, and to its loop's thread."""
    cdef Entry* _ring                   # entries of the dynamic table
    cdef unsigned int _capacity         # places in _ring: 0, or a power of two
    cdef unsigned int _newest           # place of the newest entry
    cdef unsigned int _count            # entries
    cdef Py_ssize_t _size               # RFC 7541, 4.1: names, values, and 32 for each
    cdef Py_ssize_t _limit              # largest _size
    cdef Py_ssize_t _least              # smallest _limit since the peer was last told
    cdef bint _owes                     # the next block begins with a table size update
    cdef unsigned long _changes         # grows when what was encoded before would be encoded differently now
    cdef uint32_t[64] _seen             # hashes of fields sent lately as literals; 0 = none
    cdef unsigned int _seen_at          # place of the oldest
    # What was encoded last, kept for the next request of the same objects:
    cdef bytes _method                  # of the first part, or None
    cdef bytes _scheme                  # ... its scheme
    cdef bytes _authority               # ... its authority
    cdef bytes _pseudo                  # ... encoded
    cdef unsigned long _pseudo_at       # ... at this number of changes
    cdef bytes _fields                  # field lines, or None
    cdef bytes _block                   # ... encoded
    cdef unsigned long _block_at        # ... at this number of changes

    # Largest size of the dynamic table that the peer allows, bytes.
    cdef int resize(self, Py_ssize_t limit) except -1
    # Write the header block of a request to `out`, which has room for request_bound() bytes; return its size. fields:
    # checked lines "name: value CR LF". length: content-length, or -1 for none.
    cdef Py_ssize_t write_request(
        self, unsigned char* out, bytes method, bytes scheme, bytes authority, bytes target, bytes fields,
        long long length) except -1
    cdef unsigned char* _put_pseudo(
        self, unsigned char* p, bytes method, bytes scheme, bytes authority) except NULL
    cdef unsigned char* _put_fields(self, unsigned char* p, const char* at, const char* end) except NULL
    cdef unsigned char* _put_line(
        self, unsigned char* p, const unsigned char* name, Py_ssize_t name_size,
        const unsigned char* value, Py_ssize_t value_size) except NULL
    cdef unsigned char* _put(
        self, unsigned char* p, unsigned int place, const unsigned char* name, Py_ssize_t name_size,
        const unsigned char* value, Py_ssize_t value_size, bint indexes) except NULL
    cdef unsigned int _find(
        self, uint32_t hash, const unsigned char* name, Py_ssize_t name_size,
        const unsigned char* value, Py_ssize_t value_size) noexcept
    cdef bint _was_seen(self, uint32_t hash) noexcept
    cdef int _evict(self, Py_ssize_t limit) noexcept
    cdef int _insert(
        self, uint32_t hash, const unsigned char* name, Py_ssize_t name_size,
        const unsigned char* value, Py_ssize_t value_size) except -1


# Most bytes that write_request needs.
cdef Py_ssize_t request_bound(bytes method, bytes scheme, bytes authority, bytes target, bytes fields)
