# Huffman decoding of HPACK strings (RFC 7541, section 5.2 and appendix B): inline, no module behind it.
#
# The code is canonical: within one length, codes are consecutive, and longer codes are numerically above shorter ones.
# So two small tables say everything. The next eight bits name a symbol of 5 to 8 bits at once, which is nearly all of
# what headers are made of; longer codes (10 to 30 bits) are found by comparing with the last code of each length.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef SIPHON_HTTP_HUFFMAN
    #define SIPHON_HTTP_HUFFMAN
    #include <stdint.h>
    /* By the next 8 bits: length of the code << 8 | symbol; 0 = the code is longer. */
    static const uint16_t siphon_huffman_short[256] = {
        0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531,
        0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561,
        0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565,
        0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f,
        0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574,
        0x620, 0x620, 0x620, 0x620, 0x625, 0x625, 0x625, 0x625, 0x62d, 0x62d, 0x62d, 0x62d, 0x62e, 0x62e, 0x62e, 0x62e,
        0x62f, 0x62f, 0x62f, 0x62f, 0x633, 0x633, 0x633, 0x633, 0x634, 0x634, 0x634, 0x634, 0x635, 0x635, 0x635, 0x635,
        0x636, 0x636, 0x636, 0x636, 0x637, 0x637, 0x637, 0x637, 0x638, 0x638, 0x638, 0x638, 0x639, 0x639, 0x639, 0x639,
        0x63d, 0x63d, 0x63d, 0x63d, 0x641, 0x641, 0x641, 0x641, 0x65f, 0x65f, 0x65f, 0x65f, 0x662, 0x662, 0x662, 0x662,
        0x664, 0x664, 0x664, 0x664, 0x666, 0x666, 0x666, 0x666, 0x667, 0x667, 0x667, 0x667, 0x668, 0x668, 0x668, 0x668,
        0x66c, 0x66c, 0x66c, 0x66c, 0x66d, 0x66d, 0x66d, 0x66d, 0x66e, 0x66e, 0x66e, 0x66e, 0x670, 0x670, 0x670, 0x670,
        0x672, 0x672, 0x672, 0x672, 0x675, 0x675, 0x675, 0x675, 0x73a, 0x73a, 0x742, 0x742, 0x743, 0x743, 0x744, 0x744,
        0x745, 0x745, 0x746, 0x746, 0x747, 0x747, 0x748, 0x748, 0x749, 0x749, 0x74a, 0x74a, 0x74b, 0x74b, 0x74c, 0x74c,
        0x74d, 0x74d, 0x74e, 0x74e, 0x74f, 0x74f, 0x750, 0x750, 0x751, 0x751, 0x752, 0x752, 0x753, 0x753, 0x754, 0x754,
        0x755, 0x755, 0x756, 0x756, 0x757, 0x757, 0x759, 0x759, 0x76a, 0x76a, 0x76b, 0x76b, 0x771, 0x771, 0x776, 0x776,
        0x777, 0x777, 0x778, 0x778, 0x779, 0x779, 0x77a, 0x77a, 0x826, 0x82a, 0x82c, 0x83b, 0x858, 0x85a, 0x000, 0x000,
    };
    /* Length, first code, last code, place of the first code's symbol in siphon_huffman_symbols. */
    typedef struct { uint32_t length, first, last, place; } siphon_long_codes;
    static const siphon_long_codes siphon_huffman_long[17] = {
        {10, 0x3f8, 0x3fc, 0}, {11, 0x7fa, 0x7fc, 5}, {12, 0xffa, 0xffb, 8},
        {13, 0x1ff8, 0x1ffd, 10}, {14, 0x3ffc, 0x3ffd, 16}, {15, 0x7ffc, 0x7ffe, 18},
        {19, 0x7fff0, 0x7fff2, 21}, {20, 0xfffe6, 0xfffed, 24}, {21, 0x1fffdc, 0x1fffe8, 32},
        {22, 0x3fffd2, 0x3fffeb, 45}, {23, 0x7fffd8, 0x7ffff4, 71}, {24, 0xffffea, 0xfffff5, 100},
        {25, 0x1ffffec, 0x1ffffef, 112}, {26, 0x3ffffe0, 0x3ffffee, 116}, {27, 0x7ffffde, 0x7fffff0, 131},
        {28, 0xfffffe2, 0xffffffe, 150}, {30, 0x3ffffffc, 0x3fffffff, 179},
    };
    /* Symbols of the long codes in the order of their codes; the last place is EOS. */
    static const unsigned char siphon_huffman_symbols[183] = {
         33,  34,  40,  41,  63,  39,  43, 124,  35,  62,   0,  36,  64,  91,  93, 126,  94, 125,  60,  96, 123,  92,
        195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229,
        230, 129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
        196, 198, 228, 232, 233,   1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165,
        166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239,   9, 142, 144, 145, 148, 159, 171, 206, 215, 225,
        236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255, 203,
        204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254,   2,   3,   4,   5,
          6,   7,   8,  11,  12,  14,  15,  16,  17,  18,  19,  20,  21,  23,  24,  25,  26,  27,  28,  29,  30,  31,
        127, 220, 249,  10,  13,  22,   0,
    };
    static inline uint64_t siphon_load_be64(const unsigned char* p) {
        return (uint64_t) p[0] << 56 | (uint64_t) p[1] << 48 | (uint64_t) p[2] << 40 | (uint64_t) p[3] << 32
             | (uint64_t) p[4] << 24 | (uint64_t) p[5] << 16 | (uint64_t) p[6] << 8 | (uint64_t) p[7];
    }
    #endif
    """
    ctypedef struct LongCodes "siphon_long_codes":
        uint32_t length                     # bits of these codes
        uint32_t first                      # the smallest of them
        uint32_t last                       # the largest of them
        uint32_t place                      # of the first one's symbol in siphon_huffman_symbols
    const unsigned short siphon_huffman_short[256]
    const LongCodes siphon_huffman_long[17]
    const unsigned char siphon_huffman_symbols[183]
    uint64_t siphon_load_be64(const unsigned char* p) noexcept nogil


cdef inline int huffman_long(uint32_t window, int* length) noexcept nogil:
    """Return the symbol of the code of 10 to 30 bits that `window` begins with, and set its length; -1 for EOS."""
    cdef int i = 0
    cdef uint32_t code = window >> 22
    while code > siphon_huffman_long[i].last:
        i += 1                              # ends: the last code of 30 bits is all ones
        code = window >> (32 - siphon_huffman_long[i].length)
    length[0] = siphon_huffman_long[i].length
    if code == 0x3fffffff and length[0] == 30:
        return -1
    return siphon_huffman_symbols[siphon_huffman_long[i].place + code - siphon_huffman_long[i].first]


cdef inline Py_ssize_t huffman_decode(const unsigned char* data, Py_ssize_t n, unsigned char* out) noexcept nogil:
    """Decode data[0:n] to `out`, which has room for 8 * n // 5 bytes; return the decoded size.

    -1: EOS within the string, padding of more than 7 bits, or padding that is not ones (RFC 7541, 5.2).
    """
    cdef const unsigned char* end = data + n
    cdef unsigned char* at = out
    cdef uint64_t window = 0                # the next bits, first bit on top
    cdef uint64_t ones = 0xffffffffffffffffU
    cdef int bits = 0                       # how many of them are counted
    cdef int length = 0
    cdef int symbol
    cdef unsigned int known
    while True:
        if end - data >= 8:
            # Bits below the counted ones may be loaded already: they are the same bits of the same bytes.
            window |= siphon_load_be64(data) >> bits
            data += (63 - bits) >> 3
            bits |= 56
        else:
            while bits <= 56 and data < end:
                window |= <uint64_t> data[0] << (56 - bits)
                bits += 8
                data += 1
        while bits >= 8:
            known = siphon_huffman_short[window >> 56]
            if known:
                at[0] = <unsigned char> known
                length = known >> 8
            elif bits < 30 and data < end:
                break
            else:
                symbol = huffman_long(<uint32_t> ((window | ones >> bits if bits < 64 else window) >> 32), &length)
                if symbol < 0 or length > bits:
                    return -1
                at[0] = <unsigned char> symbol
            at += 1
            window <<= length
            bits -= length
        if data == end:
            break
    while bits:
        known = siphon_huffman_short[(window | ones >> bits) >> 56]
        length = known >> 8
        if known == 0 or length > bits:
            break
        at[0] = <unsigned char> known
        at += 1
        window <<= length
        bits -= length
    if bits and window >> (64 - bits) != ones >> (64 - bits):
        return -1
    return at - out
