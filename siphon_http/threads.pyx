"""Threads for handlers that block: few when they are quick, more when they really wait.

One thread serves quick handlers best, since threads only fight for the interpreter; a handler that blocks needs another
beside it. So threads are started when jobs stay undone: a look every millisecond while any wait.
"""

cimport cython

import contextvars
import logging
from collections import deque
from queue import SimpleQueue
from threading import Thread

__all__ = ["Job", "ThreadPool"]

log = logging.getLogger("siphon_http.handler")

cdef double LOOK_SECONDS = 0.001
cdef double RETRY_SECONDS = 1.0     # after the system had no thread for us


@cython.final
@cython.freelist(64)
cdef class Job:
    """One call on a thread. `cancel` keeps one that has not begun from running; one that has begun runs out."""

    def cancel(self, message=None):
        """Say that nobody waits for it any more."""
        self.cancelled = True
        return True


@cython.final
cdef class ThreadPool:
    """Daemon threads that run jobs for one event loop.

    most: threads at most; queue_max: jobs that may wait for one. Submitting and draining belong to the loop's thread;
    `jobs`, `done` and `waking` are shared with the threads: the queues are atomic, and the order of the two accesses to
    `waking` (a thread appends, then reads it; the loop clears it, then empties `done`) loses no wake-up.
    """

    def __init__(self, loop, int most=32, int queue_max=1024):
        self.loop = loop
        self.most = max(1, most)
        self.queue_max = queue_max
        self.jobs = SimpleQueue()
        self.done = deque()

    cpdef Job submit(self, object function, object argument, object context, object callback):
        """Run `function(argument)` in `context` on a thread, then `callback(job)` on the loop.

        Returns None when the queue is full, the pool is closed, or the system gives no thread.
        """
        if self.is_full():
            return None
        return self._submit(function, argument, context, callback)

    cpdef bint is_full(self):
        """Tell whether another job would be refused: all threads that there may be are taken, and the queue is full."""
        return self.closed or self.waiting >= self.queue_max + self.most

    cdef Job _submit(self, object function, object argument, object context, object callback):
        cdef Job job
        if self.threads == 0 and not self._start():
            return None
        job = Job.__new__(Job)
        job.function = function
        job.argument = argument
        job.context = context
        job.callback = callback
        self.waiting += 1
        if self.look is None and self.threads < self.waiting and self.threads < self.most:
            self.drained = 0
            self.look = self.loop.call_later(LOOK_SECONDS, self._look)
        self.jobs.put(job)
        return job

    async def call(self, function, argument, *, bint under_way=False):
        """Run `function(argument)` on a thread, in a copy of this context; return or raise what it does.

        under_way: the next of several calls that belong together: the limit of the queue was for the first.

        Raises:
            RuntimeError: the queue is full, the pool is closed, or the system gives no thread.
        """
        cdef Job job
        if self.closed or not under_way and self.is_full():
            raise RuntimeError(f"{self.queue_max} calls wait for a thread already, or the pool is closed")
        future = self.loop.create_future()
        job = self._submit(function, argument, contextvars.copy_context(), _Settle(future))
        if job is None:
            raise RuntimeError("no thread can be started")
        try:
            return await future
        except BaseException:
            job.cancel()
            raise

    def resize(self, int most, int queue_max):
        """Change the limits; threads that are too many now stay."""
        self.most = max(1, most)
        self.queue_max = queue_max

    def when_idle(self, callback):
        """Call `callback()` once no job waits or runs: now, or when the last one ends. One callback at a time."""
        if self.waiting:
            self.idle_waiter = callback
        else:
            callback()

    def close(self):
        """End the threads as they become free; those that block are left behind, they are daemons."""
        self.closed = True
        if self.look is not None:
            self.look.cancel()
            self.look = None
        for _ in range(self.threads):
            self.jobs.put(None)
        self.threads = 0

    cdef bint _start(self) except -1:
        """Start one more thread; False when the system has none."""
        try:
            Thread(target=self._work, name=f"siphon-http-{self.threads + 1}", daemon=True).start()
        except RuntimeError as error:
            log.error("no thread beyond %d can be started for blocking handlers: %s", self.threads, error)
            return False
        self.threads += 1
        return True

    def _look(self):
        """Start threads when jobs stay undone: as many as wait when none was done, else one at a time."""
        cdef Py_ssize_t more
        self.look = None
        if self.closed or self.waiting <= self.threads:
            return
        if self.drained == 0:
            more = self.waiting - self.threads
        else:
            more = 1 if self.waiting > 4 * self.drained else 0
        for _ in range(min(more, self.most - self.threads)):
            if not self._start():
                self.look = self.loop.call_later(RETRY_SECONDS, self._look)
                return
        if self.threads < self.most:
            self.drained = 0
            self.look = self.loop.call_later(LOOK_SECONDS, self._look)

    def _work(self):
        """Run jobs until told to end; the only code here that is not on the loop's thread."""
        cdef Job job
        get = self.jobs.get
        append = self.done.append
        while True:
            job = get()
            if job is None:
                return
            if not job.cancelled:
                try:
                    job.value = job.context.run(job.function, job.argument)
                except BaseException as error:
                    job.error = error
            append(job)
            if not self.waking:
                self.waking = True
                try:
                    self.loop.call_soon_threadsafe(self._drain)
                except RuntimeError:
                    return      # the loop is closed: nobody waits
            job = None

    def _drain(self):
        """Hand ended jobs back, on the loop."""
        cdef Job job
        self.waking = False
        popleft = self.done.popleft
        while self.done:
            job = popleft()
            self.waiting -= 1
            self.drained += 1
            callback = job.callback
            job.function = job.argument = job.callback = job.context = None
            try:
                callback(job)
            except Exception:
                log.exception("internal error after a call on a thread")    # the next ones must not wait for ever
            job = None
        if self.waiting == 0 and self.idle_waiter is not None:
            callback, self.idle_waiter = self.idle_waiter, None
            callback()


@cython.final
cdef class _Settle:
    """Callback of a job that settles a future."""

    cdef object future      # asyncio.Future of the loop that waits

    def __init__(self, future):
        self.future = future

    def __call__(self, Job job):
        if self.future.done():
            return
        if job.error is None:
            self.future.set_result(job.value)
        elif isinstance(job.error, StopIteration):
            self.future.set_exception(RuntimeError("StopIteration out of a blocking call"))
        else:
            self.future.set_exception(job.error)
