# What a line of an access log is made of, byte by byte: inline, no module behind it.
#
# Texts are copied in vectors of 16 bytes. Where that would read beyond a text, its last bytes are copied once more, from its end;
# `paste` alone reads and writes up to 15 bytes beyond: both sides have that room.

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifndef SIPHON_ACCESS_TEXT
    #define SIPHON_ACCESS_TEXT
    typedef signed char siphon_bytes __attribute__((vector_size(16)));
    typedef uint64_t siphon_halves __attribute__((vector_size(16)));
    #define SIPHON_EACH(c) ((siphon_bytes) {c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c})

    /* Which bytes are a control, DEL, beyond ASCII (they are negative), a quote or a backslash? */
    static inline siphon_bytes siphon_odd(siphon_bytes v) {
        return (siphon_bytes) ((v < SIPHON_EACH(0x20)) | (v == SIPHON_EACH(0x22)) | (v == SIPHON_EACH(0x5c))
                               | (v == SIPHON_EACH(0x7f)));
    }
    static char* siphon_escape_slowly(char* p, const unsigned char* s, Py_ssize_t n, int json) {
        static const char hex[] = "0123456789abcdef";
        for (; n > 0; n--, s++) {
            unsigned char c = *s;
            if (c >= 0x20 && c < 0x7f && c != 0x22 && c != 0x5c) { *p++ = (char) c; continue; }
            *p++ = 0x5c;
            if (json) { *p++ = 'u'; *p++ = '0'; *p++ = '0'; } else *p++ = 'x';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
        return p;
    }
    static inline __attribute__((always_inline)) char* siphon_escape(char* p, const char* s, Py_ssize_t n, int json) {
        siphon_bytes v, odd;
        siphon_halves halves;
        Py_ssize_t i;
        if (n >= 16) {
            memcpy(&v, s + n - 16, 16);
            odd = siphon_odd(v);
            for (i = 0; i < n - 16; i += 16) {
                siphon_bytes w;
                memcpy(&w, s + i, 16);
                memcpy(p + i, &w, 16);
                odd |= siphon_odd(w);
            }
            memcpy(p + n - 16, &v, 16);
        } else {
            uint64_t first, last;
            if (n >= 8) {
                memcpy(&first, s, 8);
                memcpy(&last, s + n - 8, 8);
                memcpy(p, &first, 8);
                memcpy(p + n - 8, &last, 8);
            } else if (n >= 4) {
                uint32_t a, b;
                memcpy(&a, s, 4);
                memcpy(&b, s + n - 4, 4);
                memcpy(p, &a, 4);
                memcpy(p + n - 4, &b, 4);
                first = last = (uint64_t) a << 32 | b;
            } else {
                if (n <= 0) return p;
                p[0] = s[0];
                p[n / 2] = s[n / 2];
                p[n - 1] = s[n - 1];
                first = last = 0x2020202020000000ULL | (uint64_t) (unsigned char) s[0] << 16
                    | (uint64_t) (unsigned char) s[n / 2] << 8 | (unsigned char) s[n - 1];
            }
            halves = (siphon_halves) {first, last};
            odd = siphon_odd((siphon_bytes) halves);
        }
        halves = (siphon_halves) odd;
        return halves[0] | halves[1] ? siphon_escape_slowly(p, (const unsigned char*) s, n, json) : p + n;
    }
    static inline char* siphon_paste(char* p, const char* s, Py_ssize_t n) {
        Py_ssize_t i = 0;
        do { memcpy(p + i, s + i, 16); i += 16; } while (i < n);
        return p + n;
    }

    /* Does a word in lower case, of `size` letters, stand at `s`? */
    static inline int siphon_stands(const char* s, const char* end, const char* word, int size) {
        int i;
        if (end - s < size) return 0;
        for (i = 0; i < size; i++) if ((s[i] | 0x20) != word[i]) return 0;
        return 1;
    }
    static int siphon_hides(const char* s, const char* end) {
        switch (*s | 0x20) {
            case 'a': return siphon_stands(s, end, "authorization", 13) || siphon_stands(s, end, "api", 3);
            case 'c': return siphon_stands(s, end, "cookie", 6);
            case 'p': return siphon_stands(s, end, "passw", 5);
            case 's': return siphon_stands(s, end, "secret", 6) || siphon_stands(s, end, "signature", 9);
            case 't': return siphon_stands(s, end, "token", 5);
            default: return 0;
        }
    }
    /* Has it a question mark or an "@"? Short ones are not looked at. */
    static inline int siphon_may_hold(const char* s, Py_ssize_t n) {
        siphon_bytes v, found;
        siphon_halves halves;
        Py_ssize_t i;
        if (n < 16) return 1;
        memcpy(&v, s + n - 16, 16);
        found = (siphon_bytes) ((v == SIPHON_EACH('?')) | (v == SIPHON_EACH('@')));
        for (i = 0; i < n - 16; i += 16) {
            memcpy(&v, s + i, 16);
            found |= (siphon_bytes) ((v == SIPHON_EACH('?')) | (v == SIPHON_EACH('@')));
        }
        halves = (siphon_halves) found;
        return (halves[0] | halves[1]) != 0;
    }
    /* Might `masked_url` change a URL? It has an "@", or a key of its query one of the words of SECRET, or an escape. */
    static inline int siphon_may_hide(const char* s, Py_ssize_t n) {
        const char* end = s + n;
        if (!siphon_may_hold(s, n)) return 0;
        if (memchr(s, '@', n)) return 1;
        s = (const char*) memchr(s, '?', n);
        if (!s) return 0;
        for (s++; s < end; s++) {           /* at the first byte of a key */
            for (; s < end && *s != '=' && *s != '&' && *s != ';'; s++)
                if (*s == '%' || siphon_hides(s, end)) return 1;
            while (s < end && *s != '&' && *s != ';') s++;
        }
        return 0;
    }

    /* Is the field name at `sent`, as long as `name`, the same in lower case? `letters` has 0x20 where `name` has a letter. */
    static inline int siphon_is_name(const char* sent, const char* name, const char* letters, Py_ssize_t n) {
        uint64_t a, b, m;
        Py_ssize_t i;
        if (n < 4) {
            for (i = 0; i < n; i++) if ((sent[i] ^ name[i]) & ~letters[i]) return 0;
            return 1;
        }
        if (n < 8) {
            uint32_t c, d, e;
            for (i = 0; ; i = n - 4) {
                memcpy(&c, sent + i, 4);
                memcpy(&d, name + i, 4);
                memcpy(&e, letters + i, 4);
                if ((c ^ d) & ~e) return 0;
                if (i == n - 4) return 1;
            }
        }
        for (i = 0; ; i = i + 8 < n - 8 ? i + 8 : n - 8) {
            memcpy(&a, sent + i, 8);
            memcpy(&b, name + i, 8);
            memcpy(&m, letters + i, 8);
            if ((a ^ b) & ~m) return 0;
            if (i == n - 8) return 1;
        }
    }
    static inline int siphon_is_visible(const char* s, Py_ssize_t n) {
        Py_ssize_t i;
        int odd = 0;
        for (i = 0; i < n; i++) odd |= (unsigned char) (s[i] - 0x21) > 0x7e - 0x21;
        return !odd;
    }

    static inline char* siphon_three_digits(char* p, int n) {
        p[0] = (char) ('0' + n / 100);
        p[1] = (char) ('0' + n / 10 % 10);
        p[2] = (char) ('0' + n % 10);
        return p + 3;
    }
    static inline char* siphon_number(char* p, uint64_t n) {
        char digits[24];
        int size = 0;
        if (n < 10) { *p = (char) ('0' + n); return p + 1; }
        if (n >= 100 && n < 1000) return siphon_three_digits(p, (int) n);
        do { digits[size++] = (char) ('0' + n % 10); n /= 10; } while (n);
        while (size) *p++ = digits[--size];
        return p;
    }
    /* The bytes of a str, one for each character, and their number; -1 when it has characters beyond Latin-1. */
    static inline const char* siphon_narrow(PyObject* text, Py_ssize_t* size) {
        if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) { *size = -1; return NULL; }
        *size = PyUnicode_GET_LENGTH(text);
        return (const char*) PyUnicode_1BYTE_DATA(text);
    }
    /* Has nobody else a reference? Where threads run at once, that cannot be told so cheaply: no. */
    static inline int siphon_is_ours_alone(PyObject* object) {
    #ifdef Py_GIL_DISABLED
        (void) object;
        return 0;
    #else
        return Py_REFCNT(object) == 1;
    #endif
    }
    #endif
    """
    # Copy `n` bytes, odd ones escaped (\xHH, in JSON \u00HH); there is room for 6 * n.
    char* escape "siphon_escape"(char* p, const char* text, Py_ssize_t n, bint json) noexcept nogil
    # Copy `n` bytes in steps of 16.
    char* paste "siphon_paste"(char* p, const char* s, Py_ssize_t n) noexcept nogil
    bint may_hide "siphon_may_hide"(const char* s, Py_ssize_t n) noexcept nogil
    bint is_name "siphon_is_name"(const char* sent, const char* name, const char* letters, Py_ssize_t n) noexcept nogil
    bint is_visible "siphon_is_visible"(const char* s, Py_ssize_t n) noexcept nogil
    char* three_digits "siphon_three_digits"(char* p, int n) noexcept nogil
    char* number "siphon_number"(char* p, uint64_t n) noexcept nogil
    # These two borrow what they are given.
    const char* narrow "siphon_narrow"(PyObject* text, Py_ssize_t* size) noexcept
    bint is_ours_alone "siphon_is_ours_alone"(PyObject* thing) noexcept
