"""What a script asks for: one request, and the handle with the methods that make it.

    http.Client.get -> ClientRequest -> Transport.send -> awaitable of a Response

The handle is in Cython because each request goes through it; what is configured, and where requests go, is in api.py.
"""

cimport cython

import json as _json
from collections.abc import AsyncIterable, Iterable, Mapping

from siphon_http._core.url import join_url

__all__ = ["ClientHandle", "ClientRequest"]

cdef object ABSENT = object()       # json=None is JSON's null
cdef int MOST_REDIRECTS = 50        # as in http.yaml


@cython.final
@cython.freelist(64)
cdef class ClientRequest:
    """One request as a script asked for it: what a transport is given. Not for scripts to make."""

    def __repr__(self):
        return f"<ClientRequest {self.method} {self.path}>"

    @property
    def url(self):
        """Absolute URL with its query. Raises ValueError when path and base make none."""
        return join_url(self.base_url or "", self.path, self.params)

    def pairs(self):
        """Return the header fields as pairs, the content type of `json=` among them."""
        cdef list out = []
        if self.headers is not None:
            for name, value in self.headers.items() if isinstance(self.headers, Mapping) else self.headers:
                for one in value if isinstance(value, (list, tuple)) else (value,):
                    out.append((name, one))
        if self.is_json and "content-type" not in [name.lower() for name, _ in out]:
            out.append(("content-type", "application/json"))
        return out


cdef ClientRequest redirected_request(ClientRequest request, object following):
    """Return the request that a redirect leads to; following: redirect.NextRequest."""
    cdef ClientRequest out = ClientRequest.__new__(ClientRequest)
    out.name, out.base_url = request.name, request.base_url
    out.method, out.path, out.headers = following.method, following.url, list(following.fields)
    out.body = request.body if following.keeps_content else None
    out.stream, out.timeout_ms, out.follow_redirects = request.stream, request.timeout_ms, request.follow_redirects
    return out


cdef object _content(object body):
    """Return `body` as bytes, None or an iterator of bytes."""
    if isinstance(body, str):
        return (<str> body).encode("utf-8")
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    if isinstance(body, (Mapping, set, frozenset)):
        raise TypeError(f"a body is bytes, str or an iterator of bytes, not {type(body).__name__}; for JSON: json=...")
    if isinstance(body, (bytes, AsyncIterable, Iterable)):
        return body
    raise TypeError(f"a body is bytes, str, None or an iterator of bytes, not {type(body).__name__}")


cdef object _redirects(object wanted):
    """Return `follow_redirects=` of a call as a request keeps it."""
    if isinstance(wanted, bool):
        return FOLLOW if wanted else 0
    if not isinstance(wanted, int) or not 0 <= wanted <= MOST_REDIRECTS:
        raise ValueError(f"follow_redirects is True, False, or how many, from 0 to {MOST_REDIRECTS}, not {wanted!r}")
    return int(wanted)


cdef object _fields(object headers):
    """Return `headers=` of a call as what can be read more than once: a redirect needs them again."""
    if isinstance(headers, (Mapping, tuple)):
        return headers
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(f"headers are a dict or a list of pairs, not {type(headers).__name__}")
    return list(headers)


cdef class ClientHandle:
    """The methods of `http.Client`: each returns a coroutine whose result is a Response.

    path: below the client's base URL, or an absolute URL in its place. headers: dict of str to str or list of str, or
    list of pairs. params: query parameters, dict or pairs. body: bytes, str (UTF-8), or an (async) iterator of bytes,
    which is streamed; json: a value to send as JSON instead. timeout_ms: for the whole exchange, in place of the
    client's. stream: the answer comes with its head, its content in pieces. follow_redirects: how many at most.

    Raises (when awaited):
        ClientError: and its subclasses, when there is no whole answer.
    """

    def _bind(self, transport, name, base_url, /):
        """Say where requests go."""
        self._transport = transport
        self._send = transport.send
        self.name = name
        self.base_url = base_url

    cdef object _ask(self, str method, object path, object headers, object params, object body, object json,
                     object timeout_ms, object stream, object follow_redirects):
        cdef ClientRequest request = ClientRequest.__new__(ClientRequest)
        if type(path) is not str:
            if not isinstance(path, str):
                raise TypeError(f"a path is a str, not {type(path).__name__}")
            path = str.__str__(path)
        if json is not ABSENT:
            if body is not None:
                raise TypeError("give either body= or json=, not both")
            request.is_json = True
            body = _json.dumps(json, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        elif body is not None and type(body) is not bytes:
            body = _content(body)
        if timeout_ms is not None and (isinstance(timeout_ms, bool) or not isinstance(timeout_ms, (int, float))
                                       or not 0 < timeout_ms <= 86_400_000):
            raise ValueError(f"timeout_ms is a number of milliseconds above 0 and at most a day, not {timeout_ms!r}")
        if follow_redirects is not None:
            follow_redirects = _redirects(follow_redirects)
        if headers is not None and type(headers) is not dict and type(headers) is not list:
            headers = _fields(headers)
        request.name = self.name
        request.base_url = self.base_url
        request.method = method
        request.path = path
        request.headers = headers
        request.params = params
        request.body = body
        request.stream = stream
        request.timeout_ms = timeout_ms
        request.follow_redirects = follow_redirects
        return self._send(request)

    def request(self, method, path, *, body=None, headers=None, params=None, json=ABSENT, timeout_ms=None,
                stream=False, follow_redirects=None):
        """Send a request with any method."""
        if not isinstance(method, str):
            raise TypeError(f"a method is a str, not {type(method).__name__}")
        return self._ask(method.upper(), path, headers, params, body, json, timeout_ms, stream, follow_redirects)

    def get(self, path, *, headers=None, params=None, timeout_ms=None, stream=False, follow_redirects=None):
        """Send a GET request."""
        return self._ask("GET", path, headers, params, None, ABSENT, timeout_ms, stream, follow_redirects)

    def head(self, path, *, headers=None, params=None, timeout_ms=None, follow_redirects=None):
        """Send a HEAD request."""
        return self._ask("HEAD", path, headers, params, None, ABSENT, timeout_ms, False, follow_redirects)

    def options(self, path, *, headers=None, params=None, timeout_ms=None, follow_redirects=None):
        """Send an OPTIONS request."""
        return self._ask("OPTIONS", path, headers, params, None, ABSENT, timeout_ms, False, follow_redirects)

    def post(self, path, *, body=None, headers=None, params=None, json=ABSENT, timeout_ms=None, stream=False,
             follow_redirects=None):
        """Send a POST request."""
        return self._ask("POST", path, headers, params, body, json, timeout_ms, stream, follow_redirects)

    def put(self, path, *, body=None, headers=None, params=None, json=ABSENT, timeout_ms=None, stream=False,
            follow_redirects=None):
        """Send a PUT request."""
        return self._ask("PUT", path, headers, params, body, json, timeout_ms, stream, follow_redirects)

    def patch(self, path, *, body=None, headers=None, params=None, json=ABSENT, timeout_ms=None, stream=False,
              follow_redirects=None):
        """Send a PATCH request."""
        return self._ask("PATCH", path, headers, params, body, json, timeout_ms, stream, follow_redirects)

    def delete(self, path, *, body=None, headers=None, params=None, json=ABSENT, timeout_ms=None, stream=False,
               follow_redirects=None):
        """Send a DELETE request."""
        return self._ask("DELETE", path, headers, params, body, json, timeout_ms, stream, follow_redirects)
