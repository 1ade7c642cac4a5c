"""What http.Client counts: calls by method and outcome, durations, retries, and the state of its pools.

One object for each load of the configuration; clients of the same name count in the same cells, whatever load they are of.
Series of an outcome or an error are made when it first happens. Labels are bounded: common methods, the first digit of a
status, the classes of errors, the names in http.yaml; a server cannot make series by what it answers.

Cells are written under the interpreter's lock. Without one (free-threaded builds) clients that are used on several loops at
once may miss some of each other's counts.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from siphon_http._core.counters import label_text
from siphon_http._core.traffic import DURATIONS

from siphon_http._core.counters cimport (
    SERIES_COUNTER, SERIES_GAUGE, SERIES_HISTOGRAM, UNIT_NANOSECONDS, UNIT_ONE, Counters, Series,
)
from siphon_http._core.traffic cimport observe

__all__ = ["OTHER", "ClientCounts", "ClientTraffic", "MethodCounts"]

OTHER = "other"
"""What stands for clients without a name, and for methods that are not common."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@cython.final
cdef class MethodCounts:
    """Calls of one client with one method. Made by ClientCounts."""


@cython.final
cdef class ClientCounts:
    """Numbers of one client. Made by ClientTraffic."""

    cdef int ended(self, str method, int outcome, int64_t nanoseconds) except -1:
        """Count a call that is over. outcome: first digit of its status, OUTCOME_ERROR or OUTCOME_LEFT."""
        cdef MethodCounts counts = self._last if method is self._last_method else self._of_method(method)
        if counts.by_outcome[outcome] == NULL:
            code = "error" if outcome == OUTCOME_ERROR else "left" if outcome == OUTCOME_LEFT else f"{outcome}xx"
            counts.by_outcome[outcome] = self._series(
                "calls_total", "Calls by outcome: status; error: no answer; left: the caller went away.",
                SERIES_COUNTER, {"method": counts.method, "code": code})
        counts.by_outcome[outcome][0] += 1
        observe(self.durations, nanoseconds)
        self.in_flight[0] -= 1
        return 0

    cdef int failed(self, str method, str error, int64_t nanoseconds) except -1:
        """Count a call that ended with an error. error: a class of siphon_http.errors, or OTHER."""
        cdef uint64_t* cell = self._series(
            "errors_total", "Calls that ended with an error, by its class.", SERIES_COUNTER, {"error": error})
        cell[0] += 1
        return self.ended(method, OUTCOME_ERROR, nanoseconds)

    cdef MethodCounts _of_method(self, str method):
        cdef MethodCounts counts
        shown = method if method in METHODS else OTHER
        counts = self._methods.get(shown)
        if counts is None:
            counts = self._methods[shown] = MethodCounts.__new__(MethodCounts)
            counts.method = shown
            memset(counts.by_outcome, 0, sizeof(counts.by_outcome))
        self._last, self._last_method = counts, method
        return counts

    cdef uint64_t* _series(self, str name, str help, Series kind, dict more=None) except NULL:
        """Return the cell, or the first one, of a series of this client."""
        cdef dict labels = {"client": self.client}
        labels.update(more or {})
        bounds = DURATIONS if kind == SERIES_HISTOGRAM else ()
        key = ("siphon_http_client_" + name, label_text(labels))
        self._made[key] = (help, <int> kind, bounds)
        return self.counters.series(key[0], key[1], help, kind,
                                    UNIT_NANOSECONDS if kind == SERIES_HISTOGRAM else UNIT_ONE, bounds)

    cdef int _use(self, Counters counters) except -1:
        """Count in `counters` from now on; what was counted elsewhere goes with us."""
        cdef Counters earlier = self.counters
        cdef dict made = self._made
        self.counters = counters
        self._made = {}
        self._methods = {}
        self._last = self._last_method = None
        self.in_flight = self._series("calls_in_flight", "Calls that have no result yet.", SERIES_GAUGE)
        self.waiting = self._series("calls_waiting", "Calls that wait for a connection.", SERIES_GAUGE)
        self.open = self._series("connections_open", "Open connections to servers.", SERIES_GAUGE)
        self.idle = self._series("connections_idle", "Open connections that carry nothing.", SERIES_GAUGE)
        self.opened = self._series("connections_total", "Connections made.", SERIES_COUNTER)
        self.received = self._series("received_bytes_total", "Bytes from servers, without TLS.", SERIES_COUNTER)
        self.sent = self._series("sent_bytes_total", "Bytes to servers, without TLS.", SERIES_COUNTER)
        self.retries = self._series("retries_total", "Requests that were sent again.", SERIES_COUNTER)
        self.durations = self._series(
            "call_duration_seconds", "From await to the end of the answer.", SERIES_HISTOGRAM)
        if earlier is not None:
            self._carry(earlier, made)
            self._made.update(made)
        return 0

    cdef int _carry(self, Counters earlier, dict made) except -1:
        """Take what was counted in `earlier` over."""
        cdef uint64_t* before
        cdef uint64_t* after
        cdef Py_ssize_t i
        cdef Series kind
        for (name, labels), (help, number, bounds) in made.items():
            kind = number
            unit = UNIT_NANOSECONDS if kind == SERIES_HISTOGRAM else UNIT_ONE
            before = earlier.series(name, labels, help, kind, unit, bounds)
            after = self.counters.series(name, labels, help, kind, unit, bounds)
            for i in range(len(bounds) + 2 if bounds else 1):
                after[i] += before[i]
        return 0


@cython.final
cdef class ClientTraffic:
    """What all clients of one http.yaml count. Used wherever clients are.

    Until `attach` the numbers are in memory of its own: clients are made, and may be used, while a script is loaded.
    """

    def __cinit__(self):
        self.counters = Counters()
        self._clients = {}

    cpdef ClientCounts client(self, str name):
        """Return the numbers of a client. name: None for those that have none, which share theirs."""
        cdef ClientCounts counts
        cdef str shown = OTHER if name is None else name
        counts = self._clients.get(shown)
        if counts is None:
            counts = ClientCounts.__new__(ClientCounts)
            counts.client = shown
            counts._use(self.counters)
            self._clients[shown] = counts
        return counts

    cpdef int attach(self, Counters counters) except -1:
        """Count in `counters` from now on; what was counted so far goes with us."""
        cdef ClientCounts counts
        if counters is not self.counters:
            self.counters = counters
            for counts in list(self._clients.values()):
                counts._use(counters)
        return 0
