"""What a server counts: requests by route and status, durations, connections, bytes."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from siphon_http._core.counters cimport Counters

# Count a duration in a histogram with the bounds DURATIONS.
cdef int observe(uint64_t* durations, int64_t nanoseconds) noexcept


@cython.final
cdef class RouteCounts:
    cdef Traffic traffic            # what it is part of
    cdef readonly str route         # pattern, "" for requests that matched none
    # How HTTP/2 bounds what answers keep:
    cdef readonly Py_ssize_t content    # of its answers lately, bytes, an average; 0: little, -1: it has never answered
    cdef readonly int trials        # handlers under way that began before the first answer
    cdef double tried_at            # when the first of these began, seconds on the loop's clock
    cdef uint64_t* by_status[600]   # cells by status; NULL until it first happens
    cdef uint64_t* durations        # histogram: counts by bound, then the sum in nanoseconds
    cdef uint64_t* errors           # handlers that raised; NULL until one does

    cdef int ended(self, int status, int64_t nanoseconds) except -1
    cdef int failed(self) except -1

    # Note the content of a handler's answer: what the next one will be like. size: -1 = it is no measure.
    cdef inline void weigh(self, Py_ssize_t size) noexcept:
        if size >= 0:
            self.content = self.content + ((size - self.content) >> 3) if self.content > 0 else size
        elif self.content < 0:
            self.content = 0

    # Count a handler that begins before the first answer of its route.
    cdef inline void begin_trial(self, double now) noexcept:
        if self.trials == 0:
            self.tried_at = now
        self.trials += 1


@cython.final
cdef class Traffic:
    cdef readonly Counters counters     # where it counts
    cdef uint64_t* in_flight            # requests whose exchange is not over
    cdef uint64_t* received             # bytes from clients, without TLS
    cdef uint64_t* sent                 # bytes to clients, without TLS
    cdef uint64_t* opened               # connections accepted
    cdef uint64_t* open                 # connections open
    cdef uint64_t* held                 # times that a handler held the loop
    cdef uint64_t* slow                 # requests slower than their listener's slow_request_ms
    cdef uint64_t* refused[600]         # refusals by status; NULL until one happens
    cdef RouteCounts unmatched          # requests without a route
    cdef dict _routes                   # pattern -> RouteCounts

    cdef uint64_t* _counter(self, str name, str help) except NULL
    cdef uint64_t* _gauge(self, str name, str help) except NULL
    cpdef RouteCounts route(self, str pattern)
    cdef int refuse(self, int status) except -1
