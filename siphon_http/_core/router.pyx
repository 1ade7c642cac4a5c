# routes: GET /orders   GET,DELETE /orders/{id}   GET /orders/{id}/lines   GET /static/{*rest}
#
#   "/"
#    |-- "orders"              leaf: GET
#    |     '-- "/"
#    |          '-- {}         leaf: DELETE, GET
#    |               '-- "/lines"  leaf: GET
#    '-- "static/"
#          '-- {*}             leaf: GET
#
# Order at a node: longest static edge, then {}, then {*}; on failure we come back and try the next. So at the first
# segment where two matching patterns differ, static beats {x} beats {*x}, whatever follows it.
#
# A leaf is a path shape, not a route: which method it serves is asked afterwards, so that 405 can be told from 404.
# Nodes carry no parameter names: they belong to the route, so /a/{x} and /a/{y}/b live together.
#
# Cost of a match: one way leads from the root to a node, and every step of it takes a fixed piece of the path (its own
# text, or the whole segment). So a node is entered at most once in a match, at one place. However a request is made,
# the walk is bounded by the number of nodes, and what it compares by the bytes of all patterns plus one search for "/"
# for each {}: linear in the table, never exponential in the path.
"""Radix router: raw path -> leaf and parameter offsets.

The path is matched as it was sent (in its canonical spelling, see urldecode); whoever wants a parameter decodes it
afterwards: `%2F` is never a separator.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.string cimport memchr, memcmp, memcpy, memmove

from siphon_http._core.ascii cimport is_token
from siphon_http._core.urldecode cimport canonical_path

from siphon_http._core.pattern import MAX_PARAMETERS, Pattern, Slot
from siphon_http.errors import RouteConflictError, RouteError

__all__ = ["Leaf", "Router"]

cdef str GET = "GET"             # interned, as every module has it

cdef enum:
    SMALL_FANOUT = 4              # children that are searched one by one; above it, a node gets an index


cdef struct Node:
    char* edge                    # bytes to match before this node; owned; NULL for the root and for {} nodes
    int edge_length               # bytes in `edge`; 0 for the root and for {} nodes
    int child_count               # static children, 0-255
    Node** children               # static children, sorted by first byte, no two share one; owned array; NULL if none
    unsigned char* index          # 256 entries: first byte -> position in `children` + 1, or 0; owned; NULL if few
    Node* segment                 # the {} child, or NULL
    PyObject* rest                # Leaf of the {*} child, or NULL; borrowed from Router._leaves
    PyObject* leaf                # Leaf of patterns that end here, or NULL; borrowed from Router._leaves
    Node* parent                  # NULL for the root
    Node* older                   # the node made before this one, or NULL


cdef inline Node* static_child(Node* node, unsigned char first) noexcept nogil:
    """Return the static child whose edge begins with `first`, or NULL."""
    cdef int i
    if node.index != NULL:
        i = node.index[first]
        return node.children[i - 1] if i else NULL
    for i in range(node.child_count):
        if <unsigned char>node.children[i].edge[0] == first:
            return node.children[i]
    return NULL


cdef Node* new_node(Node** newest, const char* edge, int length, Node* parent) except NULL:
    """Return a new node with a copy of edge[:length], not yet among its parent's children."""
    cdef Node* node = <Node*>PyMem_Calloc(1, sizeof(Node))
    if node == NULL:
        raise MemoryError
    node.older = newest[0]
    newest[0] = node                  # from here on Router.__dealloc__ frees it, whatever happens
    node.parent = parent
    if length:
        node.edge = <char*>PyMem_Malloc(length)
        if node.edge == NULL:
            raise MemoryError
        memcpy(node.edge, edge, length)
        node.edge_length = length
    return node


cdef int add_child(Node* node, Node* child) except -1:
    """Put `child`, whose first byte is new, among the static children of `node`."""
    cdef int i = node.child_count
    cdef Node** grown = <Node**>PyMem_Realloc(node.children, (i + 1) * sizeof(Node*))
    if grown == NULL:
        raise MemoryError
    node.children = grown
    if i == SMALL_FANOUT:
        node.index = <unsigned char*>PyMem_Calloc(256, 1)
        if node.index == NULL:
            raise MemoryError
    while i > 0 and <unsigned char>grown[i - 1].edge[0] > <unsigned char>child.edge[0]:
        grown[i] = grown[i - 1]
        i -= 1
    grown[i] = child
    node.child_count += 1
    if node.index != NULL:
        for i in range(node.child_count):
            node.index[<unsigned char>grown[i].edge[0]] = <unsigned char>(i + 1)
    return 0


cdef Node* split(Node** newest, Node* node, int length) except NULL:
    """Put a new node before `node` that takes the first `length` bytes of its edge; return the new one."""
    cdef Node* upper = new_node(newest, node.edge, length, node.parent)
    cdef Node* parent = node.parent
    cdef int i = 0
    while parent.children[i] != node:
        i += 1
    add_child(upper, node)        # the last thing that can fail
    parent.children[i] = upper    # the first byte is the same, so order and index stay right
    node.edge_length -= length
    memmove(node.edge, node.edge + length, node.edge_length)
    node.parent = upper
    return upper


cdef Node* place_static(Node** newest, Node* node, const char* text, int length) except NULL:
    """Return the node that text[:length] leads to from `node`; edges are split where they part."""
    cdef Node* child
    cdef int common
    while length:
        child = static_child(node, <unsigned char>text[0])
        if child == NULL:
            child = new_node(newest, text, length, node)
            add_child(node, child)
            return child
        common = 1
        while common < length and common < child.edge_length and text[common] == child.edge[common]:
            common += 1
        if common < child.edge_length:
            child = split(newest, child, common)
        node = child
        text += common
        length -= common
    return node


cdef Node* place(Node** newest, Node* node, tuple parts) except NULL:
    """Return the node that `parts` lead to from the root `node`, made where missing; for {*}, the one before it."""
    for part in parts:
        if part is Slot.SEGMENT:
            if node.segment == NULL:
                node.segment = new_node(newest, NULL, 0, node)
            node = node.segment
        elif part is not Slot.REST:
            node = place_static(newest, node, PyBytes_AS_STRING(<bytes?>part), <int>PyBytes_GET_SIZE(part))
    return node


cdef PyObject* walk(Node* node, const char* path, int n, int* offsets) noexcept nogil:
    """Return the leaf that path[:n] leads to from the root `node`, or NULL; `offsets` has room for MAX_OFFSETS.

    Going back needs no stack: the parent's place in the path follows from the edge's length or the parameter's start.
    """
    cdef int at = 0, count = 0      # bytes of the path matched; offsets written
    cdef const char* slash
    cdef Node* child
    while True:
        if at == n and node.leaf != NULL:
            return node.leaf
        if at < n:
            child = static_child(node, <unsigned char>path[at])
            if child != NULL and child.edge_length <= n - at:
                if memcmp(child.edge + 1, path + at + 1, child.edge_length - 1) == 0:
                    node = child
                    at += child.edge_length
                    continue
        while True:                 # no static edge leads on from `node`: another way from here, or from above
            if at < n and node.segment != NULL and path[at] != 47:
                slash = <const char*>memchr(path + at, 47, n - at)
                offsets[count] = at
                at = n if slash == NULL else <int>(slash - path)
                offsets[count + 1] = at
                count += 2
                node = node.segment
                break
            while True:             # {} failed or is not there
                if node.rest != NULL and at < n:
                    offsets[count] = at
                    offsets[count + 1] = n
                    return node.rest
                if node.parent == NULL:
                    return NULL
                if node.parent.segment != node:
                    at -= node.edge_length
                    node = node.parent
                    break
                count -= 2
                at = offsets[count]
                node = node.parent


@cython.final
cdef class Leaf:
    """One path shape and the routes that share it: one for each method.

    Read-only once its router is frozen; safe to read from any thread.
    """

    def __cinit__(self):
        self.routes = {}
        self.allow = b""
        self._origins = {}

    cpdef object find(self, str method):
        """Return the route for `method`, or None; GET serves HEAD unless HEAD has a route (RFC 9110, 9.3.2)."""
        if method is GET:       # the protocols give this very object: no lookup
            return self._get
        route = self.routes.get(method)
        if route is None and method == "HEAD":
            return self._get
        return route

    def __repr__(self) -> str:
        return f"Leaf({', '.join(sorted(self._origins.values()))})"


cdef object check_route(object pattern, str method, str where):
    """Raise RouteError for what the tree could not hold safely, whoever made it."""
    cdef bint good = method != ""
    for character in method:
        good = good and ord(character) < 0x80 and is_token(<unsigned char>ord(character))
    if not good:
        raise RouteError(f"{method!r} is no HTTP method ({pattern.text}, {where})")
    slots = [part for part in pattern.parts if isinstance(part, Slot)]
    if len(slots) != len(pattern.names) or len(slots) > MAX_PARAMETERS or Slot.REST in slots[:-1]:
        raise RouteError(f"{pattern.text} was not made by parse_pattern ({where})")


cdef object add_route(Leaf leaf, object pattern, str method, object route, str where):
    """Store `route` in `leaf`. Raises RouteConflictError when the method is taken."""
    origin = f"{method} {pattern.text} ({where})"
    other = leaf._origins.get(method)
    if other is not None:
        raise RouteConflictError(
            f"{origin} has the same method and path shape as {other}: change the path or the method of one of them",
            other,
        )
    leaf.routes[method] = route
    if method == GET:
        leaf._get = route
    leaf._origins[method] = origin
    methods = {*leaf.routes, "OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    leaf.allow = ", ".join(sorted(methods)).encode("ascii")


@cython.final
cdef class Router:
    """Radix tree of path patterns.

    One thread inserts and freezes; afterwards nothing changes, and any number of threads may match.
    """

    def __cinit__(self):
        self._leaves = []
        self._root = new_node(&self._newest, NULL, 0, NULL)

    def __dealloc__(self):
        cdef Node* node = self._newest
        cdef Node* older
        while node != NULL:
            older = node.older
            PyMem_Free(node.edge)
            PyMem_Free(node.children)
            PyMem_Free(node.index)
            PyMem_Free(node)
            node = older

    # -- insert

    def insert(self, pattern: Pattern, str method not None, object route not None, str where not None) -> Leaf:
        """Add `route` for `method` (a token, case-sensitive) at `pattern`; `where` is its "file:line".

        Raises:
            RouteConflictError: a route of the same path shape has the method; both are named. Nothing is changed then.
            RouteError: the router is frozen, or `method` is no token.
        """
        cdef Node* node
        cdef Leaf leaf
        if self.frozen:
            raise RouteError(f"{method} {pattern.text} ({where}) comes too late: the routing table is frozen")
        check_route(pattern, method, where)
        node = place(&self._newest, self._root, pattern.parts)
        rest = pattern.parts[-1] is Slot.REST
        known = node.rest if rest else node.leaf
        if known != NULL:
            leaf = <Leaf>known
        else:
            leaf = Leaf()
            leaf.parameters = <int>len(pattern.names)
            self._leaves.append(leaf)
            if rest:
                node.rest = <PyObject*>leaf
            else:
                node.leaf = <PyObject*>leaf
        add_route(leaf, pattern, method, route, where)
        return leaf

    def freeze(self) -> None:
        """Refuse inserts from now on."""
        self.frozen = True

    # -- match

    cdef Leaf match(self, const char* path, Py_ssize_t n, int* offsets):
        """Return the Leaf for a canonical path, or None."""
        cdef PyObject* leaf
        if n > 0x7FFFFFFF:
            return None
        leaf = walk(self._root, path, <int>n, offsets)
        return None if leaf == NULL else <Leaf>leaf

    def lookup(self, bytes path not None) -> Leaf | None:
        """Return the Leaf whose shape fits `path`, in any spelling, or None."""
        cdef int offsets[MAX_OFFSETS]
        canonical = canonical_path(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path))
        cdef bytes raw = path if canonical is None else canonical
        return self.match(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), offsets)

    def find(self, bytes path not None, str method not None = "GET") -> tuple[object, list[tuple[int, int]]] | None:
        """Return (route, [(start, end) of each parameter]), or None when no shape fits or it does not serve `method`.

        The offsets count bytes of urldecode.canonical(path), which nearly always is `path` itself.
        """
        cdef int offsets[MAX_OFFSETS]
        cdef int i
        canonical = canonical_path(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path))
        cdef bytes raw = path if canonical is None else canonical
        cdef Leaf leaf = self.match(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), offsets)
        route = None if leaf is None else leaf.find(method)
        if route is None:
            return None
        places = []
        for i in range(leaf.parameters):
            places.append((offsets[2 * i], offsets[2 * i + 1]))
        return route, places

    def match_often(self, bytes path not None, Py_ssize_t times) -> int:
        """Match a canonical `path` `times` times; return how often a leaf was found.

        For benchmarks and stress tests: a Python call for each match would measure the call.
        """
        cdef int offsets[MAX_OFFSETS]
        cdef Py_ssize_t found = 0
        for _ in range(times):
            if self.match(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path), offsets) is not None:
                found += 1
        return found

    # -- dump

    def dump(self) -> str:
        """Return the tree as text, one node a line with its methods, as in the picture at the top of this file."""
        lines = []
        dump_children(self._root, "", lines)
        return "\n".join(lines)


cdef str described(str label, PyObject* leaf):
    """Return a node's line of the dump."""
    return label if leaf == NULL else f"{label}  leaf: {', '.join(sorted((<Leaf>leaf).routes))}"


cdef int dump_children(Node* node, str lead, list lines) except -1:
    """Append the lines of everything below `node`; `lead` is what stands left of its children's branches."""
    cdef int i
    cdef int left = node.child_count + (node.segment != NULL) + (node.rest != NULL)
    for i in range(node.child_count):
        left -= 1
        edge = node.children[i].edge[: node.children[i].edge_length].decode("ascii")
        dump_node(node.children[i], described(f'"{edge}"', node.children[i].leaf), left == 0, lead, lines)
    if node.segment != NULL:
        left -= 1
        dump_node(node.segment, described("{}", node.segment.leaf), left == 0, lead, lines)
    if node.rest != NULL:
        lines.append(f"{lead}'-- {described('{*}', node.rest)}")
    return 0


cdef int dump_node(Node* node, str line, bint last, str lead, list lines) except -1:
    """Append the line of `node` with its branch, and everything below it."""
    if node.parent.parent == NULL:    # the edge that all paths begin with
        lines.append(line)
        return dump_children(node, lead, lines)
    lines.append(f"{lead}{chr(39) if last else '|'}-- {line}")
    return dump_children(node, lead + ("    " if last else "|   "), lines)
