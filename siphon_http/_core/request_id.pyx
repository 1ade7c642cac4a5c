"""Ids by which one request is found in the logs of all who took part in it.

An id that the client sends (X-Request-ID) is kept when it is fit for a log: 1 to 128 visible ASCII characters. Others are
32 hexadecimal digits, random but no secret. `current_id` is how the client layer, and whoever logs, learns the id of the
request that the running code belongs to: it is set in the context that a handler runs in, on listeners that ask for it.
"""

from cpython.contextvars cimport PyContextVar_Set
from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_DecodeLatin1, PyUnicode_GET_LENGTH

import os
from contextvars import ContextVar

__all__ = ["FIELD", "current_id", "is_request_id", "new_id", "seed"]

FIELD = "x-request-id"
"""Name of the header field, in and out."""

CURRENT = ContextVar("siphon_http_request_id", default=None)

cdef enum:
    MOST = 128


cpdef object current_id():
    """Return the id of the request that the running code answers, or None. Cheap; any thread, any task of a handler."""
    return CURRENT.get()


cdef int set_id(str request_id) except -1:
    """Let code that runs in the current context have this id."""
    PyContextVar_Set(CURRENT, request_id)
    return 0


cdef extern from *:
    """
    /* A counter, mixed with 128 random bits of the process. Ids are made on any thread: the counter is atomic. */
    static unsigned long long siphon_id_seed[2], siphon_id_count;
    static inline unsigned long long siphon_mixed(unsigned long long z) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;    /* splitmix64 */
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    static inline void siphon_new_id(unsigned char* out) {
        static const char hex[] = "0123456789abcdef";
        unsigned long long n = __atomic_fetch_add(&siphon_id_count, 1, __ATOMIC_RELAXED), word;
        int half, i;
        for (half = 0; half < 2; half++) {
            word = siphon_mixed(siphon_id_seed[half] + n * 0x9e3779b97f4a7c15ULL);
            for (i = 0; i < 16; i++, word >>= 4) *out++ = hex[word & 15];
        }
    }
    """
    unsigned long long SEED "siphon_id_seed"[2]
    void write_id "siphon_new_id"(unsigned char* out) noexcept nogil


def seed(unsigned long long first, unsigned long long second):
    """Let the process's ids begin at these random bits; called at import and in every child of a fork."""
    SEED[0] = first
    SEED[1] = second


def _seed_again():
    seed(int.from_bytes(os.urandom(8), "little"), int.from_bytes(os.urandom(8), "little"))


_seed_again()
os.register_at_fork(after_in_child=_seed_again)


cpdef str new_id():
    """Return a new id: 32 hexadecimal digits. Thread-safe."""
    cdef unsigned char[32] out
    write_id(out)
    return PyUnicode_DecodeLatin1(<const char*> out, 32, NULL)


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
