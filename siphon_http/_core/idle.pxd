"""Idle connections of one origin, newest first, with expiry."""

cimport cython


@cython.final
cdef class IdleEntry:
    cdef readonly object item       # the connection
    cdef IdleEntry older            # neighbour in the list; None at its ends or outside it
    cdef IdleEntry newer            # the other neighbour, likewise
    cdef IdleList inside            # list that it is in, or None
    cdef readonly double since      # when it became idle, seconds on the owner's clock
    cdef readonly double expires    # when it is to be closed


@cython.final
cdef class IdleList:
    cdef readonly Py_ssize_t count  # entries in the list
    cdef readonly Py_ssize_t limit  # more are kept for a moment only
    cdef readonly double surplus    # that moment, seconds
    cdef IdleEntry newest           # head of the list; None when it is empty
    cdef IdleEntry oldest           # its end

    cpdef int add(self, IdleEntry entry, double now, double expires) except -1
    cpdef object take(self, double now)
    cpdef int remove(self, IdleEntry entry) except -1
    cpdef list expire(self, double now)
    cpdef double next_expiry(self) except? -1
