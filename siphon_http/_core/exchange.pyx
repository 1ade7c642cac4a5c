"""The seam between dispatch and protocol.

`Handler` is what a server hands requests to; `Exchange` is what an answer goes back through. For HTTP/1 the Exchange is
the connection's protocol object itself, for HTTP/2 there is one for each stream.
"""

__all__ = ["Exchange", "Handler"]


cdef class Exchange:
    """One way back to a client. The request is the token: a call for a request that is not current does nothing."""

    cdef int respond(self, Request request, Response response) except -1:
        """Send a whole answer. 1 = sent, 0 = too late."""
        raise NotImplementedError

    cdef int start(self, Request request, Response response, Py_ssize_t length) except -1:
        """Send the head of a streamed answer; length: bytes that will follow, -1 unknown. 1 = sent, 0 = too late."""
        raise NotImplementedError

    cdef int chunk(self, Request request, bytes data) except -1:
        """Send a piece of a streamed answer. 1 = taken, 0 = too late."""
        raise NotImplementedError

    cdef int end(self, Request request) except -1:
        """End a streamed answer. 1 = done, 0 = too late."""
        raise NotImplementedError

    cdef int fail(self, Request request) except -1:
        """Break a streamed answer off so that the client cannot take it for a whole one. 1 = done, 0 = too late."""
        raise NotImplementedError

    cdef bint is_open(self, Request request):
        """Tell whether an answer to `request` can still be sent."""
        raise NotImplementedError

    cdef bint is_writable(self, Request request):
        """Tell whether the client takes more now; if not, `wait` tells when."""
        raise NotImplementedError

    cdef object read_content(self, Request request):
        """Return content that has arrived: bytes, b"" at its end, None when there is nothing yet.

        Raises:
            RemoteProtocolError: the rest will not come.
        """
        raise NotImplementedError

    cdef int wait(self, Request request, object waker) except -1:
        """Call `waker()` once when content arrives, the client takes more, or the exchange ends."""
        raise NotImplementedError


cdef class Handler:
    """Where requests go. The calls come on the loop's thread."""

    cdef int batch_began(self, double now) except -1:
        """A read has brought several requests, which come one after the other until `batch_ended`.

        now: seconds of the clock.
        """
        self.now = now
        return 0

    cdef int batch_ended(self) except -1:
        """There are no more; called in any case, before the loop goes on."""
        self.now = 0
        return 0

    cdef Py_ssize_t accept(self, Request request, Py_ssize_t limit) except -1:
        """The head is complete: find the route, and return the largest content it takes, in bytes.

        limit: the listener's own.
        """
        raise NotImplementedError

    cdef int dispatch(self, Exchange exchange, Request request) except -1:
        """Answer `request` through `exchange`, now or later. Raises nothing that a script did."""
        raise NotImplementedError

    cdef int cancel(self, Request request, bint gone) except -1:
        """Nobody waits for the answer to `request` any more; gone: because the client has left."""
        raise NotImplementedError
