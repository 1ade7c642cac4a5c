"""What a script asks for: one request, and the handle with the methods that make it."""

cimport cython


@cython.final
cdef class ClientRequest:
    cdef readonly str name             # of the client in http.yaml, or None for an inline one
    cdef readonly str base_url         # of the client, as given, or None
    cdef readonly str method           # upper case
    cdef readonly str path             # as the script gave it
    cdef readonly object headers       # dict or list of pairs as the script gave them, or None
    cdef readonly object params        # mapping or pairs, or None
    cdef readonly object body          # bytes, None, or an (async) iterator of bytes
    cdef readonly bint is_json         # the body was given as json=
    cdef readonly bint stream          # the answer's content is wanted in pieces
    cdef readonly object timeout_ms    # int, or None: the client's
    cdef readonly object follow_redirects  # int; None: the client's; FOLLOW: the client's, or some where it has none


cdef enum:
    FOLLOW = -1                        # follow_redirects=True
    FOLLOWED = 10                      # so many, where the client's own setting is none


# The request that a redirect leads to; following: redirect.NextRequest.
cdef ClientRequest redirected_request(ClientRequest request, object following)


cdef class ClientHandle:
    cdef readonly str name             # in http.yaml, or None
    cdef readonly str base_url         # as given, or None
    cdef object _transport             # see api.Transport
    cdef object _send                  # its bound send

    cdef object _ask(self, str method, object path, object headers, object params, object body, object json,
                     object timeout_ms, object stream, object follow_redirects)
