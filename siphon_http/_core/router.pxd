# Radix router: canonical path -> Leaf and parameter offsets. See router.pyx for the tree.
#
# Built by one thread with insert, then frozen. After freeze nothing of it changes (a Leaf neither), so any number of
# threads may match without locks.

cimport cython

cdef enum:
    MAX_OFFSETS = 32              # ints that a match may write: start and end of 16 parameters


@cython.final
cdef class Leaf:                  # one path shape that has routes
    cdef readonly dict routes     # method -> route, whatever was inserted
    cdef object _get              # route for GET, or None
    cdef readonly bytes allow     # value of the Allow field: methods sorted, with HEAD where GET is, and OPTIONS
    cdef readonly int parameters  # slots of the shape, <= 16: as many pairs of offsets does a match write
    cdef dict _origins            # method -> "GET /orders/{id} (file:line)", for conflicts
    # The route for `method`, or None: answer 405 (or an automatic OPTIONS) with `allow`. HEAD falls back to GET.
    cpdef object find(self, str method)


cdef struct Node                  # in router.pyx, with a word on every field


@cython.final
cdef class Router:
    cdef Node* _root              # empty edge; never NULL once constructed; owned through _newest
    cdef Node* _newest            # last node made; Node.older leads to all of them, which is how they are freed
    cdef list _leaves             # every Leaf of the tree: nodes only borrow them
    cdef readonly bint frozen     # insert raises

    # The Leaf whose shape fits path[:n], or None. `path` is canonical and valid (urldecode: is_valid_path, then
    # canonical_path when it is not is_plain). `offsets` has room for MAX_OFFSETS ints; the first 2 * Leaf.parameters
    # are written: start and end of each parameter in `path`, in order. Allocates nothing, raises nothing.
    #
    #     if not is_plain(path, n):
    #         if not is_valid_path(path, n): answer 400
    #         kept = canonical_path(path, n)
    #         if kept is not None: path, n = its bytes, its length; keep `kept` for as long as the offsets
    #     leaf = router.match(path, n, offsets)
    cdef Leaf match(self, const char* path, Py_ssize_t n, int* offsets)
