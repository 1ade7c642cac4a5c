# Dates and numbers as the head of an answer has them: inline, no module behind them.

from libc.time cimport time_t


cdef extern from *:
    """
    #include <time.h>
    #include <string.h>
    #ifndef SIPHON_HTTP_DIGITS
    #define SIPHON_HTTP_DIGITS
    static inline void siphon_imf_fixdate(time_t second, char* out) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct tm t;
        char* p = out;
        int year;
        gmtime_r(&second, &t);
        year = t.tm_year + 1900;
        memcpy(p, "date: ", 6); p += 6;
        memcpy(p, days + 3 * t.tm_wday, 3); p += 3;
        *p++ = ','; *p++ = ' ';
        *p++ = '0' + t.tm_mday / 10; *p++ = '0' + t.tm_mday % 10; *p++ = ' ';
        memcpy(p, months + 3 * t.tm_mon, 3); p += 3;
        *p++ = ' ';
        *p++ = '0' + year / 1000 % 10; *p++ = '0' + year / 100 % 10; *p++ = '0' + year / 10 % 10; *p++ = '0' + year % 10;
        *p++ = ' ';
        *p++ = '0' + t.tm_hour / 10; *p++ = '0' + t.tm_hour % 10; *p++ = ':';
        *p++ = '0' + t.tm_min / 10; *p++ = '0' + t.tm_min % 10; *p++ = ':';
        *p++ = '0' + t.tm_sec / 10; *p++ = '0' + t.tm_sec % 10;
        memcpy(p, " GMT\\r\\n", 6);
    }
    static inline Py_ssize_t siphon_decimal(Py_ssize_t n, char* out) {
        char digits[24];
        Py_ssize_t size = 0, i;
        do { digits[size++] = '0' + n % 10; n /= 10; } while (n);
        for (i = 0; i < size; i++) out[i] = digits[size - 1 - i];
        return size;
    }
    #endif
    """
    # The date line of a head, 37 bytes with its CR LF (IMF-fixdate: RFC 9110, 5.6.7).
    void write_date "siphon_imf_fixdate"(time_t second, char* out) noexcept nogil
    # `n`, not negative, in decimal; returns how many bytes that took, at most 20.
    Py_ssize_t write_decimal "siphon_decimal"(Py_ssize_t n, char* out) noexcept nogil
