"""Counters that tell an attack from a busy client."""


cdef enum FloodKind:
    FLOOD_RESET = 0         # streams that the peer resets, or makes us reset
    FLOOD_PING = 1
    FLOOD_SETTINGS = 2
    FLOOD_SMALL_DATA = 3    # DATA that brings little or nothing
    FLOOD_PRIORITY = 4
    FLOOD_WINDOW = 5        # WINDOW_UPDATE
    FLOOD_UNKNOWN = 6       # frames of types that we do not know
    FLOOD_STRAY = 7         # DATA for streams that are over
    FLOOD_KINDS = 8


cdef struct FloodMeter:
    double[8] level         # of each kind: frames that count, less what time and work have taken off
    double[8] at            # when it was computed, seconds on the owner's clock


# Count one of `kind` at time `now`; True: that is too many.
cdef bint flood_counts(FloodMeter* meter, int kind, double now) noexcept nogil
# The kind of a frame type (RFC 9113, section 6) but HEADERS and CONTINUATION, which have limits of their own.
cdef int flood_kind(int frame) noexcept nogil
# Take one off: useful work was done.
cdef void flood_forgives(FloodMeter* meter, int kind) noexcept nogil
