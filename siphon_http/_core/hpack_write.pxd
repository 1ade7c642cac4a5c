# How integers and strings of HPACK are written (RFC 7541, 5.1 and 5.2): inline, no module behind it.

from libc.string cimport memcpy


cdef inline unsigned char* put_integer(
        unsigned char* p, unsigned int bits, unsigned int prefix, size_t value) noexcept nogil:
    """Write an integer with `prefix` = its mask below the leading `bits`; return the place after it."""
    if value < prefix:
        p[0] = <unsigned char> (bits | value)
        return p + 1
    p[0] = <unsigned char> (bits | prefix)
    p += 1
    value -= prefix
    while value > 127:
        p[0] = <unsigned char> (value & 127 | 128)
        p += 1
        value >>= 7
    p[0] = <unsigned char> value
    return p + 1


cdef inline unsigned char* put_string(unsigned char* p, const void* text, Py_ssize_t size) noexcept nogil:
    """Write a string as it is: Huffman coding would cost more than the bytes that it saves."""
    p = put_integer(p, 0, 0x7f, size)
    memcpy(p, text, size)
    return p + size
