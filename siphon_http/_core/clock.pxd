# Clocks. Two cost a few nanoseconds and are a few milliseconds coarse, in seconds; `precise` and `nanoseconds` are neither.

from libc.stdint cimport int64_t
from libc.time cimport time_t


cdef extern from *:
    """
    #ifndef SIPHON_HTTP_CLOCK
    #define SIPHON_HTTP_CLOCK
    #include <time.h>
    #ifdef CLOCK_MONOTONIC_COARSE
    #define SIPHON_MONOTONIC CLOCK_MONOTONIC_COARSE
    #define SIPHON_REALTIME CLOCK_REALTIME_COARSE
    #else
    #define SIPHON_MONOTONIC CLOCK_MONOTONIC
    #define SIPHON_REALTIME CLOCK_REALTIME
    #endif
    static inline double siphon_monotonic(void) {
        struct timespec t;
        clock_gettime(SIPHON_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
    }
    static inline double siphon_precise(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
    }
    static inline time_t siphon_wall_second(void) {
        struct timespec t;
        clock_gettime(SIPHON_REALTIME, &t);
        return t.tv_sec;
    }
    static inline long long siphon_wall_millisecond(void) {
        struct timespec t;
        clock_gettime(SIPHON_REALTIME, &t);
        return (long long) t.tv_sec * 1000 + t.tv_nsec / 1000000;
    }
    static inline long long siphon_nanoseconds(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (long long) t.tv_sec * 1000000000 + t.tv_nsec;
    }
    #endif
    """
    double monotonic "siphon_monotonic"() noexcept nogil       # never goes back
    double precise "siphon_precise"() noexcept nogil           # the same clock, to the microsecond
    time_t wall_second "siphon_wall_second"() noexcept nogil   # since 1970
    int64_t wall_millisecond "siphon_wall_millisecond"() noexcept nogil     # since 1970
    int64_t nanoseconds "siphon_nanoseconds"() noexcept nogil  # exact, for durations; never goes back
