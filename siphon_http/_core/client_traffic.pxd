"""What http.Client counts: calls by method and outcome, durations, retries, and the state of its pools."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from siphon_http._core.counters cimport Counters, Series


cdef enum:
    OUTCOMES = 12           # 0 to 9: the first digit of a status
    OUTCOME_ERROR = 10      # there is no whole answer
    OUTCOME_LEFT = 11       # the caller was cancelled, or went away


@cython.final
cdef class MethodCounts:
    cdef readonly str method        # or "other"
    cdef uint64_t* by_outcome[OUTCOMES]     # cells; NULL until it first happens


@cython.final
cdef class ClientCounts:
    cdef readonly str client        # its name; OTHER for those without one
    cdef Counters counters          # where it counts
    cdef uint64_t* in_flight        # calls that were awaited and have no result yet
    cdef uint64_t* waiting          # of them, those that wait for a connection
    cdef uint64_t* open             # connections that are open
    cdef uint64_t* idle             # of them, those that carry nothing
    cdef uint64_t* opened           # connections made
    cdef uint64_t* received         # bytes from servers, without TLS
    cdef uint64_t* sent             # bytes to servers, without TLS
    cdef uint64_t* retries          # requests sent again
    cdef uint64_t* durations        # histogram: counts by bound, then the sum in nanoseconds
    cdef dict _made                 # (name, labels) of each series that there is -> (help, kind, bounds)
    cdef dict _methods              # method -> MethodCounts
    cdef MethodCounts _last         # of the method that was used last: most clients use one most of the time
    cdef str _last_method           # that method

    cdef int ended(self, str method, int outcome, int64_t nanoseconds) except -1
    cdef int failed(self, str method, str error, int64_t nanoseconds) except -1
    cdef MethodCounts _of_method(self, str method)
    cdef uint64_t* _series(self, str name, str help, Series kind, dict more=*) except NULL
    cdef int _use(self, Counters counters) except -1
    cdef int _carry(self, Counters earlier, dict made) except -1


@cython.final
cdef class ClientTraffic:
    cdef readonly Counters counters     # where all of them count
    cdef dict _clients                  # name -> ClientCounts

    cpdef ClientCounts client(self, str name)
    cpdef int attach(self, Counters counters) except -1
