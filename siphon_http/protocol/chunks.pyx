"""Where a chunked body ends (RFC 9112, 7.1), and limits that httptools does not have.

The scan does not judge syntax in depth: httptools is fed exactly the bytes found here, and both must agree on where the
body ends, or the message is refused.
"""

from libc.string cimport memset

from siphon_http._core.ascii cimport hex_value

__all__ = ["measure_chunks"]

cdef int MAX_SIZE_DIGITS = 15
cdef int MAX_EXTENSION_BYTES = 4096     # of one message; nothing uses them, an attacker might


cdef inline int _refuse(ChunkScan* scan, int status, const char* reason) noexcept nogil:
    scan.reason = reason
    return -status


cdef inline int _size_byte(ChunkScan* scan, unsigned char c, Py_ssize_t cap) noexcept nogil:
    """Take one byte of a chunk's size line; 0, or minus the status of a refusal."""
    cdef int digit
    if scan.state == CHUNK_SIZE:
        digit = hex_value(c)
        if digit >= 0:
            scan.digits += 1
            if scan.digits > MAX_SIZE_DIGITS:
                return _refuse(scan, 400, b"a chunk size has too many digits")
            scan.left = scan.left * 16 + digit
            return 0
        if scan.digits == 0:
            return _refuse(scan, 400, b"a chunk has no size")
        if scan.left > cap - scan.total:
            return _refuse(scan, 413, b"content too large")
        if c == c"\r":
            scan.state = CHUNK_SIZE_LF
        elif c == c";":
            scan.extras += 1
            scan.state = CHUNK_EXTENSION
        else:
            return _refuse(scan, 400, b"a chunk size is malformed")
    elif scan.state == CHUNK_EXTENSION:
        scan.extras += 1
        if scan.extras > MAX_EXTENSION_BYTES:
            return _refuse(scan, 400, b"chunk extensions are too large")
        if c == c"\r":
            scan.state = CHUNK_SIZE_LF
        elif c == c"\n":
            return _refuse(scan, 400, b"a chunk line does not end in CR LF")
    else:
        if c != c"\n":
            return _refuse(scan, 400, b"a chunk line does not end in CR LF")
        scan.total += scan.left
        scan.digits = 0
        scan.state = CHUNK_DATA if scan.left else TRAILER_START
    return 0


cdef inline int _trailer_byte(ChunkScan* scan, unsigned char c, int max_bytes, int max_lines) noexcept nogil:
    """Take one byte of the trailer section; 0, or minus the status of a refusal."""
    scan.trailer_bytes += 1
    if scan.trailer_bytes > max_bytes:
        return _refuse(scan, 431, b"the trailer section is too large")
    if scan.state == TRAILER_START:
        if c == c"\r":
            scan.state = FINAL_LF
            return 0
        scan.trailer_lines += 1
        if scan.trailer_lines > max_lines:
            return _refuse(scan, 431, b"the trailer section has too many fields")
        if c == c"\n" or c == c" " or c == c"\t":
            return _refuse(scan, 400, b"a trailer line is malformed")
        scan.state = TRAILER_LINE
    elif scan.state == TRAILER_LINE:
        if c == c"\r":
            scan.state = TRAILER_LF
        elif c == c"\n":
            return _refuse(scan, 400, b"a trailer line does not end in CR LF")
    elif c != c"\n":
        return _refuse(scan, 400, b"a trailer line does not end in CR LF")
    else:
        scan.state = TRAILER_START
    return 0


cdef Py_ssize_t scan_chunks(ChunkScan* scan, const char* data, Py_ssize_t size, Py_ssize_t cap,
                            int max_trailer_bytes, int max_trailer_lines) noexcept nogil:
    """Advance over data[0:size]; see the header file."""
    cdef Py_ssize_t i = 0
    cdef unsigned char c
    cdef int refusal = 0
    while i < size:
        if scan.state == CHUNK_DATA:
            if size - i < scan.left:
                scan.left -= size - i
                return size
            i += scan.left
            scan.left = 0
            scan.state = CHUNK_DATA_CR
            continue
        c = <unsigned char> data[i]
        i += 1
        if scan.state <= CHUNK_SIZE_LF:
            refusal = _size_byte(scan, c, cap)
        elif scan.state == CHUNK_DATA_CR:
            if c != c"\r":
                return _refuse(scan, 400, b"a chunk is longer than its size")
            scan.state = CHUNK_DATA_LF
        elif scan.state == CHUNK_DATA_LF:
            if c != c"\n":
                return _refuse(scan, 400, b"a chunk does not end in CR LF")
            scan.state = CHUNK_SIZE
        elif scan.state == FINAL_LF:
            if c != c"\n":
                return _refuse(scan, 400, b"the trailer section does not end in CR LF")
            scan.state = CHUNKS_DONE
            return i
        else:
            refusal = _trailer_byte(scan, c, max_trailer_bytes, max_trailer_lines)
        if refusal:
            return refusal
    return i


def measure_chunks(bytes data, Py_ssize_t cap, int max_trailer_bytes=65536, int max_trailer_lines=128):
    """Return `(bytes of the body in data, whether it ended, content announced)`; negative: refusal. For tests."""
    cdef ChunkScan scan
    memset(&scan, 0, sizeof(ChunkScan))
    cdef const char* raw = data
    cdef Py_ssize_t used = scan_chunks(&scan, raw, len(data), cap, max_trailer_bytes, max_trailer_lines)
    return used, scan.state == CHUNKS_DONE, scan.total
