"""What calls ask of the pool, and the configuration of a client as both use it."""

cimport cython

from siphon_http._core.client_traffic cimport ClientCounts
from siphon_http._core.deadlines cimport Deadlines
from siphon_http._core.url cimport Url
from siphon_http.client.connection cimport ConnectionOwner
from siphon_http.protocol.answer cimport Answer


@cython.final
cdef class Settings:
    cdef readonly str name                 # of the client in http.yaml, or None
    cdef readonly Url base                 # what paths are joined onto, or None
    cdef readonly double timeout           # of a whole call, seconds
    cdef readonly double connect_timeout   # of one connect, look-up to TLS, seconds
    cdef readonly double pool_timeout      # of the wait for a free connection, seconds
    cdef readonly double write_timeout     # without progress of what is sent, seconds; 0 = none
    cdef readonly double read_timeout      # without progress of the answer, seconds; 0 = none
    cdef readonly double idle_timeout      # of an idle connection, seconds
    cdef readonly int follow_redirects     # at most; 0 = none
    cdef readonly Py_ssize_t max_response_bytes  # of content, decoded
    cdef readonly int pool_size            # idle connections of an origin
    cdef readonly int max_connections      # open connections of an origin
    cdef readonly bint http2_prior_knowledge  # HTTP/2 without asking
    cdef readonly object retries           # int or config.RetryConfig
    cdef readonly object config            # config.ClientConfig that it was made of


cdef class Carrier:
    cdef readonly object loop              # event loop that it belongs to
    cdef readonly Deadlines deadlines      # of that loop
    cdef readonly Settings settings        # of the client
    cdef readonly object policy            # retry.RetryPolicy, or None: nothing is retried

    cdef ClientCounts counts               # of the client

    cdef ConnectionOwner origin(self, Url url)
    cdef int submit(self, Answer call, bint fresh) except -1
    cdef int withdraw(self, Answer call) except -1
    cdef int over(self, Answer call) except -1
