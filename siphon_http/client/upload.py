"""Sends a request's body that is given in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon_http.client.call import Call

__all__ = ["send_body"]

_Piece = bytes | bytearray | memoryview


async def send_body(call: Call, body: Iterable[_Piece] | AsyncIterable[_Piece]) -> None:
    """Send the pieces of `body` as `call` takes them. What the iterator raises ends the call; nothing is raised here.

    A generator is closed, whatever happens: what it has open must not wait for the garbage collector.
    """
    try:
        try:
            if isinstance(body, AsyncIterable):
                async for piece in body:
                    if not call.push(_checked(piece), False):
                        await call.room()
            else:
                for piece in body:
                    if not call.push(_checked(piece), False):
                        await call.room()
            call.push(b"", True)
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()
            elif isinstance(body, Generator):
                body.close()
    except Exception as error:
        call.upload_failed(error)


def _checked(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    raise TypeError(f"a body gives bytes in pieces, not {type(piece).__name__}")
