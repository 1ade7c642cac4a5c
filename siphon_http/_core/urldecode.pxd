# Percent-decoding of paths and query strings. Everything works on a slice (data, n) of received bytes: `data` may be
# NULL only with n = 0, nothing is read past data + n, and nothing of `data` is kept. No state: safe from any thread.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

# str: `data` percent-decoded once, then read as strict UTF-8; "+" stays. Raises ValueError with the offset in `data`
# for a bad escape or bad UTF-8.
cdef object decode_component(const char* data, Py_ssize_t n)

# Whether every escape is well-formed and the decoded bytes are UTF-8: decode_component of it, or of any of its
# segments, cannot raise.
cdef bint is_valid_path(const char* data, Py_ssize_t n) noexcept nogil

# bytes: the one spelling that stands for all equivalent spellings of a path (RFC 3986, 6.2.2), or None when `data` is
# that already (nearly always) or is no valid path. Routes match canonical paths.
cdef object canonical_path(const char* data, Py_ssize_t n)

# str: one name or value of application/x-www-form-urlencoded. Never raises for what the bytes are: a bad escape is kept
# as it stands, bad UTF-8 becomes U+FFFD.
cdef object decode_form(const char* data, Py_ssize_t n)

# The pairs of a query without its "?": as dict (last of duplicates wins), as the values of one name in order, as a list
# of (name, value). `&&` is skipped, `flag` and `flag=` are "", ";" is an ordinary character.
cdef dict query_dict(const char* data, Py_ssize_t n)
cdef list query_list(const char* data, Py_ssize_t n, str name)
cdef list query_pairs(const char* data, Py_ssize_t n)

cpdef str decode_path(bytes raw)


cdef inline bint is_plain(const char* data, Py_ssize_t n) noexcept nogil:
    """Whether `data` is ASCII without "%": then it is valid, canonical, and its own decoded form.

    Eight bytes at a time: `word ^ percent` has a zero byte exactly where a "%" was, and subtracting 1 from every byte
    borrows into the top bit of a zero byte.
    """
    cdef uint64_t word = 0, percent, found = 0
    cdef Py_ssize_t i = 0
    while n - i >= 8:
        memcpy(&word, data + i, 8)
        percent = word ^ <uint64_t>0x2525252525252525
        found |= word | ((percent - <uint64_t>0x0101010101010101) & ~percent)
        i += 8
    if found & <uint64_t>0x8080808080808080:
        return False
    while i < n:
        if data[i] == 37 or <unsigned char>data[i] >= 0x80:
            return False
        i += 1
    return True
