# cython: profile=False
"""Header fields: lookup in a received block, checks, and the serialised head of an answer (RFC 9110, section 5).

A received header section stays what it is, bytes; names are looked for in them when somebody asks. Fields of an answer
are checked when a script sets them, so that what `OutBuffer.head` writes cannot contain a line end that is not ours.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy
from libc.time cimport time_t

import sys
from collections.abc import MutableMapping

from siphon_http._core.ascii cimport is_field_vchar, is_token, is_upper, to_lower
from siphon_http._core.clock cimport wall_second
from siphon_http._core.digits cimport write_date, write_decimal

__all__ = ["Headers", "check_name", "check_value", "serialise_head"]


cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(dict table, object key) except? NULL


# Status lines, written once at import and only read afterwards. Index: status - 200.
cdef char STATUS_LINES[400][64]
cdef int STATUS_SIZES[400]

# The registry's names of status codes: of that one and those that follow (RFC 9110, 18.3). `http` is slow to import.
cdef tuple REASONS = (
    b"200 OK|Created|Accepted|Non-Authoritative Information|No Content|Reset Content|Partial Content|Multi-Status|"
    b"Already Reported", b"226 IM Used",
    b"300 Multiple Choices|Moved Permanently|Found|See Other|Not Modified|Use Proxy",
    b"307 Temporary Redirect|Permanent Redirect",
    b"400 Bad Request|Unauthorized|Payment Required|Forbidden|Not Found|Method Not Allowed|Not Acceptable|"
    b"Proxy Authentication Required|Request Timeout|Conflict|Gone|Length Required|Precondition Failed|Content Too Large|"
    b"URI Too Long|Unsupported Media Type|Range Not Satisfiable|Expectation Failed|I'm a Teapot",
    b"421 Misdirected Request|Unprocessable Content|Locked|Failed Dependency|Too Early|Upgrade Required",
    b"428 Precondition Required|Too Many Requests", b"431 Request Header Fields Too Large",
    b"451 Unavailable For Legal Reasons",
    b"500 Internal Server Error|Not Implemented|Bad Gateway|Service Unavailable|Gateway Timeout|"
    b"HTTP Version Not Supported|Variant Also Negotiates|Insufficient Storage|Loop Detected",
    b"510 Not Extended|Network Authentication Required",
)


cdef int _write_status_lines() except -1:
    cdef int status
    cdef bytes reason
    known = {first + i: reason for one in REASONS for first in (int(one[:3]),) for i, reason in enumerate(one[4:].split(b"|"))}
    for status in range(200, 600):
        reason = known.get(status, b"")     # of 31 bytes at most
        STATUS_SIZES[status - 200] = snprintf(STATUS_LINES[status - 200], 64, "HTTP/1.1 %d %s\r\n", status, <char*> reason)
    return 0


_write_status_lines()


cdef str CONTENT_TYPE = "content-type"
cdef dict COMMON_NAMES = {}     # names that answers often have, as people write them: in lower case; never changed


def _common_names():
    for name in (
        "Accept-Ranges", "Access-Control-Allow-Origin", "Allow", "Cache-Control", "Connection", "Content-Disposition",
        "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "Date", "ETag", "Expires",
        "Last-Modified", "Location", "Retry-After", "Server", "Set-Cookie", "Vary", "WWW-Authenticate", "X-Request-Id",
    ):
        lower = sys.intern(name.lower())
        COMMON_NAMES[sys.intern(name)] = COMMON_NAMES[sys.intern(name.title())] = lower


_common_names()


cdef inline bint _name_equals(const char* data, const char* lower, Py_ssize_t size) noexcept nogil:
    """Compare without regard to case; `lower` is lower case."""
    cdef Py_ssize_t i
    for i in range(size):
        if to_lower(<unsigned char> data[i]) != <unsigned char> lower[i]:
            return False
    return True


cdef struct Field:
    const char* name        # in the block
    Py_ssize_t name_size    # bytes
    const char* value       # without white space around it
    Py_ssize_t value_size   # bytes


cdef const char* _next_field(const char* at, const char* end, Field* field) noexcept nogil:
    """Read one line of a block that the parser has accepted; return where the next begins, or NULL at the end."""
    cdef const char* stop
    cdef const char* colon
    if at >= end:
        return NULL
    stop = <const char*> memchr(at, c"\n", end - at)
    if stop == NULL:
        return NULL
    colon = <const char*> memchr(at, c":", stop - at)
    if colon == NULL:
        return NULL
    field.name = at
    field.name_size = colon - at
    colon += 1
    at = stop + 1
    if stop > colon and stop[-1] == c"\r":
        stop -= 1
    while colon < stop and (colon[0] == c" " or colon[0] == c"\t"):
        colon += 1
    while stop > colon and (stop[-1] == c" " or stop[-1] == c"\t"):
        stop -= 1
    field.value = colon
    field.value_size = stop - colon
    return at


cdef object find_field(const char* block, Py_ssize_t length, const char* name, Py_ssize_t size):
    """Return the value of `name` (lower case) in `block`, repeats joined (RFC 9110, 5.3; RFC 9113, 8.2.3), or None."""
    cdef const char* at = block
    cdef const char* end = block + length
    cdef Field field
    cdef object found = None
    while True:
        at = _next_field(at, end, &field)
        if at == NULL:
            return found
        if field.name_size == size and _name_equals(field.name, name, size):
            value = PyUnicode_DecodeLatin1(field.value, field.value_size, NULL)
            if found is None:
                found = value
            elif size == 6 and memcmp(name, b"cookie", 6) == 0:
                found = f"{found}; {value}"
            else:
                found = f"{found}, {value}"


cdef dict field_dict(const char* block, Py_ssize_t length):
    """Return all fields of `block`, lower-case names to values, repeats joined."""
    cdef const char* at = block
    cdef const char* end = block + length
    cdef Field field
    cdef dict out = {}
    cdef str name
    while True:
        at = _next_field(at, end, &field)
        if at == NULL:
            return out
        name = PyUnicode_DecodeLatin1(field.name, field.name_size, NULL).lower()
        value = PyUnicode_DecodeLatin1(field.value, field.value_size, NULL)
        if name in out:
            value = out[name] + ("; " if name == "cookie" else ", ") + value
        out[name] = value


cpdef str check_name(object name):
    """Return `name` in lower case.

    Raises:
        TypeError: not a str. ValueError: not a token (RFC 9110, 5.1).
    """
    cdef Py_ssize_t i, size
    cdef const unsigned char* data
    cdef PyObject* known
    cdef bint upper = False
    if type(name) is not str:
        if not isinstance(name, str):
            raise TypeError(f"a header name is a str, not {type(name).__name__}")
        name = str.__str__(name)    # of a StrEnum and the like the value, whatever its own __str__ says
    size = PyUnicode_GET_LENGTH(<PyObject*> name)
    if size == 0 or PyUnicode_KIND(<PyObject*> name) != 1:
        raise ValueError(f"header name {_shown(name)} is not a token")
    data = <const unsigned char*> PyUnicode_DATA(<PyObject*> name)
    if size == 12 and (memcmp(data, b"content-type", 12) == 0 or memcmp(data, b"Content-Type", 12) == 0):
        return CONTENT_TYPE     # nearly every answer has it
    for i in range(size):
        if not is_token(data[i]):
            raise ValueError(f"header name {_shown(name)} is not a token")
        upper |= is_upper(data[i])
    if not upper:
        return <str> name
    known = PyDict_GetItemWithError(COMMON_NAMES, name)
    return name.lower() if known == NULL else <str> <object> known


cpdef str check_value(object value):
    """Return `value` without white space around it.

    Raises:
        TypeError: not a str. ValueError: CR, LF, NUL or another control character in it, or beyond latin-1
            (RFC 9110, 5.5).
    """
    cdef Py_UCS4 character
    if type(value) is not str:
        if not isinstance(value, str):
            raise TypeError(f"a header value is a str, not {type(value).__name__}")
        value = str.__str__(value)
    if is_clean_value(<PyObject*> value):
        return <str> value
    if PyUnicode_KIND(<PyObject*> value) != 1:
        raise ValueError(f"header value {_shown(value)} has a character beyond latin-1: percent-encode it, or see RFC 8187")
    for character in <str> value:
        if not is_field_vchar(<unsigned char> character):
            raise ValueError(f"header value {_shown(value)} has the control character {character!r}")
    return value.strip(" \t")


cdef str _shown(object text):
    """Shorten what a message quotes."""
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


@cython.final
cdef class Headers:
    """Fields of an answer: a mapping of lower-case names, live, and checked on every change.

    Reading takes any case. Repeated fields read joined with ", "; `getlist` keeps all. `set-cookie`, which cannot be
    joined (RFC 9110, 5.3), reads as its first value.
    """

    def __cinit__(self):
        self.fields = []

    def __getitem__(self, name):
        cdef list found = self.getlist(name)
        if not found:
            raise KeyError(name)
        if len(found) == 1 or str(name).lower() == "set-cookie":
            return found[0]
        return ", ".join(found)

    def __setitem__(self, name, value):
        cdef str key = check_name(name)
        cdef list values = _values(value)
        cdef Py_ssize_t at = _place(self.fields, key)
        _discard(self.fields, key)
        for one in reversed(values):
            self.fields[at:at] = (key, one)

    def __delitem__(self, name):
        cdef Py_ssize_t before = len(self.fields)
        if isinstance(name, str):
            _discard(self.fields, name.lower())
        if len(self.fields) == before:
            raise KeyError(name)

    def __contains__(self, name):
        return isinstance(name, str) and name.lower() in self.fields[::2]

    def __iter__(self):
        return iter(dict.fromkeys(self.fields[::2]))

    def __len__(self):
        return len(set(self.fields[::2]))

    def __eq__(self, other):
        if isinstance(other, Headers):
            return self.fields == (<Headers> other).fields
        if isinstance(other, dict):
            return dict(self.items()) == {str(k).lower(): v for k, v in other.items()}
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"Headers({self.pairs()!r})"

    def get(self, name, default=None):
        """Return the value of `name`, or `default`."""
        return self[name] if name in self else default

    def getlist(self, name):
        """Return all values of `name` in order, as a list of str."""
        if not isinstance(name, str):
            return []
        name = name.lower()
        return [self.fields[i + 1] for i in range(0, len(self.fields), 2) if self.fields[i] == name]

    def add(self, name, value):
        """Append a field, beside those of the same name."""
        self.fields += (check_name(name), check_value(value))

    def pairs(self):
        """Return all fields in order, as a list of (name, value)."""
        return list(zip(self.fields[::2], self.fields[1::2]))

    def items(self):
        """Return (name, value) for each name; repeats joined."""
        return [(name, self[name]) for name in self]

    def keys(self):
        """Return the names, each once."""
        return list(self)

    def values(self):
        """Return the value for each name; repeats joined."""
        return [self[name] for name in self]

    def pop(self, name, *default):
        """Remove `name` and return its value; `default`, or KeyError, when it is not there."""
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def setdefault(self, name, default=""):
        """Return the value of `name`, set to `default` first when it is not there."""
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, other=(), /, **more):
        """Set every field of `other`, a mapping or pairs."""
        for name, value in (other.items() if hasattr(other, "items") else other):
            self[name] = value
        for name, value in more.items():
            self[name] = value

    def clear(self):
        """Remove all fields."""
        self.fields.clear()

    def popitem(self):
        """Remove the last name with its value."""
        if not self.fields:
            raise KeyError("no fields")
        name = self.fields[-2]
        return name, self.pop(name)


MutableMapping.register(Headers)


cdef list _values(object value):
    if isinstance(value, (list, tuple)):
        return [check_value(one) for one in value]
    return [check_value(value)]


cdef Py_ssize_t _place(list fields, str name):
    """Return the place of the first field `name`, or the end."""
    cdef Py_ssize_t i
    for i in range(0, len(fields), 2):
        if fields[i] == name:
            return i
    return len(fields)


cdef int _discard(list fields, str name) except -1:
    cdef Py_ssize_t i
    for i in range(len(fields) - 2, -1, -2):
        if fields[i] == name:
            del fields[i:i + 2]
    return 0


cdef char* _write_fields(char* p, list fields, Py_ssize_t count, int flags, bint* dated) except NULL:
    """Write checked fields, but those that frame the message; there is room. Returns the place behind them."""
    cdef Py_ssize_t i, name_size, value_size
    cdef const char* name
    cdef PyObject* value
    for i in range(0, count, 2):
        name = <const char*> PyUnicode_DATA(PyList_GET_ITEM(fields, i))
        name_size = PyUnicode_GET_LENGTH(PyList_GET_ITEM(fields, i))
        value = PyList_GET_ITEM(fields, i + 1)
        if name_size == 14 and memcmp(name, b"content-length", 14) == 0:
            continue
        if name_size == 17 and memcmp(name, b"transfer-encoding", 17) == 0:
            continue
        if name_size == 10 and memcmp(name, b"connection", 10) == 0 and flags & (HEAD_CLOSE | HEAD_KEEP_ALIVE):
            continue
        if name_size == 4 and memcmp(name, b"date", 4) == 0:
            dated[0] = True
        value_size = PyUnicode_GET_LENGTH(value)
        memcpy(p, name, name_size)
        p += name_size
        p[0] = c":"
        p[1] = c" "
        p += 2
        memcpy(p, PyUnicode_DATA(value), value_size)
        p += value_size
        p[0] = c"\r"
        p[1] = c"\n"
        p += 2
    return p


@cython.final
cdef class OutBuffer:
    """Bytes on their way out, one buffer per loop; it is empty between two reads.

    Belongs to one thread. A head that cannot be written leaves the buffer as it was.
    """

    def __cinit__(self):
        self.data = NULL
        self.size = 0
        self.capacity = 0
        self.owner = None
        self.date_second = 0

    def __dealloc__(self):
        free(self.data)

    cdef int _grow(self, Py_ssize_t wanted) except -1:
        cdef Py_ssize_t capacity = self.capacity or 4096
        cdef char* grown
        while capacity < wanted:
            capacity *= 2
        grown = <char*> realloc(self.data, capacity)
        if grown == NULL:
            raise MemoryError
        self.data = grown
        self.capacity = capacity
        return 0

    cdef int head(self, int status, list fields, Py_ssize_t length, int flags) except -1:
        """Append the head of an answer (RFC 9112, section 4).

        status: 200 to 599. fields: flat list of checked names and values, or None. length: bytes of content. flags:
        HeadFlags. Content-Length, Transfer-Encoding and Connection are written from what is true; a script's own are
        left out here (dispatch has compared them with the content).
        """
        cdef Py_ssize_t i
        cdef Py_ssize_t total = 256
        cdef Py_ssize_t count = 0 if fields is None else len(fields)
        cdef bint dated = False
        cdef char* p
        cdef time_t now
        for i in range(count):
            total += PyUnicode_GET_LENGTH(PyList_GET_ITEM(fields, i)) + 4
        p = self.room(total)
        memcpy(p, STATUS_LINES[status - 200], 64)      # all of the row: a size that is known costs less than a call
        p += STATUS_SIZES[status - 200]
        p = _write_fields(p, fields, count, flags, &dated)
        if flags & HEAD_CHUNKED:
            memcpy(p, b"transfer-encoding: chunked\r\n", 28)
            p += 28
        elif not flags & HEAD_NO_LENGTH:
            memcpy(p, b"content-length: ", 16)
            p += 16
            p += write_decimal(length, p)
            p[0] = c"\r"
            p[1] = c"\n"
            p += 2
        if not dated:
            now = wall_second()
            if now != self.date_second:
                write_date(now, self.date)
                self.date_second = now
            memcpy(p, self.date, 37)
            p += 37
        if flags & HEAD_CLOSE:
            memcpy(p, b"connection: close\r\n", 19)
            p += 19
        elif flags & HEAD_KEEP_ALIVE:
            memcpy(p, b"connection: keep-alive\r\n", 24)
            p += 24
        p[0] = c"\r"
        p[1] = c"\n"
        self.size = p + 2 - self.data
        return 0

    cdef bytes take(self):
        """Return what is in the buffer and empty it."""
        cdef bytes out = PyBytes_FromStringAndSize(self.data, self.size)
        self.size = 0
        self.owner = None
        # One large answer must not hold its memory for ever.
        if self.capacity > 262144:
            free(self.data)
            self.data = NULL
            self.capacity = 0
        return out


def serialise_head(int status, list fields, Py_ssize_t length, int flags=0):
    """Return the head of an answer as bytes: `OutBuffer.head` for tests and benchmarks.

    fields: flat list of names and values, checked here.
    """
    cdef OutBuffer out = OutBuffer()
    cdef list checked = []
    if not 200 <= status <= 599:
        raise ValueError(f"status {status} is not within 200 to 599")
    for i in range(0, len(fields), 2):
        checked += (check_name(fields[i]), check_value(fields[i + 1]))
    out.head(status, checked, length, flags)
    return out.take()
