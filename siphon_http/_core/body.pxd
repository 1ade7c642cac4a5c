"""Capped body accumulator."""


cimport cython


@cython.final
cdef class BodyAccumulator:
    cdef readonly Py_ssize_t limit    # largest content accepted, bytes
    cdef readonly Py_ssize_t size     # bytes accepted so far, <= limit
    cdef list _chunks                 # bytes in arrival order; bytearrays that join small ones, never the first

    cpdef Py_ssize_t feed(self, bytes chunk) except -1
    cpdef bytes take(self)
