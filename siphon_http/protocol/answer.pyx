"""The seams of a client's connection: its caller (Answer), its owner (Link), and what these ask of it (ClientProtocol).

All are base classes with virtual methods: HTTP/1.1 has one Answer at a time, HTTP/2 one for each stream. `Link` is to a
client what `Sink` is to a server.
"""

cimport cython

__all__ = ["Answer", "ClientProtocol", "Link", "NoAnswer", "PyAnswer", "PyLink"]


cdef class Answer:
    """The caller's end of one exchange. No method may block, or raise what the peer caused.

    After `answer_ended` or `answer_failed` nothing more is called; one of the two is called once for every exchange.
    """

    cdef int head_received(self, int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, int version) except -1:
        """The head of the final answer is complete: status 200 to 599 (interim answers are not told).

        head[fields:fields_end] holds the field lines, each "name: value CR LF" as sent (HTTP/2: lower case, no pseudo
        fields); version: 10, 11 or 20.
        """
        raise NotImplementedError

    cdef int content_received(self, bytes data) except -1:
        """A piece of the content, transfer coding taken off; never empty."""
        raise NotImplementedError

    cdef int answer_ended(self) except -1:
        """The answer is whole."""
        raise NotImplementedError

    cdef int answer_failed(self, int failure, bint unprocessed, str reason) except -1:
        """The answer will not come, or not to its end. failure: a Failure.

        unprocessed: the peer surely acted on nothing of the request, so that it may be sent again elsewhere (HTTP/1.1:
        the connection ended before any byte of the answer and the request may be replayed; HTTP/2: GOAWAY below the
        stream's id, REFUSED_STREAM).
        """
        raise NotImplementedError

    cdef int content_wanted(self) except -1:
        """The request's streamed content may go on: there is room again."""
        raise NotImplementedError


@cython.final
cdef class NoAnswer(Answer):
    """Takes every call and does nothing: the caller of an exchange that was left. It has no state."""

    cdef int head_received(self, int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, int version) except -1:
        return 0

    cdef int content_received(self, bytes data) except -1:
        return 0

    cdef int answer_ended(self) except -1:
        return 0

    cdef int answer_failed(self, int failure, bint unprocessed, str reason) except -1:
        return 0

    cdef int content_wanted(self) except -1:
        return 0


cdef class PyAnswer(Answer):
    """Forwards every call to a Python object, for recorders and fakes."""

    cdef object target      # has the methods that are called

    def __init__(self, target):
        self.target = target

    cdef int head_received(self, int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, int version) except -1:
        self.target.head_received(status, head, fields, fields_end, version)
        return 0

    cdef int content_received(self, bytes data) except -1:
        self.target.content_received(data)
        return 0

    cdef int answer_ended(self) except -1:
        self.target.answer_ended()
        return 0

    cdef int answer_failed(self, int failure, bint unprocessed, str reason) except -1:
        self.target.answer_failed(failure, unprocessed, reason)
        return 0

    cdef int content_wanted(self) except -1:
        self.target.content_wanted()
        return 0


cdef class Link:
    """The owner of a client's connection: what `Sink` is on the server's side."""

    cdef int write(self, bytes data) except -1:
        """Send `data`."""
        raise NotImplementedError

    cdef int hold(self, bint stop) except -1:
        """Stop reading, or go on."""
        raise NotImplementedError

    cdef int close(self) except -1:
        """Nothing more will be asked over this connection: close it once everything written is sent."""
        raise NotImplementedError

    cdef int abort(self) except -1:
        """Reset the connection."""
        raise NotImplementedError

    cdef int room_changed(self) except -1:
        """More, or fewer, exchanges can be begun than before: one has ended, a limit has changed, or no more may begin."""
        raise NotImplementedError


cdef class PyLink(Link):
    """Forwards every call to a Python object, for recorders and fakes."""

    cdef object target      # has the methods that are called

    def __init__(self, target):
        self.target = target

    cdef int write(self, bytes data) except -1:
        self.target.write(data)
        return 0

    cdef int hold(self, bint stop) except -1:
        self.target.hold(stop)
        return 0

    cdef int close(self) except -1:
        self.target.close()
        return 0

    cdef int abort(self) except -1:
        self.target.abort()
        return 0

    cdef int room_changed(self) except -1:
        self.target.room_changed()
        return 0


cdef class ClientProtocol:
    """One connection as a client: what its owner may ask, whichever version is spoken (RFC 9112, RFC 9113).

    Sans-IO: output goes to a Link, what the peer answers to the Answer of each exchange. What the peer does wrong is never
    raised: the exchanges fail, and the link is closed or aborted.
    """

    cdef long begin(
        self, Answer answer, bytes method, bytes scheme, bytes authority, bytes target, bytes fields,
        bytes content, long long length
    ) except -1:
        """Send a request; return the number of the exchange, above 0. Ask only while `room()` is above 0.

        authority: for Host or :authority; target: origin form, absolute form for a proxy, "*" for OPTIONS; fields: checked
        lines "name: value CR LF" without host, connection, content-length and transfer-encoding; content: all of it, with
        length LENGTH_WHOLE; otherwise None, and it follows by `send`: length is the declared one, or LENGTH_UNKNOWN.
        """
        raise NotImplementedError

    cdef int send(self, long exchange, bytes data, bint last) except -1:
        """Send a piece of streamed content; return 1, or 0 to wait for `content_wanted`. An ended exchange takes it as 1."""
        raise NotImplementedError

    cdef int taken(self, long exchange, Py_ssize_t size) except -1:
        """The caller has taken `size` bytes of content: as much more may come (HTTP/2: the stream's window)."""
        raise NotImplementedError

    cdef int leave(self, long exchange) except -1:
        """The caller wants no more of the answer: its Answer hears nothing again (HTTP/1.1 ends the connection)."""
        raise NotImplementedError

    cdef int receive_data(self, bytes data) except -1:
        """Parse `data`, any split."""
        raise NotImplementedError

    cdef int eof_received(self) except -1:
        """The peer sends no more."""
        raise NotImplementedError

    cdef int lost(self, str reason) except -1:
        """The transport is gone; open exchanges fail. May be called twice."""
        raise NotImplementedError

    cdef int shut_down(self) except -1:
        """Begin nothing more; close the link once the open exchanges have ended (HTTP/2: with GOAWAY)."""
        raise NotImplementedError

    cdef int pause(self) except -1:
        """The transport takes no more for now."""
        return 0

    cdef int resume(self) except -1:
        """The transport takes more again."""
        return 0

    cdef int cork(self) except -1:
        """More than one exchange may be begun before `uncork`: their output may wait until then."""
        return 0

    cdef int uncork(self) except -1:
        """Write what has gathered."""
        return 0

    cdef bint check_alive(self) except -1:
        """Look whether the peer gives signs of life: to be called every second or so while exchanges are open.

        False: it has been asked for one (HTTP/2: PING) and nothing has come for long, so the connection is of no more use.
        """
        return True

    cdef Py_ssize_t waiting(self, long exchange) except -1:
        """Bytes of a request's content that wait here for the peer to take them (HTTP/2: for its windows)."""
        return 0

    cdef long long heard_of(self, long exchange) except -1:
        """A number that grows with whatever comes for an exchange: parts of its head, interim answers, content."""
        return 0

    cdef int room(self) noexcept:
        """How many exchanges may begin now; 0 for ever once the connection is closing."""
        return 0

    cdef bint is_idle(self) noexcept:
        """Whether no exchange is open."""
        return True
