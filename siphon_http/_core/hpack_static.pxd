# The static table of HPACK (RFC 7541, appendix A): inline, no module behind it. Entries are lines, as
# those of the dynamic table.

from libc.string cimport memcmp

from siphon_http._core.header_block cimport Line

cdef extern from *:
    """
    #ifndef SIPHON_HTTP_STATIC_TABLE
    #define SIPHON_HTTP_STATIC_TABLE
    #define V(name, value, kind) \\
        {(const unsigned char*) name ": " value "\\r\\n", sizeof name - 1, sizeof value - 1, kind},
    #define N(name) V(name, "", K_PLAIN)
    static const siphon_line siphon_static[62] = {      /* RFC 7541, appendix A; the first is no entry */
        {0, 0, 0, 0}, V(":authority", "", K_AUTHORITY) V(":method", "GET", K_METHOD) V(":method", "POST", K_METHOD)
        V(":path", "/", K_PATH) V(":path", "/index.html", K_PATH)
        V(":scheme", "http", K_SCHEME) V(":scheme", "https", K_SCHEME)
        V(":status", "200", K_STATUS) V(":status", "204", K_STATUS) V(":status", "206", K_STATUS)
        V(":status", "304", K_STATUS) V(":status", "400", K_STATUS) V(":status", "404", K_STATUS)
        V(":status", "500", K_STATUS) N("accept-charset") V("accept-encoding", "gzip, deflate", K_PLAIN)
        N("accept-language") N("accept-ranges") N("accept") N("access-control-allow-origin") N("age") N("allow")
        N("authorization") N("cache-control") N("content-disposition") N("content-encoding") N("content-language")
        V("content-length", "", K_LENGTH | BAD_VALUE) N("content-location") N("content-range") N("content-type")
        V("cookie", "", K_COOKIE) N("date") N("etag") V("expect", "", K_EXPECT) N("expires") N("from")
        V("host", "", K_HOST) N("if-match") N("if-modified-since") N("if-none-match") N("if-range")
        N("if-unmodified-since") N("last-modified") N("link") N("location") N("max-forwards") N("proxy-authenticate")
        N("proxy-authorization") N("range") N("referer") N("refresh") N("retry-after") N("server") N("set-cookie")
        N("strict-transport-security") V("transfer-encoding", "", K_FORBIDDEN) N("user-agent") N("vary") N("via")
        N("www-authenticate")
    };
    #undef V
    #undef N
    /* By the size of a field name: places in the static table, 0 = no more. */
    static const unsigned char siphon_static_by_size[28][7] = {
        {0}, {0}, {0}, {21, 60}, {33, 34, 37, 38, 45, 59}, {22, 50}, {19, 32, 35, 54}, {36, 51, 52}, {39, 42, 46}, {0},
        {55, 58}, {53}, {31, 47}, {18, 23, 24, 30, 41, 44}, {15, 28}, {16, 17}, {26, 27, 29, 61}, {40, 57}, {48},
        {25, 43, 49}, {0}, {0}, {0}, {0}, {0}, {56}, {0}, {20}
    };
    #endif
    """
    const Line siphon_static[62]
    const unsigned char siphon_static_by_size[28][7]


cdef enum:
    STATIC_ENTRIES = 61
    STATIC_STATUS_200 = 8           # places of some entries
    STATIC_STATUS_500 = 14
    STATIC_CONTENT_LENGTH = 28
    STATIC_DATE = 33
    STATIC_SET_COOKIE = 55


cdef inline const Line* static_line(unsigned int place) noexcept nogil:
    """Return the entry at a place from 1 to STATIC_ENTRIES."""
    return &siphon_static[place]


cdef inline unsigned int static_name(const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """Return the place of a name in the static table, or 0."""
    cdef const unsigned char* place
    if size > 27:
        return 0
    place = siphon_static_by_size[size]
    while place[0] and memcmp(siphon_static[place[0]].data, name, size) != 0:
        place += 1
    return place[0]
