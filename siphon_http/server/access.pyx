"""Access log of one listener: lines are made in C, at the end of each exchange, and leave in batches.

A batch goes to whoever `emit` is after `FLUSH_SECONDS`, or when it is large; nothing here waits. What a peer has sent is
escaped, so that no line can be forged, and values of secrets in a query are masked.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy
from libc.time cimport time_t

import re
from time import gmtime, strftime

from siphon_http._core.clock cimport wall_millisecond
from siphon_http._core.message cimport Peer, Request
from siphon_http.server.access_text cimport (
    escape, is_name, is_ours_alone, is_visible, may_hide, narrow, number, paste, three_digits,
)

__all__ = ["AccessLog", "Lines", "masked_url"]

FLUSH_SECONDS = 0.2
SECRET = r"(?i)authorization|cookie|token|secret|passw|api[-_]?key|signature"
USERINFO = r"(://)[^/?#@\s]*@"

cdef enum:
    FLUSH_BYTES = 1048576
    SMALL = 48              # there is room for so much where a value begins: what is no text is not longer

cdef enum Part:
    PART_END, PART_HEADER, PART_BYTES_IN, PART_BYTES_OUT, PART_CLIENT, PART_DURATION, PART_HOST, PART_LISTENER
    PART_METHOD, PART_PROTOCOL, PART_REFERER, PART_REQUEST_ID, PART_ROUTE, PART_SCHEME, PART_STATUS, PART_TARGET
    PART_TIME, PART_USER_AGENT

PARTS = {
    "bytes_in": PART_BYTES_IN, "bytes_out": PART_BYTES_OUT, "client": PART_CLIENT, "duration_ms": PART_DURATION,
    "host": PART_HOST, "listener": PART_LISTENER, "method": PART_METHOD, "protocol": PART_PROTOCOL,
    "referer": PART_REFERER, "request_id": PART_REQUEST_ID, "route": PART_ROUTE, "scheme": PART_SCHEME,
    "status": PART_STATUS, "target": PART_TARGET, "time": PART_TIME, "user_agent": PART_USER_AGENT,
}


cdef extern from *:
    const char* EMPTY '""'
    int lowest_bit "__builtin_ctz"(unsigned int mask) noexcept nogil


cdef inline void _note_value(Field* field, const char* start, const char* end) noexcept:
    """Note a field's value without the white space around it."""
    while start < end and (start[0] == c" " or start[0] == c"\t"):
        start += 1
    while end > start and (end[-1] == c" " or end[-1] == c"\t" or end[-1] == c"\r"):
        end -= 1
    field.value = start
    field.size = end - start


cdef inline Py_ssize_t _bytes_in(Request request) noexcept:
    """Return how much content has come."""
    if request.received or request.content is None:
        return request.received
    return PyBytes_GET_SIZE(request.content)


cdef inline char* _milliseconds(char* p, int64_t nanoseconds) noexcept:
    cdef uint64_t microseconds = <uint64_t> max(nanoseconds, 0) // 1000
    p = number(p, microseconds // 1000)
    p[0] = c"."
    return three_digits(p + 1, <int> (microseconds % 1000))


cdef inline char* room(Lines lines, char* p, Py_ssize_t more) except NULL:
    """Return where to write `more` bytes that follow those before `p`; STEP more than these may be overwritten."""
    return p if lines.end - p >= more else lines.grow(p, more)


@cython.final
cdef class Lines:
    """Whole lines of an access log: a buffer of ASCII, and `str()` of it. Who keeps it keeps its lines."""

    def __cinit__(self):
        self.grow(NULL, 0)

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.size

    def __str__(self):
        return PyUnicode_DecodeASCII(self.data, self.size, NULL)

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 1, flags)

    cdef char* grow(self, char* p, Py_ssize_t more) except NULL:
        cdef Py_ssize_t used = p - self.data
        cdef Py_ssize_t capacity = max(used + more + STEP + used // 2, 16384)
        cdef char* data = <char*> realloc(self.data, capacity)
        if data == NULL:
            raise MemoryError
        self.data = data
        self.end = data + capacity - STEP
        return data + used


cdef inline int _find(AccessLog log, Request request) noexcept:
    """Find the wanted fields in the head of `request`; of repeated ones the first."""
    cdef const char* at = PyBytes_AS_STRING(request.head) + request.fields
    cdef const char* end = PyBytes_AS_STRING(request.head) + request.fields_end
    cdef const char* stop
    cdef Field* field
    cdef unsigned int candidates
    cdef int i
    for i in range(log.wanted):
        field = &log.fields[i]
        field.value, field.size, field.repeated = NULL, 0, False
    while at < end:
        stop = <const char*> memchr(at, c"\n", end - at)
        if stop == NULL:
            stop = end
        candidates = log.initials[at[0] & 31]
        while candidates:
            field = &log.fields[lowest_bit(candidates)]
            candidates &= candidates - 1
            if stop - at > field.name_size and at[field.name_size] == c":" \
                    and is_name(at, field.name, field.letters, field.name_size):
                if field.value == NULL:
                    _note_value(field, at + field.name_size + 1, stop)
                else:
                    field.repeated = True
                break
        at = stop + 1
    return 0


cdef inline const char* _id(Field* sent, Request request, Py_ssize_t* size) except? NULL:
    """Return the id that the request has: made or kept before, or one of the client's that can be kept."""
    if request._id is None and not request.traced:
        if sent.value == NULL or sent.size > 128 or not is_visible(sent.value, sent.size):
            return EMPTY
        if not sent.repeated:       # what `request_id` would say, without the strings that it makes
            size[0] = sent.size
            return sent.value
    if request._id is None:
        request.request_id      # makes it
    return narrow(<PyObject*> request._id, size)


cdef inline const char* _of_request(AccessLog log, int kind, Field* field, Request request, Py_ssize_t* size) except? NULL:
    """Return a text that only a request has, and its size: 0 for nothing, -1 for a str that `narrow` refuses."""
    cdef const char* head = PyBytes_AS_STRING(request.head)
    if kind == PART_METHOD:
        return narrow(<PyObject*> request.method, size)
    elif kind == PART_TARGET:
        size[0] = request.target_end - request.target
        return head + request.target
    elif kind == PART_PROTOCOL:
        size[0] = 8
        return b"HTTP/1.1" if request.version == 11 else b"HTTP/1.0" if request.version == 10 else b"HTTP/2.0"
    elif kind == PART_ROUTE:
        return EMPTY if request.counts is None else narrow(<PyObject*> request.counts.route, size)
    elif kind == PART_REQUEST_ID:
        return _id(field, request, size)
    elif kind == PART_SCHEME:
        return narrow(<PyObject*> request.peer.scheme, size)
    elif kind == PART_HOST and request.authority < request.authority_end:
        size[0] = request.authority_end - request.authority
        return head + request.authority
    else:
        size[0] = field.size
        return field.value if field.size else EMPTY


cdef inline char* _time(AccessLog log, char* p) except NULL:
    cdef int64_t now = wall_millisecond()
    cdef time_t second = <time_t> (<uint64_t> now // 1000)
    if second != log.second:
        form = "%d/%b/%Y:%H:%M:%S +0000" if log.combined else "%Y-%m-%dT%H:%M:%S."
        log.stamp = strftime(form, gmtime(second)).encode("ascii") + bytes(STEP)
        log.stamp_size = PyBytes_GET_SIZE(log.stamp) - STEP
        log.second = second
    p = paste(p, PyBytes_AS_STRING(log.stamp), log.stamp_size)
    if not log.combined:
        p = three_digits(p, <int> (now - 1000 * <int64_t> second))
        p[0] = c"Z"
        p += 1
    return p


cdef inline char* _line(AccessLog log, char* p, Request request, str client, int status, int64_t took) except NULL:
    """Write a whole line. What needs a request is nothing when there is none."""
    cdef Lines lines = log.lines
    cdef Piece* piece = log.pieces - 1
    cdef const char* text = NULL
    cdef Py_ssize_t size
    cdef int kind
    while True:
        piece += 1
        p = paste(room(lines, p, piece.size + SMALL), piece.text, piece.size)
        kind = piece.kind
        size = 0
        if kind == PART_END:
            return p
        elif kind == PART_STATUS:
            p = number(p, status)
            continue
        elif kind == PART_DURATION:
            p = _milliseconds(p, took)
            continue
        elif kind == PART_TIME:
            p = _time(log, p)
            continue
        elif kind == PART_BYTES_OUT:
            p = number(p, 0 if request is None else request.sent)
            continue
        elif kind == PART_BYTES_IN:
            p = number(p, 0 if request is None else _bytes_in(request))
            continue
        elif kind == PART_CLIENT:
            text = narrow(<PyObject*> client, &size)
        elif kind == PART_LISTENER:
            text = PyBytes_AS_STRING(log.listener)
            size = PyBytes_GET_SIZE(log.listener)
        elif request is not None:
            text = _of_request(log, kind, &log.fields[piece.place], request, &size)
            if size and (kind == PART_TARGET or kind == PART_REFERER) and may_hide(text, size):
                p = log._masked(p, text, size)
                continue
        if size > 0:
            p = escape(room(lines, p, 6 * size), text, size, log.json)
        elif size < 0:
            p = log._wide(p, client if kind == PART_CLIENT else request.counts.route)
        elif not log.json:
            p[0] = c"-"
            p += 1


@cython.final
cdef class AccessLog:
    """The access log of one listener on one loop.

    parts: of config_access.AccessFormat. json: how values are escaped. combined: how time is written. listener: its
    address. emit: callable(Lines). call_later: of the loop. Belongs to the loop's thread.
    """

    def __cinit__(self):
        self.lines = Lines()

    def __init__(self, parts, *, bint json, bint combined, str listener, emit, call_later):
        self.names = []
        self._lay_out(parts)
        self.json = json
        self.combined = combined
        self.listener = listener.encode("utf-8")
        self.emit = emit
        self.call_later = call_later
        self.second = -1

    cdef int _lay_out(self, parts) except -1:
        """Make the pieces of a line: a value each, with the text before it; and note which header fields it has."""
        cdef Piece* piece
        cdef bytes encoded, name
        fields = {PART_HOST: b"host", PART_REFERER: b"referer", PART_USER_AGENT: b"user-agent",
                  PART_REQUEST_ID: b"x-request-id"}
        self.texts = []
        text = ""
        for kind, word in [*parts, ("text", "\n"), ("end", "")]:
            if kind == "text":
                text += word
                continue
            if self.count == MOST_PIECES:
                raise ValueError(f"a line has at most {MOST_PIECES} values")
            piece = &self.pieces[self.count]
            self.count += 1
            encoded = text.encode("ascii")
            piece.size = len(encoded)
            encoded += bytes(STEP)      # see `paste`
            self.texts.append(encoded)
            piece.text = PyBytes_AS_STRING(encoded)
            text = ""
            piece.kind = PART_END if kind == "end" else PART_HEADER if kind == "header" else PARTS[word]
            name = word.encode("ascii") if kind == "header" else fields.get(piece.kind)
            if name is not None:
                piece.place = self._want(name)
        return 0

    cdef int _want(self, bytes name) except -1:
        """Return the place of a header field among the wanted ones. All are found in one pass over a head."""
        cdef Field* field = &self.fields[self.wanted]
        cdef bytes letters = bytes([0x20 if chr(c).isalpha() else 0 for c in name])
        if [name, letters] in self.names:
            return self.names.index([name, letters])
        if self.wanted == MOST_FIELDS:
            raise ValueError(f"a line has at most {MOST_FIELDS} header fields")
        self.names.append([name, letters])
        field.name = PyBytes_AS_STRING(name)
        field.letters = PyBytes_AS_STRING(letters)
        field.name_size = PyBytes_GET_SIZE(name)
        self.initials[field.name[0] & 31] |= 1 << self.wanted
        self.wanted += 1
        return self.wanted - 1

    cdef int note(self, Request request, Peer peer, int status, int64_t nanoseconds) except -1:
        """Add the line of an exchange that is over.

        request: None when it was refused before there was one. peer: who is at the other end. status: of the answer; 0
        when the client left before it.
        """
        cdef str client = peer.client
        cdef char* p
        if request is not None:
            if self.wanted:
                _find(self, request)
            if request.forwarded_client is not None:
                client = request.forwarded_client
        p = _line(self, self.lines.data + self.lines.size, request, client, status or 499, nanoseconds)
        self.lines.size = p - self.lines.data       # not before: a line that fails leaves nothing
        if self.lines.size >= FLUSH_BYTES:
            self.flush()
        elif self.timer is None:
            self.timer = self.call_later(FLUSH_SECONDS, self.flush)
        return 0

    cpdef flush(self):
        """Pass on what there is."""
        cdef Lines full = self.lines
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if full.size:
            # Memory that is used in turn faults in no pages; whoever has kept lines keeps them.
            if self.sent is not None and is_ours_alone(<PyObject*> self.sent):
                self.lines, self.lines.size = self.sent, 0
            else:
                self.lines = Lines()
                if full.size >= FLUSH_BYTES:        # the next will be as large
                    self.lines.grow(self.lines.data, FLUSH_BYTES)
            self.sent = full
            self.emit(full)

    cdef char* _wide(self, char* p, str value) except NULL:
        """Write a str with characters beyond Latin-1."""
        cdef bytes data = value.encode("latin-1", "backslashreplace")
        return self._escaped(p, data)

    cdef char* _masked(self, char* p, const char* text, Py_ssize_t size) except NULL:
        """Write a target or URL, with the values of secrets masked."""
        cdef bytes masked = masked_url((<bytes> text[:size]).decode("latin-1")).encode("latin-1")
        return self._escaped(p, masked)

    cdef char* _escaped(self, char* p, bytes data) except NULL:
        return escape(room(self.lines, p, 6 * len(data)), PyBytes_AS_STRING(data), len(data), self.json)


def masked_url(str url):
    """Return a target or URL without user information and without the values of secrets in its query."""
    url = re.sub(USERINFO, r"\1***@", url)
    from urllib.parse import unquote_plus   # for few requests: others need not load it

    path, sign, query = url.partition("?")
    if not sign or not ("%" in query or re.search(SECRET, query)):
        return url
    pieces = re.split("([&;])", query)
    for i in range(0, len(pieces), 2):
        key, equals, _ = pieces[i].partition("=")
        if equals and re.search(SECRET, unquote_plus(key) if "%" in key else key):
            pieces[i] = f"{key}=***"
    return path + sign + "".join(pieces)
