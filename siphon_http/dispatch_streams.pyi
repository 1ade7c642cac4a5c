"""Types of dispatch_streams.pyx."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from typing import Any, Final, Self, final

from siphon_http._core.exchange import Exchange
from siphon_http._core.message import Request, Response
from siphon_http.threads import ThreadPool

__all__ = ["SENT", "ContentStream", "ThreadIterator", "send_stream"]

SENT: Final[object]

@final
class Waker:
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

@final
class ContentStream:
    def __new__(cls, exchange: Exchange, request: Request, loop: AbstractEventLoop) -> Self: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> bytes: ...

@final
class ThreadIterator:
    def __new__(cls, pool: ThreadPool, iterator: Iterator[Any]) -> Self: ...
    async def step(self) -> Any: ...
    async def close(self) -> None: ...

async def send_stream(
    pool: ThreadPool,
    exchange: Exchange,
    request: Request,
    response: Response,
    blocking: bool,
    report: Callable[[BaseException, int], object],
) -> object: ...
