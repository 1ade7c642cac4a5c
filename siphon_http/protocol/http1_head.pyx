"""The head of an HTTP/1.1 request: where its parts are, and what RFC 9112 asks beyond the parser.

httptools judges every head; this scan comes first, cuts the head out of the stream, and adds what httptools does not
enforce: one space on each side of the target, Host, Transfer-Encoding and Content-Length rules, limits. It never
accepts what httptools refuses, since both must agree.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcmp, memcpy, memset

from siphon_http._core.ascii cimport hex_value, is_digit, is_reg_name, is_target, is_token, to_lower
from siphon_http._core.message cimport Request

__all__ = ["inspect_head"]

cdef str GET = "GET"
cdef str POST = "POST"
cdef int EMPTY_LINES = 8    # bytes of empty lines skipped before a request line (RFC 9112, 2.2)

cdef extern from "<arpa/inet.h>" nogil:
    int AF_INET6
    int inet_pton(int family, const char* text, void* address)


cdef struct Notes:
    # Fields that frame or route the message, as met.
    int hosts                   # how many Host
    int lengths                 # how many Content-Length
    int codings                 # how many Transfer-Encoding
    const char* host            # value of the last Host; NULL = none
    Py_ssize_t host_size        # bytes of it
    const char* length          # value of the last Content-Length; NULL = none
    Py_ssize_t length_size      # bytes of it
    const char* coding          # value of the last Transfer-Encoding; NULL = none
    Py_ssize_t coding_size      # bytes of it
    bint bad_expect             # Expect says something that we do not know


cdef inline bint _same(const char* data, const char* lower, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        if to_lower(<unsigned char> data[i]) != <unsigned char> lower[i]:
            return False
    return True


cdef inline int _refuse(Head* head, int status, const char* reason) noexcept nogil:
    head.reason = reason
    return status


cdef bint _is_address(const char* data, Py_ssize_t size) noexcept nogil:
    """What stands between "[" and "]": IPv6 without a zone, or IPvFuture (RFC 3986, 3.2.2)."""
    cdef char[48] text
    cdef char[16] address
    cdef Py_ssize_t i = 1
    if size > 3 and to_lower(<unsigned char> data[0]) == c"v":
        while i < size and hex_value(<unsigned char> data[i]) >= 0:
            i += 1
        if i == 1 or i + 1 >= size or data[i] != c".":
            return False
        for i in range(i + 1, size):
            if data[i] != c":" and not is_reg_name(<unsigned char> data[i]):
                return False
        return True
    if size > 45 or memchr(data, 0, size) != NULL:
        return False
    memcpy(text, data, size)
    text[size] = 0
    return inet_pton(AF_INET6, text, address) == 1


cdef bint _is_authority(const char* data, Py_ssize_t size, bint may_be_empty) noexcept nogil:
    """uri-host [ ":" port ] (RFC 9110, 7.2; RFC 3986, 3.2.2); no userinfo."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t port
    cdef long number = 0
    if size == 0:
        return may_be_empty
    if data[0] == c"[":
        while i < size and data[i] != c"]":
            i += 1
        if i == size or not _is_address(data + 1, i - 1):
            return False
        i += 1
    else:
        while True:
            while i < size and is_reg_name(<unsigned char> data[i]):
                i += 1
            if i == size or data[i] == c":":
                break
            if data[i] == c"%" and i + 2 < size and hex_value(<unsigned char> data[i + 1]) >= 0 \
                    and hex_value(<unsigned char> data[i + 2]) >= 0:
                i += 3
            else:
                return False
        if i == 0:
            return False
    if i == size:
        return True
    if data[i] != c":":
        return False
    port = i + 1
    for i in range(port, size):
        if not is_digit(<unsigned char> data[i]):
            return False
        number = number * 10 + (data[i] - c"0")
        if number > 65535:
            return False
    return True


cdef bint _is_known_method(const char* method, Py_ssize_t size) noexcept nogil:
    """Methods that go to the parser as they are; any other is shown to it as POST, which is framed alike."""
    if size == 3:
        return memcmp(method, b"GET", 3) == 0 or memcmp(method, b"PUT", 3) == 0
    if size == 4:
        return memcmp(method, b"POST", 4) == 0 or memcmp(method, b"HEAD", 4) == 0
    if size == 5:
        return memcmp(method, b"PATCH", 5) == 0
    if size == 6:
        return memcmp(method, b"DELETE", 6) == 0
    if size == 7:
        return memcmp(method, b"OPTIONS", 7) == 0
    return False


cdef int _target(const char* data, Head* head) noexcept nogil:
    """Read the request target (RFC 9112, 3.2): set its form and parts."""
    cdef Py_ssize_t i
    cdef Py_ssize_t start = head.target
    cdef Py_ssize_t end = head.target_end
    cdef const char* mark
    if start == end:
        return _refuse(head, 400, b"the request target is empty")
    for i in range(start, end):
        if not is_target(<unsigned char> data[i]):
            return _refuse(head, 400, b"the request target has a fragment, or a byte that must be percent-encoded")
    head.path = start
    head.authority = head.authority_end = start
    if data[start] == c"/":
        head.form = FORM_ORIGIN
    elif end - start == 1 and data[start] == c"*":
        head.form = FORM_ASTERISK
        if not (head.method_end == 7 and memcmp(data, b"OPTIONS", 7) == 0):
            return _refuse(head, 400, b"the target * is for OPTIONS")
    elif end - start > 7 and _same(data + start, b"http://", 7) or end - start > 8 and _same(data + start, b"https://", 8):
        head.form = FORM_ABSOLUTE
        start += 7 if data[start + 4] == c":" else 8
        i = start
        while i < end and data[i] != c"/" and data[i] != c"?":
            i += 1
        if not _is_authority(data + start, i - start, False):
            return _refuse(head, 400, b"the authority of the request target is not valid")
        head.authority = start
        head.authority_end = i
        head.path = i
    else:
        return _refuse(head, 400, b"the request target has no form that is known here")
    mark = <const char*> memchr(data + head.path, c"?", end - head.path)
    if mark == NULL:
        head.path_end = head.query = head.query_end = end
    else:
        head.path_end = mark - data
        head.query = head.path_end + 1
        head.query_end = end
    return HEAD_DONE


cdef inline bint _is_connect(const char* data, Head* head) noexcept nogil:
    return head.method_end == 7 and memcmp(data, b"CONNECT", 7) == 0


cdef int _request_line(const char* data, Py_ssize_t size, Head* head) noexcept nogil:
    """Read `method SP target SP HTTP/1.x`, data[0:size] without its CR LF (RFC 9112, section 3)."""
    cdef Py_ssize_t i = 0
    cdef const char* space
    while i < size and is_token(<unsigned char> data[i]):
        i += 1
    if i == 0 or i == size or data[i] != c" ":
        return _refuse(head, 400, b"the request line has no method followed by one space")
    head.method_end = i
    head.target = i + 1
    space = <const char*> memchr(data + head.target, c" ", size - head.target)
    if space == NULL:
        return _refuse(head, 400, b"the request line has no version")
    head.target_end = space - data
    i = head.target_end + 1
    if size - i != 8 or memcmp(data + i, b"HTTP/", 5) != 0 or not is_digit(<unsigned char> data[i + 5]) \
            or data[i + 6] != c"." or not is_digit(<unsigned char> data[i + 7]):
        return _refuse(head, 400, b"the request line does not end in HTTP/1.1")
    if data[i + 5] != c"1":
        return _refuse(head, 505, b"http version not supported")
    head.version = 10 if data[i + 7] == c"0" else 11
    head.rewrite = data[i + 7] > c"1" or not _is_known_method(data, head.method_end)
    # The target of CONNECT has a form of its own; `_judge` refuses it, behind what any request must have.
    return HEAD_DONE if _is_connect(data, head) else _target(data, head)


cdef void _connection(const char* value, Py_ssize_t size, Head* head) noexcept nogil:
    """Read the options of one Connection field (RFC 9110, 7.6.1)."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t start, end
    while i < size:
        while i < size and (value[i] == c" " or value[i] == c"\t" or value[i] == c","):
            i += 1
        start = i
        while i < size and value[i] != c",":
            i += 1
        end = i
        while end > start and (value[end - 1] == c" " or value[end - 1] == c"\t"):
            end -= 1
        if end - start == 5 and _same(value + start, b"close", 5):
            head.close = True
        elif end - start == 10 and _same(value + start, b"keep-alive", 10):
            head.keep = True


cdef void _field(const char* line, Py_ssize_t size, Head* head, Notes* notes) noexcept nogil:
    """Note a field line that frames, routes or ends the message; line[0:size] without its CR LF."""
    cdef Py_ssize_t name_size, value_size
    cdef const char* value
    cdef unsigned char first = to_lower(<unsigned char> line[0])
    if first != c"h" and first != c"c" and first != c"t" and first != c"e" and first != c"u" and first != c"p":
        return
    value = <const char*> memchr(line, c":", size)
    if value == NULL:
        return      # the parser refuses it
    name_size = value - line
    value += 1
    value_size = size - name_size - 1
    while value_size > 0 and (value[0] == c" " or value[0] == c"\t"):
        value += 1
        value_size -= 1
    while value_size > 0 and (value[value_size - 1] == c" " or value[value_size - 1] == c"\t"):
        value_size -= 1
    if name_size == 4 and (line[0] | 0x20) == c"h" and (line[1] | 0x20) == c"o" and (line[2] | 0x20) == c"s" \
            and (line[3] | 0x20) == c"t":
        notes.hosts += 1
        notes.host = value
        notes.host_size = value_size
    elif name_size == 10 and _same(line, b"connection", 10):
        _connection(value, value_size, head)
    elif name_size == 14 and _same(line, b"content-length", 14):
        notes.lengths += 1
        notes.length = value
        notes.length_size = value_size
    elif name_size == 17 and _same(line, b"transfer-encoding", 17):
        notes.codings += 1
        notes.coding = value
        notes.coding_size = value_size
        if value[value_size] != c"\r":
            head.hide = True    # the parser does not know a tab behind the coding (RFC 9110, 5.6.3)
    elif name_size == 6 and _same(line, b"expect", 6):
        if value_size == 12 and _same(value, b"100-continue", 12):
            head.expects = True
        else:
            notes.bad_expect = True
    elif name_size == 7 and _same(line, b"upgrade", 7):
        head.hide = True
    elif name_size == 16 and _same(line, b"proxy-connection", 16):
        head.hide = True


cdef int _coding(Head* head, Notes* notes) noexcept nogil:
    """Judge Transfer-Encoding (RFC 9112, 6.1): `chunked` alone, once, on HTTP/1.1, without Content-Length."""
    cdef Py_ssize_t i
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t last = 0
    if notes.codings > 1:
        return _refuse(head, 400, b"Transfer-Encoding is repeated")
    if notes.lengths:
        return _refuse(head, 400, b"both Transfer-Encoding and Content-Length")
    if head.version == 10:
        return _refuse(head, 400, b"Transfer-Encoding in an HTTP/1.0 message")
    if notes.coding_size == 7 and _same(notes.coding, b"chunked", 7):
        head.length = LENGTH_CHUNKED
        return HEAD_DONE
    # Tokens and commas are codings that we do not have (501); anything else, or chunked not alone at the end, is broken.
    if notes.coding_size == 0:
        return _refuse(head, 400, b"Transfer-Encoding is empty")
    for i in range(notes.coding_size):
        if notes.coding[i] == c",":
            at = i + 1
        elif notes.coding[i] == c" " or notes.coding[i] == c"\t":
            if at == i:
                at = i + 1
        elif not is_token(<unsigned char> notes.coding[i]):
            return _refuse(head, 400, b"Transfer-Encoding is malformed")
        elif i - at == 6 and _same(notes.coding + at, b"chunked", 7):
            if i + 1 == notes.coding_size or not is_token(<unsigned char> notes.coding[i + 1]):
                last += 1
                if i + 1 != notes.coding_size or last > 1:
                    return _refuse(head, 400, b"chunked is not the last transfer coding")
    return _refuse(head, 501, b"transfer coding not implemented")


cdef int _judge(const char* data, Head* head, Notes* notes) noexcept nogil:
    """Judge what the field lines say together."""
    cdef Py_ssize_t i
    if notes.hosts > 1:
        return _refuse(head, 400, b"more than one Host")
    if notes.hosts == 0 and head.version == 11:
        return _refuse(head, 400, b"no Host")
    if notes.hosts and not _is_authority(notes.host, notes.host_size, True):
        return _refuse(head, 400, b"Host is not valid")
    if _is_connect(data, head):
        return _refuse(head, 501, b"CONNECT is not implemented")
    if notes.codings:
        i = _coding(head, notes)
        if i != HEAD_DONE:
            return i
    elif notes.lengths:
        if notes.lengths > 1:
            return _refuse(head, 400, b"more than one Content-Length")
        if notes.length_size == 0 or notes.length_size > 18:
            return _refuse(head, 400, b"Content-Length is not valid")
        head.length = 0
        for i in range(notes.length_size):
            if not is_digit(<unsigned char> notes.length[i]):
                return _refuse(head, 400, b"Content-Length is not valid")
            head.length = head.length * 10 + (notes.length[i] - c"0")
    if notes.bad_expect and head.version == 11:
        return _refuse(head, 417, b"expectation failed")
    if head.version == 10:
        head.expects = False    # RFC 9110, 10.1.1
    return HEAD_DONE


cdef int _skip_empty_lines(const char** begin, const char* end, Head* head) noexcept nogil:
    """Move `begin` behind the few empty lines that may stand before a request (RFC 9112, 2.2)."""
    cdef const char* first = begin[0]
    while begin[0] < end and begin[0][0] == c"\r":
        if begin[0] + 1 == end:
            return HEAD_MORE
        if begin[0][1] != c"\n":
            return _refuse(head, 400, b"a line does not end in CR LF")
        begin[0] += 2
        if begin[0] - first > EMPTY_LINES:
            return _refuse(head, 400, b"empty lines instead of a request")
    return HEAD_DONE


cdef int scan_head(const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, Head* head) noexcept nogil:
    """Scan data[0:size] for one head; see the header file. Cost is linear, the result does not depend on the split."""
    cdef Notes notes
    cdef const char* begin = data
    cdef const char* end = data + size
    cdef const char* line
    cdef const char* stop
    cdef int count = 0
    cdef int result
    memset(head, 0, sizeof(Head))
    memset(&notes, 0, sizeof(Notes))
    head.length = LENGTH_NONE
    if begin < end and begin[0] == c"\r":
        result = _skip_empty_lines(&begin, end, head)
        if result != HEAD_DONE:
            return result
    if begin == end:
        return HEAD_MORE
    head.skipped = begin - data
    if not is_token(<unsigned char> begin[0]):
        return _refuse(head, 400, b"a request begins with a method")
    stop = <const char*> memchr(begin, c"\n", end - begin)
    if (end if stop == NULL else stop + 1) - begin > max_bytes:
        return _refuse(head, 414, b"uri too long")
    if stop == NULL:
        return HEAD_MORE
    if stop[-1] != c"\r":
        return _refuse(head, 400, b"a line does not end in CR LF")
    result = _request_line(begin, stop - 1 - begin, head)
    if result != HEAD_DONE:
        return result
    line = stop + 1
    head.fields = line - begin
    while True:
        if end - line > 1 and line[0] == c"\r" and line[1] == c"\n":
            stop = line + 1
        else:
            stop = <const char*> memchr(line, c"\n", end - line) if line < end else NULL
        if (end if stop == NULL else stop + 1) - begin > max_bytes:
            return _refuse(head, 431, b"request header fields too large")
        if stop == NULL:
            return HEAD_MORE
        if stop == line or stop[-1] != c"\r":
            return _refuse(head, 400, b"a line does not end in CR LF")
        if stop - line == 1:
            break
        count += 1
        if count > max_fields:
            return _refuse(head, 431, b"too many request header fields")
        if line[0] == c" " or line[0] == c"\t":
            return _refuse(head, 400, b"a folded field line")
        _field(line, stop - 1 - line, head, &notes)
        line = stop + 1
    head.fields_end = line - begin
    head.size = stop + 1 - begin
    return _judge(begin, head, &notes)


cdef inline str _method(const char* data, Py_ssize_t size):
    if size == 3 and memcmp(data, b"GET", 3) == 0:
        return GET
    if size == 4 and memcmp(data, b"POST", 4) == 0:
        return POST
    return PyUnicode_DecodeASCII(data, size, NULL)


cdef Request request_of(bytes data, Py_ssize_t at, Head* head, Py_ssize_t share):
    """Make the request of a scanned head: offsets, no strings but the method; see the header file."""
    cdef Request request = Request.__new__(Request)
    cdef const char* start = PyBytes_AS_STRING(data) + at
    if PyBytes_GET_SIZE(data) > share:
        data = PyBytes_FromStringAndSize(start, head.size)
        at = 0
    request.head = data
    request.method = _method(start, head.method_end)
    request.is_head = head.method_end == 4 and memcmp(start, b"HEAD", 4) == 0
    request.version = head.version
    request.target = at + head.target
    request.target_end = at + head.target_end
    request.path = at + head.path
    request.path_end = at + head.path_end
    request.query = at + head.query
    request.query_end = at + head.query_end
    request.authority = at + head.authority
    request.authority_end = at + head.authority_end
    request.fields = at + head.fields
    request.fields_end = at + head.fields_end
    request.keep_alive = not head.close and (head.version == 11 or head.keep)
    request.has_content = head.length > 0 or head.length == LENGTH_CHUNKED
    request.expects = head.expects and request.has_content
    return request


cdef Py_ssize_t scan_ahead(const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, Ahead* ahead) noexcept nogil:
    """Scan data[0:size] for plain heads; see the header file."""
    cdef Py_ssize_t used = 0
    cdef Head* head
    ahead.next = ahead.count = 0
    while ahead.count < AHEAD_HEADS and used < size:
        head = &ahead.heads[ahead.count]
        if scan_head(data + used, size - used, max_bytes, max_fields, head) != HEAD_DONE or not is_plain_head(head):
            break
        used += head.skipped + head.size
        ahead.count += 1
    return used


cdef bytes message_for_parser(bytes message, Head* head):
    """Return a copy for the parser: method POST, version 1.1, and no Upgrade (RFC 9112, 2.3; 9110, 7.8).

    Nor Proxy-Connection: it takes that for Connection, and after "close" it would refuse the next request. Tabs behind a
    transfer coding become spaces.
    """
    cdef bytes out = PyBytes_FromStringAndSize(PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
    cdef char* line = PyBytes_AS_STRING(out) + head.fields
    cdef char* end = PyBytes_AS_STRING(out) + head.fields_end
    cdef char* stop
    cdef char* last
    if head.hide:
        while line < end:
            # Every line of the region ends in CR LF. Names that merely look alike may change too: it is a copy.
            stop = <char*> memchr(line, c"\n", end - line)
            if (line[0] | 0x20) == c"u" and stop - line > 8 and line[7] == c":":
                line[0] = c"X"
            elif (line[0] | 0x20) == c"p" and stop - line > 17 and line[16] == c":":
                line[0] = c"X"
            elif (line[0] | 0x20) == c"t":
                last = stop - 2
                while last > line and (last[0] == c"\t" or last[0] == c" "):
                    last[0] = c" "
                    last -= 1
            line = stop + 1
    if head.rewrite:
        out = b"POST " + out[head.target:head.target_end] + (
            b" HTTP/1.0" if head.version == 10 else b" HTTP/1.1") + out[head.fields - 2:]
    return out


def inspect_head(bytes data, Py_ssize_t max_bytes=65536, int max_fields=128):
    """Return `(result, facts)` of scanning `data`: 0 = more is needed, 1 = complete, else a status; for tests.

    facts: dict of the parts that were found.
    """
    cdef Head head
    cdef const char* raw = data
    cdef int result = scan_head(raw, len(data), max_bytes, max_fields, &head)
    cdef bint refused = head.reason != NULL
    cdef dict facts
    if not refused:
        head.reason = b""       # NULL would be read
    facts = dict(head)
    facts["reason"] = head.reason.decode("ascii") if refused else None
    return result, facts
