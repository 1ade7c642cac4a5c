"""Doors for tests to what only Cython can call: cdef methods of exchanges, deadlines and the output buffer."""

cimport cython

from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.exchange cimport Exchange, Handler
from siphon_http._core.headers cimport OutBuffer
from siphon_http._core.message cimport Peer, Request
from siphon_http._core.response cimport Response, received_response
from siphon_http._core.traffic cimport RouteCounts

__all__ = [
    "BufferDriver",
    "CallbackDeadline",
    "DeadlinesDriver",
    "ExchangeDriver",
    "RecordingHandler",
    "prepare_request",
    "received_answer",
    "request_facts",
]


@cython.final
cdef class BufferDriver:
    """Makes a loop's output buffer, and calls it as a protocol does."""

    def __cinit__(self):
        self.buffer = OutBuffer()

    @property
    def size(self):
        """Bytes in the buffer."""
        return self.buffer.size

    @property
    def capacity(self):
        """Bytes that it has allocated."""
        return self.buffer.capacity

    @property
    def is_owned(self):
        """Whether somebody's bytes lie in it."""
        return self.buffer.owner is not None

    def add(self, bytes data not None):
        """Append `data`."""
        self.buffer.add(data, len(data))

    def take(self):
        """Return what is in it and empty it."""
        return self.buffer.take()


@cython.final
cdef class ExchangeDriver:
    """Answers through an exchange, as dispatch does."""

    def __init__(self, Exchange exchange not None):
        self.exchange = exchange

    def respond(self, Request request, Response response not None):
        """Send a whole answer; its framing fields are checked first. Returns 1 = sent, 0 = too late."""
        response.check_framing(request is not None and request.is_head)
        return self.exchange.respond(request, response)

    def start(self, Request request, Response response not None, Py_ssize_t length=-1):
        """Send the head of a streamed answer. Returns 1 = sent, 0 = too late."""
        response.check_framing(request is not None and request.is_head)
        return self.exchange.start(request, response, length)

    def chunk(self, Request request, bytes data not None):
        """Send a piece of a streamed answer. Returns 1 = taken, 0 = too late."""
        return self.exchange.chunk(request, data)

    def end(self, Request request):
        """End a streamed answer. Returns 1 = done, 0 = too late."""
        return self.exchange.end(request)

    def fail(self, Request request):
        """Break a streamed answer off. Returns 1 = done, 0 = too late."""
        return self.exchange.fail(request)

    def is_open(self, Request request):
        """Tell whether an answer can still be sent."""
        return self.exchange.is_open(request)

    def is_writable(self, Request request):
        """Tell whether the client takes more now."""
        return self.exchange.is_writable(request)

    def read_content(self, Request request):
        """Return content that has arrived, b"" at its end, None when there is nothing yet."""
        return self.exchange.read_content(request)

    def wait(self, Request request, waker):
        """Call `waker()` at the next change."""
        self.exchange.wait(request, waker)


@cython.final
cdef class RecordingHandler(Handler):
    """Forwards every call to a Python object with `accept`, `dispatch` and `cancel`."""

    def __init__(self, target):
        self.target = target

    cdef Py_ssize_t accept(self, Request request, Py_ssize_t limit) except -1:
        return self.target.accept(request, limit)

    cdef int dispatch(self, Exchange exchange, Request request) except -1:
        self.target.dispatch(exchange, request)
        return 0

    cdef int cancel(self, Request request, bint gone) except -1:
        self.target.cancel(request, gone)
        return 0


@cython.final
cdef class CallbackDeadline(Deadline):
    """A deadline that calls `callback(deadline, now)`."""

    def __init__(self, callback):
        self.callback = callback

    cdef int expired(self, double now) except -1:
        self.callback(self, now)
        return 0


@cython.final
cdef class DeadlinesDriver:
    """Calls a list of deadlines as connections do."""

    def __init__(self, Deadlines deadlines not None):
        self.deadlines = deadlines

    def add(self, Deadline deadline not None):
        """Take `deadline` into the list."""
        self.deadlines.add(deadline)

    def discard(self, Deadline deadline not None):
        """Take `deadline` out."""
        self.deadlines.discard(deadline)

    def arm(self, Deadline deadline not None, double when):
        """Let `deadline` fall due at `when`."""
        self.deadlines.arm(deadline, when)

    def members(self):
        """Return the deadlines of the list in order; every link back is checked.

        Raises:
            RuntimeError: the links disagree.
        """
        cdef list out = []
        cdef Deadline before = None
        cdef Deadline at = self.deadlines.first
        while at is not None:
            if at.previous is not before or at.inside is not self.deadlines:
                raise RuntimeError("a deadline's links disagree")
            out.append(at)
            before = at
            at = at.next
        return out


def prepare_request(Request request not None, Peer peer=None, bint streams=False, dict path_params=None,
                    RouteCounts counts=None):
    """Set what the server and dispatch set on a request when its head is complete."""
    request.peer = peer
    request.streams = streams
    request.counts = counts
    if path_params is not None:
        request._path_params = path_params


def received_answer(int status, bytes fields not None, content, bint streams, facts):
    """Return a Response as `http.Client` gives it.

    fields: its field lines, each with CR LF. content: bytes, or when it streams an async iterator with `close()`. facts:
    has url, http_version, decoded and timings().
    """
    cdef Response response = received_response(status, fields, 0, len(fields), facts)
    response.content = content
    response.streams = streams
    return response


def request_facts(Request request not None):
    """Return what a protocol noted about `request`: a dict of its C fields."""
    return {
        "head": request.head,
        "target": request.head[request.target:request.target_end],
        "fields": request.head[request.fields:request.fields_end],
        "keep_alive": request.keep_alive,
        "expects": request.expects,
        "has_content": request.has_content,
        "is_complete": request.is_complete,
        "content": request.content,
        "is_head": request.is_head,
    }
