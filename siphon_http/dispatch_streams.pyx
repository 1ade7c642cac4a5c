"""Content that comes or goes in pieces: what `req.stream()` reads, and how an iterator is sent as an answer.

Both sides wait for the exchange's next change (more content, room in the transport, the end) through a future.
"""

cimport cython

import asyncio
import logging
from inspect import isgenerator
from threading import Lock

from siphon_http._core.clock cimport monotonic
from siphon_http._core.exchange cimport Exchange
from siphon_http._core.message cimport Request, Response
from siphon_http.threads cimport ThreadPool

__all__ = ["SENT", "ContentStream", "ThreadIterator", "send_stream"]

log = logging.getLogger("siphon_http.handler")

cdef double TURN_SECONDS = 0.02     # an answer that never waits lets others have a turn of the loop after it
cdef object DONE = object()         # the end of an iterator
SENT = object()                     # what `send_stream` returns: no handler can return it


@cython.final
cdef class Waker:
    """Settles a future from a protocol, which knows no futures."""

    def __call__(self):
        if not self.future.done():
            self.future.set_result(None)


cdef object _change(Exchange exchange, Request request, object loop):
    """Return a future for the next change of `exchange`."""
    cdef Waker waker = Waker.__new__(Waker)
    waker.future = loop.create_future()
    exchange.wait(request, waker)
    return waker.future


@cython.final
cdef class ContentStream:
    """What `req.stream()` returns: an async iterator over the content as it arrives, each piece bytes.

    Raises:
        RemoteProtocolError: the rest will not come.
    """

    def __cinit__(self, Exchange exchange not None, Request request not None, loop):
        self.exchange = exchange
        self.request = request
        self.loop = loop

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            piece = self.exchange.read_content(self.request)
            if piece is None:
                await _change(self.exchange, self.request, self.loop)
            elif piece:
                return piece
            else:
                raise StopAsyncIteration


@cython.final
cdef class ThreadIterator:
    """A plain iterator that may block: each step, and its end, run on a thread, one at a time.

    When the client leaves, a step may still be running: the end waits for it, on its own thread.
    """

    def __cinit__(self, ThreadPool pool not None, iterator):
        self.pool = pool
        self.iterator = iterator
        self.lock = Lock()

    async def step(self):
        """Return the next piece, or DONE: StopIteration cannot cross an await."""
        return await self.pool.call(self._step, None, under_way=True)

    async def close(self):
        """Close a generator that was not read to its end."""
        if hasattr(self.iterator, "close"):
            await self.pool.call(self._close, None, under_way=True)

    def _step(self, _):
        with self.lock:
            return next(self.iterator, DONE)

    def _close(self, _):
        with self.lock:
            self.iterator.close()


async def send_stream(ThreadPool pool, Exchange exchange, Request request, Response response, bint blocking, report):
    """Send a streamed answer through `exchange`; its iterator is closed whatever happens.

    blocking: a plain iterator is driven on threads. report: callable(exception, bytes sent), when the answer is broken
    off. Returns SENT and never raises: the exchange has ended, one way or the other.
    """
    cdef Py_ssize_t sent = 0
    cdef bint whole = False
    cdef bint is_async = hasattr(response.content, "__aiter__")
    cdef ThreadIterator threaded = None
    iterator = None
    try:
        iterator = response.content.__aiter__() if is_async else iter(response.content)
        if blocking and not is_async:
            threaded = ThreadIterator.__new__(ThreadIterator, pool, iterator)
        if not exchange.start(request, response, response.declared):
            return SENT
        if not request.is_head and response._status not in (204, 205, 304):
            since = monotonic()
            while True:
                if is_async:
                    piece = await anext(iterator, DONE)
                elif threaded is not None:
                    piece = await threaded.step()
                else:
                    piece = next(iterator, DONE)
                if piece is DONE:
                    if isgenerator(iterator):
                        iterator = threaded = None      # it has ended: there is nothing to close
                    break
                piece = _piece(piece)
                sent += len(piece)
                if 0 <= response.declared < sent:
                    raise ValueError(f"content-length is {response.declared}, but the body goes on after that")
                if not exchange.chunk(request, piece):
                    return SENT
                while not exchange.is_writable(request):
                    await _change(exchange, request, pool.loop)
                if monotonic() - since > TURN_SECONDS:
                    await asyncio.sleep(0)
                    since = monotonic()
            if sent < response.declared:
                raise ValueError(f"content-length is {response.declared}, but the body ended after {sent} bytes")
        whole = True
    except BaseException as error:
        # A cancellation because the client has gone is no news; anything else is.
        if isinstance(error, Exception) or exchange.is_open(request):
            report(error, sent)
    finally:
        # The task that runs this must not be cancelled by the end of its own exchange.
        request.running = None
        if whole:
            exchange.end(request)
        else:
            exchange.fail(request)
        await _close(iterator, threaded)
    return SENT


async def _close(iterator, ThreadIterator threaded):
    """Close what was not read to its end."""
    try:
        if threaded is not None:
            await threaded.close()
        elif hasattr(iterator, "aclose"):
            await iterator.aclose()
        elif hasattr(iterator, "close"):
            iterator.close()
    except BaseException as error:
        log.error("an answer's iterator failed when it was closed", exc_info=error)


cdef object close_unused(content):
    """Close a plain generator that is not sent; an async one that has not begun needs nothing."""
    if hasattr(content, "close"):
        try:
            content.close()
        except BaseException as error:
            log.error("an answer's iterator failed when it was closed", exc_info=error)


cdef bytes _piece(piece):
    """Return one piece of a streamed body as bytes."""
    if type(piece) is bytes:
        return piece
    if isinstance(piece, str):
        return piece.encode("utf-8")
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a piece of a body is bytes, not {type(piece).__name__}")
