"""The connections of one client: a pool for each event loop, and in it a place for each origin.

    Call.start -> Pool.submit -> an idle connection, or one with room: Call.begin_on at once
                              -> Origin waits: for a connect, or for a connection that comes free, first come first served

A connect is a task of the pool, not of the call that asked for it: a call that is cancelled leaves a connection for the
next. An origin that speaks HTTP/2, or may, gets one connect however many calls wait.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from collections import OrderedDict
from contextvars import Context

from siphon_http._core.client_traffic import OTHER
from siphon_http.errors import ClientError

from siphon_http._core.client_traffic cimport OUTCOME_LEFT, ClientCounts, ClientTraffic
from siphon_http._core.clock cimport monotonic, precise
from siphon_http._core.deadlines cimport Deadline, Deadlines
from siphon_http._core.idle cimport IdleList
from siphon_http._core.url cimport Url
from siphon_http.client.awaited cimport CALL_TAKEN, CALL_WAITING
from siphon_http.client.call cimport Call
from siphon_http.client.carrier cimport Carrier, Settings
from siphon_http.client.connection cimport ClientConnection, ConnectionOwner
from siphon_http.client.request cimport ClientRequest
from siphon_http.protocol.answer cimport Answer

__all__ = ["Origin", "Pool", "PoolTransport"]

cdef int MANY_ORIGINS = 256     # more are forgotten when nothing of them is open
cdef double TIMER_SLACK = 0.004  # the coarse clock may be so far behind when the timer fires
cdef double KEEP_MARGIN = 1.0   # we let go of a connection so much earlier than the server says that it will, seconds


@cython.final
cdef class Origin(ConnectionOwner):
    """The connections to one origin, and the calls that wait for one."""

    def __init__(self, Pool pool not None, Url url not None):
        self.pool = pool
        self.url = url
        self.is_secure = url.scheme == b"https"
        self.idle = IdleList(pool.settings.pool_size)
        self.shared = []
        self.connections = set()
        self.waiters = OrderedDict()
        self.fresh_waiters = OrderedDict()
        self.multiplexes = 1 if pool.settings.http2_prior_knowledge and not self.is_secure else \
            -1 if self.is_secure else 0
        self.counts = pool.counts
        self.proxy = pool.connector.proxy_for(url)
        self.proxy_fields = b""
        if self.proxy is not None and not self.is_secure and self.multiplexes == 0:
            self.absolute = url.scheme + b"://" + url.authority
            if self.proxy.authorization is not None:
                self.proxy_fields = b"proxy-authorization: " + self.proxy.authorization + b"\r\n"

    def __repr__(self):
        return f"<Origin {self.url!r} {len(self.connections)} open, {self.idle.count} idle, {len(self.waiters)} waiting>"

    @property
    def idle_count(self):
        """Idle connections."""
        return self.idle.count

    @property
    def waiting(self):
        """Calls that wait for a connection."""
        return len(self.waiters) + len(self.fresh_waiters)

    cdef ClientConnection _take(self, double now, bint careful):
        """Return a connection that an exchange can begin on, or None. Idle ones that have died are closed.

        careful: the request cannot be sent again, so that even one used a moment ago is looked at.
        """
        cdef ClientConnection connection
        for connection in self.shared:
            if connection.protocol.room() > 0:
                return connection
        while self.idle.newest is not None:
            connection = self.idle.take(now)
            if connection is None:
                break
            self._tell_idle()
            if connection.is_usable(now, careful):
                if connection.http1 is None:
                    self.shared.append(connection)
                return connection
            connection.shut_down()
            connection.reset()
        return None

    cdef int _wait(self, Call call, bint fresh) except -1:
        """Let a call wait its turn, and connect if that brings it nearer."""
        (self.fresh_waiters if fresh else self.waiters)[call] = None
        self._grow()
        self._tell()
        if call.state == CALL_WAITING and call.connection is None:
            self._limit_wait(call, len(self.waiters) + len(self.fresh_waiters))
        return 0

    cdef int _limit_wait(self, Call call, int place) except -1:
        """Give a call, the `place`-th of those who wait, its time, unless a connect under way brings it a connection."""
        if call.phase_due or self.connecting >= (1 if self.multiplexes != 0 else place):
            return 0
        call.phase_due = monotonic() + self.pool.settings.pool_timeout
        return self.pool.deadlines.arm(call.deadline, min(call.due, call.phase_due))

    cdef bint _is_barred(self) except -1:
        """Whether an HTTP/2 server takes no streams for now: a connection more would hear the same (RFC 9113, 6.5.2)."""
        cdef ClientConnection connection
        for connection in self.shared:
            if connection.protocol.room() == 0 and connection.protocol.is_idle() and not connection.is_closing:
                return True
        return False

    cdef int _grow(self) except -1:
        """Begin the connects that are missing for those who wait."""
        cdef ClientConnection connection
        cdef int wanted = len(self.waiters) + len(self.fresh_waiters)
        cdef int limit = self.pool.settings.max_connections
        if self.multiplexes != 0:
            wanted = 0 if self._is_barred() else min(wanted, 1)     # one may serve them all
        while self.connecting < wanted:
            if len(self.connections) + self.connecting >= limit:
                if not self.fresh_waiters or self.idle.count == 0:
                    break
                connection = self.idle.oldest.item      # it makes room for a new one
                connection.shut_down()
                continue
            self.connecting += 1
            # In no caller's context: the connection outlives the call, and would keep all that is in it.
            task = self.pool.loop.create_task(self.pool.connector.connect(self), context=Context())
            self.pool.tasks.add(task)
            task.add_done_callback(self.pool.tasks.discard)
        return 0

    cdef int _serve(self) except -1:
        """Give those who wait what there is."""
        cdef Call call
        cdef ClientConnection connection
        while self.waiters:
            connection = self._take(monotonic(), True)
            if connection is None:
                break
            call, _ = self.waiters.popitem(last=False)
            call.begin_on(connection)
        if self.waiters or self.fresh_waiters:
            self._grow()
        return self._tell()

    cdef int _offer(self, ClientConnection connection) except -1:
        """A connection has nothing to do: give it to who waits longest, or keep it for later."""
        cdef Call call
        if not self.waiters:
            return self._rest(connection)
        if connection.http1 is None:
            self.shared.append(connection)
            return self._serve()
        call, _ = self.waiters.popitem(last=False)
        self._tell()
        return call.begin_on(connection)

    cdef int _rest(self, ClientConnection connection) except -1:
        """A connection has nothing to do: keep it for later."""
        cdef double now = monotonic()
        cdef double seconds = self.pool.settings.idle_timeout
        if connection.http1 is not None and connection.http1.keep_seconds >= 0:
            seconds = min(seconds, max(connection.http1.keep_seconds - KEEP_MARGIN, 0.5))
        if self.pool.is_closed or self.pool.settings.pool_size == 0:
            connection.shut_down()
            return 0
        self.idle.add(connection.entry, now, now + seconds)
        self._tell_idle()
        if self.idle.count > self.idle.limit:
            seconds = self.idle.surplus
        if self.pool.idle_deadline.when == 0 or now + seconds < self.pool.idle_deadline.when:
            self.pool.watch_idle(now + seconds)
        return 0

    cdef int _tell_idle(self) except -1:
        """Let the client's numbers have how many connections are idle."""
        self.counts.idle[0] += <uint64_t> (self.idle.count - self.told_idle)
        self.told_idle = self.idle.count
        return 0

    cdef int _tell(self) except -1:
        """Let the client's numbers have what is open, idle and waiting: something of it has changed."""
        cdef Py_ssize_t is_open = len(self.connections)
        cdef Py_ssize_t waiting = len(self.waiters) + len(self.fresh_waiters)
        self.counts.open[0] += <uint64_t> (is_open - self.told_open)
        self.counts.waiting[0] += <uint64_t> (waiting - self.told_waiting)
        self.told_open, self.told_waiting = is_open, waiting
        return self._tell_idle()

    def forget(self):
        """The loop has ended, and with it everything that was open, without a word."""
        self.connections.clear()
        self.waiters.clear()
        self.fresh_waiters.clear()
        self.idle = IdleList(0)
        self._tell()

    def _strike(self, call):
        self.waiters.pop(call, None)
        self.fresh_waiters.pop(call, None)
        self._tell()

    # ---- what connections tell

    cdef int room_changed(self, ClientConnection connection) except -1:
        """An exchange has ended, or a limit has changed (see ConnectionOwner)."""
        if connection not in self.connections:
            return 0
        if connection.protocol.room() == 0 and (connection.is_closing or connection.http1 is not None):
            self.idle.remove(connection.entry)
            self._tell_idle()
        if connection.is_closing:
            if connection.http1 is None and connection in self.shared:
                self.shared.remove(connection)
            self.connections.discard(connection)    # closing ones need no place: the next may come at once
            return self._serve()
        if connection.protocol.is_idle() and connection.protocol.room() > 0 and connection.entry.inside is None:
            if connection.http1 is None and connection in self.shared:
                self.shared.remove(connection)
            self._offer(connection)
        if self.waiters or self.fresh_waiters:
            self._serve()
        return 0

    cdef int gone(self, ClientConnection connection) except -1:
        """A connection has ended (see ConnectionOwner)."""
        self.idle.remove(connection.entry)
        if connection in self.shared:
            self.shared.remove(connection)
        self.connections.discard(connection)
        return self._serve()

    # ---- what connects tell

    def connected(self, ClientConnection connection not None):
        """A connect has brought a connection."""
        cdef Call call
        if connection.is_closing:
            self.not_connected(*connection.stillborn())
            return
        self.connecting -= 1
        if self.pool.is_closed:
            connection.shut_down()
            return
        self.connections.add(connection)
        self.counts.opened[0] += 1
        if connection.http1 is None:
            self.multiplexes = 1
        elif self.multiplexes == -1:
            self.multiplexes = 0
        if self.fresh_waiters:
            if connection.http1 is None:
                self.shared.append(connection)
            call, _ = self.fresh_waiters.popitem(last=False)
            self._tell()
            call.begin_on(connection)
        else:
            self._offer(connection)
        self._serve()
        for place, call in enumerate([*self.fresh_waiters, *self.waiters], 1):  # what they waited for has gone to others
            self._limit_wait(call, place)

    def not_connected(self, kind, str reason):
        """A connect has failed: so does the call that has waited longest; all of them where they shared it."""
        cdef Call call
        self.connecting -= 1
        waiting = [*self.fresh_waiters, *self.waiters]
        if self.multiplexes == 0:
            waiting = waiting[:max(0, min(1, len(waiting) - self.connecting))]
        for call in waiting:
            self._strike(call)
            call.failed(kind, reason, True)
        self._serve()

    def close(self):
        """Close what is idle, let go of the rest when it has ended, and fail those who wait."""
        cdef ClientConnection connection
        cdef Call call
        for connection in list(self.connections):
            connection.shut_down()
        for call in [*self.fresh_waiters, *self.waiters]:
            self._strike(call)
            call.failed(ClientError, "the client was closed", False)


@cython.final
cdef class IdleDeadline(Deadline):
    """When the pool has idle connections to close."""

    cdef int expired(self, double now) except -1:
        return 0 if self.owner is None else self.owner.expire_idle(now)


@cython.final
cdef class Pool(Carrier):
    """All connections of one client on one event loop. settings: of the client; connector: makes connections."""

    def __init__(self, loop, Settings settings not None, connector, policy=None, ClientCounts counts=None):
        self.counts = ClientTraffic().client(settings.name) if counts is None else counts
        self.loop = loop
        self.settings = settings
        self.connector = connector
        self.policy = policy
        self.origins, self.tasks = {}, set()
        self.context = Context()
        self.deadlines = Deadlines(self._schedule)
        self.idle_deadline = IdleDeadline.__new__(IdleDeadline)
        self.idle_deadline.owner = self
        self.deadlines.add(self.idle_deadline)

    def _schedule(self, double when):
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(max(when - monotonic(), 0) + TIMER_SLACK, self._sweep, context=self.context)

    def _sweep(self):
        self.timer = None
        self.deadlines.sweep(monotonic())

    cdef ConnectionOwner origin(self, Url url):
        """Return the place of an origin (see Carrier)."""
        cdef Origin origin
        if url is self.last_url:
            return self.last
        key = (url.scheme, url.authority)
        origin = self.origins.get(key)
        if origin is None:
            if len(self.origins) >= MANY_ORIGINS:
                self._forget_origins()
            origin = self.origins[key] = Origin(self, url)
        self.last = origin
        self.last_url = url
        return origin

    def _forget_origins(self):
        """Forget the origins of which nothing is open."""
        cdef Origin origin
        for key, origin in list(self.origins.items()):
            if not origin.connections and not origin.connecting and not origin.waiting:
                del self.origins[key]

    cdef int submit(self, Answer answer, bint fresh) except -1:
        """Find a connection for a call (see Carrier)."""
        cdef Call call = <Call> answer
        cdef Origin origin = <Origin> call.origin
        cdef ClientConnection connection
        if self.is_closed:
            return call.failed(ClientError, "the client was closed", False)
        if not fresh and not origin.waiters:
            connection = origin._take(monotonic(), not call.outgoing.may_repeat)
            if connection is not None:
                return call.begin_on(connection)
        return origin._wait(call, fresh)

    cdef int withdraw(self, Answer answer) except -1:
        """Forget a call that waits (see Carrier)."""
        cdef Call call = <Call> answer
        cdef Origin origin = <Origin> call.origin
        if origin is None:
            return 0
        origin._strike(call)
        return origin.connecting > 0

    cdef int over(self, Answer answer) except -1:
        """Count a call that has ended (see Carrier)."""
        cdef Call call = <Call> answer
        cdef double end = call.finished if call.finished > 0 else precise()
        cdef int64_t took = <int64_t> ((end - call.began) * 1e9)
        cdef int again = call.attempt - 1 + call.replays
        if again > 0:
            self.counts.retries[0] += <uint64_t> again
        if call.error is not None or not call.ended:
            error = type(call.error).__name__ if isinstance(call.error, ClientError) else OTHER
            return self.counts.failed(call.request.method, error, took)
        # A streamed answer that nobody reads to its end is an answer all the same.
        if call.status and (call.state != CALL_TAKEN or call.request.stream):
            return self.counts.ended(call.request.method, min(call.status // 100, 9), took)
        return self.counts.ended(call.request.method, OUTCOME_LEFT, took)

    cdef int watch_idle(self, double when) except -1:
        """Look at idle connections at `when`."""
        return self.deadlines.arm(self.idle_deadline, when)

    cdef int expire_idle(self, double now) except -1:
        """Close idle connections whose time is over, and see when the next is due."""
        cdef Origin origin
        cdef ClientConnection connection
        cdef double earliest = 0
        cdef double when
        for origin in list(self.origins.values()):
            for connection in origin.idle.expire(now):
                connection.shut_down()
            origin._tell_idle()
            when = origin.idle.next_expiry()
            if when > 0 and (earliest == 0 or when < earliest):
                earliest = when
        return self.watch_idle(earliest)

    @property
    def open_connections(self):
        """Connections that are open."""
        return sum([len(origin.connections) for origin in self.origins.values()])

    def close(self):
        """Close everything that is idle, and let the rest end; calls that wait fail."""
        cdef Origin origin
        self.is_closed = True
        self.transport = None
        self.last = self.last_url = None
        for task in list(self.tasks):
            task.cancel()
        for origin in list(self.origins.values()):
            origin.close()
        self.connector.close()
        self._end_when_empty()

    def forget(self):
        """The loop has ended, and with it all connections."""
        for origin in self.origins.values():
            origin.forget()
        self.origins.clear()

    def _end_when_empty(self):
        """Stop the timer once nothing is under way any more."""
        if not self.deadlines.count > 1 and self.timer is not None:
            self.timer.cancel()
            self.timer = None


@cython.final
cdef class PoolTransport:
    """Where the requests of one client go over the network (see api.Transport): a pool for each loop.

    name: of the client, or None; config: its ClientConfig; counts: its numbers, or None: nobody reads them. May be made
    on any thread, before any loop runs.
    """

    def __init__(self, str name, config, ClientCounts counts=None):
        self.settings = Settings(name, config)
        self.counts = ClientTraffic().client(name) if counts is None else counts
        self.pools = {}

    def __repr__(self):
        return f"<PoolTransport {self.settings.name or 'inline'}>"

    def send(self, ClientRequest request not None):
        """Return the call that sends `request` when it is awaited."""
        cdef Call call = Call.__new__(Call)
        call.request = request
        call.transport = self
        return call

    def carrier(self, loop):
        """Return the pool of `loop`."""
        cdef Pool pool = self.last_pool     # one field: other threads, with loops of their own, set it too
        if pool is not None and pool.loop is loop and not pool.is_closed:
            return pool
        pool = self.pools.get(loop)
        if pool is None or pool.is_closed:
            from siphon_http.client.connect import Connector
            from siphon_http.client.retry import RetryPolicy

            for other in [one for one in list(self.pools) if one.is_closed()]:
                gone = self.pools.pop(other, None)
                if gone is not None:
                    gone.forget()
            policy = RetryPolicy(self.settings.retries)
            pool = self.pools[loop] = Pool(
                loop, self.settings, Connector(loop, self.settings), policy if policy.is_on else None,
                self.counts)
            pool.transport = self
        self.last_pool = pool
        return pool

    async def close(self):
        """Close the pools of every loop; one that is used again opens new connections."""
        import asyncio

        here = asyncio.get_running_loop()
        pools, self.pools = self.pools, {}
        self.last_pool = None
        for loop, pool in pools.items():
            if loop is here:
                tasks = list(pool.tasks)
                pool.close()
                await asyncio.gather(*tasks, return_exceptions=True)
            elif loop.is_closed():
                pool.forget()
            else:
                loop.call_soon_threadsafe(pool.close)
