"""What a connection asks of its owner: a base class with virtual methods, so that nothing is allocated per event."""

cimport cython

__all__ = ["NoSink", "PySink", "Sink"]


cdef class Sink:
    """The owner of a connection. No method may block, or raise what the peer caused."""

    cdef Py_ssize_t head_received(self, Request request) except -1:
        """A head is complete; return the largest content accepted for it, in bytes."""
        raise NotImplementedError

    cdef int request_received(self, Exchange exchange, Request request) except -1:
        """`request` can be answered through `exchange`; its content is whole, or it streams."""
        raise NotImplementedError

    cdef int request_ended(self, Request request) except -1:
        """The exchange of `request` is over: answered, or refused (then it was never received)."""
        raise NotImplementedError

    cdef int request_abandoned(self, Request request) except -1:
        """The exchange of `request` is over without its answer: the client has left it. Takes `request_ended`'s place."""
        raise NotImplementedError

    cdef int refused(self, int status, Request request) except -1:
        """The peer broke a rule or a limit; it was answered `status`, and the connection closes.

        request: the one that it concerns, whose end follows; None when the owner knows of none.
        """
        raise NotImplementedError

    cdef int write(self, bytes data) except -1:
        """Send `data`."""
        raise NotImplementedError

    cdef int hold(self, bint stop) except -1:
        """Stop reading, or go on."""
        raise NotImplementedError

    cdef int close(self, bint linger) except -1:
        """Close once everything written is sent; linger: read and forget what still comes (RFC 9112, 9.6)."""
        raise NotImplementedError

    cdef int abort(self) except -1:
        """Reset: what is not sent is dropped, so that a truncated answer cannot be taken for a whole one."""
        raise NotImplementedError


@cython.final
cdef class NoSink(Sink):
    """Takes every call and does nothing: the owner of a connection that has lost its own. It has no state."""

    cdef Py_ssize_t head_received(self, Request request) except -1:
        return 0

    cdef int request_received(self, Exchange exchange, Request request) except -1:
        return 0

    cdef int request_ended(self, Request request) except -1:
        return 0

    cdef int request_abandoned(self, Request request) except -1:
        return 0

    cdef int refused(self, int status, Request request) except -1:
        return 0

    cdef int write(self, bytes data) except -1:
        return 0

    cdef int hold(self, bint stop) except -1:
        return 0

    cdef int close(self, bint linger) except -1:
        return 0

    cdef int abort(self) except -1:
        return 0


cdef class PySink(Sink):
    """Forwards every call to a Python object, for recorders and fakes: Python cannot override cdef methods."""

    cdef object target      # has the methods that are called

    def __init__(self, target):
        self.target = target

    cdef Py_ssize_t head_received(self, Request request) except -1:
        return self.target.head_received(request)

    cdef int request_received(self, Exchange exchange, Request request) except -1:
        self.target.request_received(exchange, request)
        return 0

    cdef int request_ended(self, Request request) except -1:
        self.target.request_ended(request)
        return 0

    cdef int request_abandoned(self, Request request) except -1:
        self.target.request_abandoned(request)
        return 0

    cdef int refused(self, int status, Request request) except -1:
        self.target.refused(status)
        return 0

    cdef int write(self, bytes data) except -1:
        self.target.write(data)
        return 0

    cdef int hold(self, bint stop) except -1:
        self.target.hold(stop)
        return 0

    cdef int close(self, bint linger) except -1:
        self.target.close(linger)
        return 0

    cdef int abort(self) except -1:
        self.target.abort()
        return 0
