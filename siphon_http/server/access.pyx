"""Access log of one listener: lines are made in C, at the end of each exchange, and leave in batches.

A batch goes to whoever `emit` is after `FLUSH_SECONDS`, or when it is large; nothing here waits. What a peer has sent is
escaped, so that no line can be forged, and values of secrets in a query are masked.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport (
    PyUnicode_1BYTE_DATA, PyUnicode_DecodeASCII, PyUnicode_DecodeLatin1, PyUnicode_GET_LENGTH, PyUnicode_KIND,
)
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy
from libc.time cimport time_t

import re
from time import gmtime, strftime
from urllib.parse import unquote_plus

from siphon_http._core.ascii cimport to_lower
from siphon_http._core.clock cimport wall_millisecond
from siphon_http._core.digits cimport write_decimal
from siphon_http._core.message cimport Request
from siphon_http._core.request_id cimport is_request_id

__all__ = ["AccessLog", "masked_url"]

FLUSH_SECONDS = 0.2
SECRET = re.compile(r"authorization|cookie|token|secret|passw|api[-_]?key|signature", re.IGNORECASE)
USERINFO = re.compile(r"(://)[^/?#@\s]*@")

cdef enum:
    FLUSH_BYTES = 65536
    NUMBER_BYTES = 24

cdef enum Part:
    PART_TEXT, PART_HEADER, PART_BYTES_IN, PART_BYTES_OUT, PART_CLIENT, PART_DURATION, PART_HOST, PART_LISTENER
    PART_METHOD, PART_PROTOCOL, PART_REFERER, PART_REQUEST_ID, PART_ROUTE, PART_SCHEME, PART_STATUS, PART_TARGET
    PART_TIME, PART_USER_AGENT

PARTS = {
    "bytes_in": PART_BYTES_IN, "bytes_out": PART_BYTES_OUT, "client": PART_CLIENT, "duration_ms": PART_DURATION,
    "host": PART_HOST, "listener": PART_LISTENER, "method": PART_METHOD, "protocol": PART_PROTOCOL,
    "referer": PART_REFERER, "request_id": PART_REQUEST_ID, "route": PART_ROUTE, "scheme": PART_SCHEME,
    "status": PART_STATUS, "target": PART_TARGET, "time": PART_TIME, "user_agent": PART_USER_AGENT,
}

cdef bytes HEX = b"0123456789abcdef"
cdef bytes PLAIN_BYTES = bytes([0x20 <= c < 0x7f and c != 0x22 and c != 0x5c for c in range(256)])
cdef const char* PLAIN = PLAIN_BYTES    # 1 for bytes that are written as they are


cdef inline bint _is_name(const char* sent, const char* name, Py_ssize_t size) noexcept:
    """Compare a field's name with one in lower case."""
    cdef Py_ssize_t i
    for i in range(size):
        if to_lower(<unsigned char> sent[i]) != <unsigned char> name[i]:
            return False
    return True


@cython.final
cdef class AccessLog:
    """The access log of one listener on one loop.

    parts: of config_access.AccessFormat. json: how values are escaped. combined: how time is written. listener: its
    address. emit: callable(str), takes whole lines. call_later: of the loop. Belongs to the loop's thread.
    """

    def __init__(self, parts, *, bint json, bint combined, str listener, emit, call_later):
        self.texts = [text.encode("ascii") for _, text in parts]
        self._lay_out(parts)
        self.json = json
        self.combined = combined
        self.listener = listener.encode("utf-8")
        self.emit = emit
        self.call_later = call_later
        self.second = -1

    def __dealloc__(self):
        free(self.data)

    cdef int _lay_out(self, parts) except -1:
        """Make the pieces of a line, and note which header fields it has: one pass over a head finds them all."""
        cdef Piece* piece
        names = {PART_HOST: b"host", PART_REFERER: b"referer", PART_USER_AGENT: b"user-agent",
                 PART_REQUEST_ID: b"x-request-id"}
        self.wanted = []
        for (kind, text), encoded in zip(parts, self.texts, strict=True):
            if self.count == MOST_PIECES:
                raise ValueError(f"a line has at most {MOST_PIECES} parts")
            piece = &self.pieces[self.count]
            self.count += 1
            piece.kind = PART_TEXT if kind == "text" else PART_HEADER if kind == "header" else PARTS[text]
            piece.text = PyBytes_AS_STRING(encoded)
            piece.size = PyBytes_GET_SIZE(encoded)
            name = encoded if piece.kind == PART_HEADER else names.get(piece.kind)
            if name is not None:
                if name not in self.wanted:
                    self.wanted.append(name)
                piece.place = self.wanted.index(name)
        if len(self.wanted) > MOST_FIELDS:
            raise ValueError(f"a line has at most {MOST_FIELDS} header fields")
        return 0

    cdef int note(self, Request request, str client, int status, int64_t nanoseconds) except -1:
        """Add the line of an exchange that is over.

        request: None when it was refused before there was one. status: of the answer; 0 when the client left before it.
        """
        cdef Py_ssize_t i
        cdef Py_ssize_t begin = self.size
        cdef Piece* piece
        if request is not None and self.wanted:
            self._find(request)
        try:
            for i in range(self.count):
                piece = &self.pieces[i]
                if piece.kind == PART_TEXT:
                    self._add(piece.text, piece.size)
                else:
                    self._value(piece.kind, piece.place, request, client, status or 499, nanoseconds)
            self._add(b"\n", 1)
        except BaseException:
            self.size = begin
            raise
        if self.size >= FLUSH_BYTES:
            self.flush()
        elif self.timer is None:
            self.timer = self.call_later(FLUSH_SECONDS, self.flush)
        return 0

    cpdef flush(self):
        """Pass on what there is."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.size:
            text = PyUnicode_DecodeASCII(self.data, self.size, "replace")
            self.size = 0
            self.emit(text)

    # ---- one value

    cdef int _find(self, Request request) except -1:
        """Find the wanted fields in the head of `request`; of repeated ones the first."""
        cdef const char* at = PyBytes_AS_STRING(request.head) + request.fields
        cdef const char* end = PyBytes_AS_STRING(request.head) + request.fields_end
        cdef const char* stop
        cdef const char* colon
        cdef Py_ssize_t size, i
        cdef bytes name
        for i in range(len(self.wanted)):
            self.values[i] = NULL
        while at < end:
            stop = <const char*> memchr(at, c"\n", end - at)
            if stop == NULL:
                stop = end
            colon = <const char*> memchr(at, c":", stop - at)
            if colon != NULL:
                size = colon - at
                for i in range(len(self.wanted)):
                    name = <bytes> self.wanted[i]
                    if PyBytes_GET_SIZE(name) == size and self.values[i] == NULL \
                            and _is_name(at, PyBytes_AS_STRING(name), size):
                        self._note_value(i, colon + 1, stop)
                        break
            at = stop + 1
        return 0

    cdef int _note_value(self, Py_ssize_t i, const char* start, const char* end) except -1:
        """Note a field's value without the white space around it."""
        while start < end and (start[0] == c" " or start[0] == c"\t"):
            start += 1
        while end > start and (end[-1] == c" " or end[-1] == c"\t" or end[-1] == c"\r"):
            end -= 1
        self.values[i] = start
        self.sizes[i] = end - start
        return 0

    cdef int _field(self, int place) except -1:
        """Add the value of a wanted field."""
        if self.values[place] == NULL or self.sizes[place] == 0:
            return self._text(None)
        return self._escaped(self.values[place], self.sizes[place])

    cdef int _id(self, Request request, int place) except -1:
        """Add the id that the request has: made or kept before, or one of the client's that can be kept."""
        if request.traced or request._id is not None or self.values[place] != NULL and self.sizes[place] <= 128 \
                and is_request_id(PyUnicode_DecodeLatin1(self.values[place], self.sizes[place], NULL)):
            return self._text(request.request_id)
        return self._text(None)

    cdef int _value(self, int kind, int place, Request request, str client, int status, int64_t took) except -1:
        if kind == PART_STATUS:
            return self._number(status)
        if kind == PART_DURATION:
            return self._milliseconds(took)
        if kind == PART_CLIENT:
            return self._text(client)
        if kind == PART_TIME:
            return self._time()
        if kind == PART_LISTENER:
            return self._escaped(PyBytes_AS_STRING(self.listener), PyBytes_GET_SIZE(self.listener))
        if kind == PART_BYTES_OUT:
            return self._number(0 if request is None else request.sent)
        if kind == PART_BYTES_IN:
            if request is None:
                return self._number(0)
            return self._number(request.received or (
                0 if request.content is None else PyBytes_GET_SIZE(request.content)))
        if request is None:
            return self._text(None)
        return self._of_request(kind, place, request)

    cdef int _of_request(self, int kind, int place, Request request) except -1:
        cdef const char* head = PyBytes_AS_STRING(request.head)
        if kind == PART_METHOD:
            return self._text(request.method)
        if kind == PART_TARGET:
            return self._url(head + request.target, request.target_end - request.target)
        if kind == PART_PROTOCOL:
            if request.version == 11:
                return self._add(b"HTTP/1.1", 8)
            return self._add(b"HTTP/1.0" if request.version == 10 else b"HTTP/2.0", 8)
        if kind == PART_ROUTE:
            return self._text(None if request.entry is None else request.entry.pattern)
        if kind == PART_REQUEST_ID:
            return self._id(request, place)
        if kind == PART_REFERER and self.values[place] != NULL:
            return self._url(self.values[place], self.sizes[place])
        if kind == PART_SCHEME:
            return self._text(request.peer.scheme)
        if kind == PART_HOST and request.authority < request.authority_end:
            return self._escaped(head + request.authority, request.authority_end - request.authority)
        return self._field(place)

    cdef int _text(self, object value) except -1:
        """Add a str, or what stands for nothing."""
        cdef bytes data
        cdef Py_ssize_t size
        if value is None or PyUnicode_GET_LENGTH(value) == 0:
            return 0 if self.json else self._add(b"-", 1)
        if PyUnicode_KIND(value) == 1:
            size = PyUnicode_GET_LENGTH(value)
            return self._escaped(<const char*> PyUnicode_1BYTE_DATA(value), size)
        data = (<str> value).encode("latin-1", "backslashreplace")
        return self._escaped(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int _url(self, const char* text, Py_ssize_t size) except -1:
        """Add a target or URL, with the values of secrets masked."""
        cdef bytes masked
        if size == 0:
            return self._text(None)
        if memchr(text, c"?", size) == NULL and memchr(text, c"@", size) == NULL:
            return self._escaped(text, size)
        masked = masked_url((<bytes> text[:size]).decode("latin-1")).encode("latin-1")
        return self._escaped(PyBytes_AS_STRING(masked), PyBytes_GET_SIZE(masked))

    cdef int _time(self) except -1:
        cdef int64_t now = wall_millisecond()
        cdef time_t second = <time_t> (now // 1000)
        cdef int rest = <int> (now - 1000 * second)
        cdef char* p
        if second != self.second:
            form = "%d/%b/%Y:%H:%M:%S +0000" if self.combined else "%Y-%m-%dT%H:%M:%S."
            self.stamp = strftime(form, gmtime(second)).encode("ascii")
            self.second = second
        self._add(PyBytes_AS_STRING(self.stamp), PyBytes_GET_SIZE(self.stamp))
        if not self.combined:
            self._room(4)
            p = self.data + self.size
            p[0] = <char> (c"0" + rest // 100)
            p[1] = <char> (c"0" + rest // 10 % 10)
            p[2] = <char> (c"0" + rest % 10)
            p[3] = c"Z"
            self.size += 4
        return 0

    cdef int _number(self, int64_t value) except -1:
        self._room(NUMBER_BYTES)
        self.size += write_decimal(value, self.data + self.size)
        return 0

    cdef int _milliseconds(self, int64_t nanoseconds) except -1:
        cdef int64_t microseconds = max(nanoseconds, 0) // 1000
        cdef int rest = <int> (microseconds % 1000)
        cdef char* p
        self._number(microseconds // 1000)
        self._room(4)
        p = self.data + self.size
        p[0] = c"."
        p[1] = <char> (c"0" + rest // 100)
        p[2] = <char> (c"0" + rest // 10 % 10)
        p[3] = <char> (c"0" + rest % 10)
        self.size += 4
        return 0

    # ---- the buffer

    cdef int _room(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t wanted = self.size + more
        cdef char* data
        if wanted <= self.capacity:
            return 0
        wanted = max(2 * wanted, 16384)
        data = <char*> realloc(self.data, wanted)
        if data == NULL:
            raise MemoryError
        self.data = data
        self.capacity = wanted
        return 0

    cdef int _add(self, const char* text, Py_ssize_t size) except -1:
        self._room(size)
        memcpy(self.data + self.size, text, size)
        self.size += size
        return 0

    cdef int _escaped(self, const char* text, Py_ssize_t size) except -1:
        r"""Add bytes of a peer: quotes, backslashes, controls and what is not ASCII as \xHH, in JSON as \u00HH."""
        cdef Py_ssize_t i
        cdef unsigned char c
        cdef char* p
        self._room(6 * size)
        p = self.data + self.size
        for i in range(size):
            c = <unsigned char> text[i]
            if PLAIN[c]:
                p[0] = <char> c
                p += 1
                continue
            p[0] = c"\\"
            if self.json:
                p[1] = c"u"
                p[2] = p[3] = c"0"
                p += 4
            else:
                p[1] = c"x"
                p += 2
            p[0] = HEX[c >> 4]
            p[1] = HEX[c & 15]
            p += 2
        self.size = p - self.data
        return 0


def masked_url(str url):
    """Return a target or URL without user information and without the values of secrets in its query."""
    url = USERINFO.sub(r"\1***@", url)
    path, sign, query = url.partition("?")
    if not sign or not ("%" in query or SECRET.search(query)):
        return url
    pieces = re.split("([&;])", query)
    for i in range(0, len(pieces), 2):
        key, equals, _ = pieces[i].partition("=")
        if equals and SECRET.search(unquote_plus(key) if "%" in key else key):
            pieces[i] = f"{key}=***"
    return path + sign + "".join(pieces)
