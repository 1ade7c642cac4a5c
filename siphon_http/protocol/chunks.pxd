"""Where a chunked body ends."""


cdef enum ChunkState:
    CHUNK_SIZE = 0          # hex digits
    CHUNK_EXTENSION = 1     # after ";" or white space, to the CR
    CHUNK_SIZE_LF = 2
    CHUNK_DATA = 3
    CHUNK_DATA_CR = 4
    CHUNK_DATA_LF = 5
    TRAILER_START = 6       # first byte of a trailer line, or CR of the empty line
    TRAILER_LINE = 7
    TRAILER_LF = 8
    FINAL_LF = 9
    CHUNKS_DONE = 10


cdef struct ChunkScan:
    int state               # ChunkState
    int digits              # hex digits of this size
    int extras              # bytes of extensions so far, whole message
    int trailer_bytes       # bytes of the trailer section so far
    int trailer_lines       # field lines of it so far
    Py_ssize_t left         # bytes left of this chunk
    Py_ssize_t total        # bytes of content announced so far
    const char* reason      # why it is refused, ASCII, static; NULL = it is not


# Scan data[0:size]; returns bytes that belong to the body (all, or up to its end when state is CHUNKS_DONE),
# or minus the status of a refusal (400, 413, 431).
cdef Py_ssize_t scan_chunks(ChunkScan* scan, const char* data, Py_ssize_t size, Py_ssize_t cap,
                            int max_trailer_bytes, int max_trailer_lines) noexcept nogil
