"""`HttpTestHarness`: runs a script on the real dispatcher, without sockets, for plain and for async tests.

    harness = HttpTestHarness()
    harness.load_script("routes.py")
    assert harness.request("GET", "/hello/world").body == b"hi world"

What is asked is written as HTTP/1.1 and read by the server's own connection; routes, middleware, limits, time-outs and
threads are those of a process. Only `http.Client` ends in a recorder (see outbound).
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from siphon_http._core.message import Response
from siphon_http.testing.asking import Asking
from siphon_http.testing.http_double import HttpDouble
from siphon_http.testing.loop_thread import LoopThread
from siphon_http.testing.memory_host import CacheDouble, LogDouble, MemoryHost
from siphon_http.testing.outbound import Outbound
from siphon_http.testing.writing import NOTHING, Body, Fields, address_of, written

__all__ = ["Exchange", "HttpTestHarness"]


class Exchange:
    """One request under way: what `harness.open` returns. A context manager; leaving it early is a client that leaves.

    In async tests `await exchange.aresponse()` and `async for piece in exchange` leave the test's own loop free.
    """

    def __init__(self, asking: Asking, thread: LoopThread, seconds: float) -> None:
        self._asking = asking
        self._thread = thread
        self._seconds = seconds

    @property
    def status(self) -> int:
        """Status of the answer; waits for its head."""
        return self.head().status

    @property
    def headers(self) -> Any:
        """Header fields of the answer; waits for its head."""
        return self.head().headers

    def head(self) -> Response:
        """Wait for the head of the answer. Raises ConnectionResetError when the server broke it off."""
        return self._thread.run(self._asking.head(), self._asking.name, self._seconds)

    async def ahead(self) -> Response:
        """The same as `head`, awaited."""
        return await self._thread.wait(self._asking.head(), self._asking.name, self._seconds)

    def response(self) -> Response:
        """Wait for the whole answer, less what was read of it. Raises ConnectionResetError when it is broken off."""
        return self._thread.run(self._asking.response(), self._asking.name, self._seconds)

    async def aresponse(self) -> Response:
        """The same as `response`, awaited."""
        return await self._thread.wait(self._asking.response(), self._asking.name, self._seconds)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content as it arrives. The handler waits when more than 64 KiB are unread."""
        while piece := self._thread.run(self._asking.read(), self._asking.name, self._seconds):
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the content as it arrives."""
        while piece := await self._thread.wait(self._asking.read(), self._asking.name, self._seconds):
            yield piece

    def disconnect(self) -> None:
        """Reset the connection, as a client does that has gone; a route with `on_disconnect="cancel"` is cancelled."""
        self._thread.run(self._asking.leave(), self._asking.name, self._seconds)

    def close(self) -> None:
        """Close the connection: a client that has read its answer, or one that has gone."""
        if not self._thread.loop.is_closed():
            self._thread.run(self._asking.end(), self._asking.name, self._seconds)

    async def aclose(self) -> None:
        """The same as `close`, awaited."""
        if not self._thread.loop.is_closed():
            await self._thread.wait(self._asking.end(), self._asking.name, self._seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class HttpTestHarness:
    """Loads one script and asks it. A context manager; without `close` it ends when it is garbage.

    config: http.yaml, as a mapping or its path; the limits of its first listener apply. Without `clients` in it, a script
    may construct a client of any name. timeout: seconds after which a call of the harness gives up.

    Plain calls block; the script runs on a loop of its own, on another thread, and goes on between them. From async tests
    they may be used too, or their twins (`arequest`, ...). Belongs to one thread. Raises ConfigError.
    """

    def __init__(self, config: Mapping[str, Any] | str | Path | None = None, *, timeout: float = 60.0) -> None:
        self._outbound = Outbound()
        self._host = MemoryHost(config, self._outbound)
        self._thread = LoopThread(self._host.finish)
        self._timeout = timeout
        self._end = weakref.finalize(self, _end, self._thread, self._host)

    @property
    def http(self) -> HttpDouble:
        """The namespace that the script imports, with the answers for its clients (`harness.http.add_response(...)`)."""
        return HttpDouble(self._host.http, self._outbound)

    @property
    def sent_requests(self) -> list[dict[str, Any]]:
        """What the script sent with `http.Client`: dicts of method, path, url, name, base_url, params, headers, body."""
        return self._outbound.sent_requests

    @property
    def log(self) -> LogDouble:
        """What the script logged: `("info", "text") in harness.log.messages`."""
        return self._host.log

    @property
    def cache(self) -> CacheDouble:
        """The namespace `siphon.cache`, in memory: `harness.cache.set_data("cnam", {"key": "value"})` makes a cache."""
        return self._host.cache

    def namespace(self, name: str) -> Any:
        """Return what `from siphon import name` gives the script. Raises AttributeError, which says why it does not."""
        return self._host.world.namespace(name)

    @property
    def errors(self) -> list[BaseException]:
        """What handlers, middleware and hooks have raised: each was logged, and answered 500 without its text."""
        return self._host.errors

    def reset(self) -> None:
        """Forget the script, what it has sent and logged, and the answers laid out for it."""
        self._run(self._host.end(), "reset")
        self._host.renew()

    def close(self) -> None:
        """End the loop, and take the script and `siphon` out of the interpreter. Shutdown hooks do not run."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- answers for http.Client

    def add_response(self, response: Response | Exception) -> None:
        """Answer the next call of `http.Client` with `response`, or raise it there; first in, first out."""
        self._outbound.add_response(response)

    def set_response(self, path: str, response: Response | Exception) -> None:
        """Answer every call to `path` so, when nothing of `add_response` is left."""
        self._outbound.set_response(path, response)

    # ---- the script

    def load_script(self, path: str | Path, *, include_paths: Iterable[str | Path] = ()) -> None:
        """Load a script from its file, in the place of an earlier one; helpers are imported from its folder.

        include_paths: further folders of helpers, as in siphon.yaml.

        Raises FileNotFoundError, and ScriptError with what the script raised as its cause.
        """
        file = Path(path).absolute()
        if not file.is_file():
            raise FileNotFoundError(f"there is no script {file}")
        self._run(self._host.end(), "load_script")
        self._host.load(file, tuple(Path(folder).absolute() for folder in include_paths))

    def load_source(self, source: str, name: str = "<test>") -> None:
        """Load a script from its text, in the place of an earlier one. Raises ScriptError."""
        self._run(self._host.end(), "load_source")
        self._host.load(self._host.written(source, name), ())

    def run_startup(self) -> None:
        """Run the `@http.on_startup` hooks in order. One that raises is logged, kept in `errors`, and the rest run.

        Raises ScriptError when the configuration has `startup_errors: abort`.
        """
        self._host.world.enter()
        self._run(self._host.startup(), "run_startup")

    def run_shutdown(self) -> None:
        """Let handlers end, then run the `@http.on_shutdown` hooks in reverse order. The script takes no more requests.

        Raises RuntimeError without `run_startup` before: a process that was not started runs none.
        """
        self._host.world.enter()
        self._run(self._host.shutdown(), "run_shutdown")

    # ---- requests

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        headers: Fields | None = None,
        query_params: Mapping[str, Any] | None = None,
        path_params: Mapping[str, str] | None = None,
        body: Body | None = None,
        client: str = "127.0.0.1:0",
        json: Any = NOTHING,
    ) -> Response:
        """Ask the script and return its whole answer.

        path: as it is sent, query included; spaces and non-ASCII are percent-encoded. query_params: added to it.
        path_params: put into the `{names}` of `path`. body: bytes, str, or an (async) iterator of pieces, sent as they
        come. json: the body as JSON. client: where the request comes from, "ip:port".

        Raises:
            ConnectionResetError: the answer was broken off. TimeoutError: none came within the harness's `timeout`.
            RuntimeError: no script is loaded, or the harness is closed.
        """
        with self.open(
            method,
            path,
            headers=headers,
            query_params=query_params,
            path_params=path_params,
            body=body,
            client=client,
            json=json,
        ) as exchange:
            return exchange.response()

    async def arequest(self, method: str = "GET", path: str = "/", **options: Any) -> Response:
        """The same as `request`, awaited: the test's own loop goes on meanwhile."""
        asking, begun = self._asking(method, path, **options)
        await self._thread.wait(begun, asking.name, self._timeout)
        async with Exchange(asking, self._thread, self._timeout) as exchange:
            return await exchange.aresponse()

    def open(self, method: str = "GET", path: str = "/", **options: Any) -> Exchange:
        """Ask the script, and return before it has answered: for streams, and for clients that leave.

        options: as of `request`.
        """
        asking, begun = self._asking(method, path, **options)
        self._run(begun, asking.name)
        return Exchange(asking, self._thread, self._timeout)

    def _asking(self, method: str, path: str, *, client: str = "127.0.0.1:0", **options: Any) -> tuple[Asking, Any]:
        """Return the client's side of a request, and the coroutine that sends it."""
        request = written(method, path, **options)
        asking = Asking(request)
        self._host.world.enter()
        return asking, self._host.begin(asking, address_of(client))

    def _run(self, coroutine: Any, what: str) -> Any:
        return self._thread.run(coroutine, what, self._timeout)


def _end(thread: LoopThread, host: MemoryHost) -> None:
    """End what a harness has begun; not a method, so that garbage can be ended too."""
    thread.stop()
    host.close()
