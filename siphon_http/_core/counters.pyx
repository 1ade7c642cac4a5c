"""Numbers that metrics read: cells of 64 bits in a ledger, which another process may read meanwhile.

A ledger describes itself, so that whoever reads it needs to know no names. Version 1, native byte order, 8-aligned:

    ledger  0 magic "SIPHON1\\n" | 8 size | 16 bytes in use | 24 times that there was no room | 32 owner's name | 64 records
    record  0 u32 size, a multiple of 8 | 4 u8 kind | 5 u8 unit | 6 u16 cells
            8 u16 sizes of name, labels, help, bounds | 16 these texts, UTF-8 | padding | cells

A record never moves or goes away; `bytes in use` grows once a record is whole. One writer a ledger, any number of readers,
no locks: a cell is written by one store. `host/ledger.py` is the same layout for the host, which knows no HTTP.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

__all__ = ["LEDGER_BYTES", "Cell", "Counters", "label_text"]

LEDGER_BYTES = 262144
"""Size of a ledger in the process's own memory: some hundred routes."""

cdef extern from *:
    """
    #define SIPHON_PUBLISH(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
    """
    void publish "SIPHON_PUBLISH"(uint64_t* place, uint64_t value) noexcept nogil

cdef const char* MAGIC = b"SIPHON1\n"

cdef enum:
    LEDGER_HEAD = 64
    RECORD_HEAD = 16
    AT_SIZE = 1             # indices into the ledger's head, in words
    AT_USED = 2
    AT_DROPPED = 3
    MOST_CELLS = 64


@cython.final
cdef class Cell:
    """One number of a series. Made by `Counters`; belongs to the ledger's one writer."""

    cpdef int add(self, int64_t amount=1) except -1:
        """Add `amount`; below 0 for gauges only."""
        self.at[0] += <uint64_t> amount
        return 0

    cpdef int put(self, int64_t value) except -1:
        """Set the number."""
        self.at[0] = <uint64_t> value
        return 0

    cpdef int64_t get(self) except? -1:
        """Return the number."""
        return <int64_t> self.at[0]


@cython.final
cdef class Counters:
    """All series of one writer, in one ledger.

    buffer: writable memory of at least 1 KiB, aligned to 8, or None for memory of our own. What an earlier owner has
    counted there goes on; its gauges begin at 0 again. When the ledger is full, further series count where nobody
    looks, and it says how often. Belongs to one thread.

    Raises:
        ValueError: the buffer is too small, or holds something else.
    """

    def __init__(self, buffer=None):
        cdef Py_buffer view
        if buffer is None:
            buffer = bytearray(LEDGER_BYTES)
        self._buffer = memoryview(buffer).cast("B")
        PyObject_GetBuffer(self._buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self._base = <char*> view.buf
        self._size = view.len & ~7
        PyBuffer_Release(&view)     # the memoryview holds on to it
        self._places = {}
        if self._size < 1024 or <size_t> self._base & 7:
            raise ValueError("a ledger has at least 1024 bytes and is aligned to 8")
        self._adopt()

    @property
    def dropped(self):
        """How often a series found no room."""
        return (<uint64_t*> self._base)[AT_DROPPED]

    def counter(self, str name, str help, **labels):
        """Return the Cell of a counter; the same for the same name and labels. help: one line for people."""
        return self._cell(name, label_text(labels), help, SERIES_COUNTER)

    def gauge(self, str name, str help, *, bint local=False, bint seconds=False, **labels):
        """Return the Cell of a gauge. local: it is shown for each process; seconds: it is given in nanoseconds."""
        return self._cell(name, label_text(labels), help, SERIES_LOCAL if local else SERIES_GAUGE,
                          UNIT_NANOSECONDS if seconds else UNIT_ONE)

    def _cell(self, str name, str labels, str help, Series kind, Unit unit=UNIT_ONE):
        cdef Cell cell = Cell.__new__(Cell)
        cell.at = self.series(name, labels, help, kind, unit)
        cell.owner = self
        return cell

    cdef uint64_t* series(self, str name, str labels, str help, Series kind, Unit unit=UNIT_ONE,
                          tuple bounds=()) except NULL:
        """Return the first cell of a series, which stays where it is as long as this object lives.

        labels: as `label_text` gives them. bounds: of a histogram, ascending; in seconds with UNIT_NANOSECONDS.
        """
        cdef int cells = len(bounds) + 2 if kind == SERIES_HISTOGRAM else 1
        cdef Py_ssize_t offset
        place = self._places.get((name, labels))
        if place is None:
            texts = [part.encode("utf-8") for part in (name, labels, help, ",".join(map(repr, bounds)))]
            offset = self._append(b"".join(texts), tuple(map(len, texts)), kind, unit, cells)
            if offset == 0:
                return &self._spare[0]
            place = self._places[name, labels] = (<int> kind, cells, offset)
        if place[0] != <int> kind or place[1] != cells:
            raise ValueError(f"{name} is there already as something else")
        offset = place[2]
        return <uint64_t*> (self._base + offset)

    cdef Py_ssize_t _append(self, bytes text, tuple sizes, Series kind, Unit unit, int cells) except -1:
        """Write one record; return the offset of its first cell, 0 when there is no room."""
        cdef uint64_t* head = <uint64_t*> self._base
        cdef Py_ssize_t longest = max(sizes)
        # From here on nothing of Python's runs: threads that share the interpreter's lock cannot come in between.
        cdef Py_ssize_t start = <Py_ssize_t> head[AT_USED]
        cdef Py_ssize_t at = start + RECORD_HEAD + (PyBytes_GET_SIZE(text) + 7 & ~7)
        cdef Py_ssize_t end = at + 8 * cells
        cdef char* record = self._base + start
        cdef int i
        if cells > MOST_CELLS:
            raise ValueError(f"a histogram has at most {MOST_CELLS - 2} bounds")
        if end > self._size or longest > 65535:
            head[AT_DROPPED] += 1
            return 0
        memset(record, 0, end - start)
        (<uint32_t*> record)[0] = <uint32_t> (end - start)
        record[4] = <char> kind
        record[5] = <char> unit
        (<uint16_t*> record)[3] = <uint16_t> cells
        for i in range(4):
            (<uint16_t*> record)[4 + i] = <uint16_t> sizes[i]
        memcpy(record + RECORD_HEAD, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        publish(&head[AT_USED], <uint64_t> end)
        return at

    cdef int _adopt(self) except -1:
        """Make an empty ledger of new memory, or take over what another has left."""
        cdef uint64_t* head = <uint64_t*> self._base
        cdef Py_ssize_t at = LEDGER_HEAD
        cdef Py_ssize_t first, size
        cdef uint16_t* numbers
        if head[0] == 0:
            head[AT_SIZE] = <uint64_t> self._size
            head[AT_USED] = LEDGER_HEAD
            memcpy(self._base, MAGIC, 8)
            return 0
        if memcmp(self._base, MAGIC, 8) != 0 or head[AT_SIZE] > <uint64_t> self._size:
            raise ValueError("the buffer holds something that is no ledger of this version")
        if head[AT_USED] > head[AT_SIZE] or head[AT_USED] < LEDGER_HEAD or head[AT_USED] & 7:
            raise ValueError("the ledger is damaged")
        head[AT_DROPPED] = 0
        while at + RECORD_HEAD <= <Py_ssize_t> head[AT_USED]:
            size = (<uint32_t*> (self._base + at))[0]
            numbers = <uint16_t*> (self._base + at)
            first = at + size - 8 * <Py_ssize_t> numbers[3]
            if size & 7 or at + size > <Py_ssize_t> head[AT_USED] or numbers[3] == 0 \
                    or first < at + RECORD_HEAD + numbers[4] + numbers[5]:
                raise ValueError("the ledger is damaged")
            name = (<bytes> self._base[at + 16:at + 16 + numbers[4]]).decode("utf-8")
            labels = (<bytes> self._base[at + 16 + numbers[4]:at + 16 + numbers[4] + numbers[5]]).decode("utf-8")
            self._places[name, labels] = (self._base[at + 4], numbers[3], first)
            if self._base[at + 4] in (SERIES_GAUGE, SERIES_LOCAL):
                memset(self._base + first, 0, 8)    # whoever held it is dead
            at += size
        return 0


def label_text(labels):
    """Return labels as Prometheus writes them: `route="/a",code="200"`; values escaped, in the order given."""
    return ",".join([f'{name}="{_escaped(str(value))}"' for name, value in labels.items()])


cdef str _escaped(str value):
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
