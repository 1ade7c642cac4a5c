"""One header section of HTTP/2: its lines, where its parts are, and what RFC 9113, 8.2 and 8.3, say of it.

Fields come decoded by ours (hpack) or by h2, and are judged here either way, so that both mean the same.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy

from siphon_http._core.ascii cimport is_digit, is_field_vchar, is_target, is_token, to_lower

__all__ = ["HeaderBlock", "inspect_fields"]


cdef enum:
    SECOND_HOST = 1 << 16       # in HeaderBlock.seen, beside the bits of the kinds


# ---- what a field is


cdef inline bint _is(const unsigned char* data, const char* text, Py_ssize_t n) noexcept nogil:
    return memcmp(data, text, n) == 0


cdef unsigned int field_kind(const unsigned char* name, Py_ssize_t n) noexcept nogil:
    if n == 2 and _is(name, b"te", 2):
        return K_TE
    if n == 4 and _is(name, b"host", 4):
        return K_HOST
    if n == 6:
        return K_COOKIE if _is(name, b"cookie", 6) else K_EXPECT if _is(name, b"expect", 6) else K_PLAIN
    if n == 14 and _is(name, b"content-length", 14):
        return K_LENGTH
    if n == 7 and _is(name, b"upgrade", 7) or n == 16 and _is(name, b"proxy-connection", 16) \
            or n == 17 and _is(name, b"transfer-encoding", 17) \
            or n == 10 and (_is(name, b"connection", 10) or _is(name, b"keep-alive", 10)):
        return K_FORBIDDEN
    return K_PLAIN


cdef unsigned int name_traits(const unsigned char* name, Py_ssize_t n) noexcept nogil:
    """Return the kind of a field, and BAD_NAME when it is no lower-case token (RFC 9113, 8.2.1)."""
    cdef Py_ssize_t i
    if n == 0:
        return BAD_NAME
    if name[0] == c":":
        if n == 7:
            return K_METHOD if _is(name, b":method", 7) else K_SCHEME if _is(name, b":scheme", 7) \
                else K_STATUS if _is(name, b":status", 7) else K_UNKNOWN
        if n == 5 and _is(name, b":path", 5):
            return K_PATH
        return K_AUTHORITY if n == 10 and _is(name, b":authority", 10) else K_UNKNOWN
    for i in range(n):
        if not is_token(name[i]) or c"A" <= name[i] <= c"Z":
            return BAD_NAME
    return field_kind(name, n)


cdef inline bint _is_caseless(const unsigned char* data, const char* lower, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if to_lower(data[i]) != <unsigned char> lower[i]:
            return False
    return True


cdef unsigned int _value_traits(unsigned int kind, const unsigned char* value, Py_ssize_t n) noexcept nogil:
    """Return what is wrong with a value: BAD_VALUE (RFC 9110, 5.5; RFC 9113, 8.2.1, 8.2.2, 8.3.1), ODD_TARGET."""
    cdef Py_ssize_t i
    cdef bint good = True
    for i in range(n):
        good &= is_field_vchar(value[i])
    if not good or n and (value[0] == c" " or value[0] == c"\t" or value[n - 1] == c" " or value[n - 1] == c"\t"):
        return BAD_VALUE
    if kind == K_LENGTH:
        for i in range(n):
            good &= is_digit(value[i])
        return 0 if good and 0 < n < 19 else BAD_VALUE
    if kind == K_TE:
        return 0 if n == 8 and _is_caseless(value, b"trailers", 8) else BAD_VALUE
    if kind == K_METHOD:
        for i in range(n):
            good &= is_token(value[i])
        return 0 if good and n else BAD_VALUE
    if kind == K_SCHEME:
        return 0 if n else BAD_VALUE
    if kind == K_PATH:
        if n == 0:
            return BAD_VALUE
        for i in range(n):
            good &= is_target(value[i])
        return 0 if good else ODD_TARGET
    return 0


# ---- one header section


@cython.final
cdef class HeaderBlock:
    """One decoded header section and the verdict on it. For C code; Python sees it through `facts`."""

    def __dealloc__(self):
        free(self.data)

    def facts(self):
        """Return what was found, as a dict; for tests.

        result: "done", "malformed", "too large" or "broken"; reason; size: bytes written; when it is done, its parts.
        """
        cdef bytes head = self.head()
        cdef dict out = {
            "result": ("done", "malformed", "too large", "broken")[self.result],
            "size": self.size,
            "reason": None if self.reason == NULL else (<bytes> self.reason).decode("ascii"),
        }
        if self.result == BLOCK_DONE:
            out.update(
                method=head[self.method:self.method_end], scheme=head[self.scheme:self.scheme_end],
                authority=head[self.authority:self.authority_end], target=head[self.target:self.target_end],
                path=head[self.target:self.path_end], query=head[self.query:self.target_end],
                host=head[self.host:self.host_end], fields=head[self.fields:],
                content_length=self.content_length if self.has_length else None,
                expects=self.expects, bad_expect=self.bad_expect, bad_target=self.bad_target,
            )
        return out

    cdef bytes head(self):
        """Return the lines as bytes."""
        return PyBytes_FromStringAndSize(<const char*> self.data, self.size)

    cdef int reset(self, Py_ssize_t limit, Py_ssize_t max_fields) except -1:
        # One large section must not hold its memory for ever.
        if self.capacity > 262144:
            free(self.data)
            self.data = NULL
            self.capacity = 0
        self.size = self.fields = self.list_size = self.count = 0
        self.method = self.method_end = self.scheme = self.scheme_end = self.authority = self.authority_end = 0
        self.target = self.target_end = self.path_end = self.query = self.host = self.host_end = 0
        self.content_length = 0
        self.has_length = self.expects = self.bad_expect = self.bad_target = self.long_target = False
        self.result = BLOCK_DONE
        self.reason = NULL
        self.seen = 0
        self.limit = limit
        self.max_fields = max_fields
        self.room(512)
        return 0

    cdef unsigned char* room(self, Py_ssize_t size) except NULL:
        """Return a place for `size` more bytes. Does not change `self.size`."""
        cdef Py_ssize_t capacity = self.capacity or 2048
        cdef unsigned char* grown
        if self.capacity - self.size < size:
            while capacity - self.size < size:
                capacity *= 2
            grown = <unsigned char*> realloc(self.data, capacity)
            if grown == NULL:
                raise MemoryError
            self.data = grown
            self.capacity = capacity
        return self.data + self.size

    cdef int refuse(self, int result, const char* reason) noexcept:
        self.result = result
        self.reason = reason
        return result

    cdef int take(self, const Line* line) except -1:
        """Add one field, unless something was wrong before; count it in any case."""
        cdef Py_ssize_t total = <Py_ssize_t> line.name_size + line.value_size + 4
        cdef unsigned int kind
        cdef Py_ssize_t start, end
        self.list_size += total + 28
        if self.list_size > self.limit:
            self.long_target |= line.traits & KIND_MASK == K_PATH and <Py_ssize_t> line.value_size > self.limit
            self.refuse(BLOCK_TOO_LARGE, b"the header section is too large")
        if self.result != BLOCK_DONE:
            return 0
        kind = line.traits & KIND_MASK
        if kind < K_METHOD and not (kind == K_COOKIE and self.seen >> K_COOKIE & 1):
            self.count += 1
        if self.count > self.max_fields:
            self.refuse(BLOCK_TOO_LARGE, b"the header section has too many fields")
            return 0
        self.room(total)
        if line.data != self.data + self.size:      # a literal has been read to its place already
            memcpy(self.data + self.size, line.data, total)
        start = self.size + line.name_size + 2
        end = start + line.value_size
        self.size += total
        if line.traits & ~NEVER_INDEXED:
            if line.traits & BAD_NAME:
                self.refuse(BLOCK_MALFORMED, b"a field name is no lower-case token")
            elif line.traits & BAD_VALUE:
                self.refuse(BLOCK_MALFORMED, b"a field value is not valid")
            elif kind >= K_METHOD:
                self.bad_target |= line.traits & ODD_TARGET != 0
                self._pseudo(kind, start - line.name_size - 2, start, end)
            else:
                self._special(kind, start, end)
            self.seen |= 1u << kind
        return 0

    cdef int _pseudo(self, unsigned int kind, Py_ssize_t line, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Note a pseudo field whose line begins at `line` (RFC 9113, 8.3)."""
        if self.kind == BLOCK_ANSWER and kind != K_STATUS:
            return self.refuse(BLOCK_MALFORMED, b"a pseudo field that no answer has")
        if self.kind != BLOCK_ANSWER and kind >= K_UNKNOWN:
            return self.refuse(BLOCK_MALFORMED, b"a pseudo field that no request has")
        if self.seen >> kind & 1:
            return self.refuse(BLOCK_MALFORMED, b"a pseudo field comes twice")
        if line != self.fields:
            return self.refuse(BLOCK_MALFORMED, b"a pseudo field comes after other fields")
        self.fields = self.size
        if kind == K_STATUS:
            return self._answer_status(start, end)
        if kind == K_METHOD:
            self.method = start
            self.method_end = end
        elif kind == K_SCHEME:
            self.scheme = start
            self.scheme_end = end
        elif kind == K_AUTHORITY:
            self.authority = start
            self.authority_end = end
        else:
            self.target = start
            self.target_end = end
        return 0

    cdef int _answer_status(self, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Note the status of an answer (RFC 9113, 8.3.2): three digits, 100 to 599 (RFC 9110, 15)."""
        cdef const unsigned char* value = self.data + start
        if end - start != 3 or not c"1" <= value[0] <= c"5" or not is_digit(value[1]) or not is_digit(value[2]):
            return self.refuse(BLOCK_MALFORMED, b":status is not within 100 to 599")
        self.status = 100 * (value[0] - c"0") + 10 * (value[1] - c"0") + value[2] - c"0"
        return BLOCK_DONE

    cdef int _special(self, unsigned int kind, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Note a field that frames or routes the message."""
        cdef const unsigned char* value = self.data + start
        cdef Py_ssize_t size = end - start
        cdef Py_ssize_t i
        cdef uint64_t number = 0
        if kind == K_FORBIDDEN:
            return self.refuse(BLOCK_MALFORMED, b"a field that belongs to a connection")
        if kind == K_LENGTH:
            for i in range(size):
                number = number * 10 + (value[i] - c"0")
            if self.has_length and number != self.content_length:
                return self.refuse(BLOCK_MALFORMED, b"two content-length fields that differ")
            self.has_length = True
            self.content_length = number
        elif kind == K_HOST:
            if self.seen >> K_HOST & 1:
                self.seen |= SECOND_HOST
            self.host = start
            self.host_end = end
        elif kind == K_EXPECT and size:
            if size == 12 and _is_caseless(value, b"100-continue", 12):
                self.expects = True
            else:
                self.bad_expect = True
        return 0

    cdef bint has_authority(self) noexcept:
        """Tell whether there is an :authority, were it empty."""
        return self.seen >> K_AUTHORITY & 1

    cdef int judge(self, int kind) noexcept:
        """Judge what the fields say together; return the BlockResult."""
        cdef unsigned int seen = self.seen
        cdef Py_ssize_t size = self.authority_end - self.authority
        cdef bint connect
        cdef const unsigned char* mark
        if self.result != BLOCK_DONE:
            return self.result
        if kind == BLOCK_TRAILERS:
            if self.fields:
                return self.refuse(BLOCK_MALFORMED, b"a pseudo field among trailers")
            return BLOCK_DONE
        if kind == BLOCK_ANSWER:
            if not seen >> K_STATUS & 1:
                return self.refuse(BLOCK_MALFORMED, b"no :status")
            return BLOCK_DONE
        if seen & SECOND_HOST:
            return self.refuse(BLOCK_MALFORMED, b"more than one host")
        if not seen >> K_METHOD & 1:
            return self.refuse(BLOCK_MALFORMED, b"no :method")
        connect = self.method_end - self.method == 7 and _is(self.data + self.method, b"CONNECT", 7)
        if connect and (seen >> K_SCHEME & 1 or seen >> K_PATH & 1 or not size):
            return self.refuse(BLOCK_MALFORMED, b"CONNECT has :authority, but neither :scheme nor :path")
        if not connect and not (seen >> K_SCHEME & 1 and seen >> K_PATH & 1):
            return self.refuse(BLOCK_MALFORMED, b"no :scheme, or no :path")
        if not (seen >> K_AUTHORITY & 1 or seen >> K_HOST & 1):
            return self.refuse(BLOCK_MALFORMED, b"neither :authority nor host")
        if seen >> K_AUTHORITY & 1 and seen >> K_HOST & 1 and not (
                size == self.host_end - self.host
                and memcmp(self.data + self.authority, self.data + self.host, size) == 0):
            return self.refuse(BLOCK_MALFORMED, b"host differs from :authority")
        if not connect and self.data[self.target] != c"/" and not (
                self.data[self.target] == c"*" and self.target_end - self.target == 1
                and self.method_end - self.method == 7 and _is(self.data + self.method, b"OPTIONS", 7)):
            return self.refuse(BLOCK_MALFORMED, b":path does not begin with a slash")
        self.path_end = self.query = self.target_end
        mark = <const unsigned char*> memchr(self.data + self.target, c"?", self.target_end - self.target)
        if mark != NULL:
            self.path_end = mark - self.data
            self.query = self.path_end + 1
        return BLOCK_DONE

    cdef int load(self, list pairs, int kind, Py_ssize_t limit, Py_ssize_t max_fields) except -1:
        """Fill the block with fields that h2 has decoded, as pairs of bytes; return the BlockResult."""
        cdef Line line
        cdef bytes name, value
        self.reset(limit, max_fields)
        self.kind = kind
        for pair in pairs:
            name = pair[0]
            value = pair[1]
            line.name_size = <unsigned int> PyBytes_GET_SIZE(name)
            line.value_size = <unsigned int> PyBytes_GET_SIZE(value)
            line.data = self.room(<Py_ssize_t> line.name_size + line.value_size + 4)
            memcpy(self.data + self.size, PyBytes_AS_STRING(name), line.name_size)
            memcpy(self.data + self.size + line.name_size + 2, PyBytes_AS_STRING(value), line.value_size)
            finish_line(self.data + self.size, &line, name_traits(self.data + self.size, line.name_size))
            self.take(&line)
        return self.judge(kind)


cdef void finish_line(unsigned char* data, Line* line, unsigned int traits) noexcept nogil:
    cdef unsigned char* value = data + line.name_size + 2
    line.data = data
    value[-2] = c":"
    value[-1] = c" "
    value[line.value_size] = c"\r"
    value[line.value_size + 1] = c"\n"
    line.traits = traits | _value_traits(traits & KIND_MASK, value, line.value_size)


def inspect_fields(list pairs, bint trailers=False, Py_ssize_t limit=65536, Py_ssize_t max_fields=128):
    """Return `HeaderBlock.facts` of fields given as pairs of bytes; for tests."""
    cdef HeaderBlock block = HeaderBlock()
    block.load(pairs, BLOCK_TRAILERS if trailers else BLOCK_REQUEST, limit, max_fields)
    return block.facts()
