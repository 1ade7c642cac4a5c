"""Starts a coroutine at once inside a real asyncio.Task; see task.pyx."""

cimport cython
from cpython.ref cimport PyObject

from siphon_http.task_resume cimport Resume

# 3.11: asyncio's table of current tasks, with the hash of the loop at hand.
cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030C0000
    #define siphon_table_get _PyDict_GetItem_KnownHash
    #define siphon_table_set _PyDict_SetItem_KnownHash
    #define siphon_table_del _PyDict_DelItem_KnownHash
    #else  /* not used there */
    #define siphon_table_get(table, key, hash) PyDict_GetItemWithError(table, key)
    #define siphon_table_set(table, key, value, hash) PyDict_SetItem(table, key, value)
    #define siphon_table_del(table, key, hash) PyDict_DelItem(table, key)
    #endif
    """
    PyObject* table_get "siphon_table_get"(object table, object key, Py_hash_t hash) except? NULL
    int table_set "siphon_table_set"(object table, object key, object value, Py_hash_t hash) except -1
    int table_del "siphon_table_del"(object table, object key, Py_hash_t hash) except -1

cdef extern from *:
    """
    /* No owner but ours and no weak reference: nobody can tell whether this object is a new one. A negative offset is
       that of types whose weak references the interpreter manages. */
    static CYTHON_INLINE int siphon_is_unshared(PyObject *o, Py_ssize_t owners) {
        Py_ssize_t offset = Py_TYPE(o)->tp_weaklistoffset;
        return Py_REFCNT(o) == owners && offset != 0 && *(PyObject **)((char *)o + offset) == NULL;
    }
    #ifdef Py_GIL_DISABLED
        #define SIPHON_FREE_THREADED 1
    #else
        #define SIPHON_FREE_THREADED 0
    #endif
    """
    bint is_unshared "siphon_is_unshared" (object thing, Py_ssize_t owners) noexcept
    const bint FREE_THREADED "SIPHON_FREE_THREADED"


@cython.final
cdef class Runner:
    cdef readonly object loop     # the event loop that owns this runner
    cdef readonly str mode        # "lazy", "eager" or "task": how tasks are made here
    cdef bint _is_lazy            # `mode` is "lazy"
    cdef bint _is_eager           # `mode` is "eager"
    cdef object _spare            # a task that is as good as new, or None
    cdef Resume _spare_step       # its Resume; None when `_spare` is
    cdef public object slow       # callable(coroutine, seconds) for a later step that held the loop, or None
    cdef dict _current            # 3.11: loop -> current task, asyncio's own table; None on later versions
    cdef Py_hash_t _loop_hash     # hash of the loop: computed once
    cdef object _swap             # 3.12 and later: asyncio's exchange of the current task
    cdef object _numbers          # iterator: numbers for names of tasks
    cdef bint is_batching         # between begin_batch and end_batch, outside of any first step
    cdef bint _is_inside          # the spare task is the loop's current one: nothing runs in it
    cdef object _outer            # while `_is_inside`: the current task to go back to, or None

    # Run the first step of `coroutine` now, inside a task and inside `context` (a contextvars.Context that nobody has
    # entered). Ended: returns its value with suspended[0] = 0, or raises what it raised (any BaseException).
    # Suspended: returns the asyncio.Task with suspended[0] = 1; it goes on by itself on the loop.
    cdef object run(self, object coroutine, object context, bint* suspended)

    # Coroutines that are run one after the other, with nothing of a script between them, share one stay in the spare
    # task. `leave` before anything else is called that may ask for the current task; `end_batch` in any case.
    cpdef int begin_batch(self) except -1
    cpdef int end_batch(self) except -1
    cdef int leave(self) except -1

    cdef object _run_lazy(self, object coroutine, object context, bint* suspended)
    cdef object _run_task(self, object coroutine, object context, bint* suspended)
    cdef object _become(self, object task)
