"""Idle connections of one origin, newest first, with expiry; time is an argument.

The newest is taken first: it is the least likely to be closed by the server, and those that a quieter time does not
need grow old and expire. A burst may leave more of them than `limit`: the oldest above it are closed once they have not
been needed for `surplus` seconds, not at once, or a steady load of more exchanges than the limit would open a
connection for each.
"""

cimport cython

__all__ = ["IdleEntry", "IdleList"]


@cython.final
cdef class IdleEntry:
    """The place of one connection in a list of idle ones; made once for a connection. item: the connection."""

    def __init__(self, item):
        self.item = item

    def clear(self):
        """Forget the connection."""
        self.item = None


@cython.final
cdef class IdleList:
    """Idle connections of one origin. limit: how many are kept; surplus: seconds that more than these are."""

    def __init__(self, Py_ssize_t limit, double surplus=1.0):
        self.limit = limit
        self.surplus = surplus

    cpdef int add(self, IdleEntry entry, double now, double expires) except -1:
        """Take an entry in, as the newest. Raises ValueError when it is in a list."""
        if entry.inside is not None:
            raise ValueError("the connection is idle already")
        entry.inside = self
        entry.since = now
        entry.expires = expires
        entry.newer = None
        entry.older = self.newest
        if self.newest is None:
            self.oldest = entry
        else:
            self.newest.newer = entry
        self.newest = entry
        self.count += 1
        return 0

    cpdef object take(self, double now):
        """Take out the newest connection that has not expired; None when there is none. Expired ones stay for `expire`."""
        cdef IdleEntry entry = self.newest
        while entry is not None:
            if entry.expires > now:
                self.remove(entry)
                return entry.item
            entry = entry.older
        return None

    cpdef int remove(self, IdleEntry entry) except -1:
        """Take an entry out; 0 when it is not in."""
        if entry.inside is not self:
            return 0
        if entry.newer is None:
            self.newest = entry.older
        else:
            entry.newer.older = entry.older
        if entry.older is None:
            self.oldest = entry.newer
        else:
            entry.older.newer = entry.newer
        entry.older = entry.newer = None
        entry.inside = None
        self.count -= 1
        return 1

    cpdef list expire(self, double now):
        """Take out, and return, the connections that have expired at `now`, and the oldest of those above the limit."""
        cdef IdleEntry entry = self.oldest
        cdef IdleEntry following
        cdef list out = []
        while entry is not None:
            following = entry.newer
            if entry.expires <= now or self.count > self.limit and entry.since + self.surplus <= now:
                self.remove(entry)
                out.append(entry.item)
            entry = following
        return out

    cpdef double next_expiry(self) except? -1:
        """Return when `expire` has something to do again; 0 when the list is empty."""
        cdef IdleEntry entry = self.oldest
        cdef double earliest = 0
        while entry is not None:
            if earliest == 0 or entry.expires < earliest:
                earliest = entry.expires
            entry = entry.newer
        if self.count > self.limit and self.oldest.since + self.surplus < earliest:
            earliest = self.oldest.since + self.surplus
        return earliest
