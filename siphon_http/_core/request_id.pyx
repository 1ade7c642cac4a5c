"""Ids by which one request is found in the logs of all who took part in it.

An id that the client sends (X-Request-ID) is kept when it is fit for a log: 1 to 128 visible ASCII characters. Others are
32 hexadecimal digits, random but no secret. `current_id` is how the client layer, and whoever logs, learns the id of the
request that the running code belongs to: it is set in the context that a handler runs in, on listeners that ask for it.
"""

from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_GET_LENGTH

from contextvars import ContextVar

__all__ = ["FIELD", "current_id", "is_request_id", "new_id", "run_with_id"]

FIELD = "x-request-id"
"""Name of the header field, in and out."""

CURRENT = ContextVar("siphon_http_request_id", default=None)

cdef enum:
    MOST = 128


def current_id():
    """Return the id of the request that the running code answers, or None. Cheap; any thread, any task of a handler."""
    return CURRENT.get()


def run_with_id(context, str request_id):
    """Let code that runs in `context` have this id."""
    context.run(CURRENT.set, request_id)


def new_id():
    """Return a new id: 32 hexadecimal digits."""
    from random import getrandbits  # seeded by the system, and again after a fork; its import costs milliseconds

    return f"{getrandbits(128):032x}"


cpdef bint is_request_id(str text):
    """Tell whether a client's id is fit to be kept."""
    cdef Py_ssize_t i
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text)
    cdef const unsigned char* data
    if not 1 <= size <= MOST or not text.isascii():
        return False
    data = <const unsigned char*> PyUnicode_1BYTE_DATA(text)
    for i in range(size):
        if not 0x21 <= data[i] <= 0x7e:
            return False
    return True


cdef str kept_or_new(object sent):
    """Return the id that a client has sent (None: it has not) if it can be kept, else a new one."""
    return sent if sent is not None and is_request_id(sent) else new_id()


cdef list with_request_id(list fields, str id):
    """Return an answer's fields with the request's id among them; one that the script has set stays."""
    cdef Py_ssize_t i
    if fields is None:
        return [FIELD, id]
    for i in range(0, len(fields), 2):
        if fields[i] == FIELD:
            return fields
    return [*fields, FIELD, id]
