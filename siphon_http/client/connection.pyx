"""asyncio.Protocol adapter between a transport and the protocol that a client's connection speaks.

    Call -> ClientProtocol.begin -> ClientConnection.write -> transport.write
    transport -> ClientConnection.data_received -> ClientProtocol.receive_data -> Call
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

import logging
import os
from asyncio import get_running_loop

from siphon_http.errors import ConnectError, TlsError

from siphon_http._core.idle cimport IdleEntry
from siphon_http.protocol.answer cimport Answer, ClientProtocol, Link
from siphon_http.protocol.http1_client cimport Http1ClientConnection

__all__ = ["ClientConnection", "ConnectionOwner", "unread"]

log = logging.getLogger("siphon_http.client")

cdef ClientProtocol NOTHING = ClientProtocol()  # of a connection that is gone: it has no room, and nothing is asked of it
cdef double LOOK_SECONDS = 1.0      # between two looks at an HTTP/2 peer that owes answers
cdef double FRESH_SECONDS = 0.008   # the loop has looked at an idle socket so recently that we need not

cdef extern from *:
    """
    #ifdef _WIN32
    static int siphon_readable(int fd, int ended) { (void) fd; (void) ended; return 0; }
    static int siphon_queued(int fd) { (void) fd; return 0; }
    #else
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <poll.h>
    #include <sys/ioctl.h>
    #ifndef POLLRDHUP
    #define POLLRDHUP 0
    #endif
    static int siphon_readable(int fd, int ended) {
        struct pollfd one;
        one.fd = fd;
        one.events = ended ? POLLRDHUP : POLLIN | POLLRDHUP;
        one.revents = 0;
        return poll(&one, 1, 0) > 0;
    }
    static int siphon_queued(int fd) {
        int bytes = 0;
    #if defined(__linux__) && defined(TIOCOUTQ)
        if (ioctl(fd, TIOCOUTQ, &bytes) != 0) bytes = 0;
    #endif
        return bytes;
    }
    #endif
    """
    # Whether the socket has bytes, or an end (only an end, with `ended`), that nobody has read yet.
    bint socket_stirs "siphon_readable"(int fd, bint ended) noexcept nogil
    # Bytes that were written, and that the peer has not acknowledged; 0 where that cannot be known.
    int socket_queue "siphon_queued"(int fd) noexcept nogil


def unread(int fd):
    """Return what a socket has received and nobody has read, 1 MiB at most: also after a reset, the system has it still."""
    cdef list found = []
    try:
        while fd >= 0 and len(found) < 16:
            data = os.read(fd, 65536)
            if not data:
                break
            found.append(data)
    except OSError:     # there is no more, or the reset
        pass
    return found


cdef class ConnectionOwner:
    """What a connection asks of the pool."""

    cdef int room_changed(self, ClientConnection connection) except -1:
        """More, or fewer, exchanges can be begun on it than before."""
        raise NotImplementedError

    cdef int gone(self, ClientConnection connection) except -1:
        """It is no more; called once."""
        raise NotImplementedError


@cython.final
cdef class ClientConnection(Link):
    """One connection of a client, whatever it speaks. owner: its place in the pool; http2: what is spoken; secure: TLS."""

    def __cinit__(self, ConnectionOwner owner not None, bint http2=False, bint secure=False):
        self.owner = owner
        self.counts = owner.counts
        self.entry = IdleEntry(self)
        self.is_secure = secure
        self.fd = -1
        if http2:
            from siphon_http.protocol.http2_client import Http2ClientConnection  # h2 costs 20 ms: only who meets it

            self.protocol = Http2ClientConnection(self)
        else:
            self.http1 = Http1ClientConnection(self)
            self.protocol = self.http1

    def __repr__(self):
        return f"<ClientConnection {'closing' if self.is_closing else 'open'} at {id(self):#x}>"

    def set_timings(self, double dns, double tcp, double tls):
        """Note what the phases of the connect took, seconds."""
        self.dns = dns
        self.tcp = tcp
        self.tls = tls

    def shut_down(self):
        """Close once what is under way has ended; at once when nothing is."""
        self.protocol.shut_down()

    def reset(self):
        """Reset the connection; what is under way fails."""
        self.abort()

    def stillborn(self):
        """Return class and text of the error, when it has ended before anything was sent over it."""
        cdef str reason = self.protocol.ending if self.ending is None else self.ending
        if self.refusal is not None:
            return TlsError, self.refusal
        return ConnectError, reason or "the server closed the connection before it was asked anything"

    # ---- asyncio.Protocol

    def connection_made(self, transport):
        """Begin."""
        self.transport = transport
        self.transport_write = transport.write
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self.fd = sock.fileno()
        if self.http1 is None:
            self.loop = get_running_loop()
            self.protocol.uncork()      # HTTP/2 greets first

    def data_received(self, bytes data not None):
        """Pass what the server sent to the protocol."""
        if self.counts is not None:
            self.counts.received[0] += PyBytes_GET_SIZE(data)
        try:
            self.protocol.receive_data(data)
        except Exception:
            self._broken()

    def eof_received(self):
        """The server sends no more: so we do not either."""
        try:
            self.protocol.eof_received()
        except Exception:
            self._broken()
        return False

    def connection_lost(self, exc):
        """Fail what is under way, and cut every reference cycle."""
        cdef ConnectionOwner owner = self.owner
        cdef ClientProtocol protocol = self.protocol
        if owner is None:
            return
        if exc is not None and not self.is_closing and not self.is_secure:
            self.is_closing = True
            self._read_rest()
        self.is_closing = True
        self.fd = -1
        if self.watch is not None:
            self.watch.cancel()
        try:
            protocol.lost("the server closed the connection" if exc is None else f"the connection broke ({exc})")
        finally:
            self.owner = None
            self.transport = None
            self.transport_write = None
            self.loop = None
            self.watch = None
            self.ending = protocol.ending
            self.protocol = NOTHING
            self.http1 = None
            self.blocked = None
            owner.gone(self)
            self.entry.clear()

    def pause_writing(self):
        """The transport holds more than its high-water mark."""
        self.is_full = True
        self.protocol.pause()

    def resume_writing(self):
        """The transport has sent most of what it held: let uploads go on."""
        cdef Answer answer
        cdef list blocked = self.blocked
        self.is_full = False
        self.blocked = None
        self.protocol.resume()
        if blocked is not None:
            for answer in blocked:
                answer.content_wanted()

    # ---- Link

    cdef int write(self, bytes data) except -1:
        """Send `data` (see Link)."""
        if self.transport_write is not None:
            if self.counts is not None:
                self.counts.sent[0] += PyBytes_GET_SIZE(data)
            self.transport_write(data)
            if self.http1 is None and self.watch is None:
                self.watch = self.loop.call_later(LOOK_SECONDS, self._look)
        return 0

    def _look(self):
        """See whether a peer that owes answers is still there: one that has died silently would hold up every call."""
        self.watch = None
        if self.is_closing or self.protocol.is_idle():
            return
        if self.protocol.check_alive():
            if self.watch is None:
                self.watch = self.loop.call_later(LOOK_SECONDS, self._look)
        else:
            self.is_closing = True
            self.protocol.lost("the server gives no sign of life")
            self.abort()

    cdef int hold(self, bint stop) except -1:
        """Stop reading, or go on (see Link)."""
        if self.transport is not None and not self.is_closing:
            if stop:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        return 0

    cdef int close(self) except -1:
        """Close once everything written is sent (see Link)."""
        if not self.is_closing:
            self.is_closing = True
            if self.transport is not None:
                self.transport.close()
        return 0

    cdef int abort(self) except -1:
        """Reset the connection (see Link)."""
        self.is_closing = True
        if self.transport is not None:
            self.transport.abort()
        return 0

    cdef int room_changed(self) except -1:
        """Tell the pool (see Link)."""
        return 0 if self.owner is None else self.owner.room_changed(self)

    # ---- what the pool asks

    cdef bint is_usable(self, double now, bint careful) except -1:
        """Tell whether an idle connection can be used: a server may have closed it, and the loop not have seen it yet."""
        if self.is_closing or self.protocol.room() == 0:
            return False
        if self.fd < 0 or not careful and now - self.entry.since < FRESH_SECONDS:
            return True
        # Over TLS and HTTP/2 bytes may come at any time; over plain HTTP/1.1 they answer nothing.
        return not socket_stirs(self.fd, self.is_secure or self.http1 is None)

    cdef Py_ssize_t unsent(self, long exchange) except -1:
        """Return the bytes of a request that the peer has not taken yet; what the system has is as good as taken."""
        if self.http1 is None:
            return self.protocol.waiting(exchange)      # the transport holds others' too
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    cdef Py_ssize_t queued(self) noexcept:
        """Return the bytes that the system has and the peer has not acknowledged; 0 where that cannot be known."""
        return 0 if self.fd < 0 else socket_queue(self.fd)

    cdef int cork(self, object loop) except -1:
        """An exchange is about to begin that others may follow in the same turn of the loop: one write for all."""
        if self.http1 is None and not self.is_corked:
            self.is_corked = True
            self.protocol.cork()
            loop.call_soon(self.flush)
        return 0

    def flush(self):
        """Write what has gathered in this turn of the loop."""
        self.is_corked = False
        try:
            self.protocol.uncork()
        except Exception:
            self._broken()

    cdef int wait_for_room(self, Answer answer) except -1:
        """Call `answer.content_wanted` when the transport takes more again."""
        if self.blocked is None:
            self.blocked = []
        self.blocked.append(answer)
        return 0

    cdef int _read_rest(self) except -1:
        """A write has failed: pass on what the server had said before, which the transport will not read any more.

        Servers that refuse an upload (413) answer and close, and the reset that follows must not hide the answer.
        """
        for data in unread(self.fd):
            self.data_received(data)
        return 0

    cdef int _broken(self) except -1:
        """Something of ours raised: end this connection, and no other."""
        log.exception("a connection of the client is closed after an error of ours")
        self.abort()
        return 0
