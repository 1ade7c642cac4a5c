"""Routes and middleware of one generation, made ready."""

cimport cython

from siphon_http._core.traffic cimport RouteCounts, Traffic


cdef enum Kind:
    KIND_ASYNC = 0          # a coroutine function
    KIND_DIRECT = 1         # a plain function, called on the loop
    KIND_THREAD = 2         # a plain function, called on a thread
    KIND_CHAIN = 3          # middleware around any of these


@cython.final
cdef class Entry:
    cdef readonly str pattern         # as registered
    cdef readonly tuple names         # of the path parameters, in order
    cdef readonly object handler      # the script's function
    cdef readonly str where           # file:line of the handler
    cdef int kind                     # Kind of the whole
    cdef int own_kind                 # Kind of the handler alone
    cdef tuple steps                  # Step objects before the handler
    cdef Py_ssize_t cap               # largest content, bytes; -1 = the listener's
    cdef int timeout_ms               # 0 = the listener's
    cdef bint stream                  # content goes to stream(), not to body()
    cdef bint finishes                # on_disconnect="finish"
    cdef RouteCounts counts           # numbers of its pattern
    cdef object era                   # registry.Era of its generation; only held, so that its end can be seen


@cython.final
cdef class Step:
    cdef object function              # the script's function
    cdef bint wraps                   # takes (req, call_next)
    cdef bint blocking                # runs on a thread
    cdef str where                    # file:line of the function


cdef tuple build_table(object generation, Traffic traffic, object era)
