"""The head of an HTTP/1.1 answer: where its parts are, and how what follows is framed (RFC 9112, sections 4 to 6).

httptools judges every head; this scan comes first, cuts the head out of the stream, and adds what httptools does not
enforce: line ends, limits, Transfer-Encoding and Content-Length rules.
"""

from libc.string cimport memchr, memcmp, memset

from siphon_http._core.ascii cimport is_digit, is_token, to_lower

__all__ = ["inspect_answer"]


cdef struct Notes:
    # Fields that frame the message, as met.
    int lengths             # how many Content-Length
    int codings             # how many Transfer-Encoding
    const char* length      # value of the last Content-Length; NULL = none
    Py_ssize_t length_size  # bytes of it
    bint chunked            # the coding is "chunked" and nothing else


cdef inline bint _same(const char* data, const char* lower, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        if to_lower(<unsigned char> data[i]) != <unsigned char> lower[i]:
            return False
    return True


cdef inline AnswerResult _refuse(AnswerHead* head, const char* reason) noexcept nogil:
    head.reason = reason
    return ANSWER_REFUSED


cdef AnswerResult _status_line(const char* line, Py_ssize_t size, AnswerHead* head) noexcept nogil:
    """HTTP/1.1 SP 3DIGIT [ SP reason ] (RFC 9112, 4); a missing reason and its space are let through, as everywhere."""
    if size < 12 or memcmp(line, b"HTTP/1.", 7) != 0 or line[8] != c" ":
        return _refuse(head, b"the answer does not begin with an HTTP/1.1 status line")
    if line[7] == c"1":
        head.version = 11
    elif line[7] == c"0":
        head.version = 10
    else:
        return _refuse(head, b"the answer has a version other than 1.0 and 1.1")
    if not (is_digit(<unsigned char> line[9]) and is_digit(<unsigned char> line[10])
            and is_digit(<unsigned char> line[11])) or size > 12 and line[12] != c" ":
        return _refuse(head, b"the status is not three digits")
    head.status = (line[9] - 48) * 100 + (line[10] - 48) * 10 + line[11] - 48
    if head.status < 100 or head.status > 599:
        return _refuse(head, b"the status is not within 100 to 599")
    return ANSWER_DONE


cdef void _connection(const char* value, Py_ssize_t size, AnswerHead* head) noexcept nogil:
    """Read the options of a Connection field (RFC 9110, 7.6.1)."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t start
    if size == 10 and _same(value, b"keep-alive", 10):
        head.keep = True
        return
    if size == 5 and _same(value, b"close", 5):
        head.close = True
        return
    head.odd = True
    while i < size:
        while i < size and not is_token(<unsigned char> value[i]):
            i += 1
        start = i
        while i < size and is_token(<unsigned char> value[i]):
            i += 1
        if i - start == 5 and _same(value + start, b"close", 5):
            head.close = True
        elif i - start == 10 and _same(value + start, b"keep-alive", 10):
            head.keep = True


cdef int _keep_seconds(const char* value, Py_ssize_t size) noexcept nogil:
    """Return N of "timeout=N", or -1."""
    cdef Py_ssize_t i = 0
    cdef int seconds = 0
    while i + 8 < size and not _same(value + i, b"timeout=", 8):
        i += 1
    if i + 8 >= size:
        return -1
    i += 8
    if not is_digit(<unsigned char> value[i]):
        return -1
    while i < size and is_digit(<unsigned char> value[i]) and seconds < 100000:
        seconds = seconds * 10 + (value[i] - 48)
        i += 1
    return seconds


cdef void _field(const char* line, const char* stop, AnswerHead* head, Notes* notes) noexcept nogil:
    """Note a field that frames the message; line[0:stop] without its CR LF."""
    cdef const char* value
    cdef Py_ssize_t name_size, size
    cdef const char* colon = <const char*> memchr(line, c":", stop - line)
    if colon == NULL:
        return      # for httptools to judge
    name_size = colon - line
    if name_size != 10 and name_size != 14 and name_size != 17 and name_size != 16:
        return
    value = colon + 1
    while value < stop and (value[0] == c" " or value[0] == c"\t"):
        value += 1
    while stop > value and (stop[-1] == c" " or stop[-1] == c"\t"):
        stop -= 1
    size = stop - value
    if name_size == 10:
        if _same(line, b"connection", 10):
            _connection(value, size, head)
        elif _same(line, b"keep-alive", 10):
            head.keep_seconds = _keep_seconds(value, size)
    elif name_size == 14 and _same(line, b"content-length", 14):
        notes.lengths += 1
        notes.length = value
        notes.length_size = size
    elif name_size == 17 and _same(line, b"transfer-encoding", 17):
        notes.codings += 1
        notes.chunked = size == 7 and _same(value, b"chunked", 7)
    elif name_size == 16 and _same(line, b"proxy-connection", 16):
        head.odd = True     # httptools takes it for Connection


cdef AnswerResult _judge(AnswerHead* head, Notes* notes) noexcept nogil:
    """Judge what the fields say together (RFC 9112, 6.1 to 6.3)."""
    cdef Py_ssize_t i
    if notes.codings:
        if notes.lengths:
            return _refuse(head, b"both Transfer-Encoding and Content-Length")
        if notes.codings > 1 or not notes.chunked:
            return _refuse(head, b"a Transfer-Encoding other than chunked")
        if head.version == 10:
            return _refuse(head, b"Transfer-Encoding in an HTTP/1.0 answer")
        head.length = ANSWER_CHUNKED
    elif notes.lengths:
        if notes.lengths > 1:
            return _refuse(head, b"more than one Content-Length")
        if notes.length_size == 0 or notes.length_size > 18:
            return _refuse(head, b"Content-Length is not valid")
        head.length = 0
        for i in range(notes.length_size):
            if not is_digit(<unsigned char> notes.length[i]):
                return _refuse(head, b"Content-Length is not valid")
            head.length = head.length * 10 + (notes.length[i] - 48)
    return ANSWER_DONE


cdef AnswerResult scan_answer(
        const char* data, Py_ssize_t size, Py_ssize_t max_bytes, int max_fields, AnswerHead* head) noexcept nogil:
    """Scan data[0:size] for one head; see the header file."""
    cdef Notes notes
    cdef const char* end = data + size
    cdef const char* line = data
    cdef const char* stop = NULL
    cdef int count = -1
    memset(head, 0, sizeof(AnswerHead))
    memset(&notes, 0, sizeof(Notes))
    head.length = ANSWER_NO_LENGTH
    head.keep_seconds = -1
    if memcmp(data, b"HTTP/1.", min(size, 7)) != 0:
        return _refuse(head, b"the answer does not begin with an HTTP/1.1 status line")
    while True:
        stop = <const char*> memchr(line, c"\n", end - line) if line < end else NULL
        if (end if stop == NULL else stop + 1) - data > max_bytes:
            return _refuse(head, b"the head of the answer is too large")
        if stop == NULL:
            return ANSWER_MORE
        if stop == line or stop[-1] != c"\r":
            return _refuse(head, b"a line of the head does not end in CR LF")
        if count < 0:
            if _status_line(line, stop - 1 - line, head) != ANSWER_DONE:
                return ANSWER_REFUSED
            head.fields = stop + 1 - data
        elif stop - line == 1:
            break
        elif line[0] == c" " or line[0] == c"\t":
            return _refuse(head, b"a folded field line")
        else:
            _field(line, stop - 1, head, &notes)
        count += 1
        if count > max_fields:
            return _refuse(head, b"the head of the answer has too many fields")
        line = stop + 1
    head.fields_end = line - data
    head.size = stop + 1 - data
    return _judge(head, &notes)


def inspect_answer(bytes data, Py_ssize_t max_bytes=65536, int max_fields=256):
    """Return `(result, facts)` of scanning `data`: 0 = more is needed, 1 = complete, -1 = refused; for tests."""
    cdef AnswerHead head
    cdef const char* raw = data
    cdef int result = scan_answer(raw, len(data), max_bytes, max_fields, &head)
    cdef bint refused = head.reason != NULL
    if not refused:
        head.reason = b""
    facts = dict(head)
    facts["reason"] = (<bytes> head.reason).decode("ascii") if refused else None
    return result, facts
