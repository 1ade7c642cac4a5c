"""h2 as the judge of one connection's frames (RFC 9113), and the frames that are kept from it.

h2 stops sending when it has seen or sent a GOAWAY, although streams are in flight: so ours are written here, and the
peer's are not shown to it. It keeps every setting it has ever seen and lets the peer choose how much memory its encoder
takes: so unknown settings are taken out, and the table's size is bounded.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from siphon_http.protocol.http2_head cimport FieldDecoder

__all__ = []

cdef unsigned int TABLE_BYTES = 4096    # of our encoder's dynamic table, however much the peer allows
cdef int SMALLEST_WINDOW = 65536        # of the connection
cdef int LARGEST_WINDOW = 8388608       # ... which bounds what handlers that do not read can leave lying here
cdef int INITIAL_WINDOW = 65535         # what the connection begins with; no setting changes it (RFC 9113, 6.9.2)


class Judge(H2Connection):
    """h2's connection, remembering fewer closed streams: each costs about 100 bytes for as long as we are connected."""

    MAX_CLOSED_STREAMS = 1024


cdef unsigned int frame_number(const char* data) noexcept nogil:
    """Read four bytes in network order."""
    cdef const unsigned char* p = <const unsigned char*> data
    return <unsigned int> p[0] << 24 | <unsigned int> p[1] << 16 | <unsigned int> p[2] << 8 | p[3]


cdef bytes goaway_frame(unsigned int last, int code):
    """Return a GOAWAY frame (RFC 9113, 6.8)."""
    return b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + int(last).to_bytes(4, "big") + int(code).to_bytes(4, "big")


cdef bytes known_settings(bytes frame):
    """Return a SETTINGS frame without unknown settings, and with no larger table than we would use (RFC 9113, 6.5.2)."""
    cdef bytearray out = bytearray(frame[:FRAME_HEAD])
    cdef const char* data = PyBytes_AS_STRING(frame)
    cdef Py_ssize_t i
    cdef int code
    for i in range(FRAME_HEAD, PyBytes_GET_SIZE(frame), 6):
        code = (<unsigned char> data[i]) << 8 | <unsigned char> data[i + 1]
        if code == 1 and frame_number(data + i + 2) > TABLE_BYTES:
            out += b"\x00\x01" + int(TABLE_BYTES).to_bytes(4, "big")
        elif 1 <= code <= 6:
            out += frame[i:i + 6]
    out[:3] = (len(out) - FRAME_HEAD).to_bytes(3, "big")
    return bytes(out)


cdef object new_judge(int max_streams, Py_ssize_t max_header_bytes, int window, FieldDecoder decoder):
    """Return an h2 connection that has its first frames to send.

    It checks no fields (we ask it to: see http2_head) and counts no streams, because ours count while handlers run.
    """
    connection = Judge(H2Configuration(
        client_side=False, header_encoding=None, validate_inbound_headers=False, normalize_inbound_headers=False,
        validate_outbound_headers=False, normalize_outbound_headers=False))
    connection.decoder = decoder
    connection.local_settings = Settings(client=False, initial_values={
        SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
        SettingCodes.MAX_HEADER_LIST_SIZE: max_header_bytes,
        SettingCodes.INITIAL_WINDOW_SIZE: window,
    })
    connection.initiate_connection()
    connection.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = LAST_STREAM
    connection.local_settings.acknowledge()
    # As much as 128 streams together may have under way: one that its handler does not read holds up no other.
    connection.increment_flow_control_window(
        min(max(max_streams * <long long> window, SMALLEST_WINDOW), LARGEST_WINDOW) - INITIAL_WINDOW)
    return connection
