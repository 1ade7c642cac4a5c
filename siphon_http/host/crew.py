"""The workers of a supervisor: each post is held by one; one that dies is followed by another."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterator
from typing import Literal

from siphon_http.errors import HttpError, TlsMaterialError
from siphon_http.host.child import Child
from siphon_http.host.ledger import COUNTER, Series
from siphon_http.host.metrics import running_workers
from siphon_http.host.orders import Assignment, Report
from siphon_http.host.slots import Slots

__all__ = ["Crew", "Post", "Reason", "WorkerFailedError"]

logger = logging.getLogger("siphon_http.host")

YOUNG_SECS = 10.0
"""A worker that dies younger has failed."""
FIRST_DELAY_SECS = 0.2
LAST_DELAY_SECS = 30.0
"""The next worker waits after a failure: twice as long each time, between these."""
RENEWAL_DELAY_SECS = 2.0
"""The longest wait while certificates cannot be used: who serves reads them again after as long."""
GIVE_UP_AFTER = 5
"""So many failures, before any worker was ever ready, end the process."""

Reason = Literal["died", "recycled", "reload"]
"""Why a worker was replaced: it ended unasked, it had done or held enough, or the configuration had changed."""


class WorkerFailedError(HttpError):
    """A worker could not be started; text and exit code are its own."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Post:
    """A place that one worker holds at a time. failures: deaths at a young age, in a row."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.child: Child | None = None
        self.failures = 0
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_manned(self) -> bool:
        """Whether its worker serves."""
        return self.child is not None and self.child.ready


class Crew:
    """All posts, and all worker processes: those that hold one, are about to, or have left theirs and drain.

    restarts: workers that were replaced, by reason. assign: makes the assignment of an index. heard: called with each report, once it is noted here. Belongs to the
    loop's thread.
    """

    def __init__(self, assign: Callable[[int], Assignment], heard: Callable[[Child, Report], None]) -> None:
        self.slots = Slots()
        self.posts: list[Post] = []
        self.children: list[Child] = []
        self.deaths = 0
        self.restarts: dict[Reason, int] = {"died": 0, "recycled": 0, "reload": 0}
        self.is_clean = True
        self._assign = assign
        self._tell = heard
        self._changed = asyncio.Event()
        self._ever_ready = False
        self._fatal: WorkerFailedError | None = None
        self._said = ""

    @property
    def running(self) -> int:
        """How many posts are held by a worker that serves."""
        return sum(post.is_manned for post in self.posts)

    def numbers(self) -> Iterator[Series]:
        """Yield what operators see of the workers themselves."""
        yield running_workers(self.running)
        for reason, count in self.restarts.items():
            help = "Workers that were replaced, by reason."
            yield Series("siphon_worker_restarts_total", f'reason="{reason}"', help, COUNTER, (), (float(count),))

    async def man(self, count: int) -> None:
        """Make and fill posts up to `count`, the first alone: should it fail, the others would do so alike.

        Returns once all are held, or, after the first, have failed once: then they are tried again and again. Raises
        WorkerFailedError when the first worker cannot be started.
        """

        def settled(post: Post) -> bool:
            return post.is_manned or (self._ever_ready and post.failures > 0)

        while len(self.posts) < count:
            while len(self.posts) < (count if self._ever_ready else 1):
                self.posts.append(Post(len(self.posts)))
                self._fill(self.posts[-1])
            await self.until(lambda: self._fatal is not None or all(map(settled, self.posts)))
            if self._fatal is not None:
                raise self._fatal

    def hurry(self) -> None:
        """Fill posts that wait for their next try at once: what made them fail may have been mended."""
        for post in self.posts:
            if post.timer is not None:
                post.timer.cancel()
                self._fill(post)

    async def relieve(self, post: Post, reason: Reason) -> None:
        """Put a new worker into the place of one that serves, which then drains. Raises WorkerFailedError."""
        child = self._spawn(post.index)
        try:
            await self.until(lambda: child.ready or child not in self.children)
        except asyncio.CancelledError:
            child.drain()
            raise
        if not child.ready:
            failure = child.failure or {"text": f"the new worker {post.index} {child.end}", "code": 1}
            raise WorkerFailedError(failure["text"], failure["code"])
        self.restarts[reason] += 1
        before, post.child, post.failures = post.child, child, 0
        if post.timer is not None:
            post.timer.cancel()
            post.timer = None
        if before is not None:
            before.drain()

    def dismiss(self, post: Post) -> None:
        """Give a post up; its worker drains."""
        self.posts.remove(post)
        if post.timer is not None:
            post.timer.cancel()
        if post.child is not None:
            post.child.drain()

    async def stop(self, seconds: float) -> None:
        """Drain all, and wait until they have ended; one that cannot drain is killed a moment after `seconds`."""
        for post in list(self.posts):
            self.dismiss(post)
        for child in self.children:
            child.drain()
        try:
            async with asyncio.timeout(seconds):
                await self.until(lambda: all(child.drained for child in self.children))
        except TimeoutError:
            for child in self.children:
                if not child.drained:
                    logger.error("worker %d (pid %d) does not end, it is killed", child.index, child.pid)
                    child.kill()
        await self.until(lambda: not self.children)

    def reopen_logs(self) -> None:
        """Let all open their log files anew."""
        for child in self.children:
            child.order(do="logs")

    def kill(self) -> None:
        """End all at once."""
        for child in self.children:
            child.kill()

    def close(self) -> None:
        """Give the shared memory back."""
        self.slots.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that a worker did or said has made `holds()` true."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def reap(self) -> None:
        """See which workers have ended."""
        for child in list(self.children):
            if (code := child.poll()) is None:
                continue
            self.children.remove(child)
            self.slots.release(child.slot)
            child.end = _how(code)
            if child.draining:
                if code and (child.ready or child.failure is None):  # one that could not start leaves nothing undone
                    self.is_clean = False
                    logger.error("worker %d (pid %d) %s while it drained", child.index, child.pid, child.end)
            else:
                self.deaths += 1
                for post in self.posts:
                    if post.child is child:
                        self._died(post, child)
            self._changed.set()

    # ---- one worker

    def _fill(self, post: Post) -> None:
        post.timer = None
        try:
            post.child = self._spawn(post.index)
        except OSError as error:
            logger.error("worker %d cannot be started: %s", post.index, error.strerror or error)
            self._refill(post, young=True)

    def _spawn(self, index: int) -> Child:
        """Start a process. Raises OSError."""
        slot = self.slots.take()
        child = Child(index, slot, heard=self._heard)
        try:
            child.start(self._assign(index))
        except BaseException:
            child.kill()
            self.slots.release(slot)
            raise
        self.children.append(child)
        return child

    def _heard(self, child: Child, report: Report) -> None:
        word = report["is"]
        if word == "ready":
            child.ready = self._ever_ready = True
            if self.deaths:
                logger.info("worker %d (pid %d) serves", child.index, child.pid)
        elif word == "failed":
            child.failure = report
        elif word == "drained":
            child.drained = True
        self._tell(child, report)
        self._changed.set()

    def _died(self, post: Post, child: Child) -> None:
        """Say it once, and see to the post."""
        failure = child.failure
        text = failure["text"] if failure is not None else f"worker {child.index} (pid {child.pid}) {child.end}"
        self.restarts["died"] += self._ever_ready
        lived = time.monotonic() - child.began
        post.failures = 0 if child.ready and lived >= YOUNG_SECS else post.failures + 1
        if not self._ever_ready and (failure is not None or post.failures >= GIVE_UP_AFTER):
            more = "" if failure is not None else f", {post.failures} times in a row: there is no worker that serves"
            self._fatal = WorkerFailedError(text + more, failure["code"] if failure is not None else 1)
            return
        if failure is None:
            logger.error("%s, another one is started", text)
        elif text != self._said:
            self._said = text
            logger.error("worker %d cannot be started; it is tried again and again\n%s", child.index, text)
        lacks_certificate = failure is not None and failure["code"] == TlsMaterialError.exit_code
        last = RENEWAL_DELAY_SECS if lacks_certificate else LAST_DELAY_SECS
        self._refill(post, at_once=child.ready and post.failures <= 1, last=last)

    def _refill(self, post: Post, *, at_once: bool = False, young: bool = False, last: float = LAST_DELAY_SECS) -> None:
        post.failures += young
        delay = 0.0 if at_once else min(last, FIRST_DELAY_SECS * 2 ** min(post.failures - 1, 20))
        if delay >= LAST_DELAY_SECS:
            logger.error("worker %d has failed %d times in a row", post.index, post.failures)
        post.timer = asyncio.get_running_loop().call_later(delay, self._fill, post)


def _how(code: int) -> str:
    """Say how a process has ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
