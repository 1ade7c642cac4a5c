"""Counters that tell an attack from a busy client."""


cdef enum FloodKind:
    FLOOD_RESET = 0         # streams that the peer resets, answered or not, or makes us reset
    FLOOD_PING = 1
    FLOOD_SETTINGS = 2      # frames, and their entries
    FLOOD_SMALL_DATA = 3    # DATA that brings little or nothing
    FLOOD_PRIORITY = 4
    FLOOD_WINDOW = 5        # WINDOW_UPDATE
    FLOOD_UNKNOWN = 6       # GOAWAY, and frames of types that we do not know
    FLOOD_STRAY = 7         # DATA and HEADERS for streams that are over
    FLOOD_BLOCK = 8         # CONTINUATION
    FLOOD_KINDS = 9


cdef struct FloodMeter:
    double[9] level         # of each kind: frames that count, less what time and work have taken off
    double[9] at            # when it was computed, seconds on the owner's clock
    double[9] done          # ... and the work that had been done by then, in what it takes off
    long long answers       # answers that were sent whole
    long long frames        # frames of content that were worth a WINDOW_UPDATE


# Count `amount` of `kind` at time `now`; True: that is too many.
cdef bint flood_counts(FloodMeter* meter, int kind, double now, double amount) noexcept nogil
# The kind of a frame type (RFC 9113, section 6) but HEADERS.
cdef int flood_kind(int frame) noexcept nogil
