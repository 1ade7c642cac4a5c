"""HPACK (RFC 7541): the encoder of a client, which indexes what it sends again and again.

A field enters the dynamic table when it is sent for the second time within the last 64 literals: so what differs in each
request does not drive out what is the same in all. Credentials and cookies are never indexed, by nobody on the way
either (RFC 7541, 7.1.3), nor are targets with a query, which may hold secrets. Nothing is Huffman-coded: that would cost
more than the bytes that it saves.

The first part of a block (method, scheme, authority) and the field lines are kept encoded for the next request that is
made of the same objects, until the table changes.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy

from siphon_http._core.ascii cimport to_lower
from siphon_http._core.header_block cimport K_COOKIE, K_FORBIDDEN, K_HOST, K_LENGTH, K_TE, field_kind
from siphon_http._core.hpack cimport write_table_size
from siphon_http._core.hpack_static cimport STATIC_CONTENT_LENGTH, STATIC_ENTRIES, static_line, static_name
from siphon_http._core.hpack_write cimport put_integer, put_string

__all__ = ["Encoder"]

cdef Py_ssize_t TABLE_BYTES = 4096      # of the dynamic table, however much the peer allows
cdef enum:
    NAME_BYTES = 256                    # longer names are not indexed
    STATIC_AUTHORITY = 1                # places in the static table
    STATIC_METHOD = 2
    STATIC_PATH = 4
    STATIC_SCHEME = 6


cdef inline uint64_t _mix(uint64_t hash, const unsigned char* data, Py_ssize_t size) noexcept nogil:
    """Take data[0:size] into a hash, eight bytes at a time."""
    cdef uint64_t word
    while size > 0:
        word = 0
        memcpy(&word, data, 8 if size >= 8 else size)
        hash = (hash ^ word) * <uint64_t> 0x9e3779b97f4a7c15
        hash ^= hash >> 29
        data += 8
        size -= 8
    return hash


cdef inline uint32_t _hash(const unsigned char* name, Py_ssize_t name_size,
                           const unsigned char* value, Py_ssize_t value_size) noexcept nogil:
    """Return the hash of a field; never 0."""
    return <uint32_t> (_mix(_mix(<uint64_t> name_size << 32 | <uint64_t> value_size, name, name_size),
                            value, value_size) >> 32) | 1


cdef inline bint _is_secret(const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """Tell whether the value of a field must not become guessable by its compression."""
    return size == 13 and memcmp(name, b"authorization", 13) == 0 \
        or size == 19 and memcmp(name, b"proxy-authorization", 19) == 0


cdef Py_ssize_t request_bound(bytes method, bytes scheme, bytes authority, bytes target, bytes fields):
    """Return how many bytes write_request may need: a line of n + 4 takes at most n + 11."""
    return (PyBytes_GET_SIZE(method) + PyBytes_GET_SIZE(scheme) + PyBytes_GET_SIZE(authority)
            + PyBytes_GET_SIZE(target) + 3 * PyBytes_GET_SIZE(fields) + 160)


@cython.final
cdef class Encoder:
    """HPACK encoder of one connection as a client. Belongs to one thread."""

    def __cinit__(self):
        self._limit = self._least = TABLE_BYTES

    def __dealloc__(self):
        self._evict(-1)
        free(self._ring)

    def entries(self):
        """Return the dynamic table as a list of (name, value), newest first; for tests."""
        cdef list out = []
        cdef Entry* entry
        cdef unsigned int i
        for i in range(self._count):
            entry = &self._ring[(self._newest - i) & (self._capacity - 1)]
            out.append((entry.data[:entry.name_size], entry.data[entry.name_size:entry.name_size + entry.value_size]))
        return out

    def encode(self, bytes method not None, bytes scheme not None, bytes authority not None, bytes target not None,
               bytes fields not None, long long length=-1):
        """Return the header block of a request: `write_request` for tests and benchmarks."""
        cdef bytes room = PyBytes_FromStringAndSize(NULL, request_bound(method, scheme, authority, target, fields))
        return room[:self.write_request(
            <unsigned char*> PyBytes_AS_STRING(room), method, scheme, authority, target, fields, length)]

    def limit(self, Py_ssize_t size):
        """Take over the peer's SETTINGS_HEADER_TABLE_SIZE: `resize` for tests."""
        self.resize(size)

    cdef int resize(self, Py_ssize_t limit) except -1:
        """Bound the dynamic table; the next block tells the peer (RFC 7541, 4.2)."""
        limit = min(max(limit, 0), TABLE_BYTES)
        if limit == self._limit and not self._owes:
            return 0
        if not self._owes:
            self._least = limit
        self._owes = True
        self._limit = limit
        self._least = min(self._least, limit)
        self._evict(limit)
        return 0

    cdef Py_ssize_t write_request(
            self, unsigned char* out, bytes method, bytes scheme, bytes authority, bytes target, bytes fields,
            long long length) except -1:
        """Write the header block of a request (RFC 9113, 8.3.1); see the header file."""
        cdef unsigned char* p = out
        cdef unsigned char digits[24]
        cdef const char* path = PyBytes_AS_STRING(target)
        cdef unsigned char* begin
        cdef Py_ssize_t size
        if self._owes:
            if self._least < self._limit:
                p += write_table_size(p, self._least)
            p += write_table_size(p, self._limit)
            self._owes = False
        p = self._put_pseudo(p, method, scheme, authority)
        size = PyBytes_GET_SIZE(target)
        p = self._put(p, STATIC_PATH, b":path", 5, <const unsigned char*> path, size, memchr(path, c"?", size) == NULL)
        if fields is not self._fields or self._block_at != self._changes:
            begin = p
            self._block_at = self._changes      # what changes the table on its way must not be sent again
            p = self._put_fields(p, PyBytes_AS_STRING(fields), PyBytes_AS_STRING(fields) + PyBytes_GET_SIZE(fields))
            self._fields = fields
            self._block = PyBytes_FromStringAndSize(<const char*> begin, p - begin)
        else:
            memcpy(p, PyBytes_AS_STRING(self._block), PyBytes_GET_SIZE(self._block))
            p += PyBytes_GET_SIZE(self._block)
        if length >= 0:
            size = 24
            while size == 24 or length:
                size -= 1
                digits[size] = <unsigned char> (c"0" + length % 10)
                length //= 10
            p = put_integer(p, 0, 0x0f, STATIC_CONTENT_LENGTH)
            p = put_string(p, digits + size, 24 - size)
        return p - out

    cdef unsigned char* _put_pseudo(
            self, unsigned char* p, bytes method, bytes scheme, bytes authority) except NULL:
        """Write :method, :scheme and :authority."""
        cdef unsigned char* begin = p
        if method is self._method and scheme is self._scheme and authority is self._authority \
                and self._pseudo_at == self._changes:
            memcpy(p, PyBytes_AS_STRING(self._pseudo), PyBytes_GET_SIZE(self._pseudo))
            return p + PyBytes_GET_SIZE(self._pseudo)
        self._pseudo_at = self._changes
        p = self._put(p, STATIC_METHOD, b":method", 7, <const unsigned char*> PyBytes_AS_STRING(method),
                      PyBytes_GET_SIZE(method), True)
        p = self._put(p, STATIC_SCHEME, b":scheme", 7, <const unsigned char*> PyBytes_AS_STRING(scheme),
                      PyBytes_GET_SIZE(scheme), True)
        p = self._put(p, STATIC_AUTHORITY, b":authority", 10, <const unsigned char*> PyBytes_AS_STRING(authority),
                      PyBytes_GET_SIZE(authority), True)
        self._method = method
        self._scheme = scheme
        self._authority = authority
        self._pseudo = PyBytes_FromStringAndSize(<const char*> begin, p - begin)
        return p

    cdef unsigned char* _put_fields(self, unsigned char* p, const char* at, const char* end) except NULL:
        """Write the field lines of at[0:end - at]."""
        cdef const char* colon
        cdef const char* stop
        cdef const char* value
        while at < end:
            colon = <const char*> memchr(at, c":", end - at)
            if colon == NULL:
                break           # no whole line: the caller has checked them
            stop = <const char*> memchr(colon, c"\r", end - colon)
            if stop == NULL:
                break
            value = colon + 1
            while value < stop and value[0] == c" ":
                value += 1
            p = self._put_line(p, <const unsigned char*> at, colon - at, <const unsigned char*> value, stop - value)
            at = stop + 2
        return p

    cdef unsigned char* _put_line(
            self, unsigned char* p, const unsigned char* name, Py_ssize_t name_size,
            const unsigned char* value, Py_ssize_t value_size) except NULL:
        """Write one field, its name in any case, unless HTTP/2 has no use for it (RFC 9113, 8.2.2)."""
        cdef unsigned char lower[NAME_BYTES]
        cdef unsigned int kind, place
        cdef Py_ssize_t i
        if name_size > NAME_BYTES:
            p[0] = 0
            p = put_integer(p + 1, 0, 0x7f, name_size)
            for i in range(name_size):
                p[i] = to_lower(name[i])
            return put_string(p + name_size, value, value_size)
        for i in range(name_size):
            lower[i] = to_lower(name[i])
        kind = field_kind(lower, name_size)
        if kind == K_FORBIDDEN or kind == K_LENGTH or kind == K_HOST:
            return p
        if kind == K_TE and not (value_size == 8 and memcmp(value, b"trailers", 8) == 0):
            return p
        place = static_name(lower, name_size)
        if kind == K_COOKIE or _is_secret(lower, name_size):
            p = put_integer(p, 0x10, 0x0f, place)
            return put_string(p, value, value_size)
        return self._put(p, place, lower, name_size, value, value_size, True)

    cdef unsigned char* _put(
            self, unsigned char* p, unsigned int place, const unsigned char* name, Py_ssize_t name_size,
            const unsigned char* value, Py_ssize_t value_size, bint indexes) except NULL:
        """Write one field in the shortest way. place: of its name in the static table, or 0; indexes: it may be."""
        cdef unsigned int entry = place
        cdef uint32_t hash = 0
        while entry and entry <= STATIC_ENTRIES and static_line(entry).name_size == <unsigned int> name_size \
                and memcmp(static_line(entry).data, name, name_size) == 0:
            if static_line(entry).value_size == <unsigned int> value_size and value_size \
                    and memcmp(static_line(entry).data + name_size + 2, value, value_size) == 0:
                return put_integer(p, 0x80, 0x7f, entry)
            entry += 1
        if indexes and name_size + value_size + 32 <= self._limit // 4:
            hash = _hash(name, name_size, value, value_size)
            entry = self._find(hash, name, name_size, value, value_size)
            if entry:
                return put_integer(p, 0x80, 0x7f, STATIC_ENTRIES + entry)
            if self._was_seen(hash):
                p = put_integer(p, 0x40, 0x3f, place)
                self._insert(hash, name, name_size, value, value_size)
            else:
                p = put_integer(p, 0, 0x0f, place)
        else:
            p = put_integer(p, 0, 0x0f, place)
        if not place:
            p = put_string(p, name, name_size)
        return put_string(p, value, value_size)

    # ---- the dynamic table (RFC 7541, 2.3.2 and 4)

    cdef unsigned int _find(
            self, uint32_t hash, const unsigned char* name, Py_ssize_t name_size,
            const unsigned char* value, Py_ssize_t value_size) noexcept:
        """Return the place of a field in the dynamic table, newest = 1, or 0."""
        cdef unsigned int i
        cdef Entry* entry
        for i in range(self._count):
            entry = &self._ring[(self._newest - i) & (self._capacity - 1)]
            if entry.hash == hash and entry.name_size == <unsigned int> name_size \
                    and entry.value_size == <unsigned int> value_size \
                    and memcmp(entry.data, name, name_size) == 0 \
                    and memcmp(entry.data + name_size, value, value_size) == 0:
                return i + 1
        return 0

    cdef bint _was_seen(self, uint32_t hash) noexcept:
        """Tell whether a field was sent lately; note it if not."""
        cdef unsigned int i
        for i in range(64):
            if self._seen[i] == hash:
                self._seen[i] = 0
                return True
        self._seen[self._seen_at & 63] = hash
        self._seen_at += 1
        self._changes += 1          # it is to be indexed the next time
        return False

    cdef int _evict(self, Py_ssize_t limit) noexcept:
        """Drop the oldest entries until the table's size is at most `limit`."""
        cdef Entry* oldest
        while self._count and self._size > limit:
            oldest = &self._ring[(self._newest - (self._count - 1)) & (self._capacity - 1)]
            self._size -= <Py_ssize_t> oldest.name_size + oldest.value_size + 32
            free(oldest.data)
            self._count -= 1
            self._changes += 1
        return 0

    cdef int _insert(
            self, uint32_t hash, const unsigned char* name, Py_ssize_t name_size,
            const unsigned char* value, Py_ssize_t value_size) except -1:
        """Copy a field, which lies outside of the table and fits, into it."""
        cdef unsigned int i, capacity
        cdef Entry* grown
        cdef unsigned char* copy = <unsigned char*> malloc(name_size + value_size or 1)
        if copy == NULL:
            raise MemoryError
        if self._count == self._capacity:
            capacity = self._capacity * 2 or 16
            grown = <Entry*> malloc(capacity * sizeof(Entry))
            if grown == NULL:
                free(copy)
                raise MemoryError
            for i in range(self._count):
                grown[self._count - 1 - i] = self._ring[(self._newest - i) & (self._capacity - 1)]
            free(self._ring)
            self._ring = grown
            self._capacity = capacity
            self._newest = self._count - 1
        self._evict(self._limit - (name_size + value_size + 32))
        memcpy(copy, name, name_size)
        memcpy(copy + name_size, value, value_size)
        self._newest += 1
        self._count += 1
        self._size += name_size + value_size + 32
        self._changes += 1
        self._ring[self._newest & (self._capacity - 1)] = Entry(
            copy, hash, <unsigned int> name_size, <unsigned int> value_size)
        return 0
