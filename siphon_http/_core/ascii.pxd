# Character classes of HTTP and hex digits: inline, no module behind them, shared by cimport.
#
# Every function takes one byte and cannot fail. The classes lie in one table of bits, so that a scan touches four
# cache lines at most:
#
#    1  token        tchar (RFC 9110, 5.6.2)
#    2  field value  HTAB, SP, VCHAR, obs-text (RFC 9110, 5.5)
#    4  digit        0-9
#    8  alpha        A-Z a-z
#   16  unreserved   what never needs an escape in a URL (RFC 3986, 2.3)
#   32  reg-name     unreserved and sub-delims: a host without escapes (RFC 3986, 3.2.2)
#   64  target       visible ASCII but "#": what a request target may be made of (RFC 9112, 3.2)

cdef extern from *:
    """
    #include <string.h>
    static const unsigned char siphon_ascii_class[256] = {
        /* 00 */   0,   0,   0,   0,   0,   0,   0,   0,   0,   2,   0,   0,   0,   0,   0,   0,
        /* 10 */   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        /* 20 */   2,  99,  66,   3,  99,  67,  99,  99,  98,  98,  99,  99,  98, 115, 115,  66,
        /* 30 */ 119, 119, 119, 119, 119, 119, 119, 119, 119, 119,  66,  98,  66,  98,  66,  66,
        /* 40 */  66, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123,
        /* 50 */ 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123,  66,  66,  66,  67, 115,
        /* 60 */  67, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123,
        /* 70 */ 123, 123, 123, 123, 123, 123, 123, 123, 123, 123, 123,  66,  67,  66, 115,   0,
        /* 80 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* 90 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* a0 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* b0 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* c0 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* d0 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* e0 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
        /* f0 */   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
    };
    static const signed char siphon_ascii_hex[256] = {
        /* 00 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 10 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 20 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 30 */  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, -1, -1, -1, -1, -1, -1,
        /* 40 */ -1, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 50 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 60 */ -1, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 70 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 80 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* 90 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* a0 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* b0 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* c0 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* d0 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* e0 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        /* f0 */ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    };
    /* Does one of eight bytes lie below 0x20 or equal 0x7f? (Per byte: the borrow of a subtraction reaches bit 7.) */
    static inline int siphon_has_control(const unsigned char *p) {
        const unsigned long long ones = 0x0101010101010101ULL;
        unsigned long long word, other;
        memcpy(&word, p, 8);
        other = word ^ 0x7f * ones;
        return (((word - 0x20 * ones) & ~word) | ((other - ones) & ~other)) & 0x80 * ones ? 1 : 0;
    }
    """
    const unsigned char siphon_ascii_class[256]
    const signed char siphon_ascii_hex[256]
    bint siphon_has_control(const unsigned char* data) noexcept nogil


cdef inline bint is_token(unsigned char c) noexcept nogil:
    """Whether `c` may stand in a token: a method or a field name (RFC 9110, 5.6.2)."""
    return (siphon_ascii_class[c] & 1) != 0


cdef inline bint is_field_vchar(unsigned char c) noexcept nogil:
    """Whether `c` may stand in a field value: HTAB, SP, 0x21-0x7e, 0x80-0xff (RFC 9110, 5.5)."""
    return (siphon_ascii_class[c] & 2) != 0


cdef inline bint is_field_value(const unsigned char* data, Py_ssize_t size) noexcept nogil:
    """Whether every byte may stand in a field value."""
    cdef Py_ssize_t i = 0
    while size - i >= 8 and not siphon_has_control(data + i):
        i += 8
    while i < size:
        if not is_field_vchar(data[i]):
            return False
        i += 1
    return True


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    """Whether `c` is 0-9."""
    return (siphon_ascii_class[c] & 4) != 0


cdef inline bint is_alpha(unsigned char c) noexcept nogil:
    """Whether `c` is A-Z or a-z."""
    return (siphon_ascii_class[c] & 8) != 0


cdef inline bint is_upper(unsigned char c) noexcept nogil:
    """Whether `c` is A-Z."""
    return <unsigned char> (c - 65) < 26


cdef inline bint is_unreserved(unsigned char c) noexcept nogil:
    """Whether an escape of `c` in a URL means `c` itself (RFC 3986, 2.3)."""
    return (siphon_ascii_class[c] & 16) != 0


cdef inline bint is_reg_name(unsigned char c) noexcept nogil:
    """Whether `c` may stand in a host name as it is."""
    return (siphon_ascii_class[c] & 32) != 0


cdef inline bint is_target(unsigned char c) noexcept nogil:
    """Whether `c` may stand in a request target."""
    return (siphon_ascii_class[c] & 64) != 0


cdef inline int hex_value(unsigned char c) noexcept nogil:
    """Return the value of a hex digit of either case, or -1."""
    return siphon_ascii_hex[c]


cdef inline unsigned char to_lower(unsigned char c) noexcept nogil:
    """Return `c` with A-Z made a-z."""
    return c | 0x20 if <unsigned char>(c - 65) < 26 else c
