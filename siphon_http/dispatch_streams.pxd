"""Content that comes or goes in pieces; see dispatch_streams.pyx."""

cimport cython

from siphon_http._core.exchange cimport Exchange
from siphon_http._core.message cimport Request
from siphon_http.threads cimport ThreadPool


@cython.final
cdef class Waker:
    cdef object future                # settled by the first change


@cython.final
cdef class ContentStream:
    cdef Exchange exchange            # where the content arrives
    cdef Request request              # whose content it is; the token for `exchange`
    cdef object loop                  # makes the futures to wait with


@cython.final
cdef class ThreadIterator:
    cdef ThreadPool pool              # runs the steps
    cdef object iterator              # the script's
    cdef object lock                  # held by the step, or the end, that runs


cdef object close_unused(content)
