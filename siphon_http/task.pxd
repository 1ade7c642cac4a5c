"""Starts a coroutine at once inside a real asyncio.Task; see task.pyx."""

cimport cython
from cpython.ref cimport PyObject

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
    /* One owner and no weak reference: nobody can tell whether this object is a new one. A negative offset is that of
       types whose weak references the interpreter manages. */
    static CYTHON_INLINE int siphon_is_unshared(PyObject *o) {
        Py_ssize_t offset = Py_TYPE(o)->tp_weaklistoffset;
        return Py_REFCNT(o) == 1 && offset != 0 && *(PyObject **)((char *)o + offset) == NULL;
    }
    #define siphon_set_am_send(type, take) (((PyTypeObject *)(type))->tp_as_async->am_send = (sendfunc)(take))
    #ifdef Py_GIL_DISABLED
        #define SIPHON_FREE_THREADED 1
    #else
        #define SIPHON_FREE_THREADED 0
    #endif
    """
    bint is_unshared "siphon_is_unshared" (object thing) noexcept
    const bint FREE_THREADED "SIPHON_FREE_THREADED"


@cython.final
cdef class Resume:
    cdef readonly object coroutine    # the script's coroutine; None while its task is spare
    cdef object loop                  # the runner's loop
    cdef object slow                  # Runner.slow
    cdef object context               # contextvars.Context of all steps; None while spare
    cdef object numbers               # iterator of the runner: numbers for names that somebody asks for
    cdef object name                  # str, or None until asked for
    cdef object pending               # HANDING: what the first step yielded; else None
    cdef object value                 # ENDED: what the first step returned
    cdef object error                 # ENDED: what the first step raised, or None
    cdef int state                    # SPARE, FIRST, HANDING, ENDED or FORWARDING
    cdef bint is_initialised          # Task.__init__ has run on the task
    cdef bint is_touched              # the task is no longer as new: never use it again
    cdef bint is_future               # HANDING: `pending` is a future, yielded by its __await__
    cdef bint is_cancel_passed        # HANDING: `pending` took a cancel(), the next throw is its echo

    cdef int initialise(self, object task) except -1
    cdef int pass_cancel(self, object task, object message) except -1
    cdef int suspend(self, object task, object yielded) except -1
    cdef object end(self, object task, object value, object error)
    cdef object report(self)
    cdef int step(self, object value, PyObject** result) except -1
    cdef object hand_out(self)


cdef extern from *:
    void set_am_send "siphon_set_am_send" (object type_, int (*take)(Resume, object, PyObject**) except -1) noexcept


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

    # Run the first step of `coroutine` now, inside a task and inside `context` (a contextvars.Context that nobody has
    # entered). Ended: returns its value with suspended[0] = 0, or raises what it raised (any BaseException).
    # Suspended: returns the asyncio.Task with suspended[0] = 1; it goes on by itself on the loop.
    cdef object run(self, object coroutine, object context, bint* suspended)

    cdef object _run_lazy(self, object coroutine, object context, bint* suspended)
    cdef object _run_task(self, object coroutine, object context, bint* suspended)
    cdef object _become(self, object task)
