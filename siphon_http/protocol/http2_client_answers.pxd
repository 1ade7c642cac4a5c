"""Answers of one HTTP/2 connection as a client: what frames mean for exchanges, and how these end."""

from siphon_http.protocol.http2_client_head cimport AnswerDecoder
from siphon_http.protocol.http2_client_stream cimport ClientStream, Http2ClientFlow


cdef enum:
    STREAM_CLOSED = 5                   # RFC 9113, section 7


cdef class Http2ClientAnswers(Http2ClientFlow):
    cdef AnswerDecoder decoder          # the one HPACK decoder; h2 uses it too
    cdef bytes head                     # what lies in its block as bytes, once somebody has asked for it; or None

    cdef int _judge(self, bytes frame) except -1
    cdef int _event(self, object event) except -1
    cdef int _settings(self) except -1
    cdef int _go_away(self, const char* data, Py_ssize_t size) except -1
    cdef int _head(self, ClientStream stream, bint ends) except -1
    cdef int _content(self, ClientStream stream, bytes data, Py_ssize_t whole) except -1
    cdef int _answered(self, ClientStream stream) except -1
    cdef int _was_reset(self, ClientStream stream, unsigned int code) except -1
    cdef int _break(self, ClientStream stream, int code, int failure, str reason) except -1
    cdef int _terminate(self, int code, str reason, bint told=*) except -1
    cdef int _fail_all(self, int failure, str reason) except -1
