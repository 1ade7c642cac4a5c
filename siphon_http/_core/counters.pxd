"""Numbers that metrics read: cells of 64 bits in a ledger, which another process may read meanwhile."""

cimport cython
from libc.stdint cimport int64_t, uint64_t


cdef enum Series:
    SERIES_COUNTER = 1          # only grows; summed over ledgers
    SERIES_GAUGE = 2            # goes up and down; summed over ledgers; signed
    SERIES_LOCAL = 3            # a gauge that means something for its own process only
    SERIES_HISTOGRAM = 4        # one cell for each bound and one above them, then the sum


cdef enum Unit:
    UNIT_ONE = 0                # whole numbers
    UNIT_NANOSECONDS = 1        # shown as seconds; of a histogram, its sum
    UNIT_DOUBLE = 2             # cells are doubles, but for a histogram's counts


@cython.final
cdef class Cell:
    cdef uint64_t* at           # the number; inside the ledger of `owner`, or `spare` of it
    cdef readonly Counters owner  # keeps the ledger alive

    cpdef int add(self, int64_t amount=*) except -1
    cpdef int put(self, int64_t value) except -1
    cpdef int64_t get(self) except? -1


@cython.final
cdef class Counters:
    cdef object _buffer         # memoryview of the ledger; keeps it alive
    cdef char* _base            # first byte of the ledger
    cdef Py_ssize_t _size       # of the ledger, bytes
    cdef dict _places           # (name, labels) -> (kind, cells, offset of the first cell)
    cdef uint64_t[64] _spare    # where series count that found no room

    cdef uint64_t* series(self, str name, str labels, str help, Series kind, Unit unit=*, tuple bounds=*) except NULL
    cdef int _adopt(self) except -1
    cdef Py_ssize_t _append(self, bytes text, tuple sizes, Series kind, Unit unit, int cells) except -1
