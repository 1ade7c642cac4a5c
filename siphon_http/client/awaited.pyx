"""What a task awaits while an answer is on its way: a coroutine without a frame.

The task sleeps on one future. Python's own coroutines would cost a frame for each layer; a type with these methods is
one all the same (collections.abc.Coroutine), so that `asyncio.create_task` and `asyncio.run` take it.
"""

cimport cython

import asyncio

from siphon_http.errors import ClientError

from siphon_http._core.clock cimport precise
from siphon_http._core.response cimport Response
from siphon_http.protocol.answer cimport Answer

__all__ = ["AwaitedAnswer"]

cdef object running_loop = asyncio.get_running_loop

cdef extern from *:
    """
    /* Ends an iterator with a value: what `return value` in a generator does. */
    static PyObject* siphon_stop(PyObject* value) { PyErr_SetObject(PyExc_StopIteration, value); return NULL; }
    """
    object stop_iteration "siphon_stop"(object value)


cdef class AwaitedAnswer(Answer):
    """A coroutine whose result is a Response. What begins and ends it is for subclasses to say."""

    cdef int start(self) except -1:
        """Begin; `loop` is set. What it raises is the caller's."""
        raise NotImplementedError

    cdef int leave(self) except -1:
        """The caller wants no more."""
        raise NotImplementedError

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.step()

    def send(self, value, /):
        """Go on: what a coroutine has."""
        return self.step()

    def throw(self, kind, value=None, traceback=None, /):
        """Give up, and raise: what a coroutine has. The task that awaits it is being cancelled."""
        self.leave()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        elif not isinstance(value, BaseException):
            value = kind(value)
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        """Give up: what a coroutine has."""
        self.leave()

    cdef object step(self):
        """Begin; later, hand out the response or raise the error. Returns the future to wait for."""
        cdef Response response
        if self.state == CALL_NEW:
            self.state = CALL_TAKEN     # if what follows raises, it is over
            try:
                self.loop = running_loop()
            except RuntimeError:
                raise ClientError("http.Client needs a running event loop: call it in an async handler, or with "
                                  "asyncio.run()") from None
            self.start()
        if self.error is not None and self.state == CALL_DONE:
            error = self.error
            self.error = None
            self.state = CALL_TAKEN
            raise error
        if self.response is not None:
            response = self.response
            self.response = None    # it holds us
            if self.state == CALL_DONE:
                self.state = CALL_TAKEN
            return stop_iteration(response)
        if self.state == CALL_TAKEN or self.state == CALL_STREAMING:
            raise RuntimeError("cannot reuse an already awaited call")
        if self.future is None or self.future.done():
            self.future = self.loop.create_future()
        self.future._asyncio_future_blocking = True
        return self.future

    cdef int wake(self) except -1:
        """Let the task go on that waits for the response, or for content."""
        waiter = self.future if self.reader_waiter is None else self.reader_waiter
        self.reader_waiter = None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return 0

    cdef int content_wanted(self) except -1:
        """There is room for more of the body (see Answer)."""
        waiter, self.upload_waiter = self.upload_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return 0

    def room(self):
        """Return a future that is done when more of the body may be sent, or none is wanted, for its uploader."""
        self.upload_waiter = self.loop.create_future()
        if self.state != CALL_OPEN and self.state != CALL_STREAMING:
            self.upload_waiter.set_result(None)
        return self.upload_waiter

    @cython.final
    cdef int keep(self, bytes data) except -1:
        """Keep a piece of content until somebody takes it."""
        if self.piece is None:
            self.piece = data
        elif self.pieces is None:
            self.pieces = [self.piece, data]
        else:
            self.pieces.append(data)
        return 0

    @cython.final
    cdef bytes take_pieces(self):
        """Return, and forget, the content that has come; None when there is none."""
        cdef bytes out = self.piece
        cdef list pieces = self.pieces
        self.piece = None
        self.pieces = None
        return out if pieces is None else b"".join(pieces)

    @property
    def http_version(self):
        """Version of the answer."""
        return "2" if self.version == 20 else "1.1" if self.version == 11 else "1.0"

    def timings(self):
        """Return milliseconds by phase."""
        cdef dict out = {}
        cdef double end = self.finished or precise()
        made = self.dns + self.tcp + self.tls
        out["total"] = (end - self.began) * 1000
        out["pool"] = max(0.0, self.connected - self.began - made) * 1000
        if made:
            out["dns"], out["connect"], out["tls"] = self.dns * 1000, self.tcp * 1000, self.tls * 1000
        out["wait"] = (self.answered - self.connected) * 1000
        out["read"] = (end - self.answered) * 1000
        return out
