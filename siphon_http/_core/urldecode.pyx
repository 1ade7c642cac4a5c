"""Percent-decoding of path parameters and query strings (RFC 3986; WHATWG URL, application/x-www-form-urlencoded).

Two readings of one alphabet. A path is strict: a bad escape or bad UTF-8 is the client's mistake, and "+" is a plus. A
query is lenient, as every browser and form library is: bad escapes stay as they are, and "+" is a space.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr

from siphon_http._core.ascii cimport hex_value, is_unreserved

__all__ = [
    "canonical",
    "decode_path",
    "is_valid",
    "parse_query",
    "parse_query_list",
    "parse_query_pairs",
]

cdef extern from *:
    """
    #define SIPHON_SMALL 256
    static const char siphon_hex_digits[] = "0123456789ABCDEF";
    """
    enum: SIPHON_SMALL               # bytes decoded on the stack; longer input borrows a block for the time of a call
    const char siphon_hex_digits[17]


cdef struct Utf8:                    # a UTF-8 sequence being read byte by byte (RFC 3629, section 4)
    int missing                      # continuation bytes still to come, 0-3
    unsigned char low                # smallest and largest next continuation byte: they keep overlong forms,
    unsigned char high               # surrogates and what is above U+10FFFF out


cdef inline bint accept(Utf8* state, unsigned char c) noexcept nogil:
    """Take the next byte; return whether the sequence can still become UTF-8."""
    if state.missing:
        if c < state.low or c > state.high:
            return False
        state.missing -= 1
        state.low = 0x80
        state.high = 0xBF
        return True
    if c < 0x80:
        return True
    if c < 0xC2 or c > 0xF4:
        return False
    state.missing = 1 if c < 0xE0 else 2 if c < 0xF0 else 3
    state.low = 0xA0 if c == 0xE0 else 0x90 if c == 0xF0 else 0x80
    state.high = 0x9F if c == 0xED else 0x8F if c == 0xF4 else 0xBF
    return True


cdef inline int escaped(const char* data, Py_ssize_t n, Py_ssize_t at) noexcept nogil:
    """Return the byte that the escape at `at` (where a "%" is) stands for, or -1 for a bad escape."""
    cdef int high, low
    if n - at < 3:
        return -1
    high = hex_value(<unsigned char>data[at + 1])
    low = hex_value(<unsigned char>data[at + 2])
    return -1 if high < 0 or low < 0 else high << 4 | low


cdef Py_ssize_t first_fault(const char* data, Py_ssize_t n) noexcept nogil:
    """Return the offset of the first bad escape or of the first sequence that is no UTF-8, or -1."""
    cdef Utf8 state = Utf8(0, 0x80, 0xBF)
    cdef Py_ssize_t i = 0, start = 0
    cdef int c
    while i < n:
        if state.missing == 0:
            start = i
        c = <unsigned char>data[i]
        if c == 37:
            c = escaped(data, n, i)
            if c < 0:
                return i
            i += 2
        i += 1
        if not accept(&state, <unsigned char>c):
            return start
    return start if state.missing else -1


cdef bint is_valid_path(const char* data, Py_ssize_t n) noexcept nogil:
    """Return whether `data` has good escapes only and decodes to UTF-8."""
    return is_plain(data, n) or first_fault(data, n) < 0


cdef object fault(const char* data, Py_ssize_t n):
    """Return the ValueError for a slice that first_fault refuses."""
    cdef Py_ssize_t at = first_fault(data, n)
    if data[at] == 37 and escaped(data, n, at) < 0:
        return ValueError(f"bad escape at offset {at}: '%' must be followed by two hex digits (a percent sign is %25)")
    return ValueError(f"bad UTF-8 at offset {at}")


cdef Py_ssize_t unescape(const char* data, Py_ssize_t n, char* out) noexcept nogil:
    """Write `data` percent-decoded to `out`, which has room for n bytes; return its length, or -1 for a bad escape."""
    cdef Py_ssize_t i = 0, length = 0
    cdef int c
    while i < n:
        c = <unsigned char>data[i]
        if c == 37:
            c = escaped(data, n, i)
            if c < 0:
                return -1
            i += 2
        out[length] = <char>c
        length += 1
        i += 1
    return length


cdef Py_ssize_t unescape_form(const char* data, Py_ssize_t n, char* out) noexcept nogil:
    """Like unescape, but "+" is a space and a bad escape stays."""
    cdef Py_ssize_t i = 0, length = 0
    cdef int c, byte
    while i < n:
        c = <unsigned char>data[i]
        if c == 43:
            c = 32
        elif c == 37:
            byte = escaped(data, n, i)
            if byte >= 0:
                c = byte
                i += 2
        out[length] = <char>c
        length += 1
        i += 1
    return length


cdef object decode_component(const char* data, Py_ssize_t n):
    """Return `data` percent-decoded once, as str."""
    cdef char small[SIPHON_SMALL]
    cdef char* out = small
    cdef Py_ssize_t length
    if n == 0:
        return ""
    try:
        if memchr(data, 37, n) == NULL:
            return PyUnicode_DecodeUTF8(data, n, NULL)
        if n > SIPHON_SMALL:
            out = <char*>PyMem_Malloc(n)
            if out == NULL:
                raise MemoryError
        length = unescape(data, n, out)
        if length >= 0:
            return PyUnicode_DecodeUTF8(out, length, NULL)
    except UnicodeDecodeError as error:
        raise fault(data, n) from error
    finally:
        if out != small:
            PyMem_Free(out)
    raise fault(data, n)


cdef object decode_form(const char* data, Py_ssize_t n):
    """Return one name or value of a query, as str."""
    cdef char small[SIPHON_SMALL]
    cdef char* out = small
    cdef Py_ssize_t length = 0
    while length < n and data[length] != 37 and data[length] != 43:
        length += 1
    if length == n:
        return PyUnicode_DecodeUTF8(data, n, "replace") if n else ""
    if n > SIPHON_SMALL:
        out = <char*>PyMem_Malloc(n)
        if out == NULL:
            raise MemoryError
    try:
        length = unescape_form(data, n, out)
        return PyUnicode_DecodeUTF8(out, length, "replace")
    finally:
        if out != small:
            PyMem_Free(out)


cdef inline bint loses_its_escape(int c) noexcept nogil:
    """Whether canonical paths hold `c` itself.

    Unreserved characters are the same with and without an escape (RFC 3986, 2.3). What the grammar does not let into a
    path but clients send all the same, is no delimiter and means the same too. Not so "/" and the other delimiters.
    """
    # in the tuple: " < > [ \ ] ^ ` { | }
    return is_unreserved(<unsigned char>c) or c in (34, 60, 62, 91, 92, 93, 94, 96, 123, 124, 125)


cdef bint is_canonical(const char* data, Py_ssize_t n) noexcept nogil:
    """Whether a valid path is written as canonical_path would write it."""
    cdef Py_ssize_t i = 0
    cdef int c
    while i < n:
        c = <unsigned char>data[i]
        if c >= 0x80:
            return False
        if c == 37:
            if data[i + 1] >= 97 or data[i + 2] >= 97 or loses_its_escape(escaped(data, n, i)):
                return False
            i += 2
        i += 1
    return True


cdef Py_ssize_t write_canonical(const char* data, Py_ssize_t n, char* out) noexcept nogil:
    """Write the canonical form of a valid path to `out` unless that is NULL; return its length."""
    cdef Py_ssize_t i = 0, length = 0
    cdef int c
    cdef bint escape
    while i < n:
        c = <unsigned char>data[i]
        escape = c >= 0x80
        if c == 37:
            c = escaped(data, n, i)
            escape = not loses_its_escape(c)
            i += 2
        if out != NULL and escape:
            out[length] = 37
            out[length + 1] = siphon_hex_digits[c >> 4]
            out[length + 2] = siphon_hex_digits[c & 15]
        elif out != NULL:
            out[length] = <char>c
        length += 3 if escape else 1
        i += 1
    return length


cdef object canonical_path(const char* data, Py_ssize_t n):
    """Return the canonical spelling of a path, or None."""
    if is_plain(data, n) or first_fault(data, n) >= 0 or is_canonical(data, n):
        return None
    result = PyBytes_FromStringAndSize(NULL, write_canonical(data, n, NULL))
    write_canonical(data, n, PyBytes_AS_STRING(result))
    return result


cdef struct Pair:                    # one `name=value` of a query; all three point into the slice being read
    const char* name                 # as it is written, still escaped
    Py_ssize_t name_length           # bytes
    const char* value                # past the "=", or the pair's end
    Py_ssize_t value_length          # bytes


cdef bint next_pair(const char** at, const char* end, Pair* pair) noexcept nogil:
    """Read the next non-empty pair from `at` and move it past; return False at the end."""
    cdef const char* stop
    cdef const char* equals
    while at[0] < end:
        pair.name = at[0]
        stop = <const char*>memchr(pair.name, 38, end - pair.name)
        if stop == NULL:
            stop = end
        at[0] = stop + 1 if stop < end else end
        if stop == pair.name:
            continue
        equals = <const char*>memchr(pair.name, 61, stop - pair.name)
        pair.name_length = (stop if equals == NULL else equals) - pair.name
        pair.value = stop if equals == NULL else equals + 1
        pair.value_length = stop - pair.value
        return True
    return False


cdef dict query_dict(const char* data, Py_ssize_t n):
    """Return {name: last value}."""
    cdef dict result = {}
    cdef const char* at = data
    cdef Pair pair
    while next_pair(&at, data + n, &pair):
        result[decode_form(pair.name, pair.name_length)] = decode_form(pair.value, pair.value_length)
    return result


cdef list query_list(const char* data, Py_ssize_t n, str name):
    """Return all values of `name`, in order."""
    cdef list result = []
    cdef const char* at = data
    cdef Pair pair
    while next_pair(&at, data + n, &pair):
        if decode_form(pair.name, pair.name_length) == name:
            result.append(decode_form(pair.value, pair.value_length))
    return result


cdef list query_pairs(const char* data, Py_ssize_t n):
    """Return [(name, value)], in order."""
    cdef list result = []
    cdef const char* at = data
    cdef Pair pair
    while next_pair(&at, data + n, &pair):
        result.append((decode_form(pair.name, pair.name_length), decode_form(pair.value, pair.value_length)))
    return result


cpdef str decode_path(bytes raw):
    """Return `raw`, a path or a part of one, percent-decoded once as strict UTF-8; "+" stays.

    Raises:
        ValueError: a bad escape or bad UTF-8; the message has the offset in `raw`.
    """
    if raw is None:
        raise TypeError("raw must be bytes, not None")
    return decode_component(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


def is_valid(bytes raw not None) -> bool:
    """Return whether decode_path(raw) would not raise."""
    return is_valid_path(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


def canonical(bytes raw not None) -> bytes:
    """Return the canonical spelling of a path (RFC 3986, 6.2.2); `raw` itself when it is that, or is no valid path.

    Escapes of unreserved characters are undone, other escapes get upper-case digits, bytes above 0x7f are escaped.
    """
    result = canonical_path(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return raw if result is None else result


def parse_query(bytes raw not None) -> dict[str, str]:
    """Return the names and values of a query without its "?"; the last of duplicates wins. Never raises on content."""
    return query_dict(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


def parse_query_list(bytes raw not None, str name not None) -> list[str]:
    """Return all values of `name` in a query, in order."""
    return query_list(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), name)


def parse_query_pairs(bytes raw not None) -> list[tuple[str, str]]:
    """Return all (name, value) of a query, in order."""
    return query_pairs(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
