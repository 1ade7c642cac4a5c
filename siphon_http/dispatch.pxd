"""request -> route -> middleware -> handler -> response; the only caller of script code."""

cimport cython

from siphon_http._core.exchange cimport Exchange, Handler
from siphon_http._core.message cimport Request, Response
from siphon_http._core.router cimport Router
from siphon_http._core.traffic cimport Traffic
from siphon_http.dispatch_routes cimport Entry
from siphon_http.task cimport Runner
from siphon_http.threads cimport Job, ThreadPool


@cython.final
cdef class Dispatcher(Handler):
    cdef readonly object loop         # the event loop that all of this belongs to
    cdef Runner runner                # starts coroutines on `loop`
    cdef readonly ThreadPool pool     # for handlers and guards that block
    cdef Router router                # leaves hold Entry objects
    cdef readonly bytes allow         # all methods of all routes, for OPTIONS *
    cdef object format_exception      # callable(exception) -> str for the log
    cdef readonly set running         # tasks of handlers that are suspended
    cdef double slow_said             # when a handler that held the loop was last logged
    cdef object idle_waiter           # callable, called when the last task has ended
    cdef readonly Traffic traffic     # what is counted
    cdef object era                   # registry.Era of the generation in use
    cdef bint ending                  # handlers were cancelled since the process ends

    cdef int _coroutine(self, Exchange exchange, Request request, object coroutine, object context) except -1
    cdef int _finish(self, Exchange exchange, Request request, object value, object context) except -1
    cdef int _stream(self, Exchange exchange, Request request, Response response, object context) except -1
    cdef int _failed(self, Exchange exchange, Request request, object error) except -1
    cdef int _thread(self, Exchange exchange, Request request, Entry entry) except -1
    cdef int _direct(self, Exchange exchange, Request request, Entry entry) except -1
    cdef int _unmatched(self, Exchange exchange, Request request) except -1
    cdef int _suspended(self, Exchange exchange, Request request, object task, object context) except -1
    cdef int _ended(self, object task) except -1
    cdef int _slow(self, str what, str where, double seconds) except -1
    cdef str _text(self, object error)
    cdef Response _busy(self, Request request, Entry entry)
