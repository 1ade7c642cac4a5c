"""Cases that run inside the real program: a script registers them, a test asks for them by name.

    book = Casebook(http)

    @book.case
    async def it_works(backend): ...

    @book.cases("GET", "PUT")
    async def it_works_for(backend, method): ...

The answer to `POST /case/it_works_for/1` is 200, or 500 with the traceback and the values that were wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

Case = Callable[..., Awaitable[None]]


class View:
    """The backend as a script sees it: its URLs, its files, and what it has seen."""

    def __init__(self) -> None:
        told = json.loads(os.environ["BACKEND"])
        self.ports: dict[str, int] = told["ports"]
        self.folder = Path(told["folder"])

    def url(self, path: str = "", *, kind: str = "plain", host: str = "127.0.0.1") -> str:
        secure = {"tls", "tls12", "mtls", "wrong_name", "expired", "self_signed", "h2"}
        return f"{'https' if kind in secure else 'http'}://{host}:{self.ports[kind]}{path}"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    async def told(self, what: str = "told") -> dict[str, Any]:
        """Return seen, tunnels, oddities, asked, accepted, open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["control"], limit=1 << 24)
        writer.write(f"GET /{what} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found

    async def seen(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.told())["seen"]
        return found

    async def accepted(self) -> int:
        return int((await self.told())["accepted"])

    async def until(self, claim: Callable[[dict[str, Any]], bool], within: float = 3) -> None:
        """Wait until `claim` is true of what is told."""
        async with asyncio.timeout(within):
            while not claim(await self.told()):
                await asyncio.sleep(0.005)


def same(got: object, expected: object) -> None:
    """Fail with both values if they differ."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


async def echoed(call: Any) -> dict[str, Any]:
    """Return what the backend saw of a call."""
    answer = await call
    same(answer.status, 200)
    found: dict[str, Any] = json.loads(answer.body)
    found["headers"] = dict(found["fields"])
    return found


async def done_or_cancelled(call: Coroutine[Any, Any, None], after: float | None, tally: dict[str, int]) -> None:
    """Run `call` to its end; cancel it `after` so many seconds, if not None. Ends by cancellation are counted."""
    task = asyncio.ensure_future(call)
    if after is not None:
        await asyncio.sleep(after)
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        tally["cancelled"] += 1


class Raises:
    """`with raises(http.ReadError, "closed") as caught:` as pytest has it; `caught.error` is the exception."""

    def __init__(self, kind: type[BaseException], text: str) -> None:
        self.kind = kind
        self.text = text
        self.error: Any = None

    def __enter__(self) -> Raises:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            raise AssertionError(f"no {self.kind.__name__} was raised")
        if type(error) is not self.kind:
            if isinstance(error, self.kind):
                raise AssertionError(f"expected a {self.kind.__name__}, got {error!r}") from error
            return False
        if self.text not in str(error):
            raise AssertionError(f"expected {self.text!r} in {str(error)!r}") from error
        self.error = error
        return True


raises = Raises


class Casebook:
    """The cases of one script, behind the route `/case/{name}/{index}`."""

    def __init__(self, http: Any) -> None:
        self._http = http
        self._cases: dict[str, list[tuple[Case, tuple[Any, ...]]]] = {}
        self._backend = View()
        http.route("/case/{name}/{index}", methods=["POST"], timeout_ms=270_000)(self._run)

    def case(self, function: Case) -> Case:
        self._cases[function.__name__] = [(function, ())]
        return function

    def cases(self, *values: Any) -> Callable[[Case], Case]:
        """Run it for each of these literals; a tuple is more than one argument."""

        def register(function: Case) -> Case:
            arguments = [value if isinstance(value, tuple) else (value,) for value in values]
            self._cases[function.__name__] = [(function, one) for one in arguments]
            return function

        return register

    async def _run(self, req: Any) -> Any:
        function, arguments = self._cases[req.path_params["name"]][int(req.path_params["index"])]
        await self._backend.told("clear")
        try:
            await function(self._backend, *arguments)
        except BaseException as exc:
            if isinstance(exc, asyncio.CancelledError):
                raise
            return self._http.Response(status=500, body=traceback.format_exc())
        odd = (await self._backend.told())["oddities"]
        if odd:
            return self._http.Response(status=500, body=f"the backend saw what no client may send: {odd}")
        return self._http.Response(body=b"ok")
