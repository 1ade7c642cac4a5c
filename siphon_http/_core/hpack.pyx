"""HPACK (RFC 7541): a decoder that h2 and the hot path share, and an encoder without memory for hot answers.

Every field, of the tables too, is kept as the line that a Request's head has ("name: value CR LF"), together with what
was found wrong with it. So a field that a client repeats costs one copy, and is checked once per connection.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from hpack import (
    HeaderTuple, HPACKDecodingError, InvalidTableSizeError, NeverIndexedHeaderTuple, OversizedHeaderListError,
)
from hpack.exceptions import InvalidTableIndexError

from siphon_http._core.header_block cimport (
    BAD_NAME, BLOCK_BROKEN, BLOCK_REQUEST, BLOCK_TRAILERS, K_FORBIDDEN, K_LENGTH, K_TE, KIND_MASK, NEVER_INDEXED,
    HeaderBlock, Line, field_kind, finish_line, name_traits,
)
from siphon_http._core.headers cimport check_name, check_value
from siphon_http._core.hpack_static cimport (
    STATIC_CONTENT_LENGTH, STATIC_DATE, STATIC_ENTRIES, STATIC_SET_COOKIE, STATIC_STATUS_200, STATIC_STATUS_500,
    static_line, static_name,
)
from siphon_http._core.hpack_write cimport put_integer, put_string
from siphon_http._core.huffman cimport huffman_decode

__all__ = ["Decoder", "decode_often", "encode_response", "encode_table_size"]


cdef extern from *:
    """
    enum {                      /* what reading one representation came to */
        STEP_FIELD, STEP_UPDATE, FAULT_TRUNCATED, FAULT_INTEGER, FAULT_INDEX, FAULT_HUFFMAN, FAULT_LATE_UPDATE,
        FAULT_TABLE_SIZE, FAULT_NOT_REDUCED, FAULT_BLOCK_SIZE
    };
    static const char* const siphon_faults[] = {
        "", "", "the header block ends within a field", "an integer is too long", "no such index in the header tables",
        "a Huffman-coded string has an end mark or bad padding", "a table size update comes after a field",
        "a table size update is above what was allowed", "the table was not reduced to what is allowed",
        "the header block is too large"
    };
    """
    enum: STEP_FIELD, STEP_UPDATE, FAULT_TRUNCATED, FAULT_INTEGER, FAULT_INDEX, FAULT_HUFFMAN, FAULT_LATE_UPDATE
    enum: FAULT_TABLE_SIZE, FAULT_NOT_REDUCED, FAULT_BLOCK_SIZE
    const char* const siphon_faults[10]


cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    void* PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept


cdef enum:
    MAX_BLOCK = 1 << 28         # bytes of an encoded block, so that sizes of names and values stay within 32 bits


# ---- reading a block


cdef inline int _integer(Cursor* cursor, unsigned int prefix, uint64_t* out) noexcept nogil:
    """Read an integer with `prefix` = its mask (RFC 7541, 5.1): at most 5 bytes after the first, so below 2**36."""
    cdef uint64_t number
    cdef unsigned int shift = 0
    cdef unsigned char c
    if cursor.at == cursor.end:
        return FAULT_TRUNCATED
    number = cursor.at[0] & prefix
    cursor.at += 1
    if number == prefix:
        while True:
            if cursor.at == cursor.end:
                return FAULT_TRUNCATED
            c = cursor.at[0]
            cursor.at += 1
            number += <uint64_t> (c & 0x7f) << shift
            if c < 0x80:
                break
            shift += 7
            if shift > 28:
                return FAULT_INTEGER
    out[0] = number
    return STEP_FIELD


cdef inline int _string(Cursor* cursor, unsigned char* out, unsigned int* size) noexcept nogil:
    """Read a string (RFC 7541, 5.2) to `out`, which has room for 8 / 5 of what is left of the block."""
    cdef uint64_t length = 0
    cdef Py_ssize_t decoded
    cdef bint huffman = cursor.at < cursor.end and cursor.at[0] & 0x80
    cdef int fault = _integer(cursor, 0x7f, &length)
    if fault:
        return fault
    if length > <uint64_t> (cursor.end - cursor.at):
        return FAULT_TRUNCATED
    if huffman:
        decoded = huffman_decode(cursor.at, <Py_ssize_t> length, out)
        if decoded < 0:
            return FAULT_HUFFMAN
        size[0] = <unsigned int> decoded
    else:
        memcpy(out, cursor.at, length)
        size[0] = <unsigned int> length
    cursor.at += length
    return STEP_FIELD


@cython.final
cdef class Decoder:
    """HPACK decoder of one connection, in the place of hpack's in `H2Connection.decoder`.

    max_header_list_size: largest header section, bytes, counted as in RFC 9113, 10.5.1. Belongs to one thread.
    """

    def __cinit__(self):
        self._limit = self.max_allowed_table_size = 4096
        self.max_header_list_size = 65536
        self.max_fields = PY_SSIZE_T_MAX

    def __init__(self, Py_ssize_t max_header_list_size=65536):
        self.max_header_list_size = max_header_list_size

    def __dealloc__(self):
        self._evict(-1)
        free(self._ring)

    @property
    def header_table_size(self):
        """Size that the dynamic table may grow to (RFC 7541, 4.2); lowering it evicts."""
        return self._limit

    @header_table_size.setter
    def header_table_size(self, Py_ssize_t value):
        self._limit = value if value > 0 else 0
        self._evict(self._limit)

    def inspect(self, bytes data, bint trailers=False):
        """Decode a block as the hot path does; return `HeaderBlock.facts`; for tests."""
        cdef HeaderBlock block = HeaderBlock()
        self.decode_block(data, len(data), block, BLOCK_TRAILERS if trailers else BLOCK_REQUEST)
        return block.facts()

    def entries(self):
        """Return the dynamic table as a list of (name, value), newest first."""
        return [_pair(self._entry(STATIC_ENTRIES + 1 + i), tuple, True) for i in range(self._count)]

    def decode(self, data, raw=False):
        """Decode a whole header block; return its fields as a list of hpack.HeaderTuple.

        data: bytes-like. raw: bytes for names and values, not str (UTF-8). Fields sent as never indexed are
        NeverIndexedHeaderTuple.

        Raises:
            hpack.HPACKDecodingError: as hpack's decoder, with its subclasses OversizedHeaderListError,
                InvalidTableSizeError and InvalidTableIndexError; this decoder is of no more use then.
        """
        cdef Py_buffer view
        cdef HeaderBlock block = HeaderBlock()
        cdef bint as_bytes = raw
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._pairs(<const unsigned char*> view.buf, view.len, block, as_bytes)
        finally:
            PyBuffer_Release(&view)

    cdef list _pairs(self, const unsigned char* data, Py_ssize_t n, HeaderBlock block, bint raw):
        cdef Cursor cursor = Cursor(data, data + n)
        cdef Line line
        cdef Py_ssize_t total = 0
        cdef int step = STEP_FIELD
        cdef list out = []
        if n > MAX_BLOCK:
            step = FAULT_BLOCK_SIZE
        while cursor.at < cursor.end and step <= STEP_UPDATE:
            step = self._next(&cursor, len(out) > 0, block, &line)
            if step == STEP_FIELD:
                total += <Py_ssize_t> line.name_size + line.value_size + 32
                if total > self.max_header_list_size:
                    raise OversizedHeaderListError(f"a header list larger than {self.max_header_list_size} bytes")
                kind = NeverIndexedHeaderTuple if line.traits & NEVER_INDEXED else HeaderTuple
                out.append(_pair(&line, kind, raw))
        if step <= STEP_UPDATE and self._limit > self.max_allowed_table_size:
            step = FAULT_NOT_REDUCED
        if step > STEP_UPDATE:
            raise _error_class(step)(siphon_faults[step].decode("ascii"))
        return out

    cdef int decode_block(self, const unsigned char* data, Py_ssize_t n, HeaderBlock block, int kind) except -1:
        """Decode one whole block into `block`; return the BlockResult."""
        cdef Cursor cursor = Cursor(data, data + n)
        cdef Line line
        cdef bint begun = False
        cdef int step = STEP_FIELD
        block.reset(self.max_header_list_size, self.max_fields)
        block.kind = kind
        self.is_plain = True
        self._added = 0
        if n > MAX_BLOCK:
            return block.refuse(BLOCK_BROKEN, siphon_faults[FAULT_BLOCK_SIZE])
        while cursor.at < cursor.end:
            step = self._next(&cursor, begun, block, &line)
            if step == STEP_FIELD:
                begun = True
                block.take(&line)
            elif step > STEP_UPDATE:
                return block.refuse(BLOCK_BROKEN, siphon_faults[step])
        if self._limit > self.max_allowed_table_size:
            return block.refuse(BLOCK_BROKEN, siphon_faults[FAULT_NOT_REDUCED])
        return block.judge(kind)

    cdef int repeat(self, HeaderBlock block) except -1:
        """Do for the table what the last block did; see the header file."""
        cdef Line line
        cdef unsigned int i
        for i in range(self._added):
            line = self._lines[i]
            line.data = block.data + self._places[i]
            self._insert(&line)
        return 0

    cdef int _next(self, Cursor* cursor, bint begun, HeaderBlock block, Line* line) except -1:
        """Read one representation (RFC 7541, 6): set `line` for a field. Returns a step or a fault.

        A literal lies in `block` where its next line goes, until that is written.
        """
        cdef unsigned char first = cursor.at[0]
        cdef uint64_t number = 0
        cdef const Line* entry
        cdef int fault
        if first & 0x80:
            fault = _integer(cursor, 0x7f, &number)
            if fault:
                return fault
            entry = self._entry(number)
            if entry == NULL:
                return FAULT_INDEX
            line[0] = entry[0]
            self.is_plain &= number <= STATIC_ENTRIES
            return STEP_FIELD
        if first & 0x60 != 0x20:
            return self._literal(cursor, block, line)
        if begun:
            return FAULT_LATE_UPDATE
        fault = _integer(cursor, 0x1f, &number)
        if fault:
            return fault
        if self.max_allowed_table_size < 0 or number > <uint64_t> self.max_allowed_table_size:
            return FAULT_TABLE_SIZE
        self._limit = <Py_ssize_t> number
        self.is_plain = False
        self.changes += 1
        self._evict(self._limit)
        return STEP_UPDATE

    cdef int _literal(self, Cursor* cursor, HeaderBlock block, Line* line) except -1:
        """Read a literal field (RFC 7541, 6.2), and index it when it asks for that."""
        cdef unsigned char first = cursor.at[0]
        cdef uint64_t index = 0
        cdef const Line* entry = NULL
        cdef Py_ssize_t named = 0
        cdef unsigned int traits
        cdef unsigned char* data
        cdef int fault = _integer(cursor, 0x3f if first & 0x40 else 0x0f, &index)
        if fault:
            return fault
        if index:
            entry = self._entry(index)
            if entry == NULL:
                return FAULT_INDEX
            named = entry.name_size
            self.is_plain &= index <= STATIC_ENTRIES
        data = block.room(named + (cursor.end - cursor.at) * 8 // 5 + 4)
        if index:
            memcpy(data, entry.data, named)
            line.name_size = <unsigned int> named
            traits = entry.traits & (KIND_MASK | BAD_NAME)
        else:
            fault = _string(cursor, data, &line.name_size)
            if fault:
                return fault
            traits = name_traits(data, line.name_size)
        fault = _string(cursor, data + line.name_size + 2, &line.value_size)
        if fault:
            return fault
        finish_line(data, line, traits)
        if first & 0x40:
            if self._added < 8:
                self._lines[self._added] = line[0]
                self._places[self._added] = data - block.data
                self._added += 1
            else:
                self.is_plain = False
            self._insert(line)
        elif first & 0x10:
            line.traits |= NEVER_INDEXED
        return STEP_FIELD

    # ---- the dynamic table (RFC 7541, 2.3.2 and 4)

    cdef const Line* _entry(self, uint64_t index) noexcept:
        """Return an entry of the static or the dynamic table, or NULL. Valid until the next insertion."""
        if index <= STATIC_ENTRIES:
            return static_line(index) if index else NULL
        index -= STATIC_ENTRIES + 1
        if index >= self._count:
            return NULL
        return &self._ring[(self._newest - <unsigned int> index) & (self._capacity - 1)]

    cdef int _evict(self, Py_ssize_t limit) noexcept:
        """Drop the oldest entries until the table's size is at most `limit`."""
        cdef Line* oldest
        while self._count and self._size > limit:
            oldest = &self._ring[(self._newest - (self._count - 1)) & (self._capacity - 1)]
            self._size -= <Py_ssize_t> oldest.name_size + oldest.value_size + 32
            free(<void*> oldest.data)
            self._count -= 1
        return 0

    cdef int _insert(self, const Line* line) except -1:
        """Copy `line`, which lies outside of the table, into it; one that is too large empties it (RFC 7541, 4.4)."""
        cdef Py_ssize_t size = <Py_ssize_t> line.name_size + line.value_size + 32
        cdef unsigned int i, capacity
        cdef Line* grown
        cdef unsigned char* copy
        self.changes += 1
        self._evict(self._limit - size)
        if size > self._limit:
            return 0
        if self._count == self._capacity:
            capacity = self._capacity * 2 or 16
            grown = <Line*> malloc(capacity * sizeof(Line))
            if grown == NULL:
                raise MemoryError
            for i in range(self._count):
                grown[self._count - 1 - i] = self._ring[(self._newest - i) & (self._capacity - 1)]
            free(self._ring)
            self._ring = grown
            self._capacity = capacity
            self._newest = self._count - 1
        copy = <unsigned char*> malloc(size - 28)
        if copy == NULL:
            raise MemoryError
        memcpy(copy, line.data, size - 28)
        self._newest += 1
        self._count += 1
        self._size += size
        grown = &self._ring[self._newest & (self._capacity - 1)]
        grown[0] = line[0]
        grown.data = copy
        return 0


cdef object _error_class(int step):
    """Return the class of hpack's exception for a fault."""
    if step == FAULT_INDEX:
        return InvalidTableIndexError
    return InvalidTableSizeError if step == FAULT_TABLE_SIZE or step == FAULT_NOT_REDUCED else HPACKDecodingError


cdef object _pair(const Line* line, kind, bint raw):
    """Return a field as a tuple of class `kind`."""
    cdef bytes name = PyBytes_FromStringAndSize(<const char*> line.data, line.name_size)
    cdef bytes value = PyBytes_FromStringAndSize(<const char*> line.data + line.name_size + 2, line.value_size)
    if raw:
        return tuple.__new__(kind, (name, value))
    try:
        return tuple.__new__(kind, (name.decode("utf-8"), value.decode("utf-8")))
    except UnicodeDecodeError as exc:
        raise HPACKDecodingError("a header field is not UTF-8") from exc


def decode_often(Decoder decoder, bytes data, Py_ssize_t times):
    """Decode `data` `times` times as the hot path does; return how often it was a good request. For benchmarks."""
    cdef HeaderBlock block = HeaderBlock()
    cdef Py_ssize_t good = 0
    for _ in range(times):
        good += decoder.decode_block(data, len(data), block, BLOCK_REQUEST) == 0
    return good


# ---- writing a block


cdef inline unsigned char* _put_name(unsigned char* p, const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """Begin a literal that nobody indexes (RFC 7541, 6.2.2); for cookies also nobody later (6.2.3)."""
    cdef unsigned int place = static_name(name, size)
    if place:
        return put_integer(p, 0x10 if place == STATIC_SET_COOKIE else 0, 0x0f, place)
    p[0] = 0
    return put_string(p + 1, name, size)


cdef inline unsigned char* _put_status(unsigned char* p, int status) noexcept nogil:
    cdef unsigned char digits[3]
    cdef int place
    digits[0] = <unsigned char> (c"0" + status // 100)
    digits[1] = <unsigned char> (c"0" + status // 10 % 10)
    digits[2] = <unsigned char> (c"0" + status % 10)
    for place in range(STATIC_STATUS_200, STATIC_STATUS_500 + 1):
        if memcmp(static_line(place).data + 9, digits, 3) == 0:      # after ":status: "
            p[0] = <unsigned char> (0x80 | place)
            return p + 1
    p[0] = STATIC_STATUS_200
    return put_string(p + 1, digits, 3)


cdef Py_ssize_t response_bound(list fields) except -1:
    """Return how many bytes write_response may need."""
    cdef Py_ssize_t total = 80              # status 5, content-length 23, date 32
    if fields is not None:
        for text in fields:
            total += PyUnicode_GET_LENGTH(text) + 6
    return total


cdef Py_ssize_t write_response(
        unsigned char* out, int status, list fields, Py_ssize_t length, const char* date) except -1:
    """Write the header block of an answer (RFC 9113, 8.3.2); return its size. See the header file."""
    cdef unsigned char* p = _put_status(out, status)
    cdef unsigned char digits[24]
    cdef const unsigned char* name
    cdef Py_ssize_t i, size
    cdef unsigned int kind
    for i in range(0, 0 if fields is None else len(fields), 2):
        name = <const unsigned char*> PyUnicode_DATA(fields[i])
        size = PyUnicode_GET_LENGTH(fields[i])
        kind = field_kind(name, size)
        if kind == K_FORBIDDEN or kind == K_LENGTH or kind == K_TE:
            continue
        if size == 4 and memcmp(name, b"date", 4) == 0:
            date = NULL
        p = _put_name(p, name, size)
        p = put_string(p, PyUnicode_DATA(fields[i + 1]), PyUnicode_GET_LENGTH(fields[i + 1]))
    if length >= 0:
        size = 24
        while size == 24 or length:
            size -= 1
            digits[size] = <unsigned char> (c"0" + length % 10)
            length //= 10
        p = put_integer(p, 0, 0x0f, STATIC_CONTENT_LENGTH)
        p = put_string(p, digits + size, 24 - size)
    if date != NULL:
        p = put_integer(p, 0, 0x0f, STATIC_DATE)
        p = put_string(p, date, 29)
    return p - out


cdef Py_ssize_t write_table_size(unsigned char* out, Py_ssize_t size) noexcept:
    """Write a dynamic table size update (RFC 7541, 6.3); return its size."""
    return put_integer(out, 0x20, 0x1f, size) - out


def encode_response(int status, list fields, Py_ssize_t length=-1, bytes date=None):
    """Return the header block of an answer as bytes: `write_response` for tests and benchmarks.

    fields: pairs of names and values, checked here. length: content-length, -1 = none. date: 29 bytes, or None.

    Raises:
        ValueError: a status, name, value or date that cannot be sent.
    """
    cdef list checked = []
    cdef bytearray out
    cdef unsigned char* start
    cdef char* day = NULL if date is None else PyBytes_AS_STRING(date)
    if not 100 <= status <= 599:
        raise ValueError(f"status {status} is not within 100 to 599")
    if date is not None and len(date) != 29:
        raise ValueError(f"a date has 29 bytes, not {len(date)}")
    for name, value in fields:
        checked += (check_name(name), check_value(value))
    out = bytearray(response_bound(checked))
    start = <unsigned char*> PyByteArray_AS_STRING(out)
    return bytes(out[:write_response(start, status, checked, length, day)])


def encode_table_size(Py_ssize_t size):
    """Return a dynamic table size update as bytes: `write_table_size` for tests. size: below 2**32."""
    cdef unsigned char out[6]
    if not 0 <= size < 1 << 32:
        raise ValueError(f"a table size of {size} is not within 0 to 2**32 - 1")
    return out[:write_table_size(out, size)]
