"""Access log of one listener: lines are made in C, at the end of each exchange, and leave in batches.

A batch goes to whoever `emit` is after `FLUSH_SECONDS`, or when it is large; nothing here waits. What a peer has sent is
escaped, so that no line can be forged, and values of secrets in a query are masked.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy
from libc.time cimport time_t

import re
from collections import Counter
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
    SLACK = 65536           # behind these: the last line seldom needs more
    MOST_ID = 128           # longer ones of clients are not kept
    SMALL = 48              # what is no text is not longer
    OFTEN = 16              # so many unlike tails in a row: from then on one of so many is remembered

cdef enum Part:
    PART_END, PART_BYTES_IN, PART_BYTES_OUT, PART_CLIENT, PART_DURATION, PART_LISTENER, PART_STATUS, PART_TIME
    # These only a request has:
    PART_METHOD, PART_ROUTE, PART_SCHEME, PART_TARGET
    # These are told by the fields of its head, and by its version:
    PART_HEADER, PART_HOST, PART_PROTOCOL, PART_REFERER, PART_REQUEST_ID, PART_USER_AGENT
    PART_NONE

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
        if sent.value == NULL or sent.size > MOST_ID or not is_visible(sent.value, sent.size):
            return EMPTY
        if not sent.repeated:       # what `request_id` would say, without the strings that it makes
            size[0] = sent.size
            return sent.value
    if request._id is None:
        request.request_id      # makes it
    return narrow(<PyObject*> request._id, size)


cdef inline const char* _text(AccessLog log, int kind, Field* field, Request request, str client,
                              Py_ssize_t* size) except? NULL:
    """Return a value that is text, and its size: 0 for nothing, -1 for a str that `narrow` refuses."""
    if kind == PART_CLIENT:
        return narrow(<PyObject*> client, size)
    elif kind == PART_LISTENER:
        size[0] = PyBytes_GET_SIZE(log.listener)
        return PyBytes_AS_STRING(log.listener)
    elif kind == PART_METHOD:
        return narrow(<PyObject*> request.method, size)
    elif kind == PART_ROUTE:
        return EMPTY if request.counts is None else narrow(<PyObject*> request.counts.route, size)
    elif kind == PART_SCHEME:
        return narrow(<PyObject*> request.peer.scheme, size)
    elif kind == PART_TARGET:
        size[0] = request.target_end - request.target
        return PyBytes_AS_STRING(request.head) + request.target
    elif kind == PART_PROTOCOL:
        size[0] = 8
        return b"HTTP/1.1" if request.version == 11 else b"HTTP/1.0" if request.version == 10 else b"HTTP/2.0"
    elif kind == PART_REQUEST_ID:
        return _id(field, request, size)
    elif kind == PART_HOST:
        size[0] = request.authority_end - request.authority
        if size[0]:
            return PyBytes_AS_STRING(request.head) + request.authority
        size[0] = field.size
        return field.value if field.size else EMPTY
    elif kind == PART_NONE:
        return EMPTY
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


cdef inline char* _pieces(AccessLog log, char* p, Piece* piece, Piece* stop, Request request, str client, int status,
                          int64_t took) except NULL:
    """Write the pieces before `stop`; there is room for them. What needs a request is nothing when there is none."""
    cdef const char* text
    cdef Py_ssize_t size
    cdef int kind
    while piece < stop:
        p = paste(p, piece.text, piece.size)
        kind = piece.kind
        if request is None and kind >= PART_METHOD:
            kind = PART_NONE
        if kind == PART_END:
            return p
        elif kind == PART_STATUS:
            p = number(p, status)
        elif kind == PART_DURATION:
            p = _milliseconds(p, took)
        elif kind == PART_TIME:
            p = _time(log, p)
        elif kind == PART_BYTES_OUT:
            p = number(p, 0 if request is None else request.sent)
        elif kind == PART_BYTES_IN:
            p = number(p, 0 if request is None else _bytes_in(request))
        else:
            size = 0
            text = _text(log, kind, &log.fields[piece.place], request, client, &size)
            if size > 0:
                if (kind == PART_TARGET or kind == PART_REFERER) and may_hide(text, size):
                    p = log._masked(p, text, size)
                else:
                    p = escape(p, text, size, log.json)
            elif size < 0:
                p = log._wide(p, client if kind == PART_CLIENT else request.counts.route)
            elif not log.json:
                p[0] = c"-"
                p += 1
        piece += 1
    return p


cdef inline bint _is_known(AccessLog log, Request request) noexcept:
    """Has this request what the one had whose tail is remembered?"""
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef Py_ssize_t authority = request.authority_end - request.authority
    cdef Py_ssize_t fields = request.fields_end - request.fields
    return log.known_version == request.version and log.known_authority == authority \
        and log.known_size == authority + fields and not request.traced and request._id is None \
        and memcmp(log.known + authority, head + request.fields, fields) == 0 \
        and memcmp(log.known, head + request.authority, authority) == 0


cdef inline char* _line(AccessLog log, char* p, Request request, str client, int status, int64_t took) except NULL:
    """Write a whole line.

    Clients send the same fields again and again: the end of the line, which says what these say, is then that of before.
    """
    cdef Piece* tail = &log.pieces[log.tail]
    cdef Py_ssize_t begin
    if request is not None and _is_known(log, request):
        log.unlike = 0
        p = _pieces(log, p, log.pieces, tail, request, client, status, took)
        return paste(p, log.told, log.told_size)
    if request is not None and log.wanted:
        _find(log, request)
    p = _pieces(log, p, log.pieces, tail, request, client, status, took)
    begin = p - log.lines.data
    p = _pieces(log, p, tail, &log.pieces[log.count], request, client, status, took)
    log.unlike += 1
    if request is not None and (log.unlike < OFTEN or log.unlike % OFTEN == 0):
        log._remember(request, log.lines.data + begin, p - log.lines.data - begin)
    return p


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
        cdef bytes encoded
        cdef int i
        fields = {PART_HOST: "host", PART_REFERER: "referer", PART_USER_AGENT: "user-agent",
                  PART_REQUEST_ID: "x-request-id"}
        self.texts, sources = [], []
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
            name = word if kind == "header" else fields.get(piece.kind)
            if name is not None:
                piece.place = self._want(name.encode("ascii"))
            sources.append(name or word)
            self.fixed += piece.size + SMALL
        self.repeats = max(Counter(sources).values())
        self.tail = self.count
        for i in range(self.count - 1, -1, -1):
            if self.pieces[i].kind >= PART_HEADER or self.pieces[i].kind == PART_END:
                self.tail = i
            else:
                break
        if not self.wanted:
            self.tail = self.count      # there is nothing to look for
        for i in range(self.tail):
            if self.pieces[i].kind >= PART_HEADER and self.pieces[i].kind != PART_PROTOCOL:
                self.tail = self.count      # these are looked for in any case: nothing would be saved
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
        cdef Py_ssize_t texts = PyBytes_GET_SIZE(self.listener)
        cdef char* p
        if request is not None:
            if request.forwarded_client is not None:
                client = request.forwarded_client
            texts += PyBytes_GET_SIZE(request.head) + PyUnicode_GET_LENGTH(request.method) + SMALL + MOST_ID
            if request.counts is not None:
                texts += PyUnicode_GET_LENGTH(request.counts.route)
        texts += PyUnicode_GET_LENGTH(client)
        self.need = self.fixed + 6 * self.repeats * texts
        p = room(self.lines, self.lines.data + self.lines.size, self.need)
        p = _line(self, p, request, client, status or 499, nanoseconds)
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
                    self.lines.grow(self.lines.data, FLUSH_BYTES + SLACK)
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
        p = room(self.lines, p, 6 * len(data) + self.need)      # and for what follows
        return escape(p, PyBytes_AS_STRING(data), len(data), self.json)

    cdef int _remember(self, Request request, const char* text, Py_ssize_t size) except -1:
        """Remember what a line has from the tail on, and for which fields."""
        cdef const char* head = PyBytes_AS_STRING(request.head)
        cdef Py_ssize_t authority = request.authority_end - request.authority
        cdef Py_ssize_t fields = request.fields_end - request.fields
        self.known_version = 0
        if self.tail < self.count and authority + fields <= MOST_KNOWN and size <= MOST_KNOWN \
                and not request.traced and request._id is None:
            memcpy(self.known, head + request.authority, authority)
            memcpy(self.known + authority, head + request.fields, fields)
            memcpy(self.told, text, size)
            self.known_version = request.version
            self.known_authority, self.known_size, self.told_size = authority, authority + fields, size
        return 0


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
