"""Counters that tell an attack from a busy client (CVE-2023-44487, CVE-2025-8671, CVE-2019-9511 to 9518).

Each kind of frame that costs us more than its sender has a level: a frame adds one, time takes some off, and so does
useful work. A level above the kind's bound ends the connection with ENHANCE_YOUR_CALM.
"""

from libc.string cimport memset

__all__ = ["flood_limit"]

# In the order of FloodKind. The bounds leave room for a browser that gives up a page full of streams twice, and for
# what polite clients send with each request: a PING for every read, a priority signal, content in small pieces, new
# windows of the stream and the connection, content that is on its way when the answer comes first. Resets are forgiven
# slowly: an attacker has answers, too.
cdef double[9] BOUND = [400, 1000, 100, 2000, 500, 4000, 1000, 2000, 600]
cdef double[9] PER_SECOND = [40, 100, 10, 500, 50, 1000, 100, 100, 60]      # what a second takes off
cdef double[9] PER_ANSWER = [0.25, 1, 0, 4, 1, 2, 1, 4, 1]                  # ... an answer
cdef double[9] PER_FRAME = [0, 0, 0, 0, 0, 2, 0, 0, 0]                      # ... a frame of content

# By frame type.
cdef int[10] KINDS = [FLOOD_SMALL_DATA, FLOOD_UNKNOWN, FLOOD_PRIORITY, FLOOD_RESET, FLOOD_SETTINGS, FLOOD_UNKNOWN,
                      FLOOD_PING, FLOOD_UNKNOWN, FLOOD_WINDOW, FLOOD_BLOCK]


cdef bint flood_counts(FloodMeter* meter, int kind, double now, double amount) noexcept nogil:
    """Count `amount` of `kind`; see the header file."""
    cdef double done = meter.answers * PER_ANSWER[kind] + meter.frames * PER_FRAME[kind]
    meter.level[kind] -= done - meter.done[kind]
    meter.done[kind] = done
    if now > meter.at[kind]:
        meter.level[kind] -= (now - meter.at[kind]) * PER_SECOND[kind]
        meter.at[kind] = now
    if meter.level[kind] < 0:
        meter.level[kind] = 0
    meter.level[kind] += amount
    return meter.level[kind] > BOUND[kind]


cdef int flood_kind(int frame) noexcept nogil:
    """Return the kind of a frame type; see the header file."""
    return KINDS[frame] if 0 <= frame < 10 else FLOOD_UNKNOWN


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
        if flood_counts(&meter, kind, 1.0 + seconds * i, 1):
            return i
    return count + 1
