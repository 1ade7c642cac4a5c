"""Counters that tell an attack from a busy client (CVE-2023-44487, CVE-2025-8671, CVE-2019-9511 to 9518).

Each kind of frame that costs us more than its sender has a level: a frame adds one, time takes some off, and so does
useful work. A level above the kind's bound ends the connection with ENHANCE_YOUR_CALM.
"""

from libc.string cimport memset

__all__ = ["flood_limit"]

# In the order of FloodKind. The bounds leave room for a browser that gives up a page full of streams twice, for
# clients that measure their bandwidth with a PING for every read, and for one priority signal with each request.
cdef double[8] BOUND = [400, 1000, 100, 2000, 500, 4000, 1000, 2000]
cdef double[8] PER_SECOND = [40, 100, 10, 500, 50, 1000, 100, 100]      # what a second takes off

# By frame type.
cdef int[9] KINDS = [FLOOD_SMALL_DATA, FLOOD_UNKNOWN, FLOOD_PRIORITY, FLOOD_RESET, FLOOD_SETTINGS, FLOOD_UNKNOWN,
                     FLOOD_PING, FLOOD_UNKNOWN, FLOOD_WINDOW]


cdef bint flood_counts(FloodMeter* meter, int kind, double now) noexcept nogil:
    """Count one of `kind`; see the header file."""
    if now > meter.at[kind]:
        meter.level[kind] -= (now - meter.at[kind]) * PER_SECOND[kind]
        if meter.level[kind] < 0:
            meter.level[kind] = 0
        meter.at[kind] = now
    meter.level[kind] += 1
    return meter.level[kind] > BOUND[kind]


cdef void flood_forgives(FloodMeter* meter, int kind) noexcept nogil:
    """Take one off; see the header file."""
    if meter.level[kind] >= 1:
        meter.level[kind] -= 1


cdef int flood_kind(int frame) noexcept nogil:
    """Return the kind of a frame type; see the header file."""
    return KINDS[frame] if 0 <= frame < 9 else FLOOD_UNKNOWN


def flood_limit(int kind, double seconds=0.0, int count=1000000):
    """Return how many frames of `kind`, `seconds` apart, are too many: the number of the one that is. For tests.

    Returns `count` + 1 when that many are not.
    """
    cdef FloodMeter meter
    cdef int i
    if not 0 <= kind < FLOOD_KINDS:
        raise ValueError(f"there is no kind {kind}")
    memset(&meter, 0, sizeof(FloodMeter))
    for i in range(1, count + 1):
        if flood_counts(&meter, kind, 1.0 + seconds * i):
            return i
    return count + 1
