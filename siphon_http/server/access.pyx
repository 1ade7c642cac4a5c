"""Access log of one listener: lines are made in C, at the end of each exchange, and leave in batches.

A batch goes to whoever `emit` is after `FLUSH_SECONDS`, or when it is large; nothing here waits. What a peer has sent is
escaped, so that no line can be forged, and values of secrets in a query are masked.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport (
    PyUnicode_1BYTE_DATA, PyUnicode_DecodeLatin1, PyUnicode_GET_LENGTH, PyUnicode_KIND,
)
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy
from libc.time cimport time_t

import re
from time import gmtime, strftime
from urllib.parse import unquote_plus

from siphon_http._core.ascii cimport to_lower
from siphon_http._core.clock cimport wall_millisecond
from siphon_http._core.digits cimport write_decimal
from siphon_http._core.message cimport Peer, Request
from siphon_http._core.request_id cimport is_request_id

__all__ = ["AccessLog", "masked_url"]

FLUSH_SECONDS = 0.2
SECRET = r"(?i)authorization|cookie|token|secret|passw|api[-_]?key|signature"
USERINFO = r"(://)[^/?#@\s]*@"

cdef enum:
    FLUSH_BYTES = 131072
    NUMBER_BYTES = 24

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

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define SIPHON_ONES 0x0101010101010101ULL

    /* Is one of eight bytes a control, DEL, beyond ASCII, a quote or a backslash? */
    static inline int siphon_is_odd(uint64_t w) {
        uint64_t quote = w ^ 0x22 * SIPHON_ONES, slash = w ^ 0x5c * SIPHON_ONES;
        return ((w | (w + SIPHON_ONES) | ((w - 0x20 * SIPHON_ONES) & ~w) | ((quote - SIPHON_ONES) & ~quote)
                 | ((slash - SIPHON_ONES) & ~slash)) & 0x80 * SIPHON_ONES) != 0;
    }
    static char* siphon_escape_slowly(char* p, const unsigned char* s, Py_ssize_t n, int json) {
        static const char hex[] = "0123456789abcdef";
        for (; n > 0; n--, s++) {
            unsigned char c = *s;
            if (c >= 0x20 && c < 0x7f && c != 0x22 && c != 0x5c) { *p++ = (char) c; continue; }
            *p++ = 0x5c;
            if (json) { *p++ = 'u'; *p++ = '0'; *p++ = '0'; } else *p++ = 'x';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
        return p;
    }
    /* Copies `n` bytes, odd ones escaped: eight at a time, the last eight once more where that ends with the text. */
    static inline char* siphon_escape(char* p, const char* text, Py_ssize_t n, int json) {
        const unsigned char* s = (const unsigned char*) text;
        uint64_t w;
        uint32_t first, last;
        Py_ssize_t i = 0;
        if (n >= 8) {
            for (; i + 8 <= n; i += 8) {
                memcpy(&w, s + i, 8);
                if (siphon_is_odd(w)) return siphon_escape_slowly(p + i, s + i, n - i, json);
                memcpy(p + i, &w, 8);
            }
            if (i == n) return p + n;
            memcpy(&w, s + n - 8, 8);
            if (!siphon_is_odd(w)) { memcpy(p + n - 8, &w, 8); return p + n; }
        } else if (n >= 4) {
            memcpy(&first, s, 4);
            memcpy(&last, s + n - 4, 4);
            if (!siphon_is_odd((uint64_t) first << 32 | last)) {
                memcpy(p, &first, 4);
                memcpy(p + n - 4, &last, 4);
                return p + n;
            }
        }
        return siphon_escape_slowly(p + i, s + i, n - i, json);
    }
    /* Copies `n` bytes in steps of 16: both sides have room for the last step. */
    static inline char* siphon_paste(char* p, const char* s, Py_ssize_t n) {
        Py_ssize_t i;
        for (i = 0; i < n; i += 16) memcpy(p + i, s + i, 16);
        return p + n;
    }
    /* Might `masked_url` change a URL? It has an "@", or a key of its query one of the words of SECRET, or an escape. */
    static int siphon_may_hide(const char* s, Py_ssize_t n) {
        static const char* const words[] = {"authorization", "api", "cookie", "token", "secret", "signature", "passw"};
        const char* end = s + n;
        int key = 1, i, k;
        if (memchr(s, '@', n)) return 1;
        s = (const char*) memchr(s, '?', n);
        if (!s) return 0;
        for (s++; s < end; s++) {
            if (*s == '&' || *s == ';') key = 1;
            else if (*s == '=') key = 0;
            else if (key && *s == '%') return 1;
            else if (key && strchr("acstpACSTP", *s)) {     /* a NUL is found, too: then no word fits */
                for (i = 0; i < 7; i++) {
                    for (k = 0; words[i][k] && s + k < end && (s[k] | 0x20) == words[i][k]; k++) ;
                    if (!words[i][k]) return 1;
                }
            }
        }
        return 0;
    }
    static inline char* siphon_three_digits(char* p, int n) {
        p[0] = (char) ('0' + n / 100);
        p[1] = (char) ('0' + n / 10 % 10);
        p[2] = (char) ('0' + n % 10);
        return p + 3;
    }
    """
    char* escape "siphon_escape"(char* p, const char* text, Py_ssize_t n, bint json) noexcept nogil
    char* paste "siphon_paste"(char* p, const char* s, Py_ssize_t n) noexcept nogil
    bint may_hide "siphon_may_hide"(const char* s, Py_ssize_t n) noexcept nogil
    char* three_digits "siphon_three_digits"(char* p, int n) noexcept nogil


cdef inline bint _is_name(const char* sent, const char* name, Py_ssize_t size) noexcept:
    """Compare a field's name with one in lower case."""
    cdef Py_ssize_t i
    for i in range(size):
        if to_lower(<unsigned char> sent[i]) != <unsigned char> name[i]:
            return False
    return True


cdef inline char* room(AccessLog log, char* p, Py_ssize_t more) except NULL:
    """Return where to write `more` bytes that follow those before `p`; STEP more than these may be overwritten."""
    return p if log.end - p >= more else log._grow(p, more)


@cython.final
cdef class AccessLog:
    """The access log of one listener on one loop.

    parts: of config_access.AccessFormat. json: how values are escaped. combined: how time is written. listener: its
    address. emit: callable(str), takes whole lines. call_later: of the loop. Belongs to the loop's thread.
    """

    def __cinit__(self):
        self._grow(NULL, 0)

    def __init__(self, parts, *, bint json, bint combined, str listener, emit, call_later):
        self.names = []
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
            encoded += bytes(STEP)      # see siphon_paste
            self.texts.append(encoded)
            piece.text = PyBytes_AS_STRING(encoded)
            text = ""
            piece.kind = PART_END if kind == "end" else PART_HEADER if kind == "header" else PARTS[word]
            name = word.encode("ascii") if kind == "header" else fields.get(piece.kind)
            if name is not None:
                piece.place = self._want(name)
        return 0

    cdef int _want(self, bytes name) except -1:
        """Return the place of a header field among the wanted ones. Each is found in one pass over a head."""
        cdef int i
        for i in range(self.wanted):
            if self.names[i] == name:
                return i
        if self.wanted == MOST_FIELDS:
            raise ValueError(f"a line has at most {MOST_FIELDS} header fields")
        self.names.append(name)
        self.fields[self.wanted].name = PyBytes_AS_STRING(name)
        self.fields[self.wanted].name_size = PyBytes_GET_SIZE(name)
        self.wanted += 1
        return self.wanted - 1

    cdef int note(self, Request request, Peer peer, int status, int64_t nanoseconds) except -1:
        """Add the line of an exchange that is over.

        request: None when it was refused before there was one. peer: who is at the other end. status: of the answer; 0
        when the client left before it.
        """
        cdef char* p = self.data + self.size
        cdef Piece* piece = self.pieces
        cdef str client = peer.client
        if request is not None:
            if self.wanted:
                self._find(request)
            if request.forwarded_client is not None:
                client = request.forwarded_client
        while True:
            p = paste(room(self, p, piece.size), piece.text, piece.size)
            if piece.kind == PART_END:
                break
            p = self._value(p, piece.kind, piece.place, request, client, status or 499, nanoseconds)
            piece += 1
        self.size = p - self.data       # not before: a line that fails leaves nothing
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
            text = PyUnicode_New(self.size, 127)    # what is beyond ASCII was escaped: there is nothing to look for
            memcpy(PyUnicode_1BYTE_DATA(text), self.data, self.size)
            self.size = 0
            self.emit(text)

    # ---- one value

    cdef int _find(self, Request request) except -1:
        """Find the wanted fields in the head of `request`; of repeated ones the first."""
        cdef const char* at = PyBytes_AS_STRING(request.head) + request.fields
        cdef const char* end = PyBytes_AS_STRING(request.head) + request.fields_end
        cdef const char* stop
        cdef const char* colon
        cdef Field* field
        cdef int i
        for i in range(self.wanted):
            self.fields[i].value = NULL
        while at < end:
            stop = <const char*> memchr(at, c"\n", end - at)
            if stop == NULL:
                stop = end
            colon = <const char*> memchr(at, c":", stop - at)
            if colon != NULL:
                for i in range(self.wanted):
                    field = &self.fields[i]
                    if field.name_size == colon - at and field.value == NULL and _is_name(at, field.name, field.name_size):
                        self._note_value(field, colon + 1, stop)
                        break
            at = stop + 1
        return 0

    cdef int _note_value(self, Field* field, const char* start, const char* end) noexcept:
        """Note a field's value without the white space around it."""
        while start < end and (start[0] == c" " or start[0] == c"\t"):
            start += 1
        while end > start and (end[-1] == c" " or end[-1] == c"\t" or end[-1] == c"\r"):
            end -= 1
        field.value = start
        field.size = end - start
        return 0

    cdef char* _value(self, char* p, int kind, int place, Request request, str client, int status,
                      int64_t took) except NULL:
        """Write one value at `p`; return where it ends."""
        if kind == PART_STATUS:
            p = room(self, p, NUMBER_BYTES)
            return three_digits(p, status) if 100 <= status <= 999 else p + write_decimal(status, p)
        elif kind == PART_DURATION:
            return self._milliseconds(p, took)
        elif kind == PART_CLIENT:
            return self._text(p, client)
        elif kind == PART_TIME:
            return self._time(p)
        elif kind == PART_LISTENER:
            return self._escaped(p, PyBytes_AS_STRING(self.listener), PyBytes_GET_SIZE(self.listener))
        elif kind == PART_BYTES_OUT:
            return self._number(p, 0 if request is None else request.sent)
        elif kind == PART_BYTES_IN:
            if request is None:
                return self._number(p, 0)
            return self._number(p, request.received or (
                0 if request.content is None else PyBytes_GET_SIZE(request.content)))
        else:
            return self._nothing(p) if request is None else self._of_request(p, kind, place, request)

    cdef char* _of_request(self, char* p, int kind, int place, Request request) except NULL:
        """Write a value that only a request has."""
        cdef const char* head = PyBytes_AS_STRING(request.head)
        cdef Field* field = &self.fields[place]
        if kind == PART_METHOD:
            return self._text(p, request.method)
        elif kind == PART_TARGET:
            return self._url(p, head + request.target, request.target_end - request.target)
        elif kind == PART_PROTOCOL:
            p = room(self, p, 8)
            memcpy(p, b"HTTP/1.1" if request.version == 11 else b"HTTP/1.0" if request.version == 10 else b"HTTP/2.0", 8)
            return p + 8
        elif kind == PART_ROUTE:
            return self._nothing(p) if request.counts is None else self._text(p, request.counts.route)
        elif kind == PART_REQUEST_ID:
            return self._id(p, request, place)
        elif kind == PART_SCHEME:
            return self._text(p, request.peer.scheme)
        else:
            if kind == PART_HOST and request.authority < request.authority_end:
                return self._escaped(p, head + request.authority, request.authority_end - request.authority)
            if field.value == NULL:
                return self._nothing(p)
            if kind == PART_REFERER:
                return self._url(p, field.value, field.size)
            return self._escaped(p, field.value, field.size)

    cdef char* _id(self, char* p, Request request, int place) except NULL:
        """Write the id that the request has: made or kept before, or one of the client's that can be kept."""
        cdef Field* sent = &self.fields[place]
        if request.traced or request._id is not None or sent.value != NULL and sent.size <= 128 \
                and is_request_id(PyUnicode_DecodeLatin1(sent.value, sent.size, NULL)):
            return self._text(p, request.request_id)
        return self._nothing(p)

    cdef char* _nothing(self, char* p) except NULL:
        """Write what stands for nothing."""
        if not self.json:
            p = room(self, p, 1)
            p[0] = c"-"
            p += 1
        return p

    cdef char* _text(self, char* p, str value) except NULL:
        """Write a str."""
        cdef bytes data
        if PyUnicode_KIND(value) == 1:
            return self._escaped(p, <const char*> PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value))
        data = value.encode("latin-1", "backslashreplace")
        return self._escaped(p, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef char* _url(self, char* p, const char* text, Py_ssize_t size) except NULL:
        """Write a target or URL, with the values of secrets masked."""
        cdef bytes masked
        if not may_hide(text, size):
            return self._escaped(p, text, size)
        masked = masked_url((<bytes> text[:size]).decode("latin-1")).encode("latin-1")
        return self._escaped(p, PyBytes_AS_STRING(masked), PyBytes_GET_SIZE(masked))

    cdef char* _escaped(self, char* p, const char* text, Py_ssize_t size) except NULL:
        r"""Write bytes of a peer: quotes, backslashes, controls and what is not ASCII as \xHH, in JSON as \u00HH."""
        if size == 0:
            return self._nothing(p)
        return escape(room(self, p, 6 * size), text, size, self.json)

    cdef char* _time(self, char* p) except NULL:
        cdef int64_t now = wall_millisecond()
        cdef time_t second = <time_t> (<uint64_t> now // 1000)
        if second != self.second:
            form = "%d/%b/%Y:%H:%M:%S +0000" if self.combined else "%Y-%m-%dT%H:%M:%S."
            self.stamp = strftime(form, gmtime(second)).encode("ascii") + bytes(STEP)
            self.stamp_size = PyBytes_GET_SIZE(self.stamp) - STEP
            self.second = second
        p = paste(room(self, p, self.stamp_size + 4), PyBytes_AS_STRING(self.stamp), self.stamp_size)
        if not self.combined:
            p = three_digits(p, <int> (now - 1000 * <int64_t> second))
            p[0] = c"Z"
            p += 1
        return p

    cdef char* _number(self, char* p, int64_t value) except NULL:
        p = room(self, p, NUMBER_BYTES)
        return p + write_decimal(value, p)

    cdef char* _milliseconds(self, char* p, int64_t nanoseconds) except NULL:
        cdef uint64_t microseconds = <uint64_t> max(nanoseconds, 0) // 1000
        p = self._number(p, <int64_t> (microseconds // 1000))
        p = room(self, p, 4)
        p[0] = c"."
        return three_digits(p + 1, <int> (microseconds % 1000))

    # ---- the buffer

    cdef char* _grow(self, char* p, Py_ssize_t more) except NULL:
        """Make room for `more` bytes behind those before `p`."""
        cdef Py_ssize_t used = p - self.data
        cdef Py_ssize_t capacity = max(2 * (used + more + STEP), 16384)
        cdef char* data = <char*> realloc(self.data, capacity)
        if data == NULL:
            raise MemoryError
        self.data = data
        self.end = data + capacity - STEP
        return data + used


def masked_url(str url):
    """Return a target or URL without user information and without the values of secrets in its query."""
    url = re.sub(USERINFO, r"\1***@", url)
    path, sign, query = url.partition("?")
    if not sign or not ("%" in query or re.search(SECRET, query)):
        return url
    pieces = re.split("([&;])", query)
    for i in range(0, len(pieces), 2):
        key, equals, _ = pieces[i].partition("=")
        if equals and re.search(SECRET, unquote_plus(key) if "%" in key else key):
            pieces[i] = f"{key}=***"
    return path + sign + "".join(pieces)
