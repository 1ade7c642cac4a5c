"""One call of a client: from the request to its answer, over as many exchanges as that takes.

    NEW -> WAITING -> OPEN -> DONE -> TAKEN
              ^        |  '-> STREAMING
              '-PAUSED-'

A Call is what `http.Client.get` returns: awaiting it begins it. It is driven by what happens to it (a connection comes
free, an answer arrives, time is over) and not by a task: the awaiting task sleeps on one future until there is a response
or an error. Redirects, retries and replays begin the next exchange of the same call; `timeout_ms` runs over all of them.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

import warnings
from contextvars import copy_context

from siphon_http.errors import ClientError, ConnectTimeout, LocalProtocolError, PoolTimeout, ReadError, ReadTimeout
from siphon_http.errors import TlsError, TotalTimeout, WriteError, WriteTimeout

from siphon_http._core.clock cimport monotonic, precise
from siphon_http._core.deadlines cimport Deadline
from siphon_http._core.headers cimport field_dict, find_field
from siphon_http._core.request_id cimport current_id
from siphon_http._core.response cimport Response, received_response
from siphon_http.client.awaited cimport (
    CALL_DONE, CALL_NEW, CALL_OPEN, CALL_PAUSED, CALL_STREAMING, CALL_TAKEN, CALL_WAITING, AwaitedAnswer, CallState,
)
from siphon_http.client.carrier cimport Carrier
from siphon_http.client.connection cimport ClientConnection, ConnectionOwner
from siphon_http.client.outgoing cimport Outgoing, whole_url
from siphon_http.client.request cimport FOLLOWED, ClientRequest, redirected_request
from siphon_http.protocol.answer cimport FAILED_CLOSED, FAILED_REFUSED, LENGTH_WHOLE, Answer

__all__ = ["Call"]

cdef Py_ssize_t DISCARD_BYTES = 65536   # content of an answer that nobody wants is read up to this, to keep the connection

@cython.final
cdef class CallDeadline(Deadline):
    """The place of one call among its loop's deadlines."""

    cdef int expired(self, double now) except -1:
        return 0 if self.owner is None else self.owner.expired(now)


@cython.final
cdef class Call(AwaitedAnswer):
    """One call of a client: a coroutine whose result is a Response. Belongs to the loop that it is awaited on."""

    def __dealloc__(self):
        if self.state == CALL_NEW and self.request is not None:
            warnings.warn(f"{self.request!r} was never awaited: nothing was sent", RuntimeWarning, stacklevel=1)

    cdef int start(self) except -1:
        """Check the request, and send it or wait for a connection."""
        cdef double now = monotonic()
        self.carrier = <Carrier?> self.transport.carrier(self.loop)
        self.began = precise()
        self.attempt = 1
        self.pause = -1
        if self.carrier.policy is not None:
            self.carrier.policy.request_begun()
        self.outgoing = Outgoing.__new__(Outgoing)
        self.request_id = current_id()
        self.outgoing.prepare(self.request, self.carrier.settings, self.request_id)
        self.origin = self.carrier.origin(self.outgoing.url)
        if self.outgoing.length != LENGTH_WHOLE:
            self.context = copy_context()       # what follows may run in another's: of the one that a connection has
        self.due = now + (self.carrier.settings.timeout if self.request.timeout_ms is None
                          else self.request.timeout_ms * 0.001)
        self.deadline = CallDeadline.__new__(CallDeadline)
        self.deadline.owner = self
        self.carrier.deadlines.add(self.deadline)
        self.carrier.deadlines.arm(self.deadline, self.due)
        self.carrier.counts.in_flight[0] += 1
        self.state = CALL_WAITING
        try:
            self.carrier.submit(self, False)
        except BaseException:
            self.state = CALL_TAKEN
            self._close()
            raise
        return 0

    # ---- exchanges

    cdef int begin_on(self, ClientConnection connection) except -1:
        """Send the request over `connection`, which has room: the pool's turn."""
        cdef Outgoing outgoing = self.outgoing
        cdef bytes target = outgoing.target
        cdef bytes fields = outgoing.fields
        cdef bytes content = None
        cdef long exchange
        self.state = CALL_OPEN
        self.connection = connection
        self.connected = precise()
        if not connection.reported:
            connection.reported = True
            self.dns, self.tcp, self.tls = connection.dns, connection.tcp, connection.tls
        if self.origin.absolute is not None:
            target = self.origin.absolute + target
            fields = fields + self.origin.proxy_fields
        if outgoing.length == LENGTH_WHOLE:
            content = outgoing.body
        else:
            outgoing.consumed = True
        connection.cork(self.loop)
        exchange = connection.protocol.begin(
            self, outgoing.method, outgoing.url.scheme, outgoing.authority, target, fields, content, outgoing.length)
        if self.connection is not connection or self.state != CALL_OPEN:
            return 0    # it has failed already
        self.exchange = exchange
        if outgoing.length != LENGTH_WHOLE:
            from siphon_http.client.upload import send_body

            self.upload = self.loop.create_task(send_body(self, outgoing.body), context=self.context)
        if self.phase_due or self.carrier.settings.read_timeout or self.carrier.settings.write_timeout:
            self.phase_due = self.unsent = self.handed = self.moved = self.heard = 0
            self._watch(monotonic())
        return 0

    def push(self, bytes data not None, bint last):
        """Send a piece of the body, for its uploader; False: wait for `room` first. An ended exchange takes everything."""
        cdef bint taken
        if self.connection is None or self.exchange == 0:
            return True
        self.handed += PyBytes_GET_SIZE(data)
        taken = self.connection.protocol.send(self.exchange, data, last)
        if taken and not last and self.connection is not None and self.connection.is_full:
            self.connection.wait_for_room(self)
            taken = False
        if last:
            self.upload = None
            if self.phase_due:
                self._watch(monotonic())
        return taken

    def upload_failed(self, error):
        """The body's iterator raised, or gave what cannot be sent: the call ends with that, for its uploader."""
        if self.connection is None:
            return
        self.upload = None
        if isinstance(error, LocalProtocolError):
            error = ClientError(str(error), method=self.request.method, url=self.outgoing.shown_url(self.request))
        self._leave_exchange()
        self._fail(error)

    cdef int head_received(self, int status, bytes head, Py_ssize_t fields, Py_ssize_t fields_end, int version) except -1:
        """The answer's head has come (see Answer)."""
        self.status = status
        self.head = head
        self.head_fields = fields
        self.head_end = fields_end
        self.version = version
        self.answered = precise()
        if self.phase_due:
            self._watch(monotonic())
        if status >= 300 and (status < 400 or self.carrier.policy is not None):
            try:
                self._judge_head()
            except ClientError as error:
                self._leave_exchange()
                return self._fail(error)
        if self.request.stream and not self.discards:
            self._look_at_coding()
            from siphon_http.client.content import ContentReader

            self.response = received_response(self.status, self.head, self.head_fields, self.head_end, self)
            self.response.content = ContentReader(self)
            self.response.streams = True
            self.state = CALL_STREAMING
            self.wake()
        return 0

    cdef int content_received(self, bytes data) except -1:
        """Content has come (see Answer)."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        self.size += size
        if self.phase_due:
            self._watch(monotonic())
        if self.discards:
            if self.size > DISCARD_BYTES:
                self._leave_exchange()
                return self._go_on()
            return self.connection.protocol.taken(self.exchange, size)
        if self.size > self.carrier.settings.max_response_bytes:
            self._leave_exchange()
            return self.failed(ReadError, f"the content has more than {self.carrier.settings.max_response_bytes} bytes "
                               "(max_response_bytes)", False)
        if self.state == CALL_STREAMING:
            self.keep(data)
            return self.wake()
        if not self.looked:
            self._look_at_coding()
        if self.decoder is not None:
            try:
                data = self.decoder.feed(data)
            except ReadError as error:
                self._leave_exchange()
                return self.failed(ReadError, str(error), False)
        self.keep(data)
        return self.connection.protocol.taken(self.exchange, size)

    cdef int answer_ended(self) except -1:
        """The answer is whole (see Answer)."""
        self.connection = None
        self.exchange = 0
        self.finished = precise()
        self.ended = True
        if self.discards:
            return self._go_on()
        if self.state == CALL_STREAMING:
            self._close()
            return self.wake()
        if self.decoder is not None:
            try:
                self.decoder.end()
            except ReadError as error:
                return self.failed(ReadError, str(error), False)
        return self._deliver()

    cdef int answer_failed(self, int failure, bint unprocessed, str reason) except -1:
        """The exchange has ended without its answer (see Answer)."""
        cdef bint sending = self.upload is not None
        cdef str refusal = None if self.connection is None else self.connection.refusal
        self.connection = None
        self.exchange = 0
        if self.state != CALL_OPEN and self.state != CALL_STREAMING:
            return 0
        if self.discards:
            return self._go_on()
        if unprocessed and refusal is None and self.state == CALL_OPEN and self._is_replayable() \
                and self.replays < (REFUSALS if failure == FAILED_REFUSED else 1):
            self.replays += 1
            return self._begin_again(0, failure != FAILED_REFUSED)
        if refusal is not None:
            return self.failed(TlsError, refusal, False)
        return self.failed(WriteError if sending and self.status == 0 else ReadError, reason, failure == FAILED_CLOSED)

    cdef int _judge_head(self) except -1:
        """See whether the request goes on after this answer: a redirect, or a retry. Raises ClientError."""
        cdef ClientRequest request = self.request
        cdef int limit = self.carrier.settings.follow_redirects
        cdef const char* block = self.head
        if self.status < 400:
            location = find_field(block + self.head_fields, self.head_end - self.head_fields, b"location", 8)
            if request.follow_redirects is not None:
                limit = request.follow_redirects if request.follow_redirects >= 0 else limit or FOLLOWED
            if location is None or not limit:
                return 0
            from siphon_http.client.redirect import next_request

            self.following = next_request(
                self.status, location, method=request.method, url=self.url, fields=request.pairs(),
                replayable=self._is_replayable(), followed=self.redirected, limit=limit)
            self.discards = self.following is not None
        elif self._is_replayable():
            delay = self.carrier.policy.delay(
                self.attempt, request.method, self.status, None,
                field_dict(block + self.head_fields, self.head_end - self.head_fields), left=self.due - monotonic())
            if delay is not None:
                self.pause = delay
                self.discards = True
        return 0

    cdef int _go_on(self) except -1:
        """Send what follows an answer that nobody gets: the redirected request, or the same again."""
        following, self.following = self.following, None
        if following is None:
            self.attempt += 1
            return self._begin_again(self.pause, False)
        self.redirected += 1
        self.request = redirected_request(self.request, following)
        try:
            self.outgoing = Outgoing.__new__(Outgoing)
            self.outgoing.prepare(self.request, self.carrier.settings, self.request_id)
            self.origin = self.carrier.origin(self.outgoing.url)
        except ClientError as error:
            return self._fail(error)
        return self._begin_again(0, False)

    cdef int _begin_again(self, double delay, bint fresh) except -1:
        """Begin another exchange, after `delay` seconds: not now, since a connection is calling us."""
        self.connection = None
        self.exchange = 0
        self.status = 0
        self.head = None
        self.take_pieces()
        self.size = 0
        self.decoder = None
        self.looked = self.ended = self.discards = False
        self.fresh = fresh
        self.pause = -1
        if self.upload is not None:
            self.upload.cancel()
            self.upload = None
        if delay > 0:
            self.state = CALL_PAUSED
            self.phase_due = monotonic() + delay
            return self.carrier.deadlines.arm(self.deadline, min(self.due, self.phase_due))
        self.phase_due = 0
        self.state = CALL_WAITING
        self.loop.call_soon(self._resubmit)
        return 0

    def _resubmit(self):
        """Ask the pool again."""
        if self.state == CALL_WAITING and self.connection is None:
            try:
                self.carrier.submit(self, self.fresh)
            except Exception as error:
                self._fail(error)

    # ---- content

    cdef int _look_at_coding(self) except -1:
        """Take a content coding off that we know (RFC 9110, 8.4)."""
        cdef const char* block = self.head
        self.looked = True
        coding = find_field(block + self.head_fields, self.head_end - self.head_fields, b"content-encoding", 16)
        if coding is not None and self.request.method != "HEAD":
            from siphon_http.client.decode import decoder

            self.decoder = decoder(coding, self.carrier.settings.max_response_bytes)
        return 0

    cdef int _deliver(self) except -1:
        """Hand out the response."""
        cdef Response response = received_response(self.status, self.head, self.head_fields, self.head_end, self)
        response.content = self.take_pieces()
        self.response = response
        self.state = CALL_DONE
        self._close()
        return self.wake()

    # ---- ends

    cdef int failed(self, object kind, str reason, bint may_retry) except -1:
        """No answer will come of this attempt: try again if the client's `retries` say so, or end with an error."""
        error = kind(reason, method=self.request.method, url=self.outgoing.shown_url(self.request))
        if may_retry and self.carrier.policy is not None and self.state != CALL_STREAMING and self._is_replayable():
            delay = self.carrier.policy.delay(
                self.attempt, self.request.method, None, error, {}, left=self.due - monotonic())
            if delay is not None:
                self.attempt += 1
                return self._begin_again(max(delay, 0.001), False)
        return self._fail(error)

    cdef int _fail(self, object error) except -1:
        if self.state == CALL_DONE or self.state == CALL_TAKEN:
            return 0
        self.error = error
        if self.state != CALL_STREAMING:
            self.state = CALL_DONE
        self.ended = True
        self.finished = precise()
        self._close()
        return self.wake()

    cdef int _close(self) except -1:
        """Nothing more will happen: let go of everything but what the response tells."""
        if self.deadline is not None:
            self.deadline.owner = None
            self.carrier.deadlines.discard(self.deadline)
            self.deadline = None
            self.carrier.over(self)
        if self.upload is not None:
            self.upload.cancel()
            self.upload = None
        self.content_wanted()
        self.connection = None
        self.origin = None
        if self.outgoing is not None:
            self.outgoing.body = None
        return 0

    cdef int _leave_exchange(self) except -1:
        """Give the connection up on which the exchange is under way."""
        cdef ClientConnection connection = self.connection
        cdef long exchange = self.exchange
        self.connection = None
        self.exchange = 0
        if connection is not None and exchange:
            connection.protocol.leave(exchange)
        return 0

    cdef int leave(self) except -1:
        """The caller wants no more: nothing of the call stays anywhere."""
        if self.state == CALL_NEW:
            self.state = CALL_TAKEN
            return 0
        if self.state == CALL_WAITING:
            self.carrier.withdraw(self)
        elif self.connection is not None:
            self._leave_exchange()
        self.state = CALL_TAKEN
        self.response = None
        self.piece = None
        self.pieces = None
        self.ended = True
        return self._close()

    cdef bint _is_replayable(self) noexcept:
        """Whether the body can be sent again: an iterator that was asked for pieces cannot."""
        return not self.outgoing.consumed

    # ---- time

    cdef int _watch(self, double now) except -1:
        """There was progress, or a new phase has begun: give it its time."""
        cdef double limit
        if self.connection is None or self.deadline is None:
            return 0
        if self.status == 0 and self.unsent >= 0:
            self.unsent = self.connection.unsent(self.exchange)
            # A socket takes more only when a good part of what the system holds is gone: that moves, too.
            self.moved = self.handed - self.unsent - (self.connection.queued() if self.unsent else 0)
            if self.unsent == 0 and self.upload is None:
                self.unsent = -1
        self.heard = self.connection.protocol.heard_of(self.exchange)
        limit = self.carrier.settings.read_timeout
        if self.unsent >= 0 and self.status == 0 and self.carrier.settings.write_timeout:
            limit = self.carrier.settings.write_timeout
        elif limit == 0:
            self.phase_due = 0
            return self.carrier.deadlines.arm(self.deadline, self.due)
        self.phase_due = now + limit
        return self.carrier.deadlines.arm(self.deadline, min(self.due, self.phase_due))

    cdef int _stalled(self, double now) except -1:
        """The time of the phase is over: see whether nothing has moved."""
        cdef Py_ssize_t before = self.moved
        if self.status == 0 and self.unsent >= 0:
            self._watch(now)
            if self.moved > before or self.unsent <= 0 or self.carrier.settings.write_timeout == 0:
                return 0    # it moves; or all is sent that there is, and the iterator has its time
            self._leave_exchange()
            return self.failed(WriteTimeout, "the server took nothing of the request for "
                               f"{self.carrier.settings.write_timeout * 1000:.0f} ms (write_timeout_ms)", True)
        if self.connection.protocol.heard_of(self.exchange) != self.heard \
                or self.state == CALL_STREAMING and self.piece is not None:
            return self._watch(now)     # part of a head has come, or an interim answer; or it is our reader that is slow
        self._leave_exchange()
        return self.failed(ReadTimeout, "the server sent nothing for "
                           f"{self.carrier.settings.read_timeout * 1000:.0f} ms (read_timeout_ms)", True)

    cdef int expired(self, double now) except -1:
        """Time is over: of the call, or of what it is doing."""
        cdef CallState state = self.state
        if now < self.due:
            if state == CALL_PAUSED:
                self._begin_again(0, False)
                self.carrier.deadlines.arm(self.deadline, self.due)
            elif state == CALL_WAITING and self.phase_due:
                self.carrier.withdraw(self)
                self.failed(PoolTimeout, f"no connection came free for {self.carrier.settings.pool_timeout * 1000:.0f} "
                            "ms (pool_timeout_ms; max_connections limits them, and over HTTP/2 the server)", True)
            elif self.connection is not None and self.phase_due:
                self._stalled(now)
            else:
                self.carrier.deadlines.arm(self.deadline, self.due)
            return 0
        connecting = state == CALL_WAITING and self.carrier.withdraw(self)
        self._leave_exchange()
        # Where both times are over at once, the connect's says more.
        if connecting and self.carrier.settings.connect_timeout <= self.carrier.settings.timeout \
                and self.request.timeout_ms is None:
            return self.failed(ConnectTimeout, f"no connection within {self.carrier.settings.connect_timeout * 1000:.0f} ms "
                               "(connect_timeout_ms)", False)
        doing = "connecting" if connecting else "waiting for a connection" if state == CALL_WAITING else \
            "waiting to try again" if state == CALL_PAUSED else "reading the answer" if self.status else \
            "waiting for the answer"
        limit = self.carrier.settings.timeout * 1000 if self.request.timeout_ms is None else self.request.timeout_ms
        return self.failed(TotalTimeout, f"no whole answer in {limit:.0f} ms (timeout_ms), {doing}", False)

    # ---- what a Response tells of it

    @property
    def method(self):
        """Method of the request, or of the last one after redirects."""
        return None if self.request is None else self.request.method

    @property
    def decoded(self):
        """Whether a content coding was taken off."""
        return self.decoder is not None

    @property
    def url(self):
        """URL of the request, or of the last one after redirects."""
        return whole_url(self.outgoing)
