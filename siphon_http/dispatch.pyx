"""request -> route -> middleware -> handler -> response; the only caller of script code.

An async handler's first step runs at once, inside the read that brought its request. A plain function runs on a thread,
or, with `blocking=False`, on the loop. Whatever a script raises ends here: it becomes an answer and a log entry.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit

import asyncio
import inspect
import logging

from siphon_http.dispatch_streams import SENT, send_stream
from siphon_http.dispatch_words import article, name_of, whole_traceback
from siphon_http.errors import HandlerError
from siphon_http.registry import Era

from siphon_http._core.clock cimport monotonic
from siphon_http._core.exchange cimport Exchange, Handler
from siphon_http._core.message cimport Request, Response, answer_405, plain_response
from siphon_http._core.request_id cimport set_id
from siphon_http._core.router cimport Leaf, Router
from siphon_http._core.traffic cimport Traffic
from siphon_http._core.urldecode cimport canonical_path, is_plain, is_valid_path
from siphon_http.dispatch_routes cimport KIND_ASYNC, KIND_DIRECT, KIND_THREAD, Entry, Step, build_table
from siphon_http.dispatch_streams cimport ContentStream, close_unused
from siphon_http.task cimport Runner
from siphon_http.threads cimport Job, ThreadPool

__all__ = ["Dispatcher"]

log = logging.getLogger("siphon_http.handler")

cdef double SLOW_SECONDS = 0.1          # a handler that holds the loop longer is logged
cdef double SLOW_SAID_EVERY = 60.0


cdef inline object _context(Request request):
    """Return the context that a handler runs in."""
    context = PyContext_CopyCurrent()
    if request.traced:
        PyContext_Enter(context)
        set_id(request.request_id)
        PyContext_Exit(context)
    return context


@cython.final
cdef class Dispatcher(Handler):
    """Answers requests by the routes and middleware of one generation.

    generation: registry.Generation. sync_pool_max: threads for blocking handlers; sync_queue_max: calls that may wait
    for one, more are answered 503. format_exception: callable(exception) -> str, for the log. traffic: what is counted.
    Belongs to the loop's thread.
    """

    def __init__(self, generation, loop, *, int sync_pool_max=32, int sync_queue_max=1024, format_exception=None,
                 task_mode=None, Traffic traffic=None):
        self.loop = loop
        self.traffic = Traffic() if traffic is None else traffic
        self.runner = Runner(loop, task_mode)
        self.runner.slow = self._slow_step
        self.pool = ThreadPool(loop, sync_pool_max, sync_queue_max)
        self.format_exception = format_exception or whole_traceback
        self.running = set()
        self.slow_said = -SLOW_SAID_EVERY
        self.use(generation)

    def use(self, generation, *, over=None):
        """Answer by `generation` from the next request on; requests under way keep the one they began with.

        over: called on the loop once the last of those has ended.
        """
        cdef object era = Era()
        self.router, self.allow = build_table(generation, self.traffic, era)
        if over is not None:
            self.era.when_over(self.loop, over)
        self.era = era

    # ---- Handler

    cdef int batch_began(self, double now) except -1:
        """Let coroutines share a task, one after the other (see Handler)."""
        self.now = now
        return self.runner.begin_batch()

    cdef int batch_ended(self) except -1:
        """Leave it (see Handler)."""
        self.now = 0
        return self.runner.end_batch()

    cdef Py_ssize_t accept(self, Request request, Py_ssize_t limit) except -1:
        """Find the route (see Handler). What has none is answered at once, without waiting for its content."""
        cdef const char* path = PyBytes_AS_STRING(request.head) + request.path
        cdef Py_ssize_t size = request.path_end - request.path
        cdef Leaf leaf
        cdef Entry entry
        request.leaf = None
        if size == 0:
            path = b"/"         # an absolute target without a path (RFC 9110, 4.2.3)
            size = 1
        if not is_plain(path, size):
            if not is_valid_path(path, size):
                request.bad_path = True
                request.streams = request.has_content
                return 0x7fffffffffffffff
            request.params_source = canonical_path(path, size)
            if request.params_source is not None:
                path = PyBytes_AS_STRING(request.params_source)
                size = PyBytes_GET_SIZE(request.params_source)
        leaf = self.router.match(path, size, request.params)
        if leaf is not None:
            entry = <Entry> leaf.find(request.method)
            if entry is not None:
                request.entry = entry
                request.counts = entry.counts
                request.streams = entry.stream
                request.finishes = entry.finishes
                request.timeout_ms = entry.timeout_ms
                return limit if entry.cap < 0 else entry.cap
            request.leaf = leaf
        request.streams = request.has_content
        return 0x7fffffffffffffff

    cdef int dispatch(self, Exchange exchange, Request request) except -1:
        """Answer `request` (see Handler)."""
        cdef Entry entry = <Entry> request.entry
        cdef double begun = self.now
        cdef double ended
        if entry is None:
            return self._unmatched(exchange, request)
        if entry.kind == KIND_THREAD:
            return self._thread(exchange, request, entry)
        self.now = 0        # a handler takes its time
        if begun == 0:
            begun = monotonic()
        if entry.stream:
            request.stream_source = ContentStream.__new__(ContentStream, exchange, request, self.loop)
        if entry.kind == KIND_DIRECT:
            self._direct(exchange, request, entry)
        else:
            context = _context(request)
            try:
                if entry.kind == KIND_ASYNC:
                    coroutine = entry.handler(request)
                else:
                    coroutine = _chain(self, entry, request, 0)
            except BaseException as error:
                return self._failed(exchange, request, error)
            self._coroutine(exchange, request, coroutine, context)
            if entry.stream and request.running is None:
                request.stream_source = None    # a cycle
        ended = monotonic()
        if self.runner.is_batching:
            self.now = ended
        if ended - begun > SLOW_SECONDS:
            self._slow(f"{request.method} {entry.pattern}", entry.where, ended - begun)
        return 0

    cdef int cancel(self, Request request, bint gone) except -1:
        """Stop the handler of `request` (see Handler), unless its route lets it finish when the client leaves."""
        running = request.running
        if running is None or (gone and request.finishes):
            return 0
        request.running = None
        running.cancel()
        return 0

    # ---- the ways to call a handler

    cdef int _coroutine(self, Exchange exchange, Request request, object coroutine, object context) except -1:
        """Run the first step of `coroutine`; finish, or let its task go on."""
        cdef bint suspended = False
        try:
            value = self.runner.run(coroutine, context, &suspended)
        except BaseException as error:
            return self._failed(exchange, request, error)
        if suspended:
            return self._suspended(exchange, request, value, context)
        return self._finish(exchange, request, value, context)

    cdef int _suspended(self, Exchange exchange, Request request, object task, object context) except -1:
        cdef Completion completion = Completion.__new__(Completion)
        completion.dispatcher = self
        completion.exchange = exchange
        completion.request = request
        completion.context = context
        self.running.add(task)
        request.running = task
        task.add_done_callback(completion)
        return 0

    cdef int _direct(self, Exchange exchange, Request request, Entry entry) except -1:
        """Call a plain function here and now, in its own context."""
        self.runner.leave()
        context = _context(request)
        PyContext_Enter(context)
        try:
            value = entry.handler(request)
        except BaseException as error:
            PyContext_Exit(context)
            return self._failed(exchange, request, error)
        PyContext_Exit(context)
        if type(value) is not Response and inspect.isawaitable(value):
            return self._coroutine(exchange, request, _awaited(value), context)
        return self._finish(exchange, request, value, context)

    cdef int _thread(self, Exchange exchange, Request request, Entry entry) except -1:
        """Call a plain function on a thread."""
        cdef ThreadCompletion completion = ThreadCompletion.__new__(ThreadCompletion)
        cdef Job job
        completion.dispatcher = self
        completion.exchange = exchange
        completion.request = request
        completion.context = _context(request)
        job = self.pool.submit(entry.handler, request, completion.context, completion)
        if job is None:
            exchange.respond(request, self._busy(request, entry))
            return 0
        request.running = job
        self.running.add(job)
        return 0

    cdef Response _busy(self, Request request, Entry entry):
        """Return the answer to what gets no thread."""
        self.runner.leave()
        log.warning("%s %s: 503, no thread is free and %d calls may wait for one", request.method, entry.pattern,
                    self.pool.queue_max)
        return plain_response(503, b"too many requests wait for a thread")

    cdef int _unmatched(self, Exchange exchange, Request request) except -1:
        """Answer what no route answers: 400, 404, 405, or OPTIONS on our own (RFC 9110, 9.3.7)."""
        cdef Response response
        if request.bad_path:
            response = plain_response(400, b"the path has a bad escape or is not UTF-8")
        elif request.leaf is not None:
            response = answer_405((<Leaf> request.leaf).allow, request.method == "OPTIONS")
        elif request.method == "OPTIONS" and request.path_end - request.path == 1 \
                and PyBytes_AS_STRING(request.head)[request.path] == c"*":
            response = answer_405(self.allow, True)
        else:
            response = plain_response(404, b"not found")
        exchange.respond(request, response)
        return 0

    # ---- what came of it

    cdef int _finish(self, Exchange exchange, Request request, object value, object context) except -1:
        """Send what the handler returned."""
        cdef Response response
        if type(value) is not Response:
            if value is SENT:
                return 0
            entry = <Entry> request.entry
            return self._failed(exchange, request, HandlerError(
                f"{name_of(entry.handler)} ({entry.where}) returned {article(value)} instead of http.Response"))
        response = <Response> value
        if response.has_framing():
            error = _framing_error(request, response)
            if error is not None:
                return self._failed(exchange, request, error)
        if not response.streams:
            exchange.respond(request, response)
            return 0
        return self._stream(exchange, request, response, context)

    cdef int _stream(self, Exchange exchange, Request request, Response response, object context) except -1:
        """Send an answer piece by piece; apart from `_finish`, where its closure would cost every answer."""
        if not exchange.is_open(request):
            close_unused(response.content)
            return 0
        entry = <Entry> request.entry

        def report(error, sent):
            log.error("%s %s: the answer is broken off after %d bytes\n%s", request.method, entry.pattern, sent,
                      self._text(error))

        return self._coroutine(exchange, request, send_stream(
            self.pool, exchange, request, response, entry.own_kind == KIND_THREAD, report), context)

    cdef int _failed(self, Exchange exchange, Request request, object error) except -1:
        """Answer 500 and log what the script raised; nothing of it is sent."""
        self.runner.leave()
        if isinstance(error, asyncio.CancelledError) and (self.ending or not exchange.is_open(request)):
            # We cancelled it: because nobody waits for it, or it had its time.
            exchange.respond(request, plain_response(503, b"shutting down"))
            return 0
        entry = <Entry> request.entry
        (<Entry> entry).counts.failed()
        extra = {"request_id": request.request_id} if request.traced else None
        if isinstance(error, HandlerError) and error.__traceback__ is None:
            log.error("%s %s: handler error: %s", request.method, entry.pattern, error, extra=extra)
        else:
            log.error("%s %s: handler error\n%s", request.method, entry.pattern, self._text(error), extra=extra)
        exchange.respond(request, plain_response(500, b"handler error"))
        return 0

    cdef str _text(self, object error):
        """Format an exception for the log; the answer does not depend on whether that works."""
        try:
            return self.format_exception(error).rstrip()
        except Exception as another:
            return f"{type(error).__name__} (its traceback cannot be shown: {type(another).__name__})"

    cdef int _slow(self, str what, str where, double seconds) except -1:
        """Say, at most once a minute, that a handler held the loop."""
        self.runner.leave()
        cdef double now = monotonic()
        self.traffic.held[0] += 1
        if now - self.slow_said < SLOW_SAID_EVERY:
            return 0
        self.slow_said = now
        log.warning("%s held the loop for %.0f ms, nothing else was served meanwhile: %s (use await, or a plain "
                    "`def` handler, which gets a thread)", what, seconds * 1000, where)
        return 0

    def _slow_step(self, coroutine, seconds):
        """A step after an await held the loop: say where the coroutine waits now, which is behind what held it."""
        where = "its place is not known"
        while coroutine is not None:
            code = getattr(coroutine, "cr_code", None)
            if code is not None and not code.co_filename.endswith(".pyx"):
                frame = coroutine.cr_frame
                where = f"{code.co_filename}:{code.co_firstlineno if frame is None else frame.f_lineno}"
                break
            coroutine = getattr(coroutine, "cr_await", None)    # our own middleware chain: look inside
        self._slow("a handler", where, seconds)

    # ---- life

    def when_idle(self, callback):
        """Call `callback()` once no handler runs, abandoned ones on threads included: now, or when the last one ends."""
        if self.running:
            self.idle_waiter = callback
        else:
            self.pool.when_idle(callback)

    def cancel_all(self):
        """Cancel every handler that still runs; who waits for one is answered 503."""
        self.ending = True
        for task in list(self.running):
            task.cancel()

    def close(self):
        """End the threads."""
        self.runner.slow = None
        self.pool.close()

    cdef int _ended(self, object task) except -1:
        self.running.discard(task)
        if self.idle_waiter is not None and not self.running:
            waiter = self.idle_waiter
            self.idle_waiter = None
            self.pool.when_idle(waiter)
        return 0


cdef object _framing_error(Request request, Response response):
    """Return what is wrong with the framing fields that the script set, or None."""
    try:
        response.check_framing(request.is_head)
    except ValueError as error:
        return error
    return None


@cython.final
@cython.freelist(64)
cdef class Completion:
    """Done callback of a handler's task: the way back from a suspended handler to its exchange."""

    cdef Dispatcher dispatcher  # who answers
    cdef Exchange exchange      # where the answer goes
    cdef Request request        # what is answered
    cdef object context         # contextvars.Context of the handler

    def __call__(self, task):
        cdef Dispatcher dispatcher = self.dispatcher
        cdef Request request = self.request
        if dispatcher is None:
            return      # a script has called it, or calls it again
        if request.running is task:
            request.running = None
        try:
            if task.cancelled():
                dispatcher._failed(self.exchange, request, asyncio.CancelledError("the handler cancelled itself"))
            else:
                error = task.exception()
                if error is not None:
                    dispatcher._failed(self.exchange, request, error)
                else:
                    dispatcher._finish(self.exchange, request, task.result(), self.context)
        except Exception:
            log.exception("internal error while a handler's answer was sent")
            self.exchange.fail(request)
        finally:
            if request.running is None:
                request.stream_source = None    # a cycle
            dispatcher._ended(task)
            self.dispatcher = None
            self.exchange = None
            self.request = None
            self.context = None


@cython.final
@cython.freelist(64)
cdef class ThreadCompletion:
    """Callback of a handler's job on a thread."""

    cdef Dispatcher dispatcher  # who answers
    cdef Exchange exchange      # where the answer goes
    cdef Request request        # what is answered
    cdef object context         # contextvars.Context of the handler

    def __call__(self, Job job):
        cdef Dispatcher dispatcher = self.dispatcher
        cdef Request request = self.request
        if dispatcher is None:
            return
        if request.running is job:
            request.running = None
        dispatcher._ended(job)
        if job.error is not None:
            dispatcher._failed(self.exchange, request, job.error)
        elif job.cancelled and hasattr(job.value, "cr_frame"):
            job.value.close()       # nobody waits for the rest of it
            dispatcher._failed(self.exchange, request, asyncio.CancelledError())
        elif type(job.value) is not Response and inspect.isawaitable(job.value):
            dispatcher._coroutine(self.exchange, request, _awaited(job.value), self.context)
        elif job.value is not None or not job.cancelled:
            dispatcher._finish(self.exchange, request, job.value, self.context)
        else:
            dispatcher._failed(self.exchange, request, asyncio.CancelledError())    # it never ran


async def _awaited(value):
    return await value


async def _chain(Dispatcher self, Entry entry, Request request, Py_ssize_t at):
    """Run the middleware from `at` on, then the handler; return the answer of whoever gives one."""
    cdef Step step
    while at < len(entry.steps):
        step = <Step> entry.steps[at]
        at += 1
        if step.blocking:
            if self.pool.is_full():
                return self._busy(request, entry)
            value = await self.pool.call(step.function, request)
        elif step.wraps:
            value = step.function(request, _CallNext(self, entry, request, at))
        else:
            value = step.function(request)
        if type(value) is not Response and inspect.isawaitable(value):
            value = await value
        if type(value) is Response:
            return value
        if value is not None or step.wraps:
            raise HandlerError(f"middleware {name_of(step.function)} ({step.where}) returned {article(value)}; "
                               + ("a wrap returns http.Response" if step.wraps else "a guard returns http.Response or None"))
    if entry.own_kind == KIND_THREAD:
        if self.pool.is_full():
            return self._busy(request, entry)
        value = await self.pool.call(entry.handler, request)
    else:
        value = entry.handler(request)
    if type(value) is not Response and inspect.isawaitable(value):
        value = await value
    if type(value) is not Response:
        raise HandlerError(f"{name_of(entry.handler)} ({entry.where}) returned {article(value)} instead of http.Response")
    return value


@cython.final
cdef class _CallNext:
    """The second argument of a wrap: `await call_next(req)` gives the response of what it wraps, or raises its error."""

    cdef Dispatcher dispatcher  # whose middleware it is
    cdef Entry entry            # the route
    cdef Request request        # what the wrap was given
    cdef Py_ssize_t at          # index of the next middleware of `entry`; past the last: the handler

    def __cinit__(self, Dispatcher dispatcher not None, Entry entry not None, Request request not None, Py_ssize_t at):
        self.dispatcher = dispatcher
        self.entry = entry
        self.request = request
        self.at = at

    def __call__(self, request=None):
        if request is not None and request is not self.request:
            raise TypeError(f"call_next takes the request that the middleware was given, not {article(request)}")
        return _chain(self.dispatcher, self.entry, self.request, self.at)
