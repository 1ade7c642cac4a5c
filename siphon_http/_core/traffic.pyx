"""What a server counts: requests by route and status, durations, connections, bytes.

One object a loop. Series of a status or an error are made when it first happens, so that a scrape shows what there is.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from siphon_http._core.counters import label_text

from siphon_http._core.counters cimport (
    SERIES_COUNTER, SERIES_GAUGE, SERIES_HISTOGRAM, UNIT_NANOSECONDS, UNIT_ONE, Counters,
)

__all__ = ["CLIENT_LEFT", "DURATIONS", "RouteCounts", "Traffic"]

CLIENT_LEFT = 499
"""What is noted in the place of a status when the client has left before its answer, as nginx has it."""

DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the histogram of durations, seconds."""

cdef enum:
    BOUNDS = 14

cdef int64_t[14] NANOSECONDS = [
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000,
    500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
]


cdef int observe(uint64_t* durations, int64_t nanoseconds) noexcept:
    cdef int bucket = 0
    while bucket < BOUNDS and nanoseconds > NANOSECONDS[bucket]:
        bucket += 1
    durations[bucket] += 1
    durations[BOUNDS + 1] += <uint64_t> nanoseconds
    return 0


@cython.final
cdef class RouteCounts:
    """Numbers of one route. Made by Traffic."""

    cdef int ended(self, int status, int64_t nanoseconds) except -1:
        """Count an exchange that is over. status: 0 when the client has left before it was answered."""
        if not 200 <= status <= 599:
            status = 499
        if self.by_status[status] == NULL:
            self.by_status[status] = self.traffic.counters.series(
                "siphon_http_requests_total", label_text({"route": self.route, "code": status}),
                "Requests by route and status; 499: the client left before its answer.", SERIES_COUNTER, UNIT_ONE)
        self.by_status[status][0] += 1
        observe(self.durations, nanoseconds)
        return 0

    cdef int failed(self) except -1:
        """Count a handler, or middleware, that raised or returned junk."""
        if self.errors == NULL:
            self.errors = self.traffic.counters.series(
                "siphon_http_handler_errors_total", label_text({"route": self.route}),
                "Handlers that raised, or returned no Response.", SERIES_COUNTER, UNIT_ONE)
        self.errors[0] += 1
        return 0


@cython.final
cdef class Traffic:
    """What one loop's listeners and handlers count. Belongs to the loop's thread.

    counters: where the numbers are; None: memory of its own.
    """

    def __init__(self, Counters counters=None):
        self.counters = Counters() if counters is None else counters
        self._routes = {}
        memset(self.refused, 0, sizeof(self.refused))
        self.in_flight = self._gauge("siphon_http_requests_in_flight", "Requests that are not answered yet.")
        self.open = self._gauge("siphon_http_connections_open", "Open connections.")
        self.opened = self._counter("siphon_http_connections_total", "Connections accepted.")
        self.received = self._counter("siphon_http_received_bytes_total", "Bytes from clients, without TLS.")
        self.sent = self._counter("siphon_http_sent_bytes_total", "Bytes to clients, without TLS.")
        self.held = self._counter(
            "siphon_http_loop_held_total", "Times that a handler held the event loop for more than 100 ms.")
        self.slow = self._counter("siphon_http_slow_requests_total", "Requests that took longer than slow_request_ms.")
        self.unmatched = self.route("")

    cdef uint64_t* _counter(self, str name, str help) except NULL:
        return self.counters.series(name, "", help, SERIES_COUNTER, UNIT_ONE)

    cdef uint64_t* _gauge(self, str name, str help) except NULL:
        return self.counters.series(name, "", help, SERIES_GAUGE, UNIT_ONE)

    cpdef RouteCounts route(self, str pattern):
        """Return the numbers of the route with this pattern: the same for every load of the script."""
        cdef RouteCounts counts = self._routes.get(pattern)
        if counts is None:
            counts = RouteCounts.__new__(RouteCounts)
            counts.traffic = self
            counts.route = pattern
            counts.content = -1
            memset(counts.by_status, 0, sizeof(counts.by_status))
            counts.durations = self.counters.series(
                "siphon_http_request_duration_seconds", label_text({"route": pattern}),
                "From the complete head of a request to the end of its answer.", SERIES_HISTOGRAM, UNIT_NANOSECONDS,
                DURATIONS)
            self._routes[pattern] = counts
        return counts

    cdef int refuse(self, int status) except -1:
        """Count a request, or connection, that broke a rule or a limit; status: 0 when it was reset unheard."""
        if not 200 <= status <= 599:
            status = 0
        if self.refused[status] == NULL:
            self.refused[status] = self.counters.series(
                "siphon_http_refused_total", label_text({"code": status or "reset"}),
                "Requests and connections refused by a rule or a limit, by the status that says so.",
                SERIES_COUNTER, UNIT_ONE)
        self.refused[status][0] += 1
        return 0
