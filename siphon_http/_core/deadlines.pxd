"""Intrusive list of deadlines; time is an argument."""

cimport cython


cdef class Deadline:
    cdef Deadline previous      # neighbour in the list; None at its ends or outside it
    cdef Deadline next          # the other neighbour, likewise
    cdef readonly double when   # seconds on the owner's clock; 0 = nothing is due
    cdef Deadlines inside       # list that it is in, or None

    cdef int expired(self, double now) except -1


@cython.final
cdef class Deadlines:
    cdef Deadline first         # head of the list, unordered; None when empty
    cdef Deadline cursor        # next one that a running sweep visits
    cdef readonly Py_ssize_t count  # deadlines in the list
    cdef readonly double next_sweep   # when the owner's timer fires; 0 = no timer runs, -1 = a sweep does
    cdef object schedule        # callable(seconds): the owner (re)starts its one timer for that time

    cdef int add(self, Deadline deadline) except -1
    cdef int discard(self, Deadline deadline) except -1
    cdef int arm(self, Deadline deadline, double when) except -1
    cpdef int sweep(self, double now) except -1
    cdef int _start_timer(self, double now) except -1
