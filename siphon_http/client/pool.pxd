"""The connections of one client: per loop, per origin."""

cimport cython

from siphon_http._core.client_traffic cimport ClientCounts
from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.idle cimport IdleList
from siphon_http._core.url cimport Url
from siphon_http.client.call cimport Call
from siphon_http.client.carrier cimport Carrier, Settings
from siphon_http.client.connection cimport ClientConnection, ConnectionOwner


cdef class PoolTransport


@cython.final
cdef class Origin(ConnectionOwner):
    cdef Pool pool                       # that it belongs to
    cdef readonly Url url                # scheme, host and port; its target means nothing
    cdef readonly bint is_secure         # https
    cdef IdleList idle                   # connections with no exchange
    cdef list shared                     # HTTP/2 connections with exchanges under way
    cdef readonly set connections        # all that are open
    cdef readonly int connecting         # connects under way
    cdef object waiters                  # OrderedDict of Calls that wait for a connection, the oldest first
    cdef object fresh_waiters            # the same, of those that must have one that nothing has used before
    cdef int multiplexes                 # whether it speaks HTTP/2: -1 = not known yet
    cdef readonly object proxy           # proxy.Proxy, or None
    cdef Py_ssize_t told_open, told_idle, told_waiting  # what the client's numbers have of us

    cdef ClientConnection _take(self, double now, bint careful)
    cdef int _offer(self, ClientConnection connection) except -1
    cdef int _wait(self, Call call, bint fresh) except -1
    cdef int _limit_wait(self, Call call, int place) except -1
    cdef bint _is_barred(self) except -1
    cdef int _grow(self) except -1
    cdef int _serve(self) except -1
    cdef int _rest(self, ClientConnection connection) except -1
    cdef int _tell(self) except -1
    cdef int _tell_idle(self) except -1


@cython.final
cdef class IdleDeadline(Deadline):
    cdef Pool owner                      # None once the pool is closed


@cython.final
cdef class Pool(Carrier):
    cdef readonly dict origins           # (scheme, authority) -> Origin
    cdef readonly set tasks              # connects under way
    cdef object connector                # connect.Connector
    cdef object timer                    # handle of the one timer, or None
    cdef object context                  # an empty contextvars.Context, for the timer: it is none of any caller's
    cdef IdleDeadline idle_deadline      # when the next idle connection is to be closed
    cdef readonly bint is_closed         # close was called
    cdef Origin last                     # the one that was asked for last: most clients have one
    cdef Url last_url                    # the Url object that named it
    cdef PoolTransport transport         # that it belongs to, and keeps while anything of it is open; None once closed

    cdef int watch_idle(self, double when) except -1
    cdef int expire_idle(self, double now) except -1


@cython.final
cdef class PoolTransport:
    cdef readonly Settings settings      # of the client
    cdef ClientCounts counts             # its numbers
    cdef dict pools                      # event loop -> Pool
    cdef Pool last_pool                  # the pool that was asked for last, or None
    cdef object __weakref__              # http.Client's list of inline clients keeps none of them
