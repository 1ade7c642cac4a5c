"""Intrusive list of deadlines: one per connection, swept by one coarse timer.

Most deadlines never fall due: every request replaces the last. So setting one is a store, the list is not ordered, and
the timer is moved only when something is due before it would fire. A sweep visits all (10,000 cost about 30 us) and
starts the timer again for the earliest that it saw. Time is always an argument, never read from a clock here.
"""

cimport cython

__all__ = ["Deadline", "Deadlines"]

# A sweep is at least this long after the one before, so that deadlines close together share one. Seconds.
cdef double GRAIN = 0.02


cdef class Deadline:
    """Something that may fall due. Subclasses say in `expired` what happens then."""

    cdef int expired(self, double now) except -1:
        """Called once when `when` has passed; `when` is 0 again, and may be armed anew here."""
        raise NotImplementedError


@cython.final
cdef class Deadlines:
    """All deadlines of one loop.

    schedule: callable(when) that (re)starts the owner's only timer; when it fires, the owner calls `sweep(now)`.
    Belongs to one thread.
    """

    def __init__(self, schedule):
        self.schedule = schedule
        self.count = 0
        self.next_sweep = 0

    cdef int add(self, Deadline deadline) except -1:
        """Take `deadline` into the list; nothing is due yet."""
        if deadline.inside is not None:
            raise ValueError("the deadline is in a list already")
        deadline.inside = self
        deadline.when = 0
        deadline.previous = None
        deadline.next = self.first
        if self.first is not None:
            self.first.previous = deadline
        self.first = deadline
        self.count += 1
        return 0

    cdef int discard(self, Deadline deadline) except -1:
        """Take `deadline` out; harmless when it is not in."""
        if deadline.inside is not self:
            return 0
        if self.cursor is deadline:
            self.cursor = deadline.next
        if deadline.previous is None:
            self.first = deadline.next
        else:
            deadline.previous.next = deadline.next
        if deadline.next is not None:
            deadline.next.previous = deadline.previous
        deadline.previous = None
        deadline.next = None
        deadline.inside = None
        deadline.when = 0
        self.count -= 1
        return 0

    cdef int arm(self, Deadline deadline, double when) except -1:
        """Let `deadline` fall due at `when`, in place of what it was armed for; 0 disarms. Nothing when it is not in."""
        if deadline.inside is not self:
            return 0
        deadline.when = when
        if when > 0 and (self.next_sweep == 0 or when < self.next_sweep):
            self.next_sweep = when
            self.schedule(when)
        return 0

    cpdef int sweep(self, double now) except -1:
        """Call `expired` of all that is due at `now`, and start the timer for the earliest that is left.

        What `expired` raises is raised here; the timer is started all the same, and the rest has its turn then.
        """
        cdef Deadline deadline
        self.next_sweep = -1        # what is armed meanwhile needs no timer of its own: we set one at the end
        self.cursor = self.first
        try:
            while self.cursor is not None:
                deadline = self.cursor
                self.cursor = deadline.next
                if 0 < deadline.when <= now:
                    deadline.when = 0
                    deadline.expired(now)
        finally:
            self.cursor = None
            self._start_timer(now)
        return 0

    cdef int _start_timer(self, double now) except -1:
        cdef Deadline deadline = self.first
        cdef double earliest = 0
        while deadline is not None:
            if deadline.when > 0 and (earliest == 0 or deadline.when < earliest):
                earliest = deadline.when
            deadline = deadline.next
        self.next_sweep = 0
        if earliest > 0:
            self.next_sweep = max(earliest, now + GRAIN)
            self.schedule(self.next_sweep)
        return 0
