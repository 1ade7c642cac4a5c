"""h2 as the judge of one connection's frames, and the frames that are kept from it."""

from siphon_http.protocol.http2_head cimport FieldDecoder


cdef enum FrameType:        # RFC 9113, section 6
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


cdef enum FrameFlag:
    FLAG_ACK = 1            # of SETTINGS and PING
    FLAG_END_STREAM = 1     # of DATA and HEADERS
    FLAG_END_HEADERS = 4
    FLAG_PADDED = 8
    FLAG_PRIORITY = 32


cdef enum ErrorCode:        # RFC 9113, section 7
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


cdef enum:
    FRAME_HEAD = 9          # bytes before a frame's payload
    FRAME_BYTES = 16384     # largest payload we take: the default, which we do not raise; and largest DATA we send
    LAST_STREAM = 0x7fffffff


# Read four bytes in network order.
cdef unsigned int frame_number(const char* data) noexcept nogil
cdef bytes goaway_frame(unsigned int last, int code)
# A SETTINGS frame without what h2 had better not see.
cdef bytes known_settings(bytes frame)
# An h2 connection that has its first frames to send.
cdef object new_judge(int max_streams, Py_ssize_t max_header_bytes, int window, FieldDecoder decoder)
