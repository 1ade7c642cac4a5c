"""Types of awaited.pyx."""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from types import TracebackType
from typing import Any

from typing_extensions import disjoint_base

from siphon_http._core.response import Response
from siphon_http.protocol.answer import Answer

__all__ = ["AwaitedAnswer"]

# In the build a virtual subclass of Coroutine.
@disjoint_base
class AwaitedAnswer(Answer, Coroutine[Any, Any, Response]):
    """A coroutine whose result is a Response."""

    def __await__(self) -> Generator[Any, Any, Response]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any: ...
    def close(self) -> None: ...
    def room(self) -> asyncio.Future[None]: ...
    @property
    def http_version(self) -> str: ...
    def timings(self) -> dict[str, float]: ...
